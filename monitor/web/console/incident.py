"""One incident as it stands, and its runbook."""

from __future__ import annotations

from aiohttp import web

from monitor.report.view import view
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page

__all__ = ["routes"]


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/incidents/{id}` and `/runbooks/{name}`."""
    shown = _Incident(console)
    return [
        web.get("/incidents/{id}", shown.show),
        web.get("/runbooks/{name:[a-z0-9-]+(?:/[a-z0-9-]+)?}", shown.book),
    ]


class _Incident:
    def __init__(self, console: ConsoleContext) -> None:
        self._store, self._links = console.store, console.links

    async def show(self, request: web.Request) -> web.Response:
        incidents = self._store.incidents
        try:
            known = await incidents.get(request.match_info["id"])
            history = await incidents.history(known.id)
        except LookupError:
            raise web.HTTPNotFound(text="no such incident\n") from None
        joined = await incidents.joined([known])
        shown = view(known, joined, links=self._links, books=self._store.procedure.book)
        return await page(request, "incident.html", incident=shown, run=joined.runs.get(known.id), history=history)

    async def book(self, request: web.Request) -> web.Response:
        book = self._store.procedure.book(request.match_info["name"])
        if book is None:
            raise web.HTTPNotFound(text="no such runbook\n")
        return await page(request, "runbook.html", book=book)
