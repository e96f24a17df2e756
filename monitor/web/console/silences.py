"""Silences: who is not alerted to what, until when and why; a new one, and what it would hold back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from aiohttp import web

from detectors.rules.known import known_id
from monitor.common.duration import parse_duration
from monitor.common.severity import Severity
from monitor.common.wording import moment
from monitor.domain.incidents import Incident
from monitor.report.routed import places_of
from monitor.report.silenced import rule_row, silence_rows
from monitor.routing.match import Matcher
from monitor.routing.routes import Silence
from monitor.store import Store
from monitor.store.silences import ONE_RULE, SilenceRule, rule_alone
from monitor.web.console.context import ConsoleContext
from monitor.web.console.outcomes import ANSWER, FormAnswers, RefusedError
from monitor.web.console.pages import now, page
from monitor.web.console.paging import asked_for, part
from monitor.web.console.readable import within
from monitor.web.console.visitor import Posted, posted

__all__ = ["SilenceDraft", "draft_of", "kept_silence", "routes"]

log = structlog.get_logger(__name__)

_LOOKED_AT = 1000  # unresolved incidents that a preview tries, the most urgent first
_SHOWN = 10  # of those that it would take
_MATCHERS = 20  # of a silence
_LONGEST = 366 * 86_400.0  # seconds
_HIDDEN = "A matcher holds a secret, which would be stored: match by rule, source or name instead."


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/silences`, what a new one would do, and the end of one."""
    shown = _Silences(console)
    return [
        web.get("/silences", shown.show),
        web.post("/silences/preview", shown.preview),
        web.post("/silences", shown.add),
        web.post("/silences/{id:[0-9a-f]{8}}/end", shown.end),
    ]


@dataclass(frozen=True, slots=True)
class SilenceDraft:
    """As a form says it. `severity`: nobody is silenced, and the rule is lowered to this. `wrong`: why it is none;
    `field`: which one is to be changed."""

    matchers: Sequence[str] = ()
    length: str = "4h"
    note: str = ""
    severity: Severity | None = None
    field: str = ""
    wrong: str = ""

    @property
    def seconds(self) -> float:
        return parse_duration(self.length)


@dataclass(frozen=True, slots=True)
class SilencePreview:
    """Of the `looked_at` most urgent of `unresolved` incidents `count` would be silent; `shown`: some of them."""

    count: int
    shown: Sequence[Incident]
    looked_at: int
    unresolved: int


class _Silences:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._store, self._redact = console, console.store, console.redact
        self._answers = FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        return await self._page(request, SilenceDraft())

    async def _page(
        self, request: web.Request, draft: SilenceDraft, preview: SilencePreview | None = None, status: int = 200
    ) -> web.Response:
        asked = asked_for(request, "over", "after", ANSWER)
        silences = self._store.silences
        if asked["over"]:
            rows = [rule_row(rule) for rule in await within(silences.over())]
        else:
            rules, single = await within(silences.list())
            rows = silence_rows(self._store.policy.silences, rules, single, now().timestamp())
        return await page(
            request,
            "silences.html",
            status=status,
            over=bool(asked["over"]),
            part=part(enumerate(rows), _place(bool(asked["over"])), asked["after"]),
            draft=draft,
            preview=preview,
            answer=self._answers.shown(request),
        )

    async def preview(self, request: web.Request) -> web.Response:
        draft = await draft_of(self._console, await posted(request, "responder"))
        if draft.wrong:
            return await self._page(request, draft, status=400)
        incidents = self._store.incidents
        unresolved = await within(incidents.count(states=("open", "acknowledged")))
        listed = await within(
            incidents.find(limit=_LOOKED_AT, locations=True, order="urgent", states=("open", "acknowledged"))
        )
        taken = await asyncio.to_thread(_taken, draft, listed)
        return await self._page(request, draft, SilencePreview(len(taken), taken[:_SHOWN], len(listed), unresolved))

    async def add(self, request: web.Request) -> web.Response:
        form = await posted(request, "responder")
        draft = await draft_of(self._console, form)
        if draft.wrong:
            return await self._page(request, draft, status=400)

        async def work() -> str:
            rule = await kept_silence(self._store, draft, form, "console")
            return f"{', '.join(rule.matchers)}: silent until {moment(rule.ends)}."

        raise await self._answers.once(form, work, "/silences")

    async def end(self, request: web.Request) -> web.Response:
        form, id_ = await posted(request, "responder"), request.match_info["id"]
        note = await self._redact(form.get("note"))

        async def work() -> str:
            try:
                await self._store.silences.end(id_, actor=form.by.name, note=note)
            except LookupError:
                raise RefusedError("This silence is over already: nothing was done.") from None
            log.info("a silence was ended", silence=id_, actor=form.by.name)
            return f"Silence {id_} holds nothing back any more; what it held back is sent."

        raise await self._answers.once(form, work, "/silences")


async def draft_of(console: ConsoleContext, form: Posted, severity: Severity | None = None) -> SilenceDraft:
    """With what people wrote masked. A rule that is to be lowered is named as it is now."""
    said = [line.strip() for line in form.get("matchers").splitlines() if line.strip()]
    matchers, note = [await console.redact(line) for line in said], await console.redact(form.get("note"))
    draft = SilenceDraft(matchers, await console.redact(form.get("for")), note, severity)
    field, wrong = _wrong(draft) if matchers == said else ("matchers", _HIDDEN)
    if wrong or severity is None:
        return replace(draft, field=field, wrong=wrong)
    try:
        rule = await asyncio.to_thread(known_id, rule_alone(matchers), console.rules())
    except LookupError as error:
        return replace(draft, field="matchers", wrong=str(error))
    return replace(draft, matchers=[str(Matcher("rule", "=", rule))])


async def kept_silence(store: Store, draft: SilenceDraft, form: Posted, where: str) -> SilenceRule:
    """What it is from now on; of a form that came before what that one made. `where` it was sent to. Raises
    StoreError."""
    rule = await store.silences.add(
        draft.matchers,
        draft.seconds,
        actor=form.by.name,
        reason=draft.note,
        severity=draft.severity,
        once=f"{where}:{form.once}",
    )
    log.info("silenced", silence=rule.id, severity=rule.severity, actor=form.by.name)
    return rule


def _wrong(draft: SilenceDraft) -> tuple[str, str]:
    """The field by which it is no silence, and why; empty: it is one."""
    if not 0 < len(draft.matchers) <= _MATCHERS:
        return "matchers", f"Say what is meant: one matcher a line, {_MATCHERS} at most."
    for text in draft.matchers:
        try:
            why = Matcher.parse(text).impossible()
        except ValueError as error:
            why = str(error)
        if why:
            return "matchers", f"{text}: {why}"
    if draft.severity is not None and not rule_alone(draft.matchers):
        return "matchers", ONE_RULE
    try:
        if not 0 < draft.seconds <= _LONGEST:
            return "for", "How long: longer than nothing, a year at most."
    except ValueError as error:
        return "for", f"How long: {error}"
    return ("", "") if draft.note else ("note", "Say why: whoever wonders tomorrow reads it.")


def _taken(draft: SilenceDraft, incidents: Sequence[Incident]) -> list[Incident]:
    """Those that it would hold back, at one of their places at least."""
    began = datetime.now(UTC)
    matchers = tuple(map(Matcher.parse, draft.matchers))
    silence = Silence(matchers=matchers, starts=began, ends=began + timedelta(seconds=draft.seconds))
    at = began.timestamp()
    return [one for one in incidents if any(silence.until(labels, at) is not None for labels in places_of(one))]


def _place(over: bool) -> Any:
    """The first to end first; of those that are over, the last to end first."""

    def place(row: tuple[int, dict[str, Any]]) -> str:
        number, silence = row
        ends = silence["ends"] or "9999"
        if over:
            ends = f"{1e11 - datetime.fromisoformat(ends).timestamp():015.0f}"
        return f"{ends} {silence['id'] or silence['incident'] or f'{number:04}'}"

    return place
