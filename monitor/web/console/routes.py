"""The addresses of the pages, and what of the database each shows."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime

import orjson
from aiohttp import web

from monitor.common import payload
from monitor.common.invocation import Program
from monitor.common.notification import IncidentView
from monitor.common.text import printable
from monitor.common.wording import instant, place
from monitor.report.view import Links, view
from monitor.store import Store
from monitor.store.incidents import cursor
from monitor.web.console import pages
from monitor.web.console.pages import IncidentPage
from monitor.web.console.query import ListQuery

__all__ = ["routes"]

_LISTED, _EXPORTED = 50, 500  # incidents a page, and a piece of an export
# The pages allow themselves a style of ours and nothing else: no script, no picture, no frame around them.
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_COLUMNS = (
    *("id", "severity", "confidence", "state", "owner", "name", "rule", "masked", "validity", "occurrences"),
    *("first_seen", "last_seen", "where", "fingerprint"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes a cell for one by


def routes(store: Store, program: Program = Program()) -> list[web.RouteDef]:
    """`/incidents` and its exports, `/incidents/{id}`, `/runbooks/{name}`. `program`: for the commands shown."""
    console = _Console(store, Links(console="", runbooks="/runbooks", program=program))
    return [
        web.get("/", console.incidents),
        web.get("/incidents", console.incidents),
        web.get("/incidents.csv", console.as_csv),
        web.get("/incidents.jsonl", console.as_json),
        web.get("/incidents/{id}", console.incident),
        web.get("/runbooks/{name:[a-z0-9-]+(?:/[a-z0-9-]+)?}", console.book),
        web.get("/console.css", _style),
    ]


class _Console:
    def __init__(self, store: Store, links: Links) -> None:
        self._store, self._links = store, links

    async def incident(self, request: web.Request) -> web.Response:
        incidents = self._store.incidents
        try:
            known = await incidents.get(request.match_info["id"])
            history = await incidents.history(known.id)
        except LookupError:
            raise web.HTTPNotFound(text="no such incident\n") from None
        joined = await incidents.joined([known])
        shown = view(known, joined, links=self._links, books=self._store.procedure.book)
        return await _page(pages.incident, shown, joined.runs.get(known.id), history)

    async def incidents(self, request: web.Request) -> web.Response:
        return await _page(pages.incidents, await self._part(_asked(request), _LISTED))

    async def _part(self, query: ListQuery, size: int) -> IncidentPage:
        from detectors.rules.gone import names

        incidents, filters = self._store.incidents, query.filters(_now().timestamp(), names)
        try:
            listed = await incidents.find(
                limit=size + 1, locations=True, order=query.order, after=query.after, **filters
            )
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"after: {error}\n") from None
        more, listed = len(listed) > size, listed[:size]
        joined = await incidents.joined(listed)
        shown = [view(one, joined, links=self._links) for one in listed]
        total = await incidents.count(**filters) if more or query.after else len(listed)
        return IncidentPage(shown, total, query, cursor(query.order, listed[-1]) if more else "")

    async def _all(self, query: ListQuery) -> AsyncIterator[IncidentView]:
        while True:
            page = await self._part(query, _EXPORTED)
            for one in page.shown:
                yield one
            if not page.next:
                return
            query = query.behind(page.next)

    async def as_csv(self, request: web.Request) -> web.StreamResponse:
        query = _asked(request).without("after")
        out = await _begun(request, "text/csv", "incidents.csv")
        await out.write(_line(_COLUMNS))
        async for one in self._all(query):
            where = place(one.locations[0]) if one.locations else ""
            cells = {name: getattr(one, name, None) for name in _COLUMNS} | {"where": where}
            await out.write(_line(_cell(cells[name]) for name in _COLUMNS))
        return out

    async def as_json(self, request: web.Request) -> web.StreamResponse:
        query = _asked(request).without("after")
        out = await _begun(request, "application/jsonl", "incidents.jsonl")
        async for one in self._all(query):
            await out.write(orjson.dumps(payload.record(one)) + b"\n")
        return out

    async def book(self, request: web.Request) -> web.Response:
        book = self._store.procedure.book(request.match_info["name"])
        if book is None:
            raise web.HTTPNotFound(text="no such runbook\n")
        return await _page(pages.book, book)


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=_STYLE, content_type="text/css", headers={"Cache-Control": "max-age=3600"})


_STYLE = (pages.HERE / "static" / "console.css").read_text("utf-8")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _asked(request: web.Request) -> ListQuery:
    try:
        return ListQuery.parse(request.query)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None


async def _page(page: Callable[..., str], *what: object) -> web.Response:
    await asyncio.to_thread(pages.environment)  # the first time it has to be imported
    text = page(*what, _now())
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": _POLICY})


async def _begun(request: web.Request, content: str, name: str) -> web.StreamResponse:
    out = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    out.content_type = content
    await out.prepare(request)
    return out


def _line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _cell(value: object) -> str:
    text = instant(value) if isinstance(value, datetime) else printable("" if value is None else str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
