from __future__ import annotations

import re

import pytest

from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.web.console.test_overview import words_of

ADA = Visitor("ada", "admin", form="f" * 32)
BOB = Visitor("bob", "responder", form="f" * 32)
EVIL = '"><script>alert(1)</script>'
WHAT = {"source": "app", "rule": "github-pat"}


async def test_drills_and_how_far_each_went(pages: Pages) -> None:
    await pages.store.drills.plan([finding(1).fingerprint, finding(2).fingerprint], pages=False)
    assert "1 drill " in (text := words_of(await pages.get("/drills")))
    assert "ago not noted not yet not yet not yet none" in text
    await pages.store.commit([finding(1)])
    (incident,) = await pages.store.incidents.find()
    await pages.store.incidents.transition(incident.id, "ack", actor="ada")
    page = await pages.get("/drills")
    assert "ago not noted yes yes not yet" in words_of(page)
    assert f'<a href="/incidents/{incident.id}">' in page


async def test_an_admin_looks_first_and_begins_one_alone(pages: Pages) -> None:
    pages.who = ADA
    assert "<option>app</option><option>bus</option>" in await pages.get("/drills")
    page = await pages.post("/drills/preview", **WHAT)
    assert "would be planted in source app, such as in /var/log/drill.log" in words_of(page)
    assert "Pagers are left out: pager" in words_of(page)
    assert await pages.store.drills.all() == [], "it was only shown"
    assert "Somebody is woken: pager too" in words_of(await pages.post("/drills/preview", **WHAT, pages="1"))
    for _ in range(2):
        page = await pages.post("/drills", once="o" * 20, **WHAT)
        assert "Planted in /var/log/drill.log" in words_of(page)
    assert "ago ada app under way: nothing" in words_of(page)
    page = await pages.post("/drills", **WHAT)
    assert "a drill of ada in app is under way since" in words_of(page)
    (row,) = await pages.store.drills.all()
    assert row.run is not None
    assert (row.run.by, row.run.rule) == ("ada", "github-pat")
    assert "drill begun" in words_of(await pages.get("/trail?actor=ada"))

    await pages.store.drills.goes_on("console:" + "o" * 20, [("planted", 0.0, EVIL), ("detected", 1.5, "in it")])
    page = await pages.get("/drills")
    assert EVIL not in page
    assert "detected, 1.500 s: in it" in words_of(page)
    assert "loads itself again" in page
    await pages.store.drills.end("console:" + "o" * 20, [("planted", 0.0, ""), ("closed", 4.0, "")])
    page = await pages.get("/drills")
    assert "every hop came, in 4.0 s" in words_of(page)
    assert "loads itself again" not in page


async def test_a_page_is_loaded_again_while_one_is_under_way(pages: Pages) -> None:
    pages.who = ADA
    assert await refresh(pages) is None
    await pages.post("/drills", once="o" * 20, **WHAT)
    assert await refresh(pages) == "2"


async def refresh(pages: Pages) -> str | None:
    async with pages._session.get(f"{pages.url}/drills") as answer:
        return answer.headers.get("Refresh")


async def test_one_that_nobody_follows_any_more_is_half_done(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.who = ADA
    await pages.post("/drills", once="o" * 20, **WHAT)
    await pages.store.drills.goes_on("console:" + "o" * 20, [("planted", 0.0, "")])
    monkeypatch.setattr("monitor.store.drills._SILENT", -60.0)
    text = words_of(await pages.get("/drills"))
    assert "half done: nobody follows it any more, the last that came is planted" in text
    assert await refresh(pages) is None
    assert "Planted in" in words_of(await pages.post("/drills", **WHAT)), "another may be begun"


async def test_what_is_broken_says_which_hop_and_why(pages: Pages) -> None:
    pages.who = ADA
    await pages.post("/drills", once="o" * 20, **WHAT)
    await pages.store.drills.end("console:" + "o" * 20, [("planted", 0.0, "")], f"detected: not found {EVIL}")
    page = await pages.get("/drills")
    assert "detected: not found" in words_of(page)
    assert EVIL not in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rule": "github-patt"}, "no rule is called 'github-patt'; did you mean github-pat?"),
        ({"rule": SPILLED}, "no rule is called '[masked]'"),
        ({"source": SPILLED}, "Say in which source: one of app, bus"),
        ({"source": ""}, "Say in which source: one of app, bus"),
    ],
)
async def test_what_cannot_be_is_said_in_words(pages: Pages, changes: dict[str, str], said: str) -> None:
    pages.who = ADA
    for path in ("/drills/preview", "/drills"):
        page = await pages.post(path, 400, **WHAT | changes)
        assert said in words_of(page)
        assert SPILLED not in page
    pages.drilling.refusal = "no file name fits the patterns"
    assert "no file name fits" in words_of(await pages.post("/drills", 400, **WHAT))
    pages.drilling.known.clear()
    assert "Nothing can be planted" in words_of(await pages.get("/drills"))
    assert await pages.store.drills.all() == []


async def test_who_is_no_admin_is_refused_and_shown_no_form(pages: Pages) -> None:
    for who in (Visitor(), Visitor("eve", "viewer", form="f" * 32), BOB):
        pages.who = who
        for path in ("/drills/preview", "/drills"):
            assert "admin" in await pages.post(path, 403, **WHAT)
        assert not re.search('action="/drills', await pages.get("/drills"))
    pages.who = ADA
    assert "not made for you" in await pages.post("/drills", 403, **WHAT, form="x" * 32)
    assert await pages.store.drills.all() == []
