"""When a sink is reminded of what is overdue: at once of one thing, and of many together. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitor.common.notification import State

__all__ = ["Reminder", "reminds", "when"]

_GATHER = 5.0  # many rarely come in the same instant


@dataclass(frozen=True, slots=True)
class Reminder:
    """What becomes of it, and why. `due`: seconds since the epoch, not to be sent before."""

    reason: Literal["alone", "gathers", "joins"]
    due: float


def reminds(state: State, *, named: bool) -> bool:
    """Whether somebody is reminded of an incident. Who knows of it is until somebody has taken it; who is `named` on
    the ladder is also told of what is not done then."""
    return state == "open" or (named and state == "acknowledged")


def when(many: bool, waiting: float | None, made: float, now: float) -> Reminder:
    """`many`: more than one incident, with what waits. `waiting`: when that is due; `made`: when it was made, or now.
    How soon after another message of many: monitor.routing.budget."""
    due = max(made + _GATHER if many else now, 0.0 if waiting is None else waiting)
    if waiting is not None:
        return Reminder("joins", due)
    return Reminder("gathers" if many else "alone", due)
