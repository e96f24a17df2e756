"""The addresses of the pages, and what of the database each shows."""

from __future__ import annotations

from aiohttp import web

from monitor.common.invocation import Program
from monitor.report.view import Links, view
from monitor.store import Store
from monitor.web.console import pages

__all__ = ["routes"]

_LISTED = 500  # incidents, last seen first
# The pages allow themselves a style and nothing else: no script, no picture, no frame around them.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def routes(store: Store, program: Program = Program()) -> list[web.RouteDef]:
    """`/incidents`, `/incidents/{id}` and `/runbooks/{name}`. `program`: for the commands shown."""
    links = Links(console="", runbooks="/runbooks", program=program)

    async def incident(request: web.Request) -> web.Response:
        try:
            known = await store.incidents.get(request.match_info["id"])
            history = await store.incidents.history(known.id)
        except LookupError:
            raise web.HTTPNotFound(text="no such incident\n") from None
        joined = await store.incidents.joined([known])
        shown = view(known, joined, links=links, books=store.procedure.book)
        return _page(pages.incident(shown, joined.runs.get(known.id), history))

    async def incidents(request: web.Request) -> web.Response:
        listed = await store.incidents.find(limit=_LISTED, locations=True)
        joined = await store.incidents.joined(listed)
        return _page(pages.incidents([view(one, joined, links=links) for one in listed]))

    async def book(request: web.Request) -> web.Response:
        found = store.procedure.book(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such runbook\n")
        return _page(pages.book(found))

    return [
        web.get("/", incidents),
        web.get("/incidents", incidents),
        web.get("/incidents/{id}", incident),
        web.get("/runbooks/{name:[a-z0-9-]+(?:/[a-z0-9-]+)?}", book),
    ]


def _page(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": _POLICY})
