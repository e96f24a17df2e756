"""Keeps what people ask for in other systems, does it from the database, and tells them there what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import structlog

from monitor.common.backoff import backoff
from monitor.common.failure import failure
from monitor.common.http import RemoteError
from monitor.common.inbound import Announced, InboundRequest
from monitor.common.tasks import cancel, whenever
from monitor.common.text import clip
from monitor.daemon.reload import Running
from monitor.domain.incidents import Incident
from monitor.scanning.quoted_secret import unquoted
from monitor.site import Site
from monitor.store import StoreError
from monitor.store.requests import TELL, RequestAnswer
from sinks.base import Answers, Asks, Sink

__all__ = ["RequestRecorder", "RequestWorker"]

log = structlog.get_logger(__name__)

_LOOK = 20.0  # seconds between looks that nothing calls for: at what another process kept and could not do
_PAUSE = 1.0  # seconds after a failure
_REST = 0.01  # seconds between looks at least
_NOTE = 2000  # characters that are kept of what somebody wrote
_TRIES = 20  # to tell somebody what came of it: about an hour
_PROBLEM = 6  # of these that fail, and others are told
_FIRST, _LONGEST = 2.0, 300.0  # seconds between them
_SEND = 30.0  # seconds that one may take


class RequestRecorder:
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

    async def ask(self, requests: Sequence[InboundRequest]) -> bool:
        """As `keep`, of requests. What somebody is asked for words about comes again with them: nothing is kept."""
        left = [one for one in requests if not await self._asked(one)]
        if not left:
            return True
        masked = [replace(one, actor=await self.masked(one.actor), note=await self.masked(one.note)) for one in left]
        fresh = await self._site.store.requests.keep(masked)
        self.kept.set()
        return fresh

    async def _asked(self, one: InboundRequest) -> bool:
        sink = self._sinks().get(one.sink) if one.window and not one.refusal else None
        return isinstance(sink, Asks) and await sink.ask(one)

    async def masked(self, text: str) -> str:
        """What somebody wrote, as it may be stored and shown. Raises StoreError."""
        scanner, incidents = self._site.scanner, self._site.store.incidents
        masked = await unquoted(scanner.redact(text), scanner.key, incidents.previews) if text else text
        return clip(masked, _NOTE)  # not before: half of a secret is not known as one


class RequestWorker:
    """`run` and `answer` until cancelled, apart: a system that does not answer holds up nothing that is asked for."""

    def __init__(self, running: Running, kept: asyncio.Event) -> None:
        """`kept`: set when there is something new."""
        self._running, self._store = running, running.site.store
        self._kept, self._done = kept, asyncio.Event()
        self._telling: dict[str, asyncio.Task[None]] = {}  # by sink, which holds up no other

    async def run(self) -> NoReturn:
        await whenever(self._kept, self._do, longest=_PAUSE, failed=_failed, rest=0.0)

    async def answer(self) -> NoReturn:
        try:
            await whenever(self._done, self._tell, longest=_PAUSE, failed=_failed, rest=0.0)
        finally:
            for task in self._telling.values():
                await cancel(task)

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
        named = (one for one in self._running.config.actions if one.name == name)
        return next((one.approvals for one in named if one.fits(incident.rule, incident.labels)), None)

    async def _tell(self) -> float:
        self._telling = {name: task for name, task in self._telling.items() if not task.done()}
        free = {
            name: sink
            for name, sink in self._running.sinks.items()
            if isinstance(sink, Answers) and name not in self._telling
        }
        waiting = await self._store.requests.take_untold(list(free))
        for name, sink in free.items():
            if mine := [one for one in waiting if one.request.sink == name]:
                task = asyncio.create_task(self._tell_all(sink, mine), name=f"answers {name}")
                task.add_done_callback(lambda _: self._done.set())
                self._telling[name] = task
        due = await self._store.requests.next_untold([name for name in free if name not in self._telling])
        return _LOOK if due is None else min(max(due, _REST), _LOOK)

    async def _tell_all(self, sink: Answers, waiting: Sequence[RequestAnswer]) -> None:
        """In the time that they are this process's to tell; those that are left are taken anew."""
        end = time.monotonic() + TELL - _SEND
        for one in waiting:
            if time.monotonic() > end:
                return
            try:
                if error := await self._send(sink, one):
                    await self._again(one, error)
                else:
                    self._count(one, "sent")
                    await self._store.requests.told(one.request.id)
                    self._running.delivery.over(f"answers:{one.request.sink}", "It takes them again.")
            except StoreError as error:  # the database reports its trouble itself
                log.debug("requests wait for the state database", reason=str(error))

    async def _send(self, sink: Answers, one: RequestAnswer) -> RemoteError | None:
        """Why it failed. A hang or a mistake in a sink is something to try again."""
        try:
            async with asyncio.timeout(_SEND):
                await sink.answer(one.request, one.text, done=one.done)
        except RemoteError as error:
            return error
        except TimeoutError:
            return RemoteError(f"no answer within {_SEND:g} s", retry=True)
        except Exception as error:  # noqa: BLE001 - the supervision boundary around foreign code
            # Only the type: the text of an unexpected error may show what a URL or a header held.
            return RemoteError(f"unexpected {type(error).__name__} in the sink", retry=True)
        return None

    async def _again(self, answer: RequestAnswer, error: RemoteError) -> None:
        tried, sink = answer.attempts + 1, answer.request.sink
        if tried == _PROBLEM and error.retry:
            text = f"{error}. Who asked for something there does not hear that it was not done. It is tried again."
            self._running.site.tell(f"Sink {sink} takes no answers", text, key=f"answers:{sink}")
        if error.retry and tried < _TRIES:
            self._count(answer, "failed")
            await self._store.requests.postpone(answer.request.id, error.after or backoff(tried, _FIRST, _LONGEST))
            return
        self._count(answer, "dead")
        log.warning("what came of a request could not be reported", sink=sink, reason=str(error))
        await self._store.requests.told(answer.request.id)

    def _count(self, one: RequestAnswer, outcome: str) -> None:
        self._running.site.snapshot.answers[one.request.sink, outcome] += 1


def _failed(error: Exception) -> None:
    """What is asked for later is done all the same."""
    if isinstance(error, StoreError):  # the database reports its trouble itself
        log.debug("requests wait for the state database", reason=str(error))
    else:
        log.error("requests failed", **failure(error))
