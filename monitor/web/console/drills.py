"""Drills: synthetic secrets, and how far each went; and one more, which is shown before it is planted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from detectors.rules.known import known_id
from monitor.store.drills import DrillRow, DrillRun
from monitor.web.console.context import ConsoleContext
from monitor.web.console.outcomes import ANSWER, FormAnswers, RefusedError
from monitor.web.console.paging import asked_for, part
from monitor.web.console.readable import within
from monitor.web.console.tables import Cell, TablePage
from monitor.web.console.visitor import Posted, posted

__all__ = ["routes"]

_RULE = "github-pat"  # unless another is asked for, as of the command
_AGAIN = "2"  # seconds after which a page is loaded again while a drill is under way
_DRILLS = TablePage(
    "/drills",
    "Drills",
    "drill",
    ("planted", "by", "source", "how it went", "found", "acknowledged", "resolved", "incident"),
    "None was planted: `monitor drill` plants one and follows it to the alert.",
    "synthetic secrets, and how far each went",
)


@dataclass(frozen=True, slots=True)
class DrillDraft:
    """As a form says it. `place`: where it would be planted, once that is known; `wrong`: why it is none."""

    source: str = ""
    rule: str = _RULE
    pages: bool = False
    place: str = ""
    wrong: str = ""


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/drills`, and one that is begun there."""
    shown = _DrillPages(console)
    return [
        web.get("/drills", shown.show),
        web.post("/drills/preview", shown.preview),
        web.post("/drills", shown.begin),
    ]


class _DrillPages:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._answers = console, FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        return await self._page(request, DrillDraft())

    async def _page(self, request: web.Request, draft: DrillDraft, status: int = 200) -> web.Response:
        asked = asked_for(request, "after", ANSWER)
        drills = await within(self._console.store.drills.all())
        listed = part(drills, lambda drill: f"{1e12 - drill.at:020.6f}", asked["after"])
        last, work = (drills[0].run if drills else None), self._console.drills
        answer = await _DRILLS.show(
            request,
            listed,
            _drill,
            answer=self._answers.shown(request),
            status=status,
            above="drill_run.html" if last is not None else None,
            last=last,
            form="drill.html" if work is not None else None,
            draft=draft,
            sources=work.sources() if work is not None else (),
            pagers=work.pagers() if work is not None else (),
        )
        going = any(drill.run is not None and drill.run.standing == "under way" for drill in drills)
        if going and request.method == "GET":
            answer.headers["Refresh"] = _AGAIN
        return answer

    async def preview(self, request: web.Request) -> web.Response:
        draft = await self._draft(await posted(request, "admin"))
        return await self._page(request, draft, status=400 if draft.wrong else 200)

    async def begin(self, request: web.Request) -> web.Response:
        """As the command, at a press."""
        form, work = await posted(request, "admin"), self._console.drills
        draft = await self._draft(form)
        if draft.wrong or work is None:
            return await self._page(request, draft, status=400)

        async def begun() -> str:
            try:
                place = await work.begin(
                    draft.source, draft.rule, pages=draft.pages, actor=form.by.name, once=f"console:{form.once}"
                )
            except LookupError:
                raise RefusedError("This source or this rule is not there any more: nothing was done.") from None
            return f"Planted in {place}. Hops come below as they come; nobody has to wait here."

        raise await self._answers.once(form, begun, "/drills")

    async def _draft(self, form: Posted) -> DrillDraft:
        """With what people wrote masked, and the rule as it is named now."""
        source, rule = [await self._console.redact(form.get(name)) for name in ("source", "rule")]
        draft, work = DrillDraft(source, rule, form.get("pages") == "1"), self._console.drills
        if work is None:
            return replace(draft, wrong="No drill is begun here: `monitor drill` does it.")
        try:
            draft = replace(draft, rule=await asyncio.to_thread(known_id, rule, self._console.rules()))
        except LookupError as error:
            return replace(draft, wrong=f"{error}.")
        try:
            return replace(draft, place=await work.place(source))
        except LookupError:
            return replace(draft, wrong=f"Say in which source: one of {', '.join(work.sources()) or 'none'}.")
        except RefusedError as error:
            return replace(draft, wrong=str(error))


def _drill(drill: DrillRow) -> Sequence[Cell]:
    known = Cell(drill.incident, href=f"/incidents/{drill.incident}") if drill.incident else Cell("none")
    steps = (drill.incident != "", drill.acknowledged, drill.resolved)
    run = drill.run
    said = (Cell(), Cell(), Cell("not noted")) if run is None else (Cell(run.by), Cell(run.source), _standing(run))
    return (Cell(at=drill.at), *said, *(Cell("yes" if came else "not yet", late=not came) for came in steps), known)


def _standing(run: DrillRun) -> Cell:
    name, seconds, _ = run.hops[-1] if run.hops else ("nothing", 0.0, "")
    if run.standing == "broken":
        return Cell(run.broken, late=True)
    if run.standing == "left":
        return Cell(f"half done: nobody follows it any more, the last that came is {name}", late=True)
    if run.standing == "under way":
        return Cell(f"under way: {name}")
    return Cell(f"every hop came, in {seconds:.1f} s")
