"""How it stands in all: what is open, what is late, how long answers take, and what of the monitor is in trouble."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from monitor.common.condition import sink_state, source_state, source_trouble
from monitor.common.severity import SEVERITIES
from monitor.store import Store, StoreError
from monitor.store.figures import DAYS, Figures
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for

__all__ = ["routes"]

_FRESH = 60.0  # seconds for which figures serve every visitor: they look at all incidents of three months
_SHARE = 30  # and counting takes one part in so many of the time: 2 s of it among 100,000 incidents
_PATIENCE = 3.0  # seconds that a visitor waits for them
_RECENT, _GLANCE = 600.0, 0.1  # figures of less than so many seconds ago are shown to who has waited this long


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/overview`."""
    return [web.get("/overview", _Overview(console).show)]


class _Overview:
    def __init__(self, console: ConsoleContext) -> None:
        self._status, self._figures = console.status, _KeptFigures(console.store)

    async def show(self, request: web.Request) -> web.Response:
        asked_for(request)
        figures, why = await self._figures.now()
        health = await self._status()
        now = health["time"]
        wrong = [
            *(
                ("/sources", row["name"], source_state(row, now))
                for row in health["sources"]
                if source_trouble(row, now)
            ),
            *(
                ("/sinks", row["name"], sink_state(row, now))
                for row in health["sinks"]
                if row["failing"] or row["refusing"]
            ),
        ]
        return await page(
            request,
            "overview.html",
            health=health,
            wrong=wrong,
            figures=figures,
            why=why,
            days=DAYS,
            severities=SEVERITIES[::-1],
        )


class _KeptFigures:
    """The last ones while the next are counted; nobody waits long for a database in trouble."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: Figures | None = None
        self._counting: asyncio.Task[Figures] | None = None
        self._counted, self._due = float("-inf"), float("-inf")  # monotonic

    async def now(self) -> tuple[Figures | None, str]:
        """And why there are none of now; empty: there are."""
        recent = time.monotonic() < self._counted + _RECENT
        if self._counting is None and time.monotonic() > self._due:
            self._counting = asyncio.create_task(self._count())
            self._counting.add_done_callback(lambda task: task.cancelled() or task.exception())  # who looks is told
        if (task := self._counting) is None:
            return self._last, ""
        await asyncio.wait([task], timeout=_GLANCE if recent else _PATIENCE)
        if not task.done():
            return self._last, "" if recent else "they are being counted: reload in a moment"
        self._counting = None
        try:
            self._last, self._counted = task.result(), time.monotonic()
        except StoreError as error:
            return self._last, str(error)
        return self._last, ""

    async def _count(self) -> Figures:
        began = time.monotonic()
        figures = await self._store.figures.all()
        self._due = time.monotonic() + max(_FRESH, (time.monotonic() - began) * _SHARE)
        return figures
