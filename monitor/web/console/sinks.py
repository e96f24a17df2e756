"""Sinks: what each takes, and what waits for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from monitor.common.condition import sink_state
from monitor.common.http import RemoteError
from monitor.store import StoreError
from monitor.store.undelivered import SinkBacklog
from monitor.web.console.context import ConsoleContext
from monitor.web.console.outcomes import ANSWER, FormAnswers, RefusedError
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for, part
from monitor.web.console.readable import within
from monitor.web.console.visitor import posted

__all__ = ["routes", "tried"]

log = structlog.get_logger(__name__)

_REST = 10.0  # seconds between two tests of one sink
_GONE: Mapping[str, Any] = {"type": ""} | dict.fromkeys(("sent", "failed", "last_success", "seconds", "pace"))


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/sinks` and `/sinks/{name}/test`."""
    shown = _Sinks(console)
    return [web.get("/sinks", shown.show), web.post("/sinks/{name:[A-Za-z0-9_.-]+}/test", shown.test)]


@dataclass(frozen=True, slots=True)
class _Sink:
    """`row`: of the status; `_GONE`: it is not configured any more, and what it was to get is still there."""

    name: str
    row: Mapping[str, Any]
    backlog: SinkBacklog
    state: str

    @property
    def trouble(self) -> bool:
        return self.row is _GONE or bool(self.row["failing"] or self.row["refusing"] or self.backlog.dead)

    @property
    def place(self) -> str:
        return f"{0 if self.trouble else 1}{self.name}"


class _Sinks:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._status, self._store = console, console.status, console.store
        self._answers = FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        after, status = asked_for(request, "after", ANSWER)["after"], await self._status()
        sinks = {row["name"]: row for row in status["sinks"]}
        try:
            unsent = dict(await within(self._store.undelivered.by_sink()))
        except StoreError:  # then what was counted last; which that is `degraded` says
            unsent = {name: SinkBacklog(row["pending"] + row["leased"], row["dead"]) for name, row in sinks.items()}
        known = [
            _Sink(
                name,
                row := sinks.get(name, _GONE),
                unsent.get(name, SinkBacklog()),
                "not configured any more" if row is _GONE else sink_state(row, status["time"]),
            )
            for name in sinks.keys() | unsent.keys()
        ]
        return await page(
            request,
            "sinks.html",
            health=status,
            part=part(known, lambda sink: sink.place, after),
            answer=self._answers.shown(request),
        )

    async def test(self, request: web.Request) -> web.Response:
        """To people it is a message like others: whoever answers at night may want to know that they get it."""
        form, name = await posted(request, "responder"), request.match_info["name"]

        async def work() -> str:
            try:
                return await tried(self._console, name, form.by.name)
            except LookupError:
                raise RefusedError("there is no sink of this name any more: load the page again") from None

        raise await self._answers.once(form, work, "/sinks")


async def tried(console: ConsoleContext, name: str, by: str) -> str:
    """Send a test to a sink; returns what came of it, which the trail has as well. Raises RefusedError and
    LookupError."""
    at, who = console.tried.get(name, (float("-inf"), ""))
    if (passed := time.monotonic() - at) < _REST:
        raise RefusedError(f"{name} was tried {passed:.0f} s ago by {who}: wait a moment")
    console.tried[name] = (time.monotonic(), by)
    try:
        ticket = await console.try_sink(name, by)
        taken, told = True, f"{name} took the test{f', as {ticket}' if ticket else ''}"
    except LookupError:
        del console.tried[name]  # it may be anything
        raise
    except RemoteError as error:
        taken, told = False, f"{name} did not take it: {error}"
    log.info("a sink was tried", sink=name, actor=by, outcome=told)
    try:  # alerts leave without the database, and so do tests
        told = await console.redact(told)
        await within(console.store.trail.note("sink_tried", told, actor=by))
    except StoreError:
        told += "; the database does not answer, so the trail does not say so"
    if not taken:
        raise RefusedError(told)
    return told
