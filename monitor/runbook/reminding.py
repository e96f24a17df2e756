"""When a sink is reminded of what is overdue: at once of one thing, and of many in one message a minute. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitor.common.notification import State

__all__ = ["PAUSE", "Reminder", "reminds", "when"]

PAUSE = 60.0  # seconds from one reminder of a sink to the next
_GATHER = 5.0  # many rarely come in the same instant


@dataclass(frozen=True, slots=True)
class Reminder:
    """What becomes of it, and why. `due`: seconds since the epoch, not to be sent before."""

    reason: Literal["alone", "gathers", "joins", "paused"]
    due: float


def reminds(state: State, *, named: bool) -> bool:
    """Whether somebody is reminded of an incident. Who knows of it is until somebody has taken it; who is `named` on
    the ladder is also told of what is not done then."""
    return state == "open" or (named and state == "acknowledged")


def when(many: bool, waiting: float | None, last: float | None, made: float, now: float) -> Reminder:
    """`many`: more than one incident, with what waits. `waiting`: when that is due; `made`: when it was made, or now;
    `last`: when the sink was reminded last."""
    due = max(made + _GATHER if many else now, 0.0 if waiting is None else waiting)
    if last is not None and 0 <= now - last < PAUSE and due < last + PAUSE:
        return Reminder("paused", last + PAUSE)
    if waiting is not None:
        return Reminder("joins", due)
    return Reminder("gathers" if many else "alone", due)
