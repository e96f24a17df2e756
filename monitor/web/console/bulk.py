"""One change to many incidents: those that are ticked, or all that a list has. What somebody has not seen is not
touched: before all of a list are changed, a page says which, and what came since is not among them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from monitor.common.duration import parse_duration
from monitor.common.inbound import InboundRequest, Verb
from monitor.common.notification import State
from monitor.domain.incidents import RESOLUTIONS
from monitor.report.view import view
from monitor.store import Store
from monitor.store.bulk import BulkProgress
from monitor.store.incidents import Filter
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import now, page
from monitor.web.console.query import ListQuery
from monitor.web.console.visitor import Posted, posted, visitor

__all__ = [
    "MOST",
    "OFFERED",
    "VERBS",
    "BulkAsked",
    "BulkVerb",
    "bulk_asked",
    "matching",
    "progressed",
    "routes",
]

MOST = 10_000  # incidents at once
_SHOWN = 10  # of them, before they are changed
_LOOKS = 16  # that are remembered, some 200 kB each
_WAITS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # seconds between looks for whether it is done already
_SINK = "console"
_PICKED = re.compile(r"pick\.([0-9a-f]{16})")  # a box that is ticked


@dataclass(frozen=True, slots=True)
class BulkVerb:
    """`states`: of the incidents that it is for, as for the commands; `told`: what has become of them."""

    name: str
    told: str
    states: tuple[State, ...] = ("open", "acknowledged")


VERBS: Mapping[str, BulkVerb] = {
    "ack": BulkVerb("Acknowledge", "acknowledged", ("open",)),
    "assign": BulkVerb("Assign to me", "assigned"),
    "silence": BulkVerb("Silence", "silenced"),
    "resolve": BulkVerb("Resolve", "resolved"),
}
_TAKES = {"assign": {"to"}, "silence": {"for"}, "resolve": {"as"}}  # what goes with each, of a program
_LENGTHS = ("1h", "4h", "8h", "1d", "3d", "7d")
OFFERED: Mapping[str, Any] = {
    "verbs": VERBS,
    "lengths": _LENGTHS,
    "resolutions": RESOLUTIONS,
}  # to the form of the list


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/incidents/bulk` and what came of it."""
    bulk = _Bulk(console)
    return [web.post("/incidents/bulk", bulk.take), web.get("/incidents/bulk/{number}", bulk.outcome)]


@dataclass(frozen=True, slots=True)
class BulkAsked:
    """What a form asks for. `detail`: as the store has it (monitor.common.inbound)."""

    verb: Verb
    detail: str
    query: ListQuery
    fields: Mapping[str, str]  # those that say so, for the next form


class _Bulk:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._store = console, console.store
        self._looks: OrderedDict[str, str] = OrderedDict()  # digest → ids, of what people were shown last

    async def take(self, request: web.Request) -> web.StreamResponse:
        form = await posted(request, "responder")
        try:
            asked = _asked(form)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}: go back, and send it again\n") from None
        scope = form.get("scope")
        if scope == "all":
            return await self._look(request, asked, form.get("note"))
        if scope == "ticked":
            ids = [picked[1] for name in form.fields if (picked := _PICKED.fullmatch(name))]
        else:
            ids = await self._seen(asked, form.get("digest"))
            if not ids and not await self._known(form):
                return await self._look(request, asked, form.get("note"), again=True)
        if not ids and scope == "ticked":
            raise web.HTTPBadRequest(text="no incident is ticked: go back, and tick some\n")
        await self._do(form, asked, ids)
        back = urlencode({"list": asked.query.address()})
        raise web.HTTPSeeOther(f"/incidents/bulk/{form.once}?{back}")

    async def _known(self, form: Posted) -> bool:
        """Whether this form was taken before, and is only to be gone on with: perhaps the monitor was killed."""
        with contextlib.suppress(LookupError):
            return bool(await self._store.bulk.progress(form.once, await self._console.redact(form.by.name)))
        return False

    async def _do(self, form: Posted, asked: BulkAsked, ids: Sequence[str]) -> None:
        note, actor = await self._console.redact(form.get("note")), await self._console.redact(form.by.name)
        detail = actor if asked.verb == "assign" else asked.detail
        request = InboundRequest(form.once, _SINK, asked.verb, actor, detail=detail, note=note)
        await self._store.bulk.keep(request, ids)
        self._console.work()
        await progressed(self._store, form.once, actor)

    async def _look(self, request: web.Request, asked: BulkAsked, note: str, *, again: bool = False) -> web.Response:
        """What would be changed, to be looked at before."""
        filters = _filters(asked)
        ids, total = await matching(self._store, asked)
        shown = await self._store.incidents.page(limit=_SHOWN, order=asked.query.order, **filters)
        digest = _digest(ids)
        self._looks[digest] = "\n".join(ids)
        self._looks.move_to_end(digest)
        while len(self._looks) > _LOOKS:
            self._looks.popitem(last=False)
        return await page(
            request,
            "bulk.html",
            status=409 if again else 200,
            asked=asked,
            verb=VERBS[asked.verb],
            total=total,
            count=len(ids),
            digest=digest,
            note=await self._console.redact(note),
            again=again,
            first=[view(incident, shown.joined, links=self._console.links) for incident in shown.incidents],
        )

    async def _seen(self, asked: BulkAsked, digest: str) -> list[str]:
        """The incidents that somebody was shown; none: they are not known any more, and others would be meant."""
        if known := self._looks.get(digest):
            return known.split("\n")
        ids, _ = await matching(self._store, asked)  # the monitor may have been started anew meanwhile
        return ids if digest == _digest(ids) else []

    async def outcome(self, request: web.Request) -> web.Response:
        actor = await self._console.redact(visitor(request).name)
        try:
            progress = await self._store.bulk.progress(request.match_info["number"], actor)
        except LookupError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        try:
            back = _query(request.query.get("list", "")).address()
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        answer = await page(request, "bulk_outcome.html", progress=progress, verb=VERBS[progress.verb], back=back)
        if progress.left:
            answer.headers["Refresh"] = "2"
        return answer


async def progressed(store: Store, number: str, actor: str) -> BulkProgress:
    """How far it is, by when all is done or somebody has waited for a moment. Raises LookupError."""
    for pause in _WAITS:
        if not (done := await store.bulk.progress(number, actor)).left:
            return done
        await asyncio.sleep(pause)
    return await store.bulk.progress(number, actor)


async def matching(store: Store, asked: BulkAsked) -> tuple[list[str], int]:
    """Incidents of a list that this can be done to, the first `MOST` of them, and how many there are."""
    filters = _filters(asked)
    if not filters["states"]:
        return [], 0
    ids = await store.incidents.ids(limit=MOST, order=asked.query.order, **filters)
    return ids, await store.incidents.count(**filters) if len(ids) == MOST else len(ids)


async def bulk_asked(console: ConsoleContext, form: Posted) -> BulkAsked:
    """What a program asks for. Raises ValueError."""
    verb, given = form.get("verb"), {name for name in ("to", "for", "as") if form.get(name)}
    if given != _TAKES.get(verb, set()):
        raise ValueError("to goes with assign, for with silence, as with resolve: each with its own, and with no other")
    if verb == "assign" and form.get("to") not in (*(await console.people() if console.people else ()), form.by.name):
        raise ValueError("to: one of the people that are known here")
    if {"ids", "list", "expected"} & form.fields.keys() not in ({"ids"}, {"list", "expected"}):
        raise ValueError("give either ids, or filter and expected: how many incidents it is to have")
    return _asked(form)


def _asked(form: Posted) -> BulkAsked:
    """Raises ValueError."""
    verb, fields = form.get("verb"), {"verb": form.get("verb"), "list": form.get("list")}
    if verb not in VERBS:
        raise ValueError("the form does not say what is to be done")
    detail = form.get("to") if verb == "assign" else ""  # of a program: a page has its visitor in mind
    if verb == "silence":
        seconds = parse_duration(form.get("for"))
        if seconds <= 0:
            raise ValueError("for: must be longer than nothing")
        fields["for"], detail = form.get("for"), f"{seconds:.0f}"
    elif verb == "resolve":
        if form.get("as") not in RESOLUTIONS:
            raise ValueError(f"as: has to be one of {', '.join(RESOLUTIONS)}")
        fields["as"] = detail = form.get("as")
    return BulkAsked(cast(Verb, verb), detail, _query(form.get("list")), fields)


def _query(text: str) -> ListQuery:
    """Of the address of a list. Raises ValueError."""
    return ListQuery.parse(dict(parse_qsl(text.partition("?")[2]))).behind("")


def _filters(asked: BulkAsked) -> Filter:
    from detectors.rules.gone import names

    filters: dict[str, Any] = {**asked.query.filters(now().timestamp(), names)}
    wanted = filters["states"] or VERBS[asked.verb].states
    return cast(Filter, filters | {"states": [state for state in VERBS[asked.verb].states if state in wanted]})


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]
