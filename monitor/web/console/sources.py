"""Sources: how far each is, what is wrong with it, and what it lost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from monitor.common.condition import source_state, source_trouble
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for, part

__all__ = ["routes"]

_Row = Mapping[str, Any]


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/sources` and `/sources/{name}`."""
    shown = _Sources(console)
    return [web.get("/sources", shown.show), web.get("/sources/{name:[A-Za-z0-9_.-]+}", shown.one)]


class _Sources:
    def __init__(self, console: ConsoleContext) -> None:
        self._status = console.status

    async def show(self, request: web.Request) -> web.Response:
        after, status = asked_for(request, "after")["after"], await self._status()
        now = status["time"]

        def place(row: _Row) -> str:
            """Those with trouble first."""
            return f"{0 if source_trouble(row, now) else 1}{row['name']}"

        rows = part(status["sources"], place, after)
        states = {row["name"]: source_state(row, now) for row in rows.rows}
        troubled = {row["name"] for row in status["sources"] if source_trouble(row, now)}
        return await page(
            request, "sources.html", health=status, part=rows, states=states, troubled=troubled, sums=_sums(rows.rows)
        )

    async def one(self, request: web.Request) -> web.Response:
        name, after, status = request.match_info["name"], asked_for(request, "after")["after"], await self._status()
        row = next((row for row in status["sources"] if row["name"] == name), None)
        if row is None:
            raise web.HTTPNotFound(text="no such source is configured\n")
        state = source_state(row, status["time"])
        return await page(
            request, "source.html", health=status, source=row, state=state, lost=part(row["lost"], _newest_first, after)
        )


def _newest_first(loss: _Row) -> str:
    """Where it stands; without the place itself, which addresses are not to show."""
    named = hashlib.sha256(f"{loss['reason']} {loss['place']}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{1e12 - loss['last']:020.6f}-{named[:12]}"


def _sums(rows: Sequence[_Row]) -> dict[str, dict[str, _Row]]:
    """Source → reason → what was lost for it in all."""
    sums: dict[str, dict[str, dict[str, Any]]] = {row["name"]: {} for row in rows}
    for row in rows:
        for loss in row["lost"]:
            total = sums[row["name"]].setdefault(loss["reason"], {"count": 0, "unknown": 0, "unit": loss["unit"]})
            total["count"] += loss["count"]
            total["unknown"] += loss["unknown"]
    return {name: dict(by_reason) for name, by_reason in sums.items()}
