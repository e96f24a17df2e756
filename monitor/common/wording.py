"""An incident in words: the same in every sink, on a terminal, in its document and on its page.

Everything here is safe to show on a terminal and to encode as UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import overload

from monitor.common.notification import IncidentView, Location
from monitor.common.outcome import Outcome, outcome, window
from monitor.common.text import printable

__all__ = [
    "ago",
    "claim",
    "closing",
    "command",
    "decision",
    "exposure",
    "facts",
    "following",
    "instant",
    "moment",
    "next_step",
    "origin",
    "place",
    "seen",
    "stamp",
    "stands",
    "steps",
    "sure",
    "surroundings",
    "title",
    "works",
]


def instant(time: datetime) -> str:
    """RFC 3339 in UTC, `2026-11-02T13:58:12.25Z`. A naive time is taken as UTC."""
    return _utc(time).isoformat().replace("+00:00", "Z")


@overload
def stamp(seconds: float, timespec: str = ...) -> str: ...
@overload
def stamp(seconds: float | None, timespec: str = ...) -> str | None: ...
def stamp(seconds: float | None, timespec: str = "seconds") -> str | None:
    """RFC 3339 in UTC of seconds since the epoch, `2026-11-02T13:58:12Z`, for scripts. `timespec`: of `isoformat`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def moment(time: datetime | float) -> str:
    """For people: `2026-11-02 13:58:12 UTC`. A number counts seconds since the epoch."""
    return f"{_utc(time):%Y-%m-%d %H:%M:%S} UTC"


def ago(seconds: float) -> str:
    """A length of time for people: `40 s`, `5 min`, `3 h`, `12 days`."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            return f"{int(seconds // unit)} {name}"
    return f"{int(max(seconds, 0))} s"


def title(incident: IncidentView) -> str:
    """What it is: `GitHub personal access token`; of one that was planted on purpose: `Drill: …`."""
    return printable(f"Drill: {incident.name}" if incident.drill else incident.name)


def seen(incident: IncidentView) -> str:
    """How often and since when: `17 times in 5 min, first seen 2026-11-02 13:58:12 UTC`.

    Where records have a time of their own: `…, first logged 2026-11-02 11:02:40 UTC, seen 2026-11-02 13:58:12 UTC`.
    """
    span = (_utc(incident.last_seen) - _utc(incident.first_seen)).total_seconds()
    within = f" in {ago(span)}" if span >= 1 else ""
    often = "once, " if incident.occurrences <= 1 else f"{incident.occurrences:,} times{within}, first "
    logged = f"logged {moment(incident.first_logged)}, " if incident.first_logged else ""
    return f"{often}{logged}seen {moment(incident.first_seen)}"


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
    return printable(said) + (f", asked {moment(incident.asked_at)}" if incident.asked_at else "")


def facts(incident: IncidentView) -> str:
    """The public facts of an incident in one line: `role=service_role, account=…`, without those that only stand in
    queries of audit logs, where they are filled in."""
    shown = (f"{key}={value}" for key, value in sorted(incident.labels.items()) if key != "hashed_token")
    return printable(", ".join(shown))


def decision(incident: IncidentView) -> str:
    """What was decided about it and by whom: `resolved as false_positive by ada: a test`, `resolved as revoked, said by
    ada, not verified: new key deployed`; empty when nothing was."""
    if incident.state == "open" and not incident.note:
        return ""
    return f"{incident.state}{closing([incident])}" + (f": {printable(incident.note)}" if incident.note else "")


def closing(incidents: Sequence[IncidentView]) -> str:
    """How they were decided alike, and by whom: what follows `resolved`. That a secret is revoked is a fact where its
    issuer was seen to refuse it, and what somebody says elsewhere."""
    made, actors = {one.resolution for one in incidents}, {one.actor for one in incidents}
    actor = next(iter(actors)) if len(actors) == 1 else None
    resolution = next(iter(made)) if len(made) == 1 else None
    known = resolution != "revoked" or all(outcome(one).checked for one in incidents)
    by = f" by {actor}" if actor and known else f", said by {actor}" if actor else ""
    return printable((f" as {resolution}" if resolution else "") + by + _verified(resolution, known=known))


def stands(incident: IncidentView) -> str:
    """`open`, `acknowledged`, `resolved as revoked, not verified`."""
    if incident.resolution is None:
        return incident.state
    known = outcome(incident).checked is not None
    return f"{incident.state} as {incident.resolution}{_verified(incident.resolution, known=known)}"


def _verified(resolution: str | None, *, known: bool) -> str:
    return "" if resolution != "revoked" else ", verified" if known else ", not verified"


def exposure(incident: IncidentView) -> str:
    """Since when, what ended it, and what says so, in one sentence without its full stop."""
    became, (start, end) = outcome(incident), window(incident)
    since = f"Exposed from {moment(start)}"
    said = f"said by {became.by or 'somebody'}" + (f": {became.note}" if became.note else "")
    words = {
        "exposed": f"{since}, and not revoked yet" + (f", by its issuer: {became.answer}" if became.answer else ""),
        "revoked": f"{since} until {moment(end)}: {_revoked(became)}" if end else f"{since}; {_revoked(became)}",
        "accepted": f"{since}, and not revoked: accepted, {said}",
        "false_positive": f"Seen from {moment(start)}, and nothing was exposed: a false positive, {said}",
        "used_in_tests": f"Seen from {moment(start)}, and nothing was exposed: used in tests, {said}",
        "merged": f"{since}; it counts as incident {incident.merged}, where its end is told",
    }
    return printable(words[became.kind])


def _revoked(became: Outcome) -> str:
    note = f": {became.note}" if became.note else ""
    if became.checked:
        by = "" if became.by == "monitor" else f" by {became.by or 'somebody'}{note};"
        return f"revoked{by} verified {moment(became.checked)}: {became.answer or 'its issuer refuses it'}"
    return f"revoked, said by {became.by or 'somebody'}, not verified{note or ', without what shows it'}"


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


def next_step(incident: IncidentView) -> str:
    """What to type to take or end the next step of its runbook; where none is left, to change its state."""
    run = incident.run
    if incident.state == "resolved" or run is None or run.step is None:
        return following(incident)
    verb = "claim" if run.owner is None else "done"
    return printable(f"{incident.program} runbook {verb} {incident.id} {run.step}{incident.options}")


def command(incident: IncidentView, verb: str = "ack") -> str:
    """What to type, where the monitor runs: it works as it stands there."""
    return printable(f"{incident.program} incidents {verb} {incident.id}{incident.options}")


def following(incident: IncidentView) -> str:
    """What to type to acknowledge it, then to resolve it; empty for what is resolved."""
    if incident.state == "open":
        return command(incident)
    if incident.state == "acknowledged":
        return printable(f"{incident.program} incidents resolve {incident.id} --as revoked{incident.options}")
    return ""


def _utc(time: datetime | float) -> datetime:
    if not isinstance(time, datetime):
        return datetime.fromtimestamp(time, UTC)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
