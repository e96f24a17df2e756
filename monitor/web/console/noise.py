"""Noise: rules by how often they alerted, how much of that was no secret, and what they cost; and fewer alerts of one,
for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

import structlog
from aiohttp import web

from detectors.rules.gone import heir
from monitor.common.severity import SEVERITIES, Severity
from monitor.common.wording import moment
from monitor.routing.match import Matcher
from monitor.store.lowering import about_rule, by_rule
from monitor.store.noise import Noise, RuleNoise
from monitor.store.silences import SilenceRule
from monitor.web.console.context import ConsoleContext
from monitor.web.console.kept import KeptAnswer
from monitor.web.console.outcomes import ANSWER, FormAnswers
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for, part
from monitor.web.console.readable import within
from monitor.web.console.silences import SilenceDraft, draft_of
from monitor.web.console.visitor import posted

__all__ = ["routes"]

log = structlog.get_logger(__name__)

DAYS = (7, 30)
SILENT = "silent"  # instead of a severity: nobody is alerted
_TO = (SILENT, *SEVERITIES[:-1])
_HIGHEST = 1e12  # above every figure that is sorted by


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """`looks` and `seconds` (of processor time): since the start, None: nothing was held against the rule. `said`: of
    it alone, that it is silent or lowered."""

    noise: RuleNoise
    looks: int | None
    seconds: float | None
    said: Sequence[SilenceRule]


# What the list is sorted by, the most first → what that is of a row.
_SORTS: Mapping[str, Callable[[NoiseRow], float]] = {
    "alerts": lambda row: row.noise.alerts,
    "no secret": lambda row: -1.0 if row.noise.share is None else row.noise.share,
    "cost": lambda row: row.seconds or 0.0,
    "incidents": lambda row: row.noise.incidents,
}


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/noise`: the list, and a rule that is to alert less."""
    shown = _Noise(console)
    return [web.get("/noise", shown.show), web.post("/noise", shown.lower)]


class _Noise:
    def __init__(self, console: ConsoleContext) -> None:
        self._store, self._redact, self._status = console.store, console.redact, console.status
        self._counted = {days: KeptAnswer(partial(console.store.noise.within, days)) for days in DAYS}
        self._answers = FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "days", "sort", "rule", "after", ANSWER)
        if asked["days"] not in ("", *map(str, DAYS)) or asked["sort"] not in ("", *_SORTS):
            known = f"days: one of {', '.join(map(str, DAYS))}; sort: one of {', '.join(_SORTS)}\n"
            raise web.HTTPBadRequest(text=known)
        return await self._page(request, asked, SilenceDraft(length="30d"))

    async def _page(
        self, request: web.Request, asked: Mapping[str, str], draft: SilenceDraft, status: int = 200
    ) -> web.Response:
        days, sort = int(asked["days"] or DAYS[0]), asked["sort"] or next(iter(_SORTS))
        counted, why = await self._counted[days].now()
        rows = [] if counted is None else await self._rows(counted)
        stale = "There are no figures" if counted is None else "These figures are not of now"
        return await page(
            request,
            "noise.html",
            status=status,
            part=part(rows, partial(_place, sort), asked["after"]),
            days=days,
            sort=sort,
            windows=DAYS,
            sorts=tuple(_SORTS),
            address=f"/noise?{urlencode({'days': days, 'sort': sort})}",
            listed=_listed,
            rule=asked["rule"],
            choices=_TO,
            draft=draft,
            why=f"{stale}: {why}" if why else "",
            counted_at=None if counted is None else counted.at,
            answer=self._answers.shown(request),
        )

    async def _rows(self, counted: Noise) -> list[NoiseRow]:
        """Also of rules that found nothing, but cost something, or of which something is said."""
        rules, _ = await within(self._store.silences.list())
        noise = {one.rule: one for one in counted.rules}
        costs = {row["rule"]: row for row in (await self._status())["rules"]}
        said = by_rule(rules)
        return [_row(name, noise.get(name), costs.get(name, {}), said) for name in {*noise, *costs, *map(heir, said)}]

    async def lower(self, request: web.Request) -> web.Response:
        form = await posted(request, "admin")
        rule, to = await self._redact(form.get("rule")), form.get("to")
        fields = {**form.fields, "matchers": str(Matcher("rule", "=", form.get("rule")))}
        draft = await draft_of(self._redact, replace(form, fields=fields))
        if not rule:
            draft = replace(draft, wrong="Say which rule is meant: each in the list has a way to it.")
        elif not draft.wrong and to not in _TO:
            draft = replace(draft, wrong=f"To what: one of {', '.join(_TO)}.")
        if draft.wrong:
            return await self._page(request, dict.fromkeys(("days", "sort", "after"), "") | {"rule": rule}, draft, 400)
        severity = None if to == SILENT else cast(Severity, to)

        async def work() -> str:
            made = await self._store.silences.add(
                draft.matchers,
                draft.seconds,
                actor=form.by.name,
                reason=draft.note,
                severity=severity,
                once=f"console:{form.once}",
            )
            log.info("a rule alerts less", silence=made.id, severity=to, actor=form.by.name)
            return f"{made.rule} is {f'lowered to {severity}' if severity else SILENT} until {moment(made.ends)}."

        raise await self._answers.once(form, work, "/noise")


def _row(
    rule: str, noise: RuleNoise | None, cost: Mapping[str, Any], said: Mapping[str, Sequence[SilenceRule]]
) -> NoiseRow:
    return NoiseRow(noise or RuleNoise(rule), cost.get("looks"), cost.get("seconds"), about_rule(said, rule))


def _place(sort: str, row: NoiseRow) -> str:
    return f"{_HIGHEST - _SORTS[sort](row):020.6f} {row.noise.rule}"


def _listed(row: NoiseRow, days: int) -> str:
    """The address of the incidents that were counted."""
    return f"/incidents?{urlencode({'rule': row.noise.rule, 'state': 'all', 'drill': 'hidden', 'younger': f'{days}d'})}"
