"""Words and cuts that the sinks share. Everything here is safe to show on a terminal and to encode as UTF-8."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from monitor.common.notification import IncidentView, Location, Notification
from monitor.common.text import printable, web_address

__all__ = [
    "NAME",
    "ago",
    "claim",
    "command",
    "decision",
    "facts",
    "first_steps",
    "headline",
    "instant",
    "link",
    "links",
    "listing",
    "origin",
    "place",
    "seen",
    "steps",
    "sure",
    "surroundings",
    "tally",
    "works",
]

NAME = "exposure-monitor"


def instant(time: datetime) -> str:
    """RFC 3339 in UTC, `2026-11-02T13:58:12.25Z`. A naive time is taken as UTC."""
    return _utc(time).isoformat().replace("+00:00", "Z")


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def ago(seconds: float) -> str:
    """A length of time for people: `40 s`, `5 min`, `3 h`, `12 days`."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            return f"{int(seconds // unit)} {name}"
    return f"{int(max(seconds, 0))} s"


def seen(incident: IncidentView) -> str:
    """How often and since when: `17 times in 5 min, first seen 2026-11-02 13:58:12 UTC`.

    Where records have a time of their own: `…, first logged 2026-11-02 11:02:40 UTC, seen 2026-11-02 13:58:12 UTC`.
    """
    first, last = _utc(incident.first_seen), _utc(incident.last_seen)
    span = (last - first).total_seconds()
    within = f" in {ago(span)}" if span >= 1 else ""
    often = "once, " if incident.occurrences <= 1 else f"{incident.occurrences:,} times{within}, first "
    logged = f"logged {_utc(incident.first_logged):%Y-%m-%d %H:%M:%S} UTC, " if incident.first_logged else ""
    return f"{often}{logged}seen {first:%Y-%m-%d %H:%M:%S} UTC"


def place(location: Location) -> str:
    """`/var/log/app.log:1042`, or `/var/log/app.log (byte 90112)` when the line is not known."""
    path = printable(location.path)
    if location.line is not None:
        return f"{path}:{location.line}"
    return path if location.offset is None else f"{path} (byte {location.offset})"


def origin(location: Location) -> str:
    """Whose log it is: `payments on web-3, services`, which are service, host and source, as far as they are known."""
    whose = " on ".join(filter(None, (location.service, location.host)))
    return printable(", ".join(filter(None, (whose, location.source))))


def surroundings(incident: IncidentView) -> str:
    """The newest line with it that can be shown, masked; empty when there is none."""
    return next((printable(place.context) for place in incident.locations if place.context), "")


def sure(incident: IncidentView) -> str:
    """How sure the rule is: `high confidence`; empty when that is not known."""
    return printable(f"{incident.confidence} confidence") if incident.confidence else ""


def works(incident: IncidentView) -> str:
    """What its issuer said, when: `valid: GitHub takes it (account octocat), asked 2026-11-02 13:58:12 UTC`; empty when
    nobody was asked."""
    if not incident.validity:
        return ""
    facts = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in incident.verified.items())
    said = f"{incident.validity}: {incident.verdict}" + (f" ({facts})" if facts else "")
    return printable(said) + (f", asked {_utc(incident.asked_at):%Y-%m-%d %H:%M:%S} UTC" if incident.asked_at else "")


def command(incident: IncidentView, verb: str = "ack") -> str:
    """What to type, where the monitor runs: it works as it stands there."""
    return printable(f"{incident.program} incidents {verb} {incident.id}{incident.options}")


def steps(incident: IncidentView) -> str:
    """How far its runbook is: `2 of 9 done; next: Deploy the replacement, due 2026-11-02 14:15 UTC, claimed by ada`;
    empty when none is under way."""
    run = incident.run
    if run is None:
        return ""
    said = f"{run.done} of {run.total} done"
    if run.step is not None:
        due = f", due {_utc(run.deadline):%Y-%m-%d %H:%M} UTC" if run.deadline else ""
        said += f"; next: {run.title}{due}{' (overdue)' if run.overdue else ''}"
        said += f", claimed by {run.owner}" if run.owner else ""
    return printable(said)


def claim(incident: IncidentView) -> str:
    """What to type to take the next step; empty when somebody has it, or none is left."""
    run = incident.run
    if run is None or run.step is None or run.owner is not None:
        return ""
    return printable(f"{incident.program} runbook claim {incident.id} {run.step}{incident.options}")


def listing(notification: Notification) -> str:
    """What to type to see all incidents."""
    first = notification.incidents[0] if notification.incidents else None
    return printable(f"{first.program} incidents list{first.options}") if first else "monitor incidents list"


def facts(incident: IncidentView) -> str:
    """The public facts of an incident in one line: `role=service_role, account=…`."""
    return printable(", ".join(f"{key}={value}" for key, value in sorted(incident.labels.items())))


def first_steps(notification: Notification) -> list[str]:
    """What to do first about a group: each different advice once, at most three."""
    steps = (printable(incident.first_step) for incident in notification.incidents if incident.state != "resolved")
    return list(dict.fromkeys(filter(None, steps)))[:3]


def decision(incident: IncidentView) -> str:
    """What was decided about it and by whom: `resolved as revoked by ada: new key deployed`; empty when nothing was."""
    if incident.state == "open" and not incident.note:
        return ""
    words: list[str] = [incident.state]
    if incident.resolution:
        words.append(f"as {incident.resolution}")
    if incident.actor:
        words.append(f"by {incident.actor}")
    return printable(" ".join(words) + (f": {incident.note}" if incident.note else ""))


def _as(notification: Notification) -> str:
    made = {incident.resolution for incident in notification.incidents}
    return f" as {next(iter(made))}" if len(made) == 1 and None not in made else ""


def _stands(notification: Notification) -> str:
    """How its state is told when nothing else happened to it."""
    state = {incident.state for incident in notification.incidents}
    if state == {"resolved"}:
        return f": resolved{_as(notification)}{_by(notification)}"
    return f": acknowledged{_by(notification)}" if state == {"acknowledged"} else " exposed"


def _by(notification: Notification) -> str:
    actors = {incident.actor for incident in notification.incidents}
    return f" by {printable(actor)}" if len(actors) == 1 and (actor := next(iter(actors))) else ""


def tally(notification: Notification) -> list[str]:
    """How many incidents of each rule, the most first: `412 × GitHub token`."""
    counts = Counter(printable(incident.name) for incident in notification.incidents)
    return [f"{count:,} × {name}" for name, count in counts.most_common()]


def headline(notification: Notification) -> str:
    """The one line that says what happened: for a title, a subject, a pager's summary."""
    said = _headline(notification)
    return f"Drill: {said}" if notification.drill and notification.incidents else said


def _headline(notification: Notification) -> str:
    incidents = notification.incidents
    if not incidents:
        over = "Over: " if notification.reason == "recovered" else ""
        unnamed = "Test notification" if notification.reason == "test" else "Message from the monitor"
        return over + (printable(notification.title) or unnamed)
    if len(incidents) > 1:
        what = f"{len(incidents)} secrets"
        name = printable(incidents[0].name)
        if all(incident.rule == incidents[0].rule for incident in incidents):
            what += f" ({name})"
        else:
            what += f" ({name} and others)"
    else:
        what = printable(incidents[0].name)
    return {
        "update": f"{what}: seen again",
        "repeat": f"{what}: still exposed",
        "escalated": f"{what}: now {notification.severity}",
        "reopened": f"{what}: seen again after it was resolved",
        "reopened_by_hand": f"{what}: reopened{_by(notification)}",
        "acknowledged": f"{what}: acknowledged{_by(notification)}",
        "resolved": f"{what}: resolved{_as(notification)}{_by(notification)}",
        "overdue": f"{printable(notification.title) or 'Overdue'} ({what})",
        "recovered": f"{what}: nothing is overdue any more",
        "progress": f"{what}{_stands(notification)}",
    }.get(notification.reason, f"{what} exposed")


def link(url: str | None) -> str | None:
    """A web address that is also safe inside markup and header-like places, or None."""
    good = web_address(url)
    return None if good is None or any(c in "<>|\"'`\\{}" for c in good) else good


def links(notification: Notification) -> tuple[str | None, str | None]:
    """The links of the whole notification to the console and the runbook, or those of its only incident."""
    only = notification.incidents[0] if len(notification.incidents) == 1 else None
    return (
        notification.url or (only.url if only else None),
        notification.runbook or (only.runbook if only else None),
    )
