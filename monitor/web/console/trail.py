"""The trail of all incidents, newest first, and whether it is whole."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from monitor.common.wording import moment
from monitor.store.trail import TrailRow, TrailVerdict
from monitor.web.console.context import ConsoleContext
from monitor.web.console.outcomes import ANSWER, FormAnswers, RefusedError
from monitor.web.console.paging import PAGE, ListPart, asked_for
from monitor.web.console.readable import within
from monitor.web.console.tables import Cell, TablePage
from monitor.web.console.visitor import posted, visitor

__all__ = ["routes"]

_TABLE = TablePage(
    "/trail",
    "Trail",
    "change",
    ("what", "when", "who", "incident", "note"),
    "Nothing is in it yet.",
    "who changed what, each entry sealed with the one before it",
    filters=(("actor", "who"), ("incident", "incident")),
)
_PROBLEMS = 10  # that are named


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/trail` and `/trail/verify`."""
    shown = _TrailPages(console)
    return [web.get("/trail", shown.show), web.post("/trail/verify", shown.verify)]


class _TrailPages:
    def __init__(self, console: ConsoleContext) -> None:
        self._trail = console.store.trail
        self._answers = FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "actor", "incident", "after", ANSWER)
        try:
            total, entries = await within(
                self._trail.page(
                    actor=asked["actor"],
                    incident=asked["incident"],
                    after=asked["after"],
                    limit=PAGE + 1,
                    accounts=visitor(request).may("admin"),
                )
            )
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"after: {error}\n") from None
        rows = entries[:PAGE]
        listed = ListPart(rows, total, str(rows[-1].seq) if len(entries) > PAGE else "")
        return await _TABLE.show(
            request,
            listed,
            _cells,
            said={name: asked[name] for name in ("actor", "incident")},
            answer=self._answers.shown(request),
            button=("/trail/verify", "Read all of it: is it whole?"),
        )

    async def verify(self, request: web.Request) -> web.Response:
        """It reads all there is: that is not for whoever comes by."""
        form = await posted(request, "responder")
        raise await self._answers.once(form, self._verify, "/trail")

    async def _verify(self) -> str:
        verdict = await self._trail.verify()
        if verdict.problems:
            raise RefusedError(_wrong(verdict))
        since = f", sealed since {moment(verdict.since)}" if verdict.since is not None else ""
        note = "" if verdict.kept else "; this host has no note of where histories end: an older copy would not be seen"
        return f"{verdict.entries:,} entries of {verdict.incidents:,} incidents: whole{since}{note}."


def _cells(row: TrailRow) -> Sequence[Cell]:
    entry = row.entry
    return (
        Cell(entry.action.replace("_", " ") + (f" {entry.step}" if entry.step else "")),
        Cell(at=entry.at),
        Cell(entry.actor),
        Cell(entry.incident, href=f"/incidents/{entry.incident}") if not row.about else Cell(row.about),
        Cell(entry.note),
    )


def _wrong(verdict: TrailVerdict) -> str:
    named = "; ".join(f"{incident or 'all'}: {problem}" for incident, problem in verdict.problems[:_PROBLEMS])
    more = len(verdict.problems) - _PROBLEMS
    return f"NOT whole. {named}{f'; and {more:,} more' if more > 0 else ''}. `monitor incidents verify` lists all."
