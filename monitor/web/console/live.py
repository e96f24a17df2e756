"""What goes on, told to pages that are open (server-sent events): one look at the store for all who watch.

An event holds counts and nothing of any incident. A page that hears nothing for a while says that it is stale.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import structlog
from aiohttp import web

from monitor.common.failure import failure
from monitor.common.severity import SEVERITIES, Severity
from monitor.common.tasks import cancel, whenever, within
from monitor.store import Store, StoreError
from monitor.store.records import Activity
from monitor.web.console.visitor import visitor

__all__ = ["BEAT", "EVENTS", "LiveCounts", "LiveUpdates"]

log = structlog.get_logger(__name__)

EVENTS = "/events"
MOST, EACH, NAMELESS = 64, 8, 32  # streams: in all, of one person, and of all whom nobody names
BEAT = 10.0  # seconds: nothing for longer than three of these, and a page is stale
_APART = 1.0  # seconds between looks, so between events, at least
_SOON = 0.05  # seconds from who comes to the look
_LONGEST = 300.0  # seconds of a stream: then the browser comes again, and who may not look any more is refused
_SHARE = 20  # looks may take one part in so many of the time
_AGAIN = 2000  # milliseconds after which a browser comes again


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Unresolved incidents by severity, at a revision of the trail."""

    activity: Activity = field(default_factory=Activity)
    unresolved: Mapping[Severity, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """By which a page says, when it comes again, what it has heard."""
        return f"{self.activity.revision}-{self.activity.opened}-{sum(self.unresolved.values())}"

    def event(self) -> bytes:
        counts = {severity: self.unresolved.get(severity, 0) for severity in SEVERITIES[::-1]}
        said = {"revision": self.activity.revision, "opened": self.activity.opened, "unresolved": counts}
        return b"id: %s\ndata: %s\n\n" % (self.id.encode(), orjson.dumps(said))


async def _always(_request: web.Request) -> bool:
    return True


class LiveUpdates:
    """Looks once a second while anybody watches."""

    def __init__(self, store: Store, may: Callable[[web.Request], Awaitable[bool]] = _always) -> None:
        """`may`: whether who sent a request may still look. Raises StoreError."""
        self._store, self._may = store, may
        self._wake, self._ended = asyncio.Event(), False
        self._streams: dict[asyncio.Event, tuple[str, web.Request]] = {}
        self.activity, self.counts = Activity(), LiveCounts()
        self._looked = self._counted = -2 * BEAT  # by the loop's clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until the block ends; then all streams do."""
        task = asyncio.create_task(
            whenever(self._wake, self._look, longest=_APART, failed=_failed, rest=_SOON), name="live counts"
        )
        try:
            yield
        finally:
            self._ended = True
            for heard in self._streams:
                heard.set()
            await cancel(task)

    def learn(self, activity: Activity) -> None:
        """What a page was told: the next need not count that anew."""
        if activity.revision > self.activity.revision:
            self.activity = activity

    async def _look(self) -> float:
        """Others write as well, and not all that is written gives delivery something to do: the trail is looked at."""
        loop = asyncio.get_running_loop()
        if not self._streams:
            return BEAT
        if (early := self._looked + _APART - loop.time()) > 0:
            return early
        began = loop.time()
        self.activity = await self._store.incidents.activity(self.activity)
        was, stale = self.counts, self._stale()
        if self.activity != was.activity or began - self._counted > BEAT:
            self.counts = LiveCounts(self.activity, await self._store.incidents.unresolved())
            self._counted = loop.time()
        self._looked = loop.time()
        if stale or self.counts != was:
            for heard in self._streams:
                heard.set()
        return max(_APART, (self._looked - began) * _SHARE)

    def _stale(self) -> bool:
        return asyncio.get_running_loop().time() - self._looked > 2 * BEAT

    def routes(self) -> list[web.RouteDef]:
        """`/events`."""
        return [web.get(EVENTS, self.stream)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Events to one page, until it goes, may not look any more, or the monitor ends."""
        with self._place(request) as heard:
            out = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
            out.content_type = "text/event-stream"
            await out.prepare(request)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(_LONGEST):
                    await out.write(b"retry: %d\n\n" % _AGAIN)
                    await self._tell(request, out, heard)
            return out

    async def _tell(self, request: web.Request, out: web.StreamResponse, heard: asyncio.Event) -> None:
        loop, known = asyncio.get_running_loop(), request.headers.get("Last-Event-ID", "")
        asked = loop.time()
        self._wake.set()
        while not self._ended:
            heard.clear()
            if loop.time() - asked >= BEAT:
                asked = loop.time()
                with contextlib.suppress(StoreError):
                    if not await self._may(request):
                        return
            if self._stale():
                pass  # the page is to see that nobody knows
            elif self.counts.id != known:
                known = self.counts.id
                await out.write(self.counts.event())
            else:
                await out.write(b"event: beat\ndata:\n\n")
            await within(BEAT, heard.wait())  # wait_for may lose the end that comes with a word

    @contextlib.contextmanager
    def _place(self, request: web.Request) -> Iterator[asyncio.Event]:
        """Raises HTTPServiceUnavailable where too many watch."""
        here = {heard: who for heard, who in self._streams.items() if _there(who[1])}
        name = visitor(request).name
        mine = Counter(who for who, _ in here.values())[name]
        if self._ended or len(here) >= MOST or mine >= (EACH if name else NAMELESS):
            raise web.HTTPServiceUnavailable(text="too many pages are open: this one is not live\n")
        heard = asyncio.Event()
        self._streams[heard] = name, request
        try:
            yield heard
        finally:
            del self._streams[heard]


def _there(request: web.Request) -> bool:
    """Whether somebody still hears it: one who has gone is noticed at the next word only."""
    return request.transport is not None and not request.transport.is_closing()


def _failed(error: Exception) -> None:
    """Pages become stale, and say so."""
    if isinstance(error, StoreError):  # the database reports its trouble itself
        log.debug("live counts wait for the state database", reason=str(error))
    else:
        log.error("live counts failed", **failure(error))
