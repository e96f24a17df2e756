"""What goes into the store and what comes out, beside findings and incidents. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.access.reading import Reading
from monitor.common.inbound import HookDelivery
from monitor.common.notification import Reason, Receipt, State
from monitor.common.severity import Severity
from monitor.domain.incidents import Incident
from monitor.domain.model import Alert, Finding, Position, Resolution
from monitor.runbook.progress import RunbookRun

__all__ = [
    "ActionRun",
    "Activity",
    "AlertBatch",
    "AuditEntry",
    "Commit",
    "Leased",
    "ListPage",
    "Notice",
    "OutboxEntry",
    "StoreStats",
]


@dataclass(frozen=True, slots=True)
class ActionRun:
    """An action about an incident. Times are seconds since the epoch; `step`: the last that may have been sent."""

    id: str
    incident: str
    action: str
    state: str  # planned, approved, running, accepted, completed, failed, unknown
    automatic: bool
    needed: int
    approvals: tuple[str, ...]
    planned_by: str
    planned_at: float
    started_at: float | None = None
    finished_at: float | None = None
    step: int = 0
    outcome: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification that is not about one incident: the summary of a backfill, a test, trouble of the monitor.

    `sinks`: where to; None: where the routes send its severity. Delivered through the outbox like any other.
    """

    title: str
    text: str = ""
    severity: Severity = "info"
    reason: Reason = "operational"
    key: str = "notice"
    sinks: tuple[str, ...] | None = None
    incidents: tuple[str, ...] = ()  # ids


@dataclass(frozen=True, slots=True)
class Commit:
    """Findings with the positions up to which they were found: applied together or not at all.

    `readings`: what audit records say, which may bring findings of its own. `notify` False opens incidents
    without telling anybody (a backfill); `notices` tell of them in one word.
    """

    findings: Sequence[Finding]
    positions: Sequence[Position] = ()
    notify: bool = True
    notices: Sequence[Notice] = ()
    readings: Sequence[Reading] = ()
    source: str = ""  # of the readings


@dataclass(frozen=True, slots=True)
class AlertBatch:
    """Alerts of one source with their findings and all that belongs to them: applied together or not at all.

    `handled`: ids of hook deliveries that this answers; `again`: work to do later; `summary`: the title under which
    alerts that opened quietly are told of now.
    """

    source: str
    alerts: Sequence[Alert] = ()
    findings: Sequence[Finding] = ()
    positions: Sequence[Position] = ()
    handled: Sequence[str] = ()
    again: Sequence[HookDelivery] = ()
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """What is stored about incidents besides, and shown with them."""

    decided: Mapping[str, tuple[str, str, float]] = field(default_factory=dict)  # who changed its state, note, when
    runs: Mapping[str, RunbookRun] = field(default_factory=dict)  # incident → its runbook under way, or ended
    drills: frozenset[str] = frozenset()  # fingerprints that were planted
    actions: Mapping[str, Sequence[ActionRun]] = field(default_factory=dict)  # incident → its actions, newest first


@dataclass(frozen=True, slots=True)
class Activity:
    """How far the trail goes (`revision`: another with each change), and how often incidents were opened, for the first
    time or again, as far as it remembers."""

    revision: int = 0
    opened: int = 0


@dataclass(frozen=True, slots=True)
class ListPage:
    """A part of a list of incidents, of how many that is (`total`), and whether there are more behind it."""

    incidents: Sequence[Incident]
    total: int
    more: bool
    joined: Joined
    activity: Activity


@dataclass(frozen=True, slots=True)
class Leased:
    """A notification that is this process's to send, with the incidents as they are now."""

    id: str
    sink: str
    key: str
    reason: Reason
    incidents: tuple[Incident, ...]
    title: str
    text: str
    severity: Severity
    receipt: Receipt | None
    attempts: int  # that failed, or of which nobody knows how they ended
    created_at: float
    tried: tuple[str, ...] = ()  # sinks that refused it for good
    joined: Joined = field(default_factory=Joined)
    partly: Receipt | None = None  # of an earlier try: which part of it was taken
    more: int = 0  # incidents that the messages after it are about


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A row of the outbox for people: what waits, what was sent, what was given up and why."""

    id: str
    sink: str
    reason: Reason
    state: str  # pending, leased, sent, dead
    incidents: tuple[str, ...]
    title: str
    created_at: float
    next_at: float
    attempts: int
    error: str | None
    finished_at: float | None
    seq: int = 0  # its place: what came later has a larger one
    text: str = ""
    severity: Severity = "info"
    tried: tuple[str, ...] = ()  # sinks that refused it for good


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of state of an incident, or of a step of its run."""

    at: float
    actor: str
    incident: str
    action: str  # opened, escalated, reopened, acknowledged, resolved, reopened_by_hand; run_… and step_…
    was: State | None
    state: State
    resolution: Resolution | None
    severity: Severity
    note: str
    step: str | None = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Gauges read from the database, and counters since this process started."""

    incidents: Mapping[tuple[State, Severity], int] = field(default_factory=dict)
    outbox: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (sink, pending | leased | dead) → rows
    oldest_unsent: float | None = None  # created_at
    size: int = 0  # bytes of the database on disk; 0 when unknown
    findings: Mapping[tuple[str, Severity], int] = field(default_factory=dict)  # new ones, by rule and severity
    repeated: int = 0  # findings that were already known by their id
    suppressed: int = 0  # findings of secrets that are accepted for a while
    opened: int = 0  # incidents
    drill_hops: int | None = None  # of the last drill: found, acknowledged, resolved; None: there was none
    drilled: float | None = None  # when the last drill that went all the way was planted
    transactions: int = 0
    commits: int = 0
    retries: int = 0  # transactions that had to wait for the disk, a lock or the server
    degraded: str | None = None
