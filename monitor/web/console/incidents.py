"""The list of incidents, what is exported of it, and its filters as its address."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from aiohttp import web

from monitor.common import payload
from monitor.common.notification import IncidentView
from monitor.common.text import printable
from monitor.common.wording import instant, place
from monitor.report.view import view
from monitor.store.incidents import cursor
from monitor.store.records import Activity
from monitor.web.console.bulk import OFFERED
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import now, page
from monitor.web.console.query import CHOICES, TEXTS, ListQuery
from monitor.web.console.readable import within

__all__ = ["IncidentPage", "incident_page", "routes"]

_LISTED, _EXPORTED = 50, 500  # incidents a page, and a piece of an export
_COLUMNS = (
    *("id", "severity", "confidence", "state", "owner", "name", "rule", "masked", "validity", "occurrences"),
    *("first_seen", "last_seen", "where", "fingerprint"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes a cell for one by


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """A page of the list: what is on it, of how many, and where the next one begins."""

    shown: Sequence[IncidentView]
    total: int
    query: ListQuery
    next: str = ""  # place behind the last one; empty: there is no other
    activity: Activity = field(default_factory=Activity)

    @property
    def more(self) -> int:
        """How many are not on this page, before it and behind it."""
        return self.total - len(self.shown)


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/incidents` and its exports."""
    listed = _Incidents(console)
    return [
        web.get("/", listed.show),
        web.get("/incidents", listed.show),
        web.get("/incidents/new", listed.fresh),
        web.get("/incidents.csv", listed.as_csv),
        web.get("/incidents.jsonl", listed.as_json),
    ]


async def incident_page(console: ConsoleContext, query: ListQuery, size: int) -> IncidentPage:
    """Raises HTTPBadRequest for a place that is none, and StoreError."""
    from detectors.rules.gone import names

    filters = query.filters(now().timestamp(), names)
    try:
        page = await console.store.incidents.page(
            limit=size, order=query.order, after=query.after, activity=console.live.activity, **filters
        )
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"after: {error}\n") from None
    shown = [view(incident, page.joined, links=console.links) for incident in page.incidents]
    behind = cursor(query.order, page.incidents[-1]) if page.more else ""
    return IncidentPage(shown, page.total, query, behind, page.activity)


class _Incidents:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._live = console, console.live

    async def show(self, request: web.Request) -> web.Response:
        part = await incident_page(self._console, _asked(request), _LISTED)
        self._live.learn(part.activity)
        return await page(
            request, "incidents.html", page=part, query=part.query, choices=CHOICES, texts=TEXTS, **OFFERED
        )

    async def fresh(self, request: web.Request) -> web.Response:
        """How many a list that was loaded at a revision of the trail (`seen`) would have more; empty: very many."""
        from detectors.rules.gone import names

        said = dict(request.query)
        revision = said.pop("seen", "")
        if not (revision.isascii() and revision.isdigit() and len(revision) < 19):
            raise web.HTTPBadRequest(text="seen: has to be the revision that the list says\n")
        filters = _parsed(said).filters(now().timestamp(), names)
        count = await within(self._console.store.incidents.fresh(int(revision), **filters))
        return web.Response(text="" if count is None else str(count))

    async def _all(self, query: ListQuery) -> AsyncIterator[IncidentView]:
        while True:
            part = await incident_page(self._console, query, _EXPORTED)
            for one in part.shown:
                yield one
            if not part.next:
                return
            query = query.behind(part.next)

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


def _asked(request: web.Request) -> ListQuery:
    return _parsed(request.query)


def _parsed(said: Mapping[str, str]) -> ListQuery:
    try:
        return ListQuery.parse(said)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None


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
