"""`/checklist`: what is to be done of the runbooks of all incidents, the first to be due first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from aiohttp import web

from monitor.store.checklist import DueStep
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import now
from monitor.web.console.paging import PAGE, ListPart, asked_for
from monitor.web.console.readable import within
from monitor.web.console.tables import Cell, TablePage

__all__ = ["routes"]

_TABLE = TablePage(
    "/checklist",
    "Checklist",
    "step",
    ("step", "due", "held by", "severity", "incident"),
    "No step is left: whatever is unresolved has none, or all of its are done.",
    "what is left of runbooks, the first due first; drills aside",
    filters=(("owner", "held by"),),
)

_MOST = 100  # pages that are remembered
_Page: TypeAlias = tuple[int, list[DueStep]]


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/checklist`."""
    return [web.get("/checklist", _Steps(console).show)]


class _Steps:
    def __init__(self, console: ConsoleContext) -> None:
        self._store, self._live = console.store, console.live
        self._known: OrderedDict[tuple[str, str], tuple[int, _Page]] = OrderedDict()  # at a revision of the trail

    async def show(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "owner", "after")
        try:
            total, due = await within(self._page(asked["owner"], asked["after"]))
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"after: {error}\n") from None
        rows = due[:PAGE]
        listed = ListPart(rows, total, rows[-1].place if len(due) > PAGE else "")
        return await _TABLE.show(request, listed, _cells, said={"owner": asked["owner"]})

    async def _page(self, owner: str, after: str) -> _Page:
        """Looked for anew when the trail has gone on, as it does with each change: among very many it takes long.
        Raises ValueError."""
        now = await self._store.incidents.activity(self._live.activity)
        self._live.learn(now)
        revision, page = self._known.pop((owner, after), (-1, None))
        if page is None or revision != now.revision:
            page = await self._store.checklist.page(owner=owner, after=after, limit=PAGE + 1)
        self._known[owner, after] = now.revision, page
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return page


def _cells(row: DueStep) -> Sequence[Cell]:
    return (
        Cell(row.title, href=f"/incidents/{row.incident}#step-{row.step}"),
        Cell(until=row.deadline, late=row.deadline < now().timestamp()),
        Cell(row.owner or "nobody"),
        Cell(row.severity),
        Cell(row.name, href=f"/incidents/{row.incident}"),
    )
