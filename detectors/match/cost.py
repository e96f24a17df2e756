"""What one block may cost, and what is remembered of it so that nothing is paid twice."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.match.decode import Budget

if TYPE_CHECKING:
    from detectors.match.judge import Judge, Verdict

__all__ = ["Spent", "TooSlowError", "Work", "patience"]

_KNOWN = 1 << 14  # verdicts of a block that are remembered
_OFTEN = 64  # candidates after which the clock is looked at


class TooSlowError(Exception):
    """A block takes longer than it may. Nothing of it is in the message."""


def patience(size: int) -> float:
    """Seconds of processor time that a block of `size` bytes may take: real ones take a hundredth."""
    return 2.0 + size / (1 << 19)


@dataclass(slots=True)
class Spent:
    """What a rule has cost beyond the one scan for all of them. `looks`: stretches of text its pattern was held
    against; `seconds`: of processor time."""

    looks: int = 0
    seconds: float = 0.0


class Work:
    """What one block has cost so far, over all depths of decoding. `candidates`: places where a pattern matched;
    `judged`: different values among them, with what stands beside them; `spent`: by number of the rule."""

    def __init__(self, size: int, seconds: float | None, explain: bool = False) -> None:
        self.budget = Budget(size)
        self.regions: list[tuple[int, int]] = []  # of the block itself, that were decoded
        self.explain = explain
        self.candidates = self.judged = 0
        self.spent: dict[int, Spent] = {}
        self._account: Spent | None = None  # what pays for the time since
        self._since = 0.0
        # By rule, value and what stands before and behind it.
        self._known: dict[tuple[Judge, bytes, bytes, bytes], Verdict] = {}
        self._until = time.thread_time() + seconds if seconds is not None else math.inf
        self._seconds = seconds

    def known(self) -> dict[tuple[Judge, bytes, bytes, bytes], Verdict]:
        """Verdicts so far, to look at and to add one."""
        if len(self._known) >= _KNOWN:
            self._known.clear()
        return self._known

    def count(self) -> None:
        """One more candidate. Raises TooSlowError."""
        self.candidates += 1
        if not self.candidates % _OFTEN:
            self.check()

    def turn(self, rule: int | None, looks: int = 0) -> None:
        """The time from now on is this rule's, until the next turn. Raises TooSlowError."""
        now = time.thread_time()
        if self._account is not None:
            self._account.seconds += now - self._since
        self._account, self._since = None, now
        if rule is not None:
            self._account = self.spent.setdefault(rule, Spent())
            self._account.looks += looks
        self._check(now)

    def check(self) -> None:
        """Raises TooSlowError."""
        self._check(time.thread_time())

    def _check(self, now: float) -> None:
        if now > self._until:
            raise TooSlowError(f"more than {self._seconds:.1f} s of processor time")
