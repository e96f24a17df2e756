"""Where an incident would go, when and why: what `monitor routes` and the page of routes show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectors.rules.load import rule_families, rule_forms
from monitor.domain.incidents import Incident
from monitor.routing.inhibit import Inhibition
from monitor.routing.routes import Policy, Route, labels
from monitor.runbook.book import spoken

__all__ = ["DEFAULT", "GRANTED", "inhibition_row", "labels_from", "places_of", "route_row", "way_of"]

DEFAULT = (
    "pagers get severity high and critical, at high confidence, or at medium of a vendor's own format; other sinks "
    "everything, low confidence once a day"
)
GRANTED = {"state": "open", "confidence": "high"}  # of an incident that is only described
_PLACES = 10  # of an incident, the newest


def labels_from(texts: Sequence[str]) -> dict[str, str]:
    """Of an incident that is only described: each text is NAME=VALUE. Raises ValueError."""
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{text}: not a label; write NAME=VALUE, such as severity=critical")
        given[name] = value
    rule = given.get("rule")
    of_rule = (
        {"family": rule_families().get(rule, "custom"), "format": rule_forms().get(rule, "custom")} if rule else {}
    )
    return {**GRANTED, **of_rule, **given}


def places_of(incident: Incident) -> list[dict[str, str]]:
    """The labels of an incident, once for each source and path it was seen at (the newest ten)."""
    seen = dict.fromkeys((one.source, one.path, one.host or "", one.service or "") for one in incident.locations)
    return [labels(incident, *place) for place in list(seen)[:_PLACES]]


def way_of(policy: Policy, labels: Mapping[str, str], held: Mapping[str, str], now: float) -> dict[str, Any]:
    """Which sinks `labels` would reach, and what each route makes of them. `held`: sink → the worse incident for which
    it is held back there; `now`: seconds since the epoch."""
    verdicts = policy.explain(labels)
    severity: Any = labels.get("severity", "")
    told = dict.fromkeys(sink for verdict in verdicts if verdict.takes for sink in verdict.route.sinks)
    return {
        "labels": dict(labels),
        "sinks": list(told),
        "silenced_until": _end(policy.silenced_until(labels, now)),
        "held_by": dict(held),
        "inhibitions": [
            inhibition_row(place, one)
            for place, one in enumerate(policy.inhibitions, 1)
            if severity != "critical" and one.same(labels) and all(matcher.matches(labels) for matcher in one.matchers)
        ],
        "routes": [
            route_row(v.place, v.route)
            | {"takes": v.takes, "reason": v.reason}
            | {"when": _told_when(v.route) if v.takes else None}
            | {"muted_until": _end(policy.muted_until(v.route, severity, now)) if v.takes else None}
            for v in verdicts
        ],
    }


def _told_when(route: Route) -> str:
    """When a sink hears of a new one, and with which others."""
    if route.digest is not None:
        return f"in one message with all others, every {spoken(route.digest)}"
    wait = f"after {spoken(route.group_wait)}" if route.group_wait else "at once"
    if route.group_by is None:
        return wait
    others = f"those of the same {', '.join(route.group_by)}" if route.group_by else "all others"
    return f"{wait}, together with {others}; more of them every {spoken(route.group_interval)}"


def _end(until: float | None) -> float | str | None:
    return "for ever" if until == float("inf") else until


def inhibition_row(place: int, one: Inhibition) -> dict[str, Any]:
    return {
        "place": place,
        "matchers": [str(matcher) for matcher in one.matchers],
        "while": [str(matcher) for matcher in one.while_],
        "equal": list(one.equal),
    }


def route_row(place: int, route: Route) -> dict[str, Any]:
    by = "each incident" if route.group_by is None else ", ".join(route.group_by) or "all together"
    if route.digest is not None:
        by = f"all, every {spoken(route.digest)}"
    return {
        "place": place,
        "matchers": [str(matcher) for matcher in route.matchers],
        "sinks": list(route.sinks),
        "then": "goes on" if route.continue_ else "ends",
        "groups": by,
        "group_wait": route.group_wait,
        "group_interval": route.group_interval,
        "repeat_interval": route.repeat_interval,
        "burst": str(route.burst),
        "digest": route.digest,
        "mute": list(route.mute),
        "mute_critical": route.mute_critical,
    }
