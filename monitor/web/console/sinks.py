"""Sinks: what each takes, and what waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from monitor.common.condition import sink_state
from monitor.store import StoreError
from monitor.store.undelivered import SinkBacklog
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for, part
from monitor.web.console.readable import within

__all__ = ["routes"]


_GONE: Mapping[str, Any] = {"type": ""} | dict.fromkeys(("sent", "failed", "last_success", "seconds", "pace"))


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/sinks`."""
    return [web.get("/sinks", _Sinks(console).show)]


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
        self._status, self._store = console.status, console.store

    async def show(self, request: web.Request) -> web.Response:
        after, status = asked_for(request, "after")["after"], await self._status()
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
        return await page(request, "sinks.html", health=status, part=part(known, lambda sink: sink.place, after))
