from __future__ import annotations

import html
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from monitor.common.http import RemoteError
from monitor.config.config import parse
from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.web.console.test_overview import words_of
from tests.monitor.web.console.test_sinks import CONFIG
from tests.monitor.web.console.test_sources import EVIL

ADA = Visitor("ada", "responder", form="f" * 32)


async def test_who_changed_what_newest_first_and_all_of_it(pages: Pages) -> None:
    assert "Nothing is in it yet." in await pages.get("/trail")
    await pages.store.commit([finding(n) for n in range(60)])
    (one, *_) = await pages.store.incidents.find()
    await pages.store.incidents.transition(one.id, "ack", actor=EVIL, note=EVIL)
    page = await pages.get("/trail")
    assert "61 changes: 50 on this page, 11 more" in page
    assert "acknowledged" in page
    assert EVIL not in page
    seen = 0
    address: str | None = "/trail"
    while address:
        page = await pages.get(address)
        seen += page.count("<tr>") - 1
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = html.unescape(following[1]) if following else None
    assert seen == 61
    assert "2 changes " in words_of(await pages.get(f"/trail?incident={one.id}"))
    assert "60 changes" in words_of(await pages.get("/trail?actor=monitor"))
    await pages.get("/trail?after=x", 400)


async def test_what_was_changed_about_users_is_for_who_decides_about_them(pages: Pages) -> None:
    await pages.store.users.add("eve", "hash", "responder", actor="ada")
    assert "Nothing is in it yet." in await pages.get("/trail")
    pages.who = Visitor("root", "admin", form="f" * 32)
    page = await pages.get("/trail")
    assert "1 change " in words_of(page)
    assert "/incidents/accounts" not in page


async def test_whether_it_is_whole_is_asked_by_who_may(pages: Pages) -> None:
    await pages.store.commit([finding(1)])
    await pages.post("/trail/verify", 403)
    pages.who = ADA
    assert "1 entries of 1 incidents: whole" in words_of(await pages.post("/trail/verify"))
    with closing(sqlite3.connect(pages.store.name)) as database, database:
        database.execute("UPDATE audit SET note = 'forged'")
    text = words_of(await pages.post("/trail/verify"))
    assert "NOT whole." in text
    assert "`monitor incidents verify` lists all" in text


async def test_what_is_done_about_the_monitor_is_in_it_under_its_name_and_sealed(pages: Pages) -> None:
    pages.config = parse(CONFIG, Path("config.toml"))
    pages.store.policy = pages.config.policy
    await pages.store.commit([finding(1)])
    (notice,) = await pages.store.outbox.list(sink="pager")
    await pages.store.outbox.give_up(notice.id, "404", None)
    with closing(sqlite3.connect(pages.store.name)) as database, database:
        database.execute("UPDATE outbox SET incidents = '[]', title = 'Too many alerts'")
    pages.who = ADA
    await pages.post(f"/outbox/{notice.id}/retry", note=f"mended, {SPILLED}")
    await pages.post("/sinks/chat/test")
    pages.refusal = RemoteError(f"HTTP 401: {SPILLED}", retry=False)
    await pages.post("/sinks/pager/test")
    rule = await pages.store.silences.add(["rule=jwt"], 60.0, actor="ada", reason="a test")
    await pages.store.silences.end(rule.id, actor="ada", note="over")
    page = words_of(await pages.get("/trail?actor=ada"))
    for said in (
        *("alert retried", "to pager: Too many alerts: mended, [masked]"),
        *("sink tried", "chat took the test, as ticket 7", "pager did not take it: HTTP 401: [masked]"),
        *("silenced", "a test", "unsilenced", ": over", "the monitor"),
    ):
        assert said in page, said
    assert (await pages.store.trail.verify()).problems == ()
    assert "entries of 1 incidents: whole" in words_of(await pages.post("/trail/verify"))
    with closing(sqlite3.connect(pages.store.name)) as database, database:
        database.execute("DELETE FROM audit WHERE action = 'sink_tried' AND note LIKE 'chat%'")
    assert [about for about, _ in (await pages.store.trail.verify()).problems] == ["monitor"]
