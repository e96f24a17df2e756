"""Addresses of the API, and what each answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import orjson
import structlog
from aiohttp import web

from monitor.accounts.people import Role
from monitor.common import payload
from monitor.common.inbound import InboundRequest
from monitor.common.severity import Severity
from monitor.common.wording import stamp
from monitor.report.silenced import rule_row, silence_rows
from monitor.report.view import view
from monitor.routing.match import Matcher
from monitor.store.bulk import BulkProgress
from monitor.store.rows import clean
from monitor.store.undelivered import UndeliveredState
from monitor.web.api import documents, problems
from monitor.web.api.door import body_of, changing
from monitor.web.api.openapi import LONGEST_LIST, document
from monitor.web.console import noise
from monitor.web.console.asking import asked, needed_role
from monitor.web.console.bulk import bulk_asked, matching, progressed
from monitor.web.console.context import ConsoleContext
from monitor.web.console.incidents import incident_page
from monitor.web.console.outcomes import RefusedError
from monitor.web.console.pages import now
from monitor.web.console.paging import PAGE, part
from monitor.web.console.query import ListQuery
from monitor.web.console.readable import within
from monitor.web.console.silences import draft_of, kept_silence
from monitor.web.console.sinks import tried
from monitor.web.console.visitor import Posted

__all__ = ["routes"]

log = structlog.get_logger(__name__)

V1 = "/api/v1"
_SINK = "api"  # as whose requests are stored
_HISTORY = 1000  # newest entries
_PATIENCE = 20.0  # seconds for a change
_USED = "this Idempotency-Key was used for something else: take another"
_LONGEST = 200  # characters of a parameter


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/api/v1/…`."""
    api = _Api(console)
    verbs = "|".join(documents.BODIES)
    return [
        web.get(f"{V1}/openapi.json", api.document),
        web.get(f"{V1}/incidents", api.incidents),
        web.get(f"{V1}/incidents/{{id}}", api.incident),
        web.post(f"{V1}/incidents/{{id}}/{{verb:{verbs}}}", api.change),
        web.post(f"{V1}/incidents/bulk", api.bulk),
        web.get(f"{V1}/events", console.live.stream),
        web.get(f"{V1}/sources", api.sources),
        web.get(f"{V1}/sinks", api.sinks),
        web.post(f"{V1}/sinks/{{name:[A-Za-z0-9_.-]+}}/test", api.test),
        web.get(f"{V1}/silences", api.silences),
        web.post(f"{V1}/silences", api.silence),
        web.post(f"{V1}/silences/{{id:[0-9a-f]{{8}}}}/end", api.end_silence),
        web.get(f"{V1}/noise", api.noise),
        web.get(f"{V1}/outbox", api.outbox),
        web.post(f"{V1}/outbox/{{id:[0-9a-f]{{32}}}}/{{verb:retry|discard}}", api.deliver),
    ]


class _Api:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._store = console, console.store

    async def document(self, request: web.Request) -> web.Response:
        return _json(document())

    # What is read

    async def incidents(self, request: web.Request) -> web.Response:
        said = dict(request.query)
        size = _limit(said.pop("limit", ""))
        try:
            query = ListQuery.parse(said)
        except ValueError as error:
            raise web.HTTPBadRequest(text=await self._console.redact(str(error))) from None
        page = await within(incident_page(self._console, query, size))
        rows = [payload.record(one) for one in page.shown]
        return _json({"incidents": rows, "total": page.total, "next": page.next or None})

    async def incident(self, request: web.Request) -> web.Response:
        include = {word for word in _asked(request, "include")["include"].split(",") if word}
        if not include <= {"steps", "history"}:
            raise web.HTTPBadRequest(text="include: of steps and history, with a comma between them")
        try:
            entries = _HISTORY if "history" in include else 1
            case = await within(self._store.cases.get(request.match_info["id"], entries=entries))
        except LookupError:
            raise _no_incident() from None
        shown = view(case.incident, case.joined, links=self._console.links, books=self._store.procedure.book)
        return _json(documents.incident(shown, case, steps="steps" in include, history="history" in include))

    async def sources(self, request: web.Request) -> web.Response:
        return await self._of_status(request, "sources", documents.source)

    async def sinks(self, request: web.Request) -> web.Response:
        return await self._of_status(request, "sinks", documents.sink)

    async def _of_status(self, request: web.Request, what: str, row: Any) -> web.Response:
        status = await self._console.status()
        return _listed(request, what, [row(one, status["time"]) for one in status[what]], lambda one: str(one["name"]))

    async def noise(self, request: web.Request) -> web.Response:
        said = _asked(request, "days", "sort", "after", "limit")
        if not noise.known(said):
            raise web.HTTPBadRequest(text=noise.KNOWN)
        figures = await noise.figures(self._console, said["days"])
        if figures.at is None:
            raise web.HTTPServiceUnavailable(text=f"there are no figures: {figures.why}", headers={"Retry-After": "30"})
        page = figures.part(said["sort"], said["after"], _limit(said["limit"]))
        rows = [documents.noise(row) for row in page.rows]
        counted = stamp(figures.at, "milliseconds")
        return _json({"noise": rows, "total": page.total, "next": page.next or None, "counted_at": counted})

    async def silences(self, request: web.Request) -> web.Response:
        rules, single = await within(self._store.silences.list())
        rows = silence_rows(self._store.policy.silences, rules, single, now().timestamp())
        place = {id(row): f"{row['ends'] or '9999'} {number:06}" for number, row in enumerate(rows)}
        return _listed(request, "silences", rows, lambda row: place[id(row)])

    async def outbox(self, request: web.Request) -> web.Response:
        said = _asked(request, "state", "sink", "after", "limit")
        known: tuple[UndeliveredState, ...] = get_args(UndeliveredState)
        if said["state"] not in ("", *known):
            raise web.HTTPBadRequest(text=f"state: has to be one of {', '.join(known)}")
        try:
            listed = await within(
                self._store.undelivered.page(
                    states=[one for one in known if one == said["state"]],
                    sink=said["sink"] or None,
                    after=said["after"],
                    limit=_limit(said["limit"]),
                )
            )
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"after: {error}") from None
        rows = [documents.notification(one) for one in listed.entries]
        return _json({"outbox": rows, "total": listed.total, "next": listed.next or None})

    # What is changed

    async def change(self, request: web.Request) -> web.Response:
        """By the same call as the page: at once, and of a repeat what came of the first."""
        verb, id_ = request.match_info["verb"], request.match_info["id"]
        body = next(body for known, body in documents.BODIES.items() if known == verb)
        form = await self._posted(request, body, needed_role(verb), verb)
        try:
            async with asyncio.timeout(_PATIENCE):
                about = (await self._store.incidents.get(id_)).id
                wanted = replace(await asked(self._console, about, form), sink=_SINK)
                if wanted.refusal:
                    raise _unusable(await self._console.redact(wanted.refusal))
                answer = await self._store.requests.do(
                    wanted, lambda one, name: dict(self._console.offers(one)).get(name)
                )
        except LookupError:
            raise _no_incident() from None
        if _differs(wanted, answer.request):
            raise _unusable(_USED)
        log.info("asked for", verb=verb, sink=_SINK, actor=wanted.actor, done=answer.done, outcome=answer.text)
        if not answer.done:
            raise web.HTTPConflict(text=answer.text)
        return _json({"incident": answer.request.incident, "outcome": answer.text})

    async def bulk(self, request: web.Request) -> web.Response:
        """Kept at once, and done in pieces: a repeat by the same key says how far it is."""
        form = await self._posted(request, documents.BulkBody)
        try:
            asked = await bulk_asked(self._console, form)
        except ValueError as error:
            raise _unusable(await self._console.redact(str(error))) from None
        number, about = _hash(form.once)[:40], _hash(form.get("ids") or asked.query.address())[:16]
        actor, note = [await self._console.redact(text) for text in (form.by.name, form.get("note"))]
        wanted = InboundRequest(number, _SINK, asked.verb, actor, detail=asked.detail, note=note, place=about)
        ids, total = [*dict.fromkeys(form.get("ids").split())], int(form.get("expected") or 0)
        async with asyncio.timeout(_PATIENCE):
            begun = not ids and await self._begun(wanted)
            if not (ids or begun):
                ids, found = await matching(self._store, asked)
                if found != total and not await self._begun(wanted):
                    detail = f"expected: the filter has {found:,} incidents that this can be done to: nothing was done"
                    return problems.answer(409, detail, expected=found)
                if found > len(ids):
                    raise _unusable(f"filter: it has {found:,} incidents, {len(ids):,} are changed at once: narrow it")
            if not (ids or total or begun):
                return _json(_progress(BulkProgress(asked.verb, asked.detail, about, 0, 0, {})))
            if ids and await self._store.bulk.keep(wanted, ids):
                self._console.work()
            done = await progressed(self._store, number, actor)
        if (done.verb, done.detail, done.place, done.total) != (
            asked.verb,
            clean(asked.detail),
            about,
            total or len(ids),
        ):
            raise _unusable(_USED)
        log.info("asked for many", verb=asked.verb, sink=_SINK, actor=actor, incidents=done.total)
        return _json(_progress(done))

    async def _begun(self, asked: InboundRequest) -> bool:
        """Whether it came before."""
        with contextlib.suppress(LookupError):
            return bool(await self._store.bulk.progress(asked.id, asked.actor))
        return False

    async def test(self, request: web.Request) -> web.Response:
        form, name = await self._posted(request, documents.NoteBody), request.match_info["name"]
        try:
            outcome = await tried(self._console, name, form.by.name)
        except LookupError:
            raise web.HTTPNotFound(text="there is no such sink: /api/v1/sinks lists them") from None
        except RefusedError as error:
            raise web.HTTPConflict(text=str(error)) from None
        return _json({"sink": name, "outcome": outcome})

    async def _posted(
        self, request: web.Request, body: type[documents.NoteBody], needed: Role = "responder", verb: str = ""
    ) -> Posted:
        """What was sent, as a form would say it."""
        token, who = changing(request, needed)
        key = request.headers.get("Idempotency-Key") or secrets.token_urlsafe(24)
        if len(key) > 255 or not key.isascii() or not key.isprintable():
            raise web.HTTPBadRequest(text="Idempotency-Key: 255 printable characters at most")
        try:
            said = documents.fields(body, await body_of(request))
        except ValueError as error:
            raise _unusable(f"{error} (/api/v1/openapi.json says what fits)") from None
        # Of this token alone: what another has sent is none of its matter.
        return Posted(who, f"{token.id} {key}", {"verb": verb} | said)

    async def silence(self, request: web.Request) -> web.Response:
        form = await self._posted(request, documents.SilenceRuleBody)
        severity = cast(Severity | None, form.get("severity") or None)
        if severity is not None and not form.by.may("admin"):
            raise web.HTTPForbidden(text="to lower a rule takes the token of an admin; without `severity` it is silent")
        draft = await draft_of(self._console, form, severity)
        if draft.wrong:
            raise _unusable(f"{draft.field}: {draft.wrong}")
        async with asyncio.timeout(_PATIENCE):
            rule = await kept_silence(self._store, draft, form, _SINK)
        if ([*rule.matchers], rule.severity) != ([str(Matcher.parse(one)) for one in draft.matchers], severity):
            raise _unusable(_USED)
        return _json(rule_row(rule))

    async def end_silence(self, request: web.Request) -> web.Response:
        form, id_ = await self._posted(request, documents.NoteBody), request.match_info["id"]
        note = await self._console.redact(form.get("note"))
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._store.silences.end(id_, actor=form.by.name, note=note)
        except LookupError:
            raise web.HTTPNotFound(text="no such silence stands: /api/v1/silences lists them") from None
        log.info("a silence was ended", silence=id_, actor=form.by.name)
        return _json({"silence": id_, "outcome": "it holds nothing back any more; what it held back is sent"})

    async def deliver(self, request: web.Request) -> web.Response:
        """Twice does no more than once."""
        verb, id_ = request.match_info["verb"], request.match_info["id"]
        form = await self._posted(request, documents.NoteBody)
        undelivered = self._store.undelivered
        try:
            entry = await within(undelivered.get(id_))
        except LookupError as error:
            raise web.HTTPNotFound(text=str(error)) from None
        actor, note = [await self._console.redact(text) for text in (form.by.name, form.get("note"))]
        async with asyncio.timeout(_PATIENCE):
            done = await (undelivered.retry if verb == "retry" else undelivered.discard)([id_], actor=actor, note=note)
        log.info("outbox", verb=verb, actor=actor, notifications=len(done))
        if not done:
            raise web.HTTPConflict(text="it is being sent, was sent, or was discarded meanwhile: nothing was done")
        outcome = "it is tried at once" if verb == "retry" else "it is discarded; its incidents stay"
        return _json({"notification": entry.id, "outcome": outcome})


def _json(document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _progress(done: BulkProgress) -> dict[str, Any]:
    return {
        **{"verb": done.verb, "total": done.total, "done": done.done, "left": done.left},
        **{"overtaken": done.overtaken, "refused": dict(done.refused)},
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _no_incident() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="there is no such incident: /api/v1/incidents lists them")


def _unusable(why: str) -> web.HTTPUnprocessableEntity:
    return web.HTTPUnprocessableEntity(text=why)


def _differs(wanted: InboundRequest, before: InboundRequest) -> bool:
    """Whether a request that is known already is another one. Its note is masked by what is known by then."""
    return any(clean(getattr(wanted, name)) != getattr(before, name) for name in ("verb", "incident", "detail"))


def _listed(request: web.Request, what: str, rows: Sequence[Mapping[str, Any]], place: Any) -> web.Response:
    said = _asked(request, "after", "limit")
    page = part(rows, place, said["after"], _limit(said["limit"]))
    return _json({what: list(page.rows), "total": page.total, "next": page.next or None})


def _asked(request: web.Request, *names: str) -> dict[str, str]:
    """Parameters of an address, empty where it says nothing. Raises HTTPBadRequest, which repeats none."""
    if request.query.keys() - set(names):
        raise web.HTTPBadRequest(text=f"there are the parameters {', '.join(names)} alone")
    if any(len(value) > _LONGEST for value in request.query.values()):
        raise web.HTTPBadRequest(text=f"a parameter has {_LONGEST} characters at most")
    return {name: request.query.get(name, "").strip() for name in names}


def _limit(text: str) -> int:
    if not text:
        return PAGE
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LONGEST_LIST):
        raise web.HTTPBadRequest(text=f"limit: give a number from 1 to {LONGEST_LIST}")
    return int(text)
