"""How far the inventory is known: pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """How far a manager of secrets is known. `at`: when it was last read to its end, or else first asked; `good`:
    seconds from then on for which that is up to date."""

    at: float
    good: float

    def stale(self, now: float) -> bool:
        return now - self.at > self.good
