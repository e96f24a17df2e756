from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from monitor.config.config import parse
from monitor.store import StoreError
from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.web.console.test_pages import text_of
from tests.monitor.web.console.test_sinks import CONFIG

EVIL = "<script>alert(1)</script>\"'&"


@pytest.fixture
def two_sinks(pages: Pages) -> Pages:
    pages.store.policy = parse(CONFIG, Path("config.toml")).policy
    return pages


async def test_nothing_waits(pages: Pages) -> None:
    assert "Nothing waits, and nothing was refused." in await pages.get("/outbox")
    assert "None match." in await pages.get("/outbox?state=dead")
    for asked in ("state=sent", "after=x", "after=-1", f"after={9 * '9' * 9}", "what=1", f"sink={'x' * 201}"):
        assert "<" not in await pages.get(f"/outbox?{asked}", 400)


async def test_what_waits_and_what_was_refused_is_named_with_its_error(two_sinks: Pages) -> None:
    store = two_sinks.store
    await store.commit([finding(1)])
    (waiting,) = await store.outbox.list(sink="chat")
    (refused,) = await store.outbox.list(sink="pager")
    await store.outbox.give_up(refused.id, f"404: {EVIL}", None)
    page = await two_sinks.get("/outbox")
    text = " ".join(text_of(page).split())
    assert "2 notifications" in text
    for words in ("new critical, 1 incident", "waits", "refused", f"404: {EVIL}"):
        assert words in text, words
    assert EVIL not in page
    only = await two_sinks.get("/outbox?state=dead&sink=pager")
    assert f"/outbox/{refused.id}" in only
    assert waiting.id not in only

    one = await two_sinks.get(f"/outbox/{refused.id}")
    assert f'<a href="/incidents/{refused.incidents[0]}">' in one
    assert f"404: {EVIL}" in html.unescape(one)
    assert EVIL not in one
    await two_sinks.get(f"/outbox/{'0' * 32}", 404)


async def test_pages_go_through_all_and_say_how_many_more(two_sinks: Pages) -> None:
    sinks = "".join(f'[[sinks]]\nname = "s{number}"\ntype = "console"\n' for number in range(7))
    two_sinks.store.policy = parse(sinks, Path("config.toml")).policy
    await two_sinks.store.commit([finding(number) for number in range(17)])
    address: str | None = "/outbox"
    seen: list[str] = []
    while address:
        text = await two_sinks.get(address)
        rows = re.findall(r'href="/outbox/(\w+)"', text)
        assert f"119 notifications: {len(rows)} on this page, {119 - len(rows)} more" in text
        seen += rows
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = html.unescape(following[1]) if following else None
    assert len(seen) == len(set(seen)) == 119


async def test_without_the_database_it_says_what_still_holds(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(**_: object) -> None:
        raise StoreError("state.db: database is locked")

    monkeypatch.setattr(pages.store.undelivered, "page", fail)
    text = await pages.get("/outbox", 503)
    assert "state.db: database is locked" in text
    assert "nothing that was stored is lost" in text


ADA = Visitor("ada", "responder", form="f" * 32)


async def refused_one(pages: Pages) -> str:
    await pages.store.commit([finding(1)])
    (entry,) = await pages.store.outbox.list(sink="pager")
    await pages.store.outbox.give_up(entry.id, "404", None)
    return entry.id


async def states(pages: Pages) -> list[tuple[str, str]]:
    return sorted((entry.sink, entry.state) for entry in await pages.store.outbox.list())


@pytest.mark.parametrize("who", [Visitor(), Visitor("bob", "viewer", form="f" * 32)])
async def test_who_may_only_look_sees_no_button_and_is_refused(two_sinks: Pages, who: Visitor) -> None:
    id_ = await refused_one(two_sinks)
    two_sinks.who = who
    for path in (f"/outbox/{id_}", "/outbox?sink=pager", "/sinks"):
        assert 'method="post"' not in await two_sinks.get(path)
    for path in (f"/outbox/{id_}/retry", f"/outbox/{id_}/discard", "/outbox/retry", "/outbox/discard"):
        assert "responder" in await two_sinks.post(path, 403, sink="pager", shown="1")
    assert await states(two_sinks) == [("chat", "pending"), ("pager", "dead")]


async def test_a_form_that_was_not_given_out_is_refused(two_sinks: Pages) -> None:
    id_ = await refused_one(two_sinks)
    two_sinks.who = ADA
    await two_sinks.post(f"/outbox/{id_}/discard", 403, form="g" * 32)
    for asked in ({}, {"sink": "pager"}, {"sink": "pager", "shown": "-1"}, {"shown": "1"}):
        await two_sinks.post("/outbox/discard", 400, **asked)
    assert await states(two_sinks) == [("chat", "pending"), ("pager", "dead")]


async def test_one_is_tried_again_and_its_history_says_by_whom(two_sinks: Pages) -> None:
    id_ = await refused_one(two_sinks)
    two_sinks.who = ADA
    page = await two_sinks.post(f"/outbox/{id_}/retry", once="o" * 20)
    assert '<p class="first" role="status">It is tried at once.</p>' in page
    assert await states(two_sinks) == [("chat", "pending"), ("pager", "pending")]
    await two_sinks.store.outbox.give_up(id_, "404", None)
    assert "It is tried at once." in await two_sinks.post(f"/outbox/{id_}/retry", once="o" * 20)
    assert ("pager", "dead") in await states(two_sinks), "a form that comes twice acts once"

    two_sinks.who = Visitor("eve", "admin", form="e" * 32)
    assert "It is tried at once." not in await two_sinks.get(f"/outbox/{id_}?answer={'o' * 20}"), "it is ada's answer"
    (incident,) = await two_sinks.store.incidents.find()
    (*_, last) = await two_sinks.store.incidents.history(incident.id)
    assert (last.action, last.actor, last.note) == ("alert_retried", "ada", "to pager")


async def test_one_is_discarded_for_a_reason_that_is_masked(two_sinks: Pages) -> None:
    id_ = await refused_one(two_sinks)
    two_sinks.who = ADA
    page = await two_sinks.post(f"/outbox/{id_}/discard", note=f"old {SPILLED}")
    assert f"Notification {id_} is discarded; its incidents stay." in page
    (incident,) = await two_sinks.store.incidents.find()
    (*_, last) = await two_sinks.store.incidents.history(incident.id)
    assert (last.action, last.note) == ("alert_discarded", "to pager: old [masked]")
    assert "nothing was done" in await two_sinks.post(f"/outbox/{id_}/discard")


async def test_all_of_a_sink_are_tried_and_what_it_refused_is_discarded_as_far_as_shown(two_sinks: Pages) -> None:
    store = two_sinks.store
    two_sinks.who = ADA
    await store.commit([finding(number) for number in range(4)])
    for entry in (await store.outbox.list(sink="pager"))[:3]:
        await store.outbox.give_up(entry.id, "404", None)
    page = await two_sinks.get("/outbox?sink=pager")
    assert "Try all 4 at once" in page
    assert "Discard all 3" in page
    assert "There are 3 by now, and 2 were shown" in await two_sinks.post("/outbox/discard", sink="pager", shown="2")
    assert "3 are discarded" in await two_sinks.post("/outbox/discard", sink="pager", shown="3")
    assert await states(two_sinks) == [("chat", "pending")] * 4 + [("pager", "pending")]
    assert "4 are tried at once" in await two_sinks.post("/outbox/retry", sink="chat", shown="4")


async def test_what_could_not_be_stored_may_be_sent_again(two_sinks: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StoreError("state.db: the disk is full")

    id_ = await refused_one(two_sinks)
    two_sinks.who = ADA
    with monkeypatch.context() as broken:
        broken.setattr(two_sinks.store.undelivered, "retry", fail)
        assert "the disk is full" in await two_sinks.post(f"/outbox/{id_}/retry", 503, once="o" * 20)
    assert "It is tried at once." in await two_sinks.post(f"/outbox/{id_}/retry", once="o" * 20)
