from __future__ import annotations

import html
import time
from pathlib import Path

import pytest

from monitor.common.http import RemoteError
from monitor.config.config import parse
from monitor.delivery import SinkStats
from monitor.store import StoreError, StoreStats
from monitor.web.console import sinks
from monitor.web.console.visitor import Visitor
from tests.fakes.console import Pages, finding
from tests.monitor.web.console.test_pages import text_of

CONFIG = '[[sinks]]\nname = "chat"\ntype = "console"\n[[sinks]]\nname = "pager"\ntype = "console"\n'


async def test_without_any_it_says_what_to_do(pages: Pages) -> None:
    assert "Nobody is alerted" in await pages.get("/sinks")


async def test_each_says_what_it_takes_and_what_waits_for_it(pages: Pages) -> None:
    pages.config = parse(CONFIG, Path("config.toml"))
    pages.store.policy = pages.config.policy
    await pages.store.commit([finding(number) for number in range(3)])
    (refused, *_) = await pages.store.outbox.list(sink="pager")
    await pages.store.outbox.give_up(refused.id, "<b>404</b> no such channel", None)
    error = "<script>503</script>: overloaded"
    pages.snapshot.sinks = {
        "chat": SinkStats(sent=1_200, last_sent=time.time() - 70, delay_sum=600.0, pace=1.0),
        "pager": SinkStats(failed=4, failing=4, last_error=error),
    }
    page = await pages.get("/sinks")
    text = " ".join(text_of(page).split())
    for words in (
        *("2 sinks", "works 1,200 0", "1 min ago", "taken after 0.5 s on average, one each 1.0 s"),
        *("4 failures in a row: <script>503</script>: overloaded",),
    ):
        assert words in text, words
    assert "<script>" not in page
    assert '<a href="/outbox?sink=chat">3</a>' in page
    assert '<a href="/outbox?state=dead&amp;sink=pager">1</a>' in page


async def test_one_that_went_is_shown_while_something_is_left_of_it(pages: Pages) -> None:
    pages.store.policy = parse(CONFIG, Path("config.toml")).policy
    await pages.store.commit([finding(1)])
    assert "not configured any more" in await pages.get("/sinks")


async def test_without_the_database_it_says_what_was_counted_last(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise StoreError("state.db: database is locked")

    monkeypatch.setattr(pages.store.undelivered, "by_sink", fail)
    pages.config = parse(CONFIG, Path("config.toml"))
    counted = {("chat", "pending"): 2, ("chat", "leased"): 1, ("pager", "dead"): 9}
    pages.snapshot.store = StoreStats(outbox=counted)
    page = await pages.get("/sinks")
    assert ">3</a>" in page
    assert ">9</a>" in page


async def test_a_sink_is_tried_by_who_may_and_its_answer_is_shown(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.config = parse(CONFIG, Path("config.toml"))
    assert "refuses" not in await pages.post("/sinks/chat/test", 403)
    pages.who = Visitor("ada", "responder", form="f" * 32)
    assert 'aria-label="Send a test to chat"' in await pages.get("/sinks")
    for _ in range(2):
        assert "chat took the test, as ticket 7" in await pages.post("/sinks/chat/test", once="o" * 20)
    assert pages.tried == [("chat", "ada")]
    assert "s ago by ada: wait a moment" in await pages.post("/sinks/chat/test"), "nobody is woken in vain"
    monkeypatch.setattr(sinks, "_REST", 0.0)
    pages.refusal = RemoteError("HTTP 401: <b>who?</b>", retry=False)
    page = await pages.post("/sinks/chat/test")
    assert "chat did not take it: HTTP 401: <b>who?</b>" in html.unescape(page)
    assert "<b>who" not in page


async def test_a_sink_that_is_none_is_not_repeated_and_not_remembered(pages: Pages) -> None:
    pages.who, pages.refusal = Visitor("ada", "responder", form="f" * 32), LookupError("no sink is called nosuch")
    for _ in range(2):
        page = await pages.post("/sinks/nosuch/test")
        assert "there is no sink of this name any more" in page
        assert "nosuch" not in page
