"""How many different secrets a reader gets within an hour, and how new they are to it. Pure.

Each secret by itself may be unremarkable, as nobody had a habit of it: that somebody takes them all is not. A reader is
known by the most secrets that it ever took within an hour of each day, so that a backup of everything is no news.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

__all__ = ["FEW", "NEW", "Breadth", "Reason", "too_broad", "usual_most", "widen"]

Reason = Literal["unusual", "new", "many"]

FEW = 5  # secrets read out of habit within an hour, from which on they are one matter
NEW = 20  # secrets within an hour that the reader never had before
HOUR = 3600
_DAY = 24  # hours
_DAYS = 28  # that are remembered
_KNOWN = 5  # days before it is known how many are usual
_LEAST = 20  # more than usual that are worth a word


@dataclass(frozen=True, slots=True)
class Breadth:
    """Of a reader. `hour`: number of an hour since 1970; the secrets that it got in it: `secrets` in all, `new` to it,
    `unread` by anybody before, `unusual` by habits. `reported`: how many there were when that was last said, `high`:
    as severe. `strange`: what else was odd of the reader in it. `days`: number of a day since 1970 → the most secrets
    within an hour of it."""

    hour: int = 0
    secrets: int = 0
    new: int = 0
    unread: int = 0
    unusual: int = 0
    reported: int = 0
    high: bool = False
    strange: str = ""
    days: Mapping[int, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "days": {str(day): count for day, count in self.days.items()}}

    @classmethod
    def of_json(cls, state: Mapping[str, Any]) -> Breadth:
        return cls(**{**state, "days": {int(day): count for day, count in state.get("days", {}).items()}})

    def includes(self, at: float) -> bool:
        """Whether a reading is part of what was said of its hour."""
        return self.reported > 0 and self.hour == int(at // HOUR)


def widen(breadth: Breadth, at: float, *, new: bool, unread: bool, unusual: bool, strange: str = "") -> Breadth:
    """With a secret that was not yet read in this hour. A record from before it changes nothing."""
    hour = int(at // HOUR)
    if hour < breadth.hour:
        return breadth
    known = breadth if hour == breadth.hour else Breadth(hour, days=breadth.days)
    secrets, day = known.secrets + 1, hour // _DAY
    # What was never usual does not become so by one odd hour.
    usual = _usual(known)
    kept = secrets if usual is None else min(secrets, max(int(usual), known.days.get(day, 0)))
    days = {**known.days, day: max(kept, known.days.get(day, 0))}
    for old in sorted(days)[:-_DAYS]:
        del days[old]
    return replace(
        known,
        secrets=secrets,
        new=known.new + new,
        unread=known.unread + unread,
        unusual=known.unusual + unusual,
        strange=known.strange or strange,  # of the first: the reader is at home there from the second on
        days=days,
    )


def usual_most(counts: Sequence[int]) -> float:
    """How many are usual at most, by as many as there were on days before."""
    middle = statistics.median(counts)
    spread = 1.4826 * statistics.median(abs(count - middle) for count in counts)
    return max(middle + 8 * spread, 3 * middle, middle + _LEAST, 1.5 * max(counts))


def too_broad(breadth: Breadth, *, trail: bool) -> tuple[Reason, float] | None:
    """Why so many secrets are out of order, and what the limit was. `trail`: these records were read for long enough to
    know what is new."""
    usual = _usual(breadth)
    new = max(NEW, 1.5 * max(_before(breadth), default=0))
    if usual is not None and breadth.secrets > usual:
        return "many", usual
    if trail and breadth.new >= new:
        return "new", new
    return ("unusual", FEW) if breadth.unusual >= FEW else None


def _usual(breadth: Breadth) -> float | None:
    """How many secrets within an hour are usual at most; None: nobody knows yet."""
    before = _before(breadth)
    return usual_most(before) if len(before) >= _KNOWN else None


def _before(breadth: Breadth) -> list[int]:
    return [count for day, count in breadth.days.items() if day < breadth.hour // _DAY]
