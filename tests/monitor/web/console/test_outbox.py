from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from monitor.config.config import parse
from monitor.store import StoreError
from tests.fakes.console import Pages, finding
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
    assert "nothing that was read is lost" in text
