"""What a finding or a person does to an incident. Pure: no clock, no disk; every answer carries its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from monitor.common.notification import Location, State
from monitor.common.severity import Severity, rank
from monitor.domain.model import Alert, Confidence, Finding, OwnedSecret, Resolution

__all__ = [
    "RESOLUTIONS",
    "Action",
    "ChangeReason",
    "Incident",
    "IncidentChange",
    "TransitionError",
    "Validity",
    "Verified",
    "assign",
    "claim",
    "fold",
    "fold_alert",
    "incident_id",
    "judge",
    "labels_of",
    "merge",
    "own_title",
    "part",
    "transition",
    "urgency",
    "worth_of",
]

# What a merge makes of the one that stays, and taking it back takes from it again.
_SHARED = ("first_seen", "first_logged", "severity", "base", "confidence", "owner", "runbook")
Action = Literal["ack", "resolve", "reopen"]
ChangeReason = Literal["new", "update", "escalated", "reopened", "reopened_by_hand", "acknowledged", "resolved"]
Validity = Literal["valid", "refused", "unknown"]  # what its issuer says of a secret

RESOLUTIONS: tuple[Resolution, ...] = ("revoked", "false_positive", "wont_fix", "used_in_tests")
_CONFIDENCE: Mapping[Confidence, int] = {"low": 0, "medium": 1, "high": 2}
_PRODUCTION = ("production", "prod", "live")
_HEX = re.compile(r"[0-9a-f]{32,}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What the issuer said, when asked. `facts` are public and masked: account, scopes, last_used, …"""

    validity: Validity
    at: float
    reason: str
    provider: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Incident:
    """An exposed secret, as the store keeps it. Times are seconds since the epoch."""

    id: str
    fingerprint: str
    rule: str
    name: str
    severity: Severity
    confidence: Confidence
    state: State
    masked: str
    first_seen: float
    last_seen: float
    occurrences: int
    reopens: int = 0  # how often it came back after it was resolved
    resolution: Resolution | None = None  # set exactly while the state is resolved
    resolved_at: float | None = None
    owner: str | None = None
    runbook: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    locations: tuple[Location, ...] = ()  # newest first, bounded; filled on request
    first_logged: float | None = None  # the earliest time that a record itself gives; `first_seen` is when it was read
    verified: Verified | None = None  # None: nobody was asked
    base: Severity | None = None  # what rules and alerts say, where `severity` follows from the issuer's answer instead
    merged: str | None = None  # the incident that its sightings count for, as people took both for one

    @property
    def own_severity(self) -> Severity:
        """Whatever its issuer said."""
        return self.base or self.severity


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """The incident after an event. `reason` is None when the event is only counted: nobody is to be told."""

    incident: Incident
    reason: ChangeReason | None


_ALARMING = (("validity", "active"), ("publicly_leaked", "true"))


class TransitionError(Exception):
    """A change of state that the incident does not allow. The message says why and what is possible."""


def urgency(incident: Incident) -> tuple[int, float, str]:
    """The order of every list of incidents: open before acknowledged, the worst first, of those the oldest."""
    state = get_args(State).index(incident.state)
    return 10 * state - rank(incident.severity), incident.first_seen, incident.id


def incident_id(fingerprint: str) -> str:
    """Sixteen hex digits, the start of the fingerprint where that is hex.

    The same secret has the same id on every host and after a lost database, so pagers and chats recognise it.
    """
    if _HEX.match(fingerprint):
        return fingerprint[:16]
    return hashlib.sha256(fingerprint.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def fold(existing: Incident | None, finding: Finding) -> IncidentChange:
    """Count `finding` in. The caller has made sure that the finding was never folded before."""
    if existing is None:
        incident = Incident(
            id=incident_id(finding.fingerprint),
            fingerprint=finding.fingerprint,
            rule=finding.rule,
            name=finding.name,
            severity=finding.severity,
            confidence=finding.confidence,
            state="open",
            masked=finding.masked,
            first_seen=finding.time,
            last_seen=finding.time,
            occurrences=1,
            runbook=finding.runbook,
            labels=dict(finding.labels),
            first_logged=finding.logged_at,
        )
        return IncidentChange(incident, "new")

    seen = replace(
        existing,
        first_seen=min(existing.first_seen, finding.time),
        last_seen=max(existing.last_seen, finding.time),
        occurrences=existing.occurrences + 1,
        runbook=existing.runbook or finding.runbook,
        first_logged=min((t for t in (existing.first_logged, finding.logged_at) if t is not None), default=None),
    )
    if any(existing.labels.get(key) != value for key, value in finding.labels.items()):
        seen = replace(seen, labels={**existing.labels, **finding.labels})
    # Several rules can meet the same secret: the incident speaks with the voice of the one that knows it best.
    if _weight(finding.severity, finding.confidence) > _weight(existing.own_severity, existing.confidence):
        seen = replace(
            _worth(seen, finding.severity),
            rule=finding.rule,
            name=finding.name,
            confidence=finding.confidence,
            masked=finding.masked,
            runbook=finding.runbook or existing.runbook,
        )

    if existing.state == "resolved":
        # Revoked and yet in use: an alarm of its own. Evidence older than the resolution proves nothing; and what a
        # person judged harmless stays so.
        if existing.resolution != "revoked" or finding.time <= (existing.resolved_at or 0.0):
            return IncidentChange(seen, None)
        return IncidentChange(_reopened(seen), "reopened")
    if rank(seen.severity) > rank(existing.severity):
        # Whoever acknowledged it acknowledged something smaller.
        return IncidentChange(replace(seen, state="open"), "escalated")
    return IncidentChange(seen, "update")


def fold_alert(
    existing: Incident,
    alert: Alert,
    *,
    was_state: State | None = None,
    was_resolution: Resolution | None = None,
    elsewhere: float | None = None,
    others_open: bool = False,
) -> IncidentChange:
    """What another system's alert says about an incident that its findings are already part of.

    `was_state`, `was_resolution`: the alert's as known before. `elsewhere`: when the secret was last seen outside of
    alerts. `others_open`: another alert of the incident is still open.
    """
    seen = existing
    if any(existing.labels.get(key) != value for key, value in alert.labels.items()):
        seen = replace(seen, labels={**existing.labels, **alert.labels})
    worse = rank(alert.severity) > rank(existing.own_severity)
    if worse:
        seen = _worth(seen, alert.severity)
    # Newly live or public is worse too where the severity is at its height already.
    worse = worse or any(alert.labels.get(key) == value != existing.labels.get(key) for key, value in _ALARMING)

    if alert.state == "resolved" and (was_state, was_resolution) != ("resolved", alert.resolution):
        resolved_at = alert.resolved or alert.updated
        ended = replace(seen, state="resolved", resolution=alert.resolution, resolved_at=resolved_at)
        if alert.resolution == "revoked":
            # It concerns the secret, wherever it lies, whatever was decided before: a sighting is an alarm now.
            if existing.resolution != "revoked":
                if elsewhere is None or elsewhere <= resolved_at:
                    return IncidentChange(ended, "resolved")
                # Open for that very reason the alarm was raised: this is the echo of what was revoked before.
                if existing.state != "open" or not existing.reopens:
                    return IncidentChange(_reopened(seen), "reopened")
        elif elsewhere is None and not others_open:
            # Every other word concerns the place they looked at, and follows their own earlier word only.
            followed = was_state == "resolved" and existing.resolution == was_resolution != "revoked"
            if existing.state != "resolved" or followed:
                return IncidentChange(ended, "resolved")
    if alert.state == "open" and existing.state == "resolved":
        if was_state != "resolved":
            return IncidentChange(seen, None)
        return IncidentChange(replace(seen, state="open", resolution=None, resolved_at=None), "reopened_by_hand")
    if worse and existing.state != "resolved":
        return IncidentChange(replace(seen, state="open"), "escalated")
    return IncidentChange(seen, None)


def transition(
    incident: Incident, action: Action, *, actor: str, now: float, resolution: Resolution | None = None
) -> IncidentChange:
    """Apply what a person (or a runbook) decided. Raises TransitionError."""
    if action == "resolve":
        if resolution is None:
            raise TransitionError(f"a resolution is required: one of {', '.join(RESOLUTIONS)}")
        if resolution not in RESOLUTIONS:
            raise TransitionError(f"unknown resolution; use one of {', '.join(RESOLUTIONS)}")
        if incident.state == "resolved" and incident.resolution == resolution:
            raise TransitionError(f"incident {incident.id} is already resolved as {resolution}")
        return IncidentChange(replace(incident, state="resolved", resolution=resolution, resolved_at=now), "resolved")
    if resolution is not None:
        raise TransitionError(f"a resolution goes with resolve, not with {action}")
    if action == "ack":
        if incident.state != "open":
            hint = "; reopen it first" if incident.state == "resolved" else ""
            raise TransitionError(f"incident {incident.id} is already {incident.state}{hint}")
        return IncidentChange(replace(incident, state="acknowledged", owner=incident.owner or actor), "acknowledged")
    if action == "reopen":
        if incident.state == "open":
            raise TransitionError(f"incident {incident.id} is already open")
        # It did not come back: somebody thinks otherwise about it.
        opened = replace(incident, state="open", resolution=None, resolved_at=None, merged=None)
        return IncidentChange(opened, "reopened_by_hand")
    raise TransitionError("unknown action; use ack, resolve or reopen")


def assign(incident: Incident, person: str) -> Incident:
    """It is theirs now. Raises TransitionError."""
    if incident.state == "resolved":
        raise TransitionError(f"incident {incident.id} is already resolved; reopen it first")
    if incident.owner == person:
        raise TransitionError(f"incident {incident.id} is {person}'s already")
    return replace(incident, owner=person)


def merge(incident: Incident, other: Incident, now: float) -> tuple[IncidentChange, Incident]:
    """`other` goes into `incident`: what becomes of both. Raises TransitionError.

    The one that stays keeps its name; it is as severe and as certain as the worse of both.
    """
    for one in (incident, other):
        if one.merged is not None:
            raise TransitionError(f"incident {one.id} was merged into {one.merged} already")
    if incident.id == other.id:
        raise TransitionError(f"incident {incident.id} cannot be merged into itself")
    if incident.state == "resolved":
        raise TransitionError(f"incident {incident.id} is resolved; reopen it first")

    both = _combined(incident, other)
    gone = replace(other, merged=incident.id)
    if other.state != "resolved":
        gone = replace(gone, state="resolved", resolution="wont_fix", resolved_at=now)
    if rank(both.severity) > rank(incident.severity):
        return IncidentChange(replace(both, state="open"), "escalated"), gone
    return IncidentChange(both, "update"), gone


def part(current: Incident, chain: Sequence[tuple[Incident, Incident]]) -> tuple[Incident, list[Incident]]:
    """What merges made of an incident, without the first of `chain`: each merge of those that still hold, from that one
    on, with the incident as it was before it and the one that went. What has changed since by itself stays.

    Returns it as it is now, and as it would have been before each of the later merges.
    """
    before, went = chain[0]
    old, new = _combined(before, went), before
    befores = []
    for was, other in chain[1:]:
        befores.append(_without(was, old, new))
        old, new = _combined(was, other), _combined(befores[-1], other)
    return _without(current, old, new), befores


def _without(current: Incident, old: Incident, new: Incident) -> Incident:
    """Where it stands as in `old`, as in `new`."""
    same = {name for name in _SHARED if getattr(current, name) == getattr(old, name)}
    if not same >= {"severity", "base"}:  # these two go together
        same -= {"severity", "base"}
    kept = {key: value for key, value in current.labels.items() if old.labels.get(key) != value or key in new.labels}
    named = {key: new.labels[key] if old.labels.get(key) == value else value for key, value in kept.items()}
    fewer = max(1, current.occurrences - old.occurrences + new.occurrences)
    return replace(current, **{name: getattr(new, name) for name in same}, labels=named, occurrences=fewer)


def _combined(incident: Incident, other: Incident) -> Incident:
    logged = [at for at in (incident.first_logged, other.first_logged) if at is not None]
    both = replace(
        incident,
        first_seen=min(incident.first_seen, other.first_seen),
        last_seen=max(incident.last_seen, other.last_seen),
        first_logged=min(logged, default=None),
        occurrences=incident.occurrences + other.occurrences,
        owner=incident.owner or other.owner,
        runbook=incident.runbook or other.runbook,
        labels={**other.labels, **incident.labels},
        confidence=max(incident.confidence, other.confidence, key=lambda one: _CONFIDENCE[one]),
    )
    return _worth(both, other.severity) if rank(other.severity) > rank(incident.own_severity) else both


def judge(incident: Incident, verified: Verified, severity: Severity | None) -> IncidentChange:
    """What the issuer's answer does to an incident. `severity`: what the configuration makes of it; None: nothing.

    An answer that says nothing takes back nothing: the one before stays, with what it was worth.
    """
    before = incident.verified
    if verified.validity == "unknown" and before is not None and before.validity != "unknown":
        return IncidentChange(incident, None)
    own = incident.own_severity
    base = own if severity is not None and severity != own else None
    judged = replace(incident, verified=verified, severity=severity or own, base=base)
    if incident.state != "resolved" and rank(judged.severity) > rank(incident.severity):
        return IncidentChange(replace(judged, state="open"), "escalated")
    known = before.validity if before is not None else "unknown"
    return IncidentChange(judged, "update" if verified.validity != known else None)


def claim(incident: Incident, title: str, labels: Mapping[str, str], severity: Severity) -> IncidentChange:
    """The secret is one of our own. `title`: goes before the rule's name; `severity`: what it is worth at least."""
    known = incident.labels
    before = own_title(known)
    named = replace(incident, name=title + incident.name.removeprefix(before), labels={**known, **labels})
    if rank(severity) > rank(incident.own_severity):
        named = _worth(named, severity)
    if incident.state != "resolved" and rank(named.severity) > rank(incident.severity):
        return IncidentChange(replace(named, state="open"), "escalated")
    return IncidentChange(named, None)


def own_title(labels: Mapping[str, str]) -> str:
    """What goes before the name of the rule where the secret is known by its own, as the labels say; else nothing."""
    if "secret" not in labels:
        return ""
    return labels["secret"] + (f" ({labels['environment']})" if "environment" in labels else "") + ": "


def labels_of(owned: Sequence[OwnedSecret]) -> dict[str, str]:
    """What an incident says of the secret that it is about: of the most current of several, and all environments."""
    first = owned[0]
    facts = {
        "secret": first.name,
        "inventory": first.entry,
        "environment": ", ".join(sorted({one.environment for one in owned if one.environment})),
        "secret_owner": first.owner,
        "consumers": ", ".join(first.consumers),
        "secret_tags": ", ".join(first.tags),
        "standing": first.standing,
        "part": first.part,
    }
    return {name: text for name, text in facts.items() if text}


def worth_of(owned: Sequence[OwnedSecret]) -> Severity:
    """How bad it is to see one of our own: in production or tagged so it is critical, retired it is low."""
    if all(one.standing == "retired" for one in owned):
        return "low"
    used = [one for one in owned if one.standing != "retired"]
    critical = any(one.environment.lower() in _PRODUCTION or "critical" in one.tags for one in used)
    return "critical" if critical else "high"


def _worth(incident: Incident, severity: Severity) -> Incident:
    """With the severity that rules and alerts give it; what its issuer said of it stays above that."""
    return replace(incident, severity=severity) if incident.base is None else replace(incident, base=severity)


def _weight(severity: Severity, confidence: Confidence) -> tuple[int, int]:
    return rank(severity), _CONFIDENCE[confidence]


def _reopened(incident: Incident) -> Incident:
    return replace(incident, state="open", resolution=None, resolved_at=None, reopens=incident.reopens + 1)
