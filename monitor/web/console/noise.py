"""Noise: rules by how often they alerted, how much of that was no secret, and what they cost; and fewer alerts of one,
for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from aiohttp import web

from detectors.rules.gone import heir
from monitor.common.severity import SEVERITIES, Severity
from monitor.common.wording import moment
from monitor.routing.match import Matcher
from monitor.store.lowering import about_rule, by_rule
from monitor.store.noise import RuleNoise
from monitor.store.silences import SilenceRule
from monitor.web.console.context import ConsoleContext
from monitor.web.console.kept import KeptAnswer
from monitor.web.console.outcomes import ANSWER, FormAnswers
from monitor.web.console.pages import page
from monitor.web.console.paging import PAGE, ListPart, asked_for, part
from monitor.web.console.readable import within
from monitor.web.console.silences import SilenceDraft, draft_of, kept_silence
from monitor.web.console.visitor import posted

__all__ = ["DAYS", "KNOWN", "SORTS", "NoiseFigures", "NoiseRow", "figures", "known", "routes"]

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
SORTS: Mapping[str, Callable[[NoiseRow], float]] = {
    "alerts": lambda row: row.noise.alerts,
    "no secret": lambda row: -1.0 if row.noise.share is None else row.noise.share,
    "cost": lambda row: row.seconds or 0.0,
    "incidents": lambda row: row.noise.incidents,
}


KNOWN = f"days: one of {', '.join(map(str, DAYS))}; sort: one of {', '.join(SORTS)}\n"


def known(asked: Mapping[str, str]) -> bool:
    """Whether there is such a list, as `KNOWN` says."""
    return asked["days"] in ("", *map(str, DAYS)) and asked["sort"] in ("", *SORTS)


@dataclass(frozen=True, slots=True)
class NoiseFigures:
    """As they were `at` (seconds since the epoch); None: there are none. `why`: they are not of now."""

    rows: Sequence[NoiseRow]
    at: float | None
    why: str

    def part(self, sort: str, after: str, most: int = PAGE) -> ListPart[NoiseRow]:
        """`sort`: empty: as it is without."""
        return part(self.rows, partial(_place, sort or next(iter(SORTS))), after, most)


async def figures(console: ConsoleContext, days: str) -> NoiseFigures:
    """Of so many days; empty: as it is without. Also of rules that found nothing, but cost something, or of which
    something is said."""
    within_days = int(days or DAYS[0])
    count = partial(console.store.noise.within, within_days)
    counted, why = await console.counted.setdefault(within_days, KeptAnswer(count)).now()
    if counted is None:
        return NoiseFigures((), None, why)
    rules, _ = await within(console.store.silences.list())
    noise = {one.rule: one for one in counted.rules}
    costs = {row["rule"]: row for row in (await console.status())["rules"]}
    said = by_rule(rules)
    rows = [_row(name, noise.get(name), costs.get(name, {}), said) for name in {*noise, *costs, *map(heir, said)}]
    return NoiseFigures(rows, counted.at, why)


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/noise`: the list, and a rule that is to alert less."""
    shown = _Noise(console)
    return [web.get("/noise", shown.show), web.post("/noise", shown.lower)]


class _Noise:
    def __init__(self, console: ConsoleContext) -> None:
        self._console, self._answers = console, FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "days", "sort", "rule", "after", ANSWER)
        if not known(asked):
            raise web.HTTPBadRequest(text=KNOWN)
        return await self._page(request, asked, SilenceDraft(length="30d"))

    async def _page(
        self, request: web.Request, asked: Mapping[str, str], draft: SilenceDraft, status: int = 200
    ) -> web.Response:
        days, sort = int(asked["days"] or DAYS[0]), asked["sort"] or next(iter(SORTS))
        counted = await figures(self._console, asked["days"])
        stale = "There are no figures" if counted.at is None else "These figures are not of now"
        return await page(
            request,
            "noise.html",
            status=status,
            part=counted.part(sort, asked["after"]),
            days=days,
            sort=sort,
            windows=DAYS,
            sorts=tuple(SORTS),
            address=f"/noise?{urlencode({'days': days, 'sort': sort})}",
            listed=_listed,
            rule=asked["rule"],
            choices=_TO if heir(asked["rule"]) in self._console.rules() else (SILENT,),
            draft=draft,
            why=f"{stale}: {counted.why}" if counted.why else "",
            counted_at=counted.at,
            answer=self._answers.shown(request),
        )

    async def lower(self, request: web.Request) -> web.Response:
        form = await posted(request, "admin")
        rule, to = await self._console.redact(form.get("rule")), form.get("to")
        fields = {**form.fields, "matchers": str(Matcher("rule", "=", form.get("rule")))}
        severity = cast(Severity, to) if to in _TO[1:] else None
        draft = await draft_of(self._console, replace(form, fields=fields), severity)
        if not rule:
            draft = replace(draft, wrong="Say which rule is meant: each in the list has a way to it.")
        elif not draft.wrong and to not in _TO:
            draft = replace(draft, wrong=f"To what: one of {', '.join(_TO)}.")
        if draft.wrong:
            return await self._page(request, dict.fromkeys(("days", "sort", "after"), "") | {"rule": rule}, draft, 400)

        async def work() -> str:
            made = await kept_silence(self._console.store, draft, form, "console")
            return f"{made.rule} is {f'lowered to {severity}' if severity else SILENT} until {moment(made.ends)}."

        raise await self._answers.once(form, work, "/noise")


def _row(
    rule: str, noise: RuleNoise | None, cost: Mapping[str, Any], said: Mapping[str, Sequence[SilenceRule]]
) -> NoiseRow:
    return NoiseRow(noise or RuleNoise(rule), cost.get("looks"), cost.get("seconds"), about_rule(said, rule))


def _place(sort: str, row: NoiseRow) -> str:
    return f"{_HIGHEST - SORTS[sort](row):020.6f} {row.noise.rule}"


def _listed(row: NoiseRow, days: int) -> str:
    """The address of the incidents that were counted."""
    return f"/incidents?{urlencode({'rule': row.noise.rule, 'state': 'all', 'drill': 'hidden', 'younger': f'{days}d'})}"
