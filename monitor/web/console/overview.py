"""How it stands in all: what is open, what is late, how long answers take, and what of the monitor is in trouble."""

from __future__ import annotations

from aiohttp import web

from monitor.common.condition import sink_state, source_state, source_trouble
from monitor.common.severity import SEVERITIES
from monitor.store.figures import DAYS
from monitor.web.console.context import ConsoleContext
from monitor.web.console.kept import KeptAnswer
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for

__all__ = ["routes"]


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/overview`."""
    return [web.get("/overview", _Overview(console).show)]


class _Overview:
    def __init__(self, console: ConsoleContext) -> None:
        self._status, self._figures = console.status, KeptAnswer(console.store.figures.all)

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
