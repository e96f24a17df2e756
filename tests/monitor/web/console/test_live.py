from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import orjson
import pytest
from aiohttp import web

from monitor.common.severity import Severity
from monitor.store import StoreError
from monitor.store.records import Activity
from monitor.web.console import live
from monitor.web.console.visitor import Visitor
from tests.fakes.clock import turn
from tests.fakes.console import Pages, finding


class Stream:
    """What one page hears."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def event(self) -> dict[str, str]:
        """The next, as its fields; none: the stream has ended."""
        fields: dict[str, str] = {}
        async for line in self._answer.content:
            if line == b"\n" and "data" in fields:
                return fields
            name, colon, value = line.decode().strip().partition(":")
            if colon and name != "retry":
                fields[name] = value.strip()
        return {}


@asynccontextmanager
async def watching(url: str, **headers: str) -> AsyncIterator[Stream]:
    forever = aiohttp.ClientTimeout(None)  # as tests turn the clock
    async with (
        aiohttp.ClientSession(timeout=forever) as session,
        session.get(f"{url}/events", headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Stream(answer)


def counts(event: dict[str, str]) -> dict[Severity, int]:
    return {severity: count for severity, count in orjson.loads(event["data"])["unresolved"].items() if count}


async def test_a_page_is_told_at_once_then_of_each_change_and_nothing_of_any_incident(pages: Pages) -> None:
    await pages.store.commit([finding(1), finding(2, severity="low")])
    async with watching(pages.url) as stream:
        first = await stream.event()
        assert counts(first) == {"critical": 1, "low": 1}
        await pages.store.commit([finding(n) for n in range(3, 9)])
        second = await stream.event()
        assert counts(second) == {"critical": 7, "low": 1}
        was, now = (orjson.loads(event["data"]) for event in (first, second))
        assert now["opened"] - was["opened"] == 6
        assert now["revision"] > was["revision"]
        for event in (first, second):
            assert set(event) == {"id", "data"}
            assert set(orjson.loads(event["data"])) == {"revision", "opened", "unresolved"}
        (incident,) = await pages.store.incidents.find(severities=["low"])
        await pages.store.incidents.transition(incident.id, "resolve", actor="ada", resolution="wont_fix")
        assert counts(await stream.event()) == {"critical": 7}


async def test_the_list_says_what_it_knew_so_that_only_what_came_since_is_new(pages: Pages) -> None:
    await pages.store.commit([finding(n) for n in range(3)])
    async with watching(pages.url) as stream:
        event = orjson.loads((await stream.event())["data"])
        for _ in "twice":
            text = await pages.get("/incidents")
            assert f'data-revision="{event["revision"]}" data-opened="{event["opened"]}"' in text


async def test_who_comes_again_knowing_all_hears_only_that_it_is_live(pages: Pages) -> None:
    await pages.store.commit([finding(1)])
    async with watching(pages.url) as stream:
        known = (await stream.event())["id"]
        async with watching(pages.url, **{"Last-Event-ID": known}) as again:
            assert (await again.event())["event"] == "beat"
        async with watching(pages.url, **{"Last-Event-ID": "of another time"}) as again:
            assert (await again.event())["id"] == known


async def test_many_watch_by_one_look_and_only_so_many_each(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    ask = pages.store.incidents.unresolved

    async def counted() -> object:
        nonlocal looks
        looks += 1
        return await ask()

    monkeypatch.setattr(pages.store.incidents, "unresolved", counted)
    async with AsyncExitStack() as stack:
        pages.who = Visitor("ada", "viewer")
        hers = [await stack.enter_async_context(watching(pages.url)) for _ in range(live.EACH)]
        assert "too many" in await pages.get("/events", 503)
        pages.who = Visitor("bob", "viewer")
        others = [await stack.enter_async_context(watching(pages.url))]
        assert all([(await stream.event())["data"] for stream in (*hers, *others)])
        assert looks == 1
    assert pages.who.name == "bob"
    pages.who = Visitor("ada", "viewer")
    async with watching(pages.url) as stream:  # the places of those who have gone are free
        assert await stream.event()


async def test_nobody_named_and_all_together_have_a_bound_too(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "NAMELESS", 2)
    monkeypatch.setattr(live, "MOST", 3)
    async with watching(pages.url), watching(pages.url):
        await pages.get("/events", 503)
        pages.who = Visitor("ada")
        async with watching(pages.url):
            pages.who = Visitor("bob")
            await pages.get("/events", 503)


async def test_a_page_hears_nothing_while_the_store_cannot_be_read(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: Activity) -> object:
        raise StoreError("it is locked")

    async with watching(pages.url) as stream:
        await stream.event()
        monkeypatch.setattr(pages.store.incidents, "activity", gone)
        turn(3 * live.BEAT)
        silence = asyncio.create_task(stream.event())
        for _ in range(3):
            turn(live.BEAT)
            await asyncio.sleep(0.02)
        assert not silence.done()
        monkeypatch.undo()
        await pages.store.commit([finding(1)])
        assert counts(await silence) == {"critical": 1}


async def test_a_stream_ends_with_the_session(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    may = True

    async def still(_request: web.Request) -> bool:
        return may

    monkeypatch.setattr(pages.live, "_may", still)
    async with watching(pages.url) as stream:
        await stream.event()
        turn(live.BEAT)
        assert (await stream.event())["event"] == "beat"
        may = False
        turn(live.BEAT)
        assert not await stream.event()


async def test_streams_end_with_the_monitor_and_by_themselves(pages: Pages) -> None:
    async with watching(pages.url) as stream:
        await stream.event()
        turn(301)
        while await stream.event():
            pass
    async with AsyncExitStack() as stack:
        async with pages.live.running():
            streams = [await stack.enter_async_context(watching(pages.url)) for _ in range(20)]
            began = time.monotonic()
        for stream in streams:
            while await stream.event():
                pass
        assert time.monotonic() - began < 5
        await pages.get("/events", 503)
