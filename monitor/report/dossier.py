"""An incident as its document tells it: what happened when, and how long it took. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from monitor.common.notification import IncidentView
from monitor.common.outcome import outcome, window
from monitor.common.wording import moment
from monitor.domain.incidents import Incident
from monitor.report.view import view
from monitor.runbook.progress import RunbookRun
from monitor.store import AuditEntry, Joined, OutboxEntry, Use

__all__ = [
    "REGULATOR",
    "Dossier",
    "Event",
    "Span",
    "events",
    "milestones",
    "spans",
    "together",
    "used",
]

REGULATOR = 72 * 3600.0  # seconds in which a breach of personal data is to be reported, from when it is known
_SAID = {
    "opened": "incident opened",
    "escalated": "severity went up",
    "reopened": "seen again after it was resolved",
    "reopened_by_hand": "reopened",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "verified": "the issuer was asked",
    "silenced": "silenced",
    "unsilenced": "silence ended",
    "suppressed": "suppressed",
    "unsuppressed": "suppression over",
    "merged": "merged into another",
    "absorbed": "another was merged into it",
    "parted": "one that was merged into it counts for itself again",
    "assigned": "assigned",
    "run_adopted": "runbook taken over",
    "noted": "noted",
    "alert_retried": "an alert was tried again",
    "alert_discarded": "an alert was discarded unsent",
    "acted": "action",
    "run_started": "runbook started",
    "run_ended": "runbook ended",
    "run_resumed": "runbook goes on",
    "step_claimed": "claimed",
    "step_done": "done",
    "step_skipped": "skipped",
    "step_failed": "failed",
    "step_reopened": "reopened",
    "step_overdue": "overdue",
}

_OUTCOMES = {"read": "read", "denied": "was refused", "used": "used"}


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything that is kept of one incident. `told`: notifications about it that are still known.
    `uses`: what audit records say of its secret since it was exposed."""

    incident: Incident
    run: RunbookRun | None
    history: Sequence[AuditEntry]
    told: Sequence[OutboxEntry]
    now: float
    uses: Sequence[Use] = ()
    joined: Joined = field(default_factory=Joined)

    @property
    def shown(self) -> IncidentView:
        """As alerts show it."""
        runs = {self.incident.id: self.run} if self.run else {}
        return view(self.incident, replace(self.joined, runs=runs))


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline. `at`: seconds since the epoch."""

    at: float
    who: str
    what: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """How long something took; `seconds` None: it has not happened, or nothing tells when."""

    name: str
    since: str
    seconds: float | None


def events(dossier: Dossier) -> list[Event]:
    """Oldest first."""
    incident = dossier.incident
    again = incident.last_seen if incident.occurrences > 1 else None
    seen = (
        (incident.first_seen, "monitor", "first read by the monitor"),
        (incident.first_logged, "the log", "first logged"),
        (again, "monitor", "last seen"),
    )
    timeline = [Event(at, who, what) for at, who, what in seen if at is not None]
    for entry in dossier.history:
        said = _SAID.get(entry.action, entry.action)
        what = f"step {entry.step} {said}" if entry.step else said
        if entry.resolution and entry.action == "resolved":
            what += f" as {entry.resolution}"
        timeline.append(Event(entry.at, entry.actor, what, entry.note))
    for one in dossier.told:
        if one.state == "sent" and one.finished_at is not None:
            timeline.append(Event(one.finished_at, one.sink, f"reported ({one.reason})"))
        elif one.state == "dead" and one.finished_at is not None:
            timeline.append(Event(one.finished_at, one.sink, f"could not be reported ({one.reason})", one.error or ""))
    timeline += [
        Event(one.first, one.principal, f"{_OUTCOMES[one.outcome]} {one.secret}", used(one))
        for one in together(dossier)
    ]
    return sorted(timeline, key=lambda event: event.at)


def together(dossier: Dossier) -> list[Use]:
    """Who used the secret since it was exposed: a row for each way, first first."""
    start = window(dossier.shown)[0].timestamp()
    rows: dict[tuple[str, ...], Use] = {}
    for one in dossier.uses:
        if one.last < start:
            continue
        key = (one.secret, one.principal, one.address, one.outcome)
        known = rows.get(key, replace(one, times=0))
        rows[key] = replace(
            known,
            first=max(start, min(known.first, one.first)),
            last=max(known.last, one.last),
            times=known.times + one.times,
        )
    return sorted(rows.values(), key=lambda use: use.first)


def used(use: Use) -> str:
    """How often, from where, and until when."""
    until = moment(use.last)
    where = f" from {use.address}" if use.address else ""
    return f"{use.times:,} time{'' if use.times == 1 else 's'}{where}, last {until}"


def milestones(dossier: Dossier) -> list[tuple[str, float]]:
    """What a picture of it shows, in the order of time: name, and seconds since the epoch."""
    incident = dossier.incident
    ends = {
        "logged": incident.first_logged,
        "read": incident.first_seen,
        "opened": _first(dossier, "opened"),
        "reported": _told(dossier),
        "acknowledged": _first(dossier, "acknowledged"),
        _revoked_as(dossier): _revoked(dossier),
        "replaced": _done(dossier, "replace"),
        "deployed": _done(dossier, "deploy"),
        "resolved": incident.resolved_at,
    }
    return sorted(((name, at) for name, at in ends.items() if at is not None), key=lambda one: one[1])


def spans(dossier: Dossier) -> list[Span]:
    """Time to detect, tell, acknowledge, revoke, replace and close."""
    incident = dossier.incident
    opened = _first(dossier, "opened") or incident.first_seen

    def since(start: float | None, end: float | None) -> float | None:
        return None if start is None or end is None else max(end - start, 0.0)

    return [
        Span("detect", "logged", since(incident.first_logged, incident.first_seen)),
        Span("tell", "opened", since(opened, _told(dossier))),
        Span("acknowledge", "opened", since(opened, _first(dossier, "acknowledged"))),
        Span("revoke", "opened", since(opened, _revoked(dossier))),
        Span("replace", "opened", since(opened, _done(dossier, "replace"))),
        Span("deploy", "opened", since(opened, _done(dossier, "deploy"))),
        Span("close", "opened", since(opened, incident.resolved_at)),
    ]


def _revoked(dossier: Dossier) -> float | None:
    _, end = window(dossier.shown)
    return None if end is None else end.timestamp()


def _revoked_as(dossier: Dossier) -> str:
    return "revoked" if outcome(dossier.shown).checked else "said to be revoked"


def _first(dossier: Dossier, action: str) -> float | None:
    return next((entry.at for entry in dossier.history if entry.action == action), None)


def _told(dossier: Dossier) -> float | None:
    times = [one.finished_at for one in dossier.told if one.state == "sent" and one.finished_at is not None]
    return min(times, default=None)


def _done(dossier: Dossier, step: str) -> float | None:
    """When the step was done for good: the last time, if nothing took it back."""
    entry = _last_done(dossier, step)
    return None if entry is None else entry.at


def _last_done(dossier: Dossier, step: str) -> AuditEntry | None:
    last = next(
        (
            entry
            for entry in reversed(dossier.history)
            if entry.step == step and entry.action in ("step_done", "step_reopened")
        ),
        None,
    )
    return last if last is not None and last.action == "step_done" else None
