"""What the sinks share to tell of a notification. Safe to show on a terminal and to encode as UTF-8."""

from __future__ import annotations

from collections import Counter

from monitor.common.notification import IncidentView, Notification
from monitor.common.text import clip, printable, web_address
from monitor.common.wording import closing, decision, following, origin, place, seen

__all__ = [
    "NAME",
    "counter",
    "first_steps",
    "headline",
    "link",
    "links",
    "listing",
    "summary",
    "unmarked",
]

NAME = "exposure-monitor"
_MARKUP = frozenset("@*~`|[]<>#!{")  # each begins a mention, a link or markup somewhere; `_` stays, as paths have it
_ROWS, _TEXT = 10, 4000  # incidents of a summary, and its characters


def listing(notification: Notification) -> str:
    """What to type to see all incidents."""
    first = notification.incidents[0] if notification.incidents else None
    return printable(f"{first.program} incidents list{first.options}") if first else "monitor incidents list"


def first_steps(notification: Notification) -> list[str]:
    """What to do first about a group: each different advice once, at most three."""
    steps = (printable(incident.first_step) for incident in notification.incidents if incident.state != "resolved")
    return list(dict.fromkeys(filter(None, steps)))[:3]


def _stands(notification: Notification) -> str:
    """How its state is told when nothing else happened to it."""
    state = {incident.state for incident in notification.incidents}
    if state == {"resolved"}:
        return f": resolved{closing(notification.incidents)}"
    return f": acknowledged{_by(notification)}" if state == {"acknowledged"} else " exposed"


def _by(notification: Notification) -> str:
    actors = {incident.actor for incident in notification.incidents}
    return f" by {printable(actor)}" if len(actors) == 1 and (actor := next(iter(actors))) else ""


def counter(notification: Notification) -> list[str]:
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
        "resolved": f"{what}: resolved{closing(notification.incidents)}",
        "overdue": f"{printable(notification.title) or 'Overdue'} ({what})",
        "recovered": f"{what}: nothing is overdue any more",
        "progress": f"{what}{_stands(notification)}",
    }.get(notification.reason, f"{what} exposed")


def summary(notification: Notification) -> str:
    """What the headline leaves out, in lines of plain text, for a receiver that shows no more. Never empty."""
    incidents = notification.incidents
    lines = [clip(notification.text, _TEXT // 2)] if notification.text else []
    if len(incidents) == 1:
        lines += _about(incidents[0])
    elif incidents:
        lines += [_row(incident) for incident in incidents[:_ROWS]]
        if len(incidents) > _ROWS:
            lines += [f"and {len(incidents) - _ROWS:,} more: {listing(notification)}", *counter(notification)[:_ROWS]]
        lines += [f"First: {step}" for step in first_steps(notification)]
    return clip("\n".join(lines) or headline(notification), _TEXT)


def _about(incident: IncidentView) -> list[str]:
    at = incident.locations[0] if incident.locations else None
    resolved = incident.state == "resolved"
    rows = (
        ("Secret", printable(incident.masked)),
        ("Where", f"{place(at)} ({origin(at)})" if at else ""),
        ("Seen", seen(incident)),
        ("Decision", decision(incident)),
        ("Owner", printable(incident.owner or "")),
        ("First", "" if resolved else printable(incident.first_step)),
        ("Resolve" if incident.state == "acknowledged" else "Acknowledge", following(incident)),
    )
    return [clip(f"{label}: {said}", 1000) for label, said in rows if said]


def _row(incident: IncidentView) -> str:
    where = f" in {place(incident.locations[0])}" if incident.locations else ""
    named = f"{incident.severity}: {printable(incident.name)} {printable(incident.masked)}"
    return clip(f"{named}{where}, {incident.occurrences:,}×", 300)


def unmarked(text: str) -> str:
    """A text that stays one where people read it: a zero-width space follows whatever begins something else."""
    return "".join(c + "\u200b" if c in _MARKUP else c for c in text)


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
