"""When which secret is due, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Literal

from monitor.common.severity import Severity, worst
from monitor.rotation.settings import RotationConfig, RotationPolicy

__all__ = ["Due", "Managed", "Standing", "calendar", "due", "policy_of"]

Standing = Literal["overdue", "soon", "later"]

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Managed:
    """A secret of the inventory with what rotation goes by. `mark`, `version`: of the value it has now; `changed`: when
    it got it, as its manager says; `known`: since when we know it; `expires`: of that value, as its manager says.
    `exposed`: since when an incident of it is open."""

    entry: str
    name: str
    mark: str
    known: float
    changed: float | None = None
    environment: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    exposed: float | None = None
    version: str = ""
    expires: float | None = None

    @property
    def title(self) -> str:
        return f"{self.entry}/{self.name}"


@dataclass(frozen=True, slots=True)
class Due:
    """`at`: seconds since 1970, of the first reason. What has passed already counts together."""

    secret: Managed
    at: float
    why: str
    severity: Severity
    standing: Standing


def policy_of(secret: Managed, settings: RotationConfig) -> RotationPolicy | None:
    """The first that fits."""
    return next((policy for policy in settings.policies if _fits(policy, secret)), None)


def due(secret: Managed, settings: RotationConfig, now: float) -> Due | None:
    """The next time it has to change; None: nothing says so."""
    reasons: list[tuple[float, str, Severity]] = []
    policy = policy_of(secret, settings)
    if policy is not None:
        since = secret.changed if secret.changed is not None else secret.known
        told = "last changed" if secret.changed is not None else "known"
        days = f"{policy.every / _DAY:g} days"
        reasons.append((since + policy.every, f"every {days}, {told} {_days(now - since)} ago", policy.severity))
    if secret.expires is not None:
        day = f"{datetime.fromtimestamp(secret.expires, UTC):%Y-%m-%d}"
        told = "expired" if secret.expires <= now else "expires"
        reasons.append((_before_expiry(secret, secret.expires, settings), f"it {told} on {day}", "high"))
    if secret.exposed is not None:
        reasons.append((secret.exposed + settings.after_exposure, "it was exposed", "critical"))
    if not reasons:
        return None
    reasons.sort()
    passed = [one for one in reasons if one[0] <= now] or reasons[:1]
    at, why = passed[0][0], "; ".join(one[1] for one in passed)
    standing: Standing = "overdue" if at <= now else "soon" if at <= now + settings.remind else "later"
    return Due(secret, at, why, worst(one[2] for one in passed), standing)


def calendar(secrets: Iterable[Managed], settings: RotationConfig, now: float) -> list[Due]:
    """Of all that are due some day, the first first."""
    found = [one for secret in secrets if (one := due(secret, settings, now)) is not None]
    return sorted(found, key=lambda one: (one.at, one.secret.title))


def _fits(policy: RotationPolicy, secret: Managed) -> bool:
    return (
        (not policy.tags or not set(policy.tags).isdisjoint(secret.tags))
        and (not policy.environments or secret.environment in policy.environments)
        and (not policy.entries or secret.entry in policy.entries)
        and (not policy.names or any(fnmatchcase(secret.name, pattern) for pattern in policy.names))
    )


def _before_expiry(secret: Managed, expires: float, settings: RotationConfig) -> float:
    """What lives for less than a day a machine renews, between two readings of ours: it is late once nothing has."""
    tracked = expires - (secret.changed if secret.changed is not None else secret.known)
    if 0.0 < tracked < _DAY:
        return expires + _DAY
    return expires - min(settings.before_expiry, max(0.0, tracked / 2))


def _days(seconds: float) -> str:
    days = max(0, int(seconds // _DAY))
    return f"{days} day{'' if days == 1 else 's'}"
