"""Keeps what people ask for in other systems, does it from the database, and tells them there what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from monitor.common.backoff import backoff
from monitor.common.http import RemoteError
from monitor.common.inbound import Announced, Request
from monitor.common.tasks import cancel
from monitor.common.text import clip
from monitor.daemon.reload import Running
from monitor.incidents import Incident
from monitor.quoted import unquoted
from monitor.site import Site
from monitor.store import StoreError
from monitor.store.requests import Answer
from sinks.base import Answers, Asks, Sink

__all__ = ["Keeper", "Requests"]

log = structlog.get_logger(__name__)

_LOOK = 20.0  # seconds between looks that nothing calls for: at what another process kept and could not do
_PAUSE = 1.0  # seconds after a failure
_TRIES = 6  # to tell somebody what came of it
_NOTE = 2000  # characters that are kept of what somebody wrote
_FIRST, _LONGEST = 2.0, 60.0  # seconds between them


class Keeper:
    """Notes what was announced, before anybody does anything about it."""

    def __init__(self, site: Site, sinks: Callable[[], Mapping[str, Sink]]) -> None:
        """`sinks`: those in force."""
        self._site, self._sinks = site, sinks
        self.kept = asyncio.Event()  # there are requests to look at

    async def keep(self, said: Announced) -> bool:
        """Durable when it returns; False: it is known already. What people wrote is masked. Raises StoreError."""
        if said.delivery is not None:
            return await self._site.store.hooks.enqueue(said.delivery)
        return await self.ask(said.requests)

    async def ask(self, requests: Sequence[Request]) -> bool:
        """As `keep`, of requests. What somebody is asked for words about comes again with them: nothing is kept."""
        left = [one for one in requests if not await self._asked(one)]
        if not left:
            return True
        masked = [replace(one, actor=await self._masked(one.actor), note=await self._masked(one.note)) for one in left]
        fresh = await self._site.store.requests.keep(masked)
        self.kept.set()
        return fresh

    async def _asked(self, one: Request) -> bool:
        sink = self._sinks().get(one.sink) if one.window and not one.refusal else None
        return isinstance(sink, Asks) and await sink.ask(one)

    async def _masked(self, text: str) -> str:
        scanner, incidents = self._site.scanner, self._site.store.incidents
        masked = await unquoted(scanner.scrub(text), scanner.key, incidents.previews) if text else text
        return clip(masked, _NOTE)  # not before: half of a secret is not known as one


class Requests:
    """`run` until cancelled."""

    def __init__(self, running: Running, kept: asyncio.Event) -> None:
        """`kept`: set when there is something new."""
        self._running, self._store = running, running.site.store
        self._kept, self._done = kept, asyncio.Event()

    async def run(self) -> None:
        # Apart: a system that does not answer holds up nothing of what is asked for.
        tasks = [
            asyncio.create_task(self._forever(self._kept, self._do), name="requests"),
            asyncio.create_task(self._forever(self._done, self._tell), name="answers"),
        ]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                await cancel(task)

    async def _forever(self, wake: asyncio.Event, work: Callable[[], Awaitable[float]]) -> None:
        """`work` returns in how many seconds to look again, if nothing calls for it sooner."""
        while True:
            wake.clear()
            try:
                pause = await work()
            except StoreError as error:  # the database reports its trouble itself
                log.debug("requests wait for the state database", reason=str(error))
                pause = _PAUSE
            except Exception as error:  # noqa: BLE001 - a supervision boundary: what is asked for later is done
                log.error("requests failed", error_type=type(error).__name__, exc_info=False)
                pause = _PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()

    async def _do(self) -> float:
        while answers := await self._store.requests.apply(self._needed):
            for one in answers:
                asked = one.request
                log.info(
                    "asked for", verb=asked.verb, sink=asked.sink, actor=asked.actor, done=one.done, outcome=one.text
                )
            self._done.set()
        return _LOOK

    def _needed(self, incident: Incident, name: str) -> int | None:
        found = (one for one in self._running.config.actions if one.name == name and one.fits(incident.rule))
        return next((one.approvals for one in found), None)

    async def _tell(self) -> float:
        sinks = {name: sink for name, sink in self._running.sinks.items() if isinstance(sink, Answers)}
        waiting = await self._store.requests.take_untold(list(sinks))
        for one in waiting:
            sink = sinks[one.request.sink]
            try:
                await sink.answer(one.request, one.text, done=one.done)
            except RemoteError as error:
                await self._again(one, error)
            else:
                await self._store.requests.told(one.request.id)
        return _FIRST if waiting else _LOOK

    async def _again(self, one: Answer, error: RemoteError) -> None:
        tried = one.attempts + 1
        if error.retry and tried < _TRIES:
            await self._store.requests.postpone(one.request.id, error.after or backoff(tried, _FIRST, _LONGEST))
            return
        log.warning("somebody could not be told what came of it", sink=one.request.sink, reason=str(error))
        await self._store.requests.told(one.request.id)
