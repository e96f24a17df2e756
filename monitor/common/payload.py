"""An incident as data: the names by which scripts know it, in the webhook's payload and on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from monitor.common.notification import IncidentView, Location
from monitor.common.text import clean
from monitor.common.wording import claim, command, instant

__all__ = ["record"]

Clock = Callable[[datetime], str]


def record(incident: IncidentView, clock: Clock = instant) -> dict[str, Any]:
    """Keys are only ever added. `clock` writes a time."""
    return {
        "id": clean(incident.id),
        "fingerprint": clean(incident.fingerprint),
        "rule": clean(incident.rule),
        "name": clean(incident.name),
        "severity": incident.severity,
        "state": incident.state,
        "resolution": incident.resolution,
        "actor": _optional(incident.actor),
        "note": clean(incident.note),
        "masked": clean(incident.masked),
        "confidence": clean(incident.confidence),
        "first_seen": clock(incident.first_seen),
        "first_logged": clock(incident.first_logged) if incident.first_logged else None,
        "last_seen": clock(incident.last_seen),
        "occurrences": incident.occurrences,
        "locations": [_location(location, clock) for location in incident.locations],
        "owner": _optional(incident.owner),
        "acknowledge": command(incident),
        "run": _run(incident, clock),
        "first_step": clean(incident.first_step),
        "runbook": _optional(incident.runbook),
        "url": _optional(incident.url),
        "labels": _labels(incident.labels),
        "validity": incident.validity or None,
        "asked_at": clock(incident.asked_at) if incident.asked_at else None,
        "verdict": clean(incident.verdict),
        "verified": _labels(incident.verified),
    }


def _run(incident: IncidentView, clock: Clock) -> dict[str, Any] | None:
    run = incident.run
    if run is None:
        return None
    return {
        "book": clean(run.book),
        "order": run.order,
        "done": run.done,
        "total": run.total,
        "step": run.step,
        "title": clean(run.title),
        "deadline": clock(run.deadline) if run.deadline else None,
        "overdue": run.overdue,
        "owner": _optional(run.owner),
        "claim": claim(incident) or None,
    }


def _location(location: Location, clock: Clock) -> dict[str, Any]:
    return {
        "source": clean(location.source),
        "path": clean(location.path),
        "offset": location.offset,
        "line": location.line,
        "time": clock(location.time) if location.time else None,
        "logged_at": clock(location.logged_at) if location.logged_at else None,
        "host": _optional(location.host),
        "service": _optional(location.service),
        "context": _optional(location.context),
        "url": _optional(location.url),
    }


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {clean(key): clean(value) for key, value in labels.items()}


def _optional(text: str | None) -> str | None:
    return None if text is None else clean(text)
