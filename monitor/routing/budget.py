"""What a sink is told of many at once (threads, digests, reminders) shares one allowance: a message a minute. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.common.notification import Reason
from monitor.routing.fold import FOLD

__all__ = ["ALARMS", "BUNDLE", "DIGEST", "PACED", "PAUSE", "Waiting", "next_of", "opens", "shares"]

ALARMS: tuple[Reason, ...] = ("new", "escalated", "reopened", "operational", "test")  # nothing stands before these
PACED: tuple[Reason, ...] = ("digest", "overdue", "repeat", "update", "acknowledged", "resolved")  # some of these wait
PAUSE = 60.0  # seconds from one such message of a sink to the next, at most
DIGEST, BUNDLE = "digest:", "bundle:"  # starts of keys: beyond a burst; for a sink that takes one after the other
_CLOCK_SLACK = 60.0  # a time further ahead comes from a clock that was put back: it mutes nothing
_TOGETHER = (FOLD, DIGEST, BUNDLE)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of the outbox that shares the allowance and may be sent. `made`: seconds since the epoch."""

    id: str
    reason: Reason
    made: float


def shares(reason: Reason, key: str, *, pager: bool) -> bool:
    """Whether a message counts against the allowance, and waits for it. An alarm of its own never does, nor what a
    person did about one incident, nor what tells a pager that nobody need be called any more."""
    if reason in ("digest", "overdue", "repeat"):
        return True
    if not key.startswith(_TOGETHER):
        return False
    return reason == "update" or (reason in ("acknowledged", "resolved") and not pager)


def opens(sent: Sequence[float], pause: float, now: float) -> float:
    """When the next may leave. `sent`: when those before it did, as far as that is not long ago."""
    return max((at + pause for at in sent if at <= now + _CLOCK_SLACK), default=now)


def next_of(waiting: Sequence[Waiting], last: Reason | None) -> Waiting:
    """What is new goes first, but not twice in a row while something else waits; what was told before goes last."""
    oldest = sorted(waiting, key=lambda one: (one.reason == "repeat", one.made))
    new = [one for one in oldest if one.reason == "digest"]
    others = [one for one in oldest if one.reason != "digest"]
    return new[0] if new and (last != "digest" or not others) else others[0]
