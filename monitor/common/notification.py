"""The words a sink receives, and what it answers. Nothing here can hold a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from monitor.common.severity import Severity

__all__ = [
    "Action",
    "IncidentView",
    "Location",
    "Notification",
    "Offer",
    "Reason",
    "Receipt",
    "RunbookProgress",
    "State",
]

State = Literal["open", "acknowledged", "resolved"]
Reason = Literal[
    "new",  # first notification of an incident
    "update",  # known incident, seen again (grouped by group_interval)
    "repeat",  # nothing new, still open, repeat_interval elapsed
    "escalated",  # severity went up
    "reopened",  # seen again after it was resolved as revoked
    "reopened_by_hand",  # somebody took the acknowledgement or resolution back
    "acknowledged",
    "resolved",
    "overdue",  # a step of the runbook was not done in time
    "progress",  # a step, an action, a silence: for sinks that people act through
    "digest",  # several new incidents folded into one (burst limit)
    "operational",  # about the monitor itself: disk full, bad rule file, bytes missed
    "recovered",  # what `operational` told of under the same key is over
    "test",  # `monitor sinks test`
]
Action = Literal["trigger", "acknowledge", "resolve"]
Receipt = Mapping[str, str]  # what the sink answered and needs for an update: Slack channel and ts, PagerDuty dedup_key


@dataclass(frozen=True, slots=True)
class Location:
    """One place the secret was seen. `offset` in bytes from the start of the file, `line` from 1 when known.

    `time` is when it was read, `logged_at` what the record itself says. `context`: the line around it, masked.
    """

    source: str
    path: str
    offset: int | None = None
    line: int | None = None
    time: datetime | None = None
    url: str | None = None  # a link to the place (GitHub); never carries credentials
    host: str | None = None  # whose monitor saw it
    service: str | None = None
    logged_at: datetime | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class RunbookProgress:
    """How far the runbook of an incident has come. `step`: the id of the next step, None when nothing is left."""

    book: str
    order: str  # contain, replace
    done: int
    total: int
    step: str | None = None
    title: str = ""
    deadline: datetime | None = None
    owner: str | None = None  # who has claimed it
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that people may ask for. `needed`: how many have to approve it; `given`: who has; `state`: of the last
    time it was asked for, empty: never."""

    name: str
    needed: int
    given: tuple[str, ...] = ()
    state: str = ""


@dataclass(frozen=True, slots=True)
class StepClaim:
    """That a step of a runbook has revoked the secret. `checked`: the monitor did it, as the issuer refused it."""

    at: datetime
    by: str
    note: str
    checked: bool = False


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident as it is shown, wherever that is: fingerprint and masked preview, never the value. Made by
    monitor.report.view."""

    id: str
    fingerprint: str
    rule: str
    name: str
    severity: Severity
    state: State
    masked: str
    first_seen: datetime
    last_seen: datetime
    occurrences: int
    locations: tuple[Location, ...] = ()  # newest first; bounded by the store, `occurrences` is the total
    owner: str | None = None
    first_step: str = ""  # what to do first, one sentence
    first_at: str = ""  # where that is done
    book: str | None = None  # name of the runbook, and
    runbook: str | None = None  # link to its page
    url: str | None = None  # link to the incident in the console
    labels: Mapping[str, str] = field(default_factory=dict)  # public facts: JWT role, AWS account id, …
    resolution: str | None = None  # revoked, false_positive, …; set exactly when resolved
    actor: str | None = None  # who changed its state last, a person or the monitor
    note: str = ""  # what they said about it
    decided_at: datetime | None = None
    resolved_at: datetime | None = None
    claim: StepClaim | None = None  # what monitor.common.outcome goes by besides what was decided
    merged: str | None = None  # the incident that it went into
    confidence: str = ""  # high, medium, low
    first_logged: datetime | None = None  # the earliest time that a record with it has itself
    drill: bool = False  # planted on purpose; never told from labels, which a log may bring
    run: RunbookProgress | None = None  # of its runbook; None: none is under way
    program: str = "monitor"  # what a shell has to be told before `incidents ack …`, and
    options: str = ""  # after it, with a space before
    validity: str = ""  # what its issuer says of the secret: valid, refused, unknown; empty: never asked
    asked_at: datetime | None = None
    verdict: str = ""  # the answer in words
    verified: Mapping[str, str] = field(default_factory=dict)  # facts from the issuer: account, scopes, last use, …
    offers: tuple[Offer, ...] = ()  # only for a sink that people act through


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one sink. `id` stays the same over retries; `key` stays the same over the life of the group.

    `incidents` is empty for reasons `operational` and `test`; `title` and `text` then say what happened.
    `receipt` is what this sink answered last time for this `key`, for threads and updates. `again`: it was begun
    before, by a process that was killed or a try whose answer never came, so the sink may have it already. `partly`:
    what the sink said of an earlier try of the same, of which some have it and others not. `more`: how many incidents
    are told by the messages after it, as one takes no more.
    """

    id: str
    key: str
    reason: Reason
    incidents: tuple[IncidentView, ...] = ()
    url: str | None = None
    runbook: str | None = None
    title: str = ""
    text: str = ""
    severity: Severity = "info"  # the highest of its incidents, or that of the operational event
    receipt: Receipt | None = None
    host: str = ""  # whose monitor sends it
    again: bool = False
    partly: Receipt | None = None
    more: int = 0
    version: int = 1

    @property
    def drill(self) -> bool:
        """Whether it only tries the way to here: nothing has leaked. Never told from labels, which logs may bring."""
        return self.reason == "test" or (bool(self.incidents) and all(one.drill for one in self.incidents))

    @property
    def action(self) -> Action:
        """PagerDuty's view: resolve when every incident is resolved, acknowledge when none is open any more."""
        if self.reason == "recovered":
            return "resolve"
        states = {incident.state for incident in self.incidents}
        if self.reason == "overdue":  # also of what somebody has acknowledged
            return "trigger"
        if states == {"resolved"}:
            return "resolve"
        if states and "open" not in states:
            return "acknowledge"
        return "trigger"
