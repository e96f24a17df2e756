"""Incidents on a terminal: a line of the list, and all of one with its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monitor.cli.common import paint, printable, severity_colour
from monitor.cli.kit import Column, field
from monitor.common import wording
from monitor.common.field_names import identifier
from monitor.common.text import clip
from monitor.common.wording import stamp
from monitor.routing.fold import field_of

if TYPE_CHECKING:
    from monitor.common.notification import IncidentView
    from monitor.store import AuditEntry

__all__ = ["columns", "event", "shown"]

_STATES = {"acknowledged": "acked"}  # short, as a terminal may be narrow


def columns(now: float) -> Sequence[Column]:
    """Of a list of incidents. `now`: seconds since the epoch."""
    return (
        "id",
        "severity",
        ("state", lambda one: _STATES.get(one.state, one.state)),
        ("owner", lambda one: clip(printable(one.owner or "-"), 12)),
        ("age", lambda one: _brief(now - one.first_seen.timestamp())),
        ("due", lambda one: _due(one, now)),
        ("what", _what),
    )


def _what(one: IncidentView) -> str:
    works = f" ({one.validity})" if one.validity else ""
    often = f", {one.occurrences:,}×" if one.occurrences > 1 else ""
    where = f" in {wording.place(one.locations[0])}" if one.locations else ""
    return f"{wording.title(one)} {one.masked}{works}{where}{often}"


def _brief(seconds: float) -> str:
    """`40s`, `5m`, `3h`, `12d`."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{name}"
    return f"{int(max(seconds, 0))}s"


def _due(one: IncidentView, now: float) -> str:
    """The next deadline of its runbook: `in 20m`, `2h late`; `-`: none."""
    if one.run is None or one.run.deadline is None:
        return "-"
    left = one.run.deadline.timestamp() - now
    return f"in {_brief(left)}" if left > 0 else f"{_brief(-left)} late"


def shown(
    incident: IncidentView, history: Sequence[AuditEntry], until: float | None, held: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    """What an alert says of it, and its history. `held`: by silences that it matches."""
    from monitor.cli.silences import in_words

    colour = None if incident.state == "resolved" else severity_colour(incident.severity)
    yield from (
        paint(f"{wording.title(incident)}  {printable(incident.masked)}", bold=True),
        f"{paint(incident.severity, colour)} {wording.stands(incident)}",
    )
    if incident.state != "resolved":
        yield field("first", incident.first_step, bold=True)
    fields = {
        "at": incident.first_at if incident.state != "resolved" else "",
        "runbook": incident.runbook or incident.book,
        "steps": wording.steps(incident),
        "next": wording.next_step(incident),
        "ack" if incident.state == "open" else "resolve": wording.following(incident),
        "console": incident.url,
        "id": incident.id,
        "fingerprint": incident.fingerprint,
        "rule": incident.rule,
        "confidence": incident.confidence,
        "first_logged": wording.moment(incident.first_logged) if incident.first_logged else None,
        "first_seen": wording.moment(incident.first_seen),
        "last_seen": wording.moment(incident.last_seen),
        "occurrences": f"{incident.occurrences:,}",
        "owner": incident.owner,
        "decided": wording.decision(incident),
        "silenced": f"until {wording.moment(until)}; `incidents silence {incident.id} --for 0s` ends it"
        if until
        else "",
        "merged_into": incident.merged,
        "works": wording.works(incident),
    }
    for key, value in fields.items():
        if value:
            yield field(key, value)
    for silence in held:
        yield field("silenced", in_words(silence))
    for key, value in sorted(incident.labels.items()):
        yield field("label", f"{key}={value}")

    for place in incident.locations:
        yield field("seen in", f"{wording.place(place)}  ({wording.origin(place)})")
        if place.url:
            yield field("", place.url)
    if around := wording.surroundings(incident):
        yield field("line", around)
    if incident.state != "resolved" and (line := identifier(_told_by(incident))):
        yield field("no secret?", f"{line} (docs/configuration.md)")
    if incident.locations and incident.occurrences > len(incident.locations):
        yield field("", f"and {incident.occurrences - len(incident.locations):,} more, before these")
    for entry in history:
        note = f": {entry.note}" if entry.note else ""
        became = f" as {entry.resolution}" if entry.resolution else ""
        step = f" {entry.step}" if entry.step else ""
        when = wording.moment(entry.at)
        yield field("history", f"{when} {entry.action}{step}{became} by {entry.actor}{note}")


def _told_by(incident: IncidentView) -> str:
    """The name of a field, where no more than that says what the value is."""
    from detectors.rules.load import rule_forms

    field = next(filter(None, (field_of(place.context, incident.masked) for place in incident.locations)), "")
    return field if field and rule_forms().get(incident.rule) in ("generic", "keyword") else ""


def event(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": stamp(entry.at, "milliseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "state": entry.state,
        "resolution": entry.resolution,
        "note": entry.note,
        "step": entry.step or None,
    }
