"""One incident: what is known of it, what is next, and the forms by which people act on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog
from aiohttp import web

from monitor.common.inbound import InboundRequest
from monitor.common.notification import IncidentView
from monitor.common.outcome import outcome
from monitor.domain.incidents import Incident
from monitor.report.document import headline, markdown, sections
from monitor.report.dossier import milestones
from monitor.report.gather import gather
from monitor.report.picture import svg
from monitor.report.view import view
from monitor.store import StoreError
from monitor.store.cases import IncidentCase
from monitor.store.requests import RequestAnswer
from monitor.web.console.asking import asked, needed_role, number
from monitor.web.console.case import fields, open_for
from monitor.web.console.context import ActionPreview, ConsoleContext
from monitor.web.console.pages import now, page
from monitor.web.console.readable import within
from monitor.web.console.visitor import Posted, posted, visitor

__all__ = ["routes"]

log = structlog.get_logger(__name__)

_TRAIL = 60  # entries of its history that are shown
_PATIENCE = 5.0  # seconds that somebody waits for the database
_ASKING = 25.0  # seconds for an issuer
_ALONE = {"Content-Security-Policy": "default-src 'none'; sandbox"}  # of what is no page
_LOOKING = 10.0  # seconds for the file that a secret is taken from again


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/incidents/{id}` and what lies below it, and `/runbooks/{name}`."""
    shown = _IncidentPage(console)
    return [
        web.get("/incidents/{id}", shown.show),
        web.post("/incidents/{id}", shown.act),
        web.post("/incidents/{id}/ask", shown.ask),
        web.get("/incidents/{id}/actions/{name}", shown.action),
        web.get("/incidents/{id}/merge", shown.merge),
        web.get("/incidents/{id}/turn", shown.turn),
        web.get("/incidents/{id}/report", shown.report),
        web.get("/incidents/{id}/report.md", shown.report),
        web.get("/incidents/{id}/report.svg", shown.report),
        web.get("/runbooks/{name:[a-z0-9-]+(?:/[a-z0-9-]+)?}", shown.book),
    ]


class _IncidentPage:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._store = console, console.store

    # What is shown

    async def show(self, request: web.Request) -> web.Response:
        case = await self._case(request)
        said = await self._said(request)
        people = await self._console.people() if self._console.people else ()
        return await self._page(request, case, said, people)

    async def _case(self, request: web.Request) -> IncidentCase:
        """Raises HTTPNotFound and StoreError."""
        try:
            return await within(self._store.cases.get(request.match_info["id"], entries=_TRAIL))
        except LookupError:
            raise web.HTTPNotFound(text="no such incident\n") from None

    async def _said(self, request: web.Request) -> RequestAnswer | None:
        """What came of the form that led here, for who has sent it."""
        once = request.query.get("said", "")
        who = visitor(request)
        return await self._store.requests.answer(number(once), who.name) if once and who.name else None

    def _view(self, case: IncidentCase) -> IncidentView:
        return view(
            case.incident,
            case.joined,
            links=self._console.links,
            books=self._store.procedure.book,
            offers=self._console.offers,
        )

    async def _page(
        self, request: web.Request, case: IncidentCase, said: RequestAnswer | None, people: Sequence[str]
    ) -> web.Response:
        run = case.joined.runs.get(case.incident.id)
        book = self._store.procedure.book(run.book if run else case.incident.runbook)
        shown = fields(case, self._view(case), book, visitor(request), now(), people=people)
        return await page(
            request,
            "incident.html",
            said=said,
            asked=request.query.get("asked"),
            can_ask=self._console.ask is not None,
            degraded=self._store.degraded,
            **shown,
        )

    async def book(self, request: web.Request) -> web.Response:
        book = self._store.procedure.book(request.match_info["name"])
        if book is None:
            raise web.HTTPNotFound(text="no such runbook\n")
        return await page(request, "runbook.html", book=book)

    async def action(self, request: web.Request) -> web.Response:
        """What it would do, before it is asked for."""
        case = await self._case(request)
        shown, name = self._view(case), request.match_info["name"]
        offer = next((one for one in shown.offers if one.name == name), None)
        if offer is None:
            raise web.HTTPNotFound(text="no such action for this incident\n")
        who = visitor(request)  # who only looks is no reason to take a secret from its file again
        sees = who.may("responder")
        preview = await self._preview(case.incident, name) if sees else ActionPreview(problem="sign in as a responder")
        may = open_for(offer, shown, who)
        last = next((one for one in case.joined.actions.get(shown.id, ()) if one.action == name), None)
        return await page(request, "action.html", incident=shown, offer=offer, preview=preview, may=may, last=last)

    async def _preview(self, incident: Incident, name: str) -> ActionPreview:
        """With its lines masked once more, whatever an action is made of."""
        if self._console.preview is None:
            return ActionPreview(problem="actions are not run here")
        try:
            async with asyncio.timeout(_LOOKING):
                preview = await self._console.preview(incident, name)
                lines = [await self._console.redact(line) for line in preview.lines]
                return replace(preview, lines=lines, problem=await self._console.redact(preview.problem))
        except TimeoutError:
            return ActionPreview(problem="the secret could not be looked for in time")
        except StoreError as error:
            return ActionPreview(problem=str(error))

    async def merge(self, request: web.Request) -> web.Response:
        """Both, before they are made one."""
        ref = request.query.get("other", "").strip()
        case = await self._case(request)
        try:
            other = await within(self._store.cases.get(ref, entries=1)) if ref else None
        except LookupError:
            other = None
        pair = [self._view(one) for one in (case, other) if one is not None]
        alike = len({(one.rule, one.masked) for one in pair}) == 1
        return await page(request, "merge.html", incident=pair[0], other=pair[1:], alike=alike)

    async def turn(self, request: web.Request) -> web.Response:
        """How long its history is, by which a page that is open knows whether it is over."""
        return web.Response(text=str(await within(self._store.cases.turn(request.match_info["id"]))))

    async def report(self, request: web.Request) -> web.Response:
        """The document of an incident: as a page to be printed, as Markdown, and its picture."""
        try:
            dossier = await gather(self._store, request.match_info["id"])
        except LookupError:
            raise web.HTTPNotFound(text="no such incident\n") from None
        if request.path.endswith(".svg"):
            picture = svg(milestones(dossier), headline(dossier), calm=outcome(dossier.shown).harmless)
            return web.Response(text=picture, content_type="image/svg+xml", headers=_ALONE)
        if request.path.endswith(".md"):
            named = {"Content-Disposition": f'attachment; filename="incident-{dossier.incident.id}.md"'}
            return web.Response(text=markdown(dossier), content_type="text/markdown", headers=_ALONE | named)
        return await page(
            request,
            "report.html",
            incident=dossier.shown,
            title=headline(dossier),
            sections=sections(dossier),
            picture=milestones(dossier),
        )

    # What is done

    async def act(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        form = await self._posted(request)
        try:
            async with asyncio.timeout(_PATIENCE):
                wanted = await asked(self._console, id_, form)
                answer = await self._store.requests.do(wanted, self._needed)
            log.info(
                "asked for",
                verb=wanted.verb,
                sink=wanted.sink,
                actor=wanted.actor,
                done=answer.done,
                outcome=answer.text,
            )
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        raise web.HTTPSeeOther(f"/incidents/{_about(answer.request, id_)}?said={form.once}#said")

    async def _posted(self, request: web.Request) -> Posted:
        form = await posted(request, "responder")
        needed = needed_role(form.get("verb"))
        return form if form.by.may(needed) else await posted(request, needed)

    def _needed(self, incident: Incident, name: str) -> int | None:
        return dict(self._console.offers(incident)).get(name)

    async def ask(self, request: web.Request) -> web.Response:
        """Of its issuer, whether it still works. Asking twice harms nothing."""
        if self._console.ask is None:
            raise web.HTTPNotFound(text="nobody is asked here\n")
        form, case = await posted(request, "responder"), await self._case(request)
        async with asyncio.timeout(_ASKING):
            await self._console.ask(case.incident, await self._console.redact(form.by.name))
        raise web.HTTPSeeOther(f"/incidents/{case.incident.id}?asked=1#said")


def _about(asked: InboundRequest, id_: str) -> str:
    """The incident whose page tells of it: of two that were merged the one that stays."""
    return asked.incident if asked.verb == "merge" else id_
