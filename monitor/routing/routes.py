"""Who is told what, and when: matchers, routes, silences, grouping. Pure; the semantics are Prometheus Alertmanager's.

What differs: a leak does not resolve itself, so there is no resolve_timeout; a known incident that is seen again is an
update every `group_interval`; and a burst of new incidents folds into digests instead of flooding people.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema

from detectors.rules.load import rule_families, rule_forms
from monitor.common.duration import Duration, parse_duration
from monitor.common.severity import Severity
from monitor.domain.incidents import Incident
from monitor.routing.budget import PAUSE
from monitor.routing.inhibit import Inhibition
from monitor.routing.match import Matcher, from_text
from monitor.routing.mute import MuteTime, muted_until

__all__ = [
    "GroupKind",
    "IncidentPlace",
    "Policy",
    "Rate",
    "Route",
    "RouteVerdict",
    "Silence",
    "Target",
    "default_routes",
    "labels",
]

GroupKind = Literal["incident", "group", "digest"]


@dataclass(frozen=True, slots=True)
class Rate:
    """`COUNT/PERIOD`, such as "20/1m"; the period is in seconds."""

    count: int
    period: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        count, slash, period = text.partition("/")
        if not slash or not re.fullmatch(r"\s*\d{1,9}\s*", count, re.ASCII):
            raise ValueError('not a rate; write COUNT/PERIOD, such as "20/1m"')
        seconds = parse_duration(period)
        if seconds <= 0:
            raise ValueError('the period of a rate must be longer than nothing, such as "20/1m"')
        return cls(int(count), seconds)

    def __str__(self) -> str:
        return f"{self.count}/{self.period:g}s"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return from_text(cls, cls.parse, 'a rate is text, such as "20/1m"')


class Route(BaseModel):
    """One `[[routes]]` table. The first that matches takes the incident, unless it says `continue`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_alias=True, validate_by_name=True
    )

    matchers: tuple[Matcher, ...] = ()  # all must match; none: takes everything
    sinks: Annotated[tuple[str, ...], Field(min_length=1)]
    continue_: bool = Field(default=False, alias="continue")
    group_by: tuple[str, ...] | None = None  # None: each incident by itself; (): all in one group
    group_wait: Duration = 0.0
    group_interval: Duration = 300.0
    repeat_interval: Duration = 4 * 3600.0
    burst: Rate = Rate(20, 60.0)
    digest: Annotated[Duration, Field(gt=0)] | None = None  # seconds: all that it takes in one message, once in so long
    mute: tuple[str, ...] = ()  # names of mute times
    mute_critical: bool = False  # critical ones, too

    @model_validator(mode="after")
    def _one_way(self) -> Route:
        if self.digest is not None and self.group_by is not None:
            raise ValueError("give digest or group_by: a digest has all that the route takes")
        return self

    @cached_property
    def id(self) -> str:
        """Survives a reload: depends on what the route takes and how it groups, not on its place in the file."""
        identity = json.dumps([sorted(map(str, self.matchers)), self.group_by])
        return hashlib.sha256(identity.encode()).hexdigest()[:12]

    def budget(self, severity: Severity) -> str:
        """Names what a new group of this severity counts against in `burst`."""
        return f"{self.id}:{severity}"

    def takes(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.matches(labels) for matcher in self.matchers)

    def group_key(self, labels: Mapping[str, str], incident: str) -> str:
        """Opaque and short: it becomes PagerDuty's dedup_key."""
        if self.group_by is None:
            # Without the route: an incident that moves to another route stays the same thing for its sink.
            return f"incident:{incident}"
        values = json.dumps([self.id, [labels.get(name, "") for name in self.group_by]])
        return f"group:{hashlib.sha256(values.encode('utf-8', 'backslashreplace')).hexdigest()[:24]}"


class IncidentPlace(NamedTuple):
    """Where an incident was seen, as far as routes look. `host`: who wrote it, or else whose monitor saw it."""

    source: str = ""
    path: str = ""
    host: str = ""
    service: str = ""


class Silence(BaseModel):
    """One `[[silences]]` table: incidents that match are held back, not dropped; they are told when it ends."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    matchers: Annotated[tuple[Matcher, ...], Field(min_length=1)]
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    author: str = ""
    comment: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Silence:
        if self.starts and self.ends and self.ends <= self.starts:
            raise ValueError("ends before it starts")
        return self

    def until(self, labels: Mapping[str, str], now: float) -> float | None:
        """When the silence over `labels` ends; infinity for never; None when they are not silenced."""
        if self.starts and now < self.starts.timestamp():
            return None
        if self.ends and now >= self.ends.timestamp():
            return None
        if not all(matcher.matches(labels) for matcher in self.matchers):
            return None
        return self.ends.timestamp() if self.ends else float("inf")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route sends an incident: one group of one sink."""

    sink: str
    key: str
    route: Route


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """What one route makes of an incident, and why."""

    place: int  # from 1, in the order of the configuration
    route: Route
    takes: bool
    reason: str


@dataclass(frozen=True)
class Policy:
    """Who is told, as configured. `sinks`: every sink there is; `pagers`: those that wake people; `threads`: those that
    people act through, which hear of every turn. What holds without a route: `default_routes`.
    """

    sinks: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    silences: tuple[Silence, ...] = ()
    pagers: frozenset[str] = frozenset()
    threads: frozenset[str] = frozenset()
    mutes: tuple[MuteTime, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()

    @cached_property
    def effective(self) -> tuple[Route, ...]:
        if self.routes or not self.sinks:
            return self.routes
        return default_routes(self.sinks, self.pagers)

    def targets(self, labels: Mapping[str, str], incident: str, now: float | None = None) -> list[Target]:
        """One target for each sink and group, from the first route that leads there.

        `now`: from the first that is not muted then, or else whose mute ends first; None: as if none were muted.
        """
        by_group: dict[tuple[str, str], list[Target]] = {}
        for route in self.effective:
            if not route.takes(labels):
                continue
            key = route.group_key(labels, incident)
            for sink in route.sinks:
                by_group.setdefault((sink, key), []).append(Target(sink, key, route))
            if not route.continue_:
                break

        severity: Any = labels.get("severity", "")
        if now is None:
            return [several[0] for several in by_group.values()]
        return [
            several[0]
            if len(several) == 1
            else min(several, key=lambda one: self.muted_until(one.route, severity, now) or float("-inf"))
            for several in by_group.values()
        ]

    def pause(self, sink: str) -> float:
        """Seconds from one message about many to the next; less than a minute where a route to the sink says so."""
        return min([PAUSE, *(route.group_interval for route in self.effective if sink in route.sinks)])

    def explain(self, labels: Mapping[str, str]) -> list[RouteVerdict]:
        """What each route makes of `labels`, in order. Agrees with `targets`."""
        verdicts, ended = [], False
        for place, route in enumerate(self.effective, 1):
            missed = next((matcher for matcher in route.matchers if not matcher.matches(labels)), None)
            if ended:
                verdict = RouteVerdict(place, route, False, "a route before it has taken the incident")
            elif missed is not None:
                is_now = labels.get(missed.label)
                why = f"{missed} does not hold: {missed.label} is " + (f'"{is_now}"' if is_now else "not set")
                verdict = RouteVerdict(place, route, False, why)
            else:
                why = "all its matchers hold" if route.matchers else "it has no matchers"
                verdict = RouteVerdict(place, route, True, why + ("; goes on" if route.continue_ else ""))
                ended = not route.continue_
            verdicts.append(verdict)
        return verdicts

    def silenced_until(self, labels: Mapping[str, str], now: float) -> float | None:
        """The latest end of the silences that hold `labels` back; None when none does."""
        ends = [end for silence in self.silences if (end := silence.until(labels, now)) is not None]
        return max(ends, default=None)

    def muted_until(self, route: Route, severity: Severity, now: float) -> float | None:
        """When the route tells of such incidents again; None: it does; infinity: never."""
        if not route.mute or (severity == "critical" and not route.mute_critical):
            return None
        return muted_until((one for one in self.mutes if one.name in route.mute), now)


_SERIOUS = 'severity=~"critical|high"'


def default_routes(sinks: Sequence[str], pagers: Collection[str]) -> tuple[Route, ...]:
    """Who is told where nobody has said so. A pager wakes people for what is serious, and sure or of a vendor's own
    format; the others get all but low confidence at once, and that once a day."""
    waking = tuple(name for name in sinks if name in pagers)
    others = tuple(name for name in sinks if name not in pagers)
    sure = (('confidence="high"',), ('confidence="medium"', 'format="vendor"')) if waking else ()
    found: list[dict[str, Any]] = [
        {"matchers": (_SERIOUS, *matchers), "sinks": waking, "continue": True} for matchers in sure
    ]
    if others:
        found.append({"matchers": ('confidence!="low"',), "sinks": others})
        found.append({"matchers": ('confidence="low"',), "sinks": others, "digest": "24h"})
    return tuple(map(Route.model_validate, found))


def labels(incident: Incident, source: str, path: str, host: str = "", service: str = "") -> dict[str, str]:
    """What matchers and group_by see. The place is that of one finding: an incident can have many."""
    own = incident.labels
    return {
        "family": rule_families().get(incident.rule, "custom"),
        **own,
        "format": rule_forms().get(incident.rule, "custom"),
        "severity": incident.severity,
        "rule": incident.rule,
        "name": incident.name,
        "state": incident.state,
        "confidence": incident.confidence,
        **({"validity": incident.verified.validity} if incident.verified else {}),
        "fingerprint": incident.fingerprint,
        "source": source,
        "path": path,
        **{name: value for name, value in (("host", own.get("host") or host), ("service", service)) if value},
    }
