"""What one block may cost, and what is remembered of it so that nothing is paid twice."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectors.match.judge import Judge, Verdict

__all__ = ["PACE", "UNHURRIED", "BlockCost", "DecodeBudget", "Known", "Pace", "Settled", "Spent", "TooSlowError"]

# Bytes that may be decoded of a block, over all depths, and for each byte of it: more than any log comes to.
DECODED_LEAST, DECODED_MOST = 1 << 20, 8
_KNOWN = 1 << 14  # verdicts of a block that are remembered
_OFTEN = 64  # candidates, or turns of rules, after which the clock is looked at


class TooSlowError(Exception):
    """A block takes longer than it may. Nothing of it is in the message."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the search of a block makes way for others: seconds of processor time after which it is their `turn`, and it
    goes on in halves; and those that a `piece` of at most `least` bytes may take, which is given up then. Real blocks
    take hundredths."""

    turn: float = 0.5
    piece: float = 2.0
    least: int = 16 << 10


PACE = Pace()
UNHURRIED = Pace(turn=math.inf, piece=math.inf)


@dataclass(slots=True)
class Spent:
    """What a rule has cost beyond the one scan for all of them. `looks`: stretches of text its pattern was held
    against; `seconds`: of processor time."""

    looks: int = 0
    seconds: float = 0.0


class DecodeBudget:
    """What decoding a block may cost over all depths: `left` bytes of decoded text. `skipped`: the spans, in the text
    at hand, of what was not decoded, or not to its end."""

    def __init__(self, size: int) -> None:
        self.left = DECODED_LEAST + DECODED_MOST * size
        self.skipped: list[tuple[int, int]] = []

    def take(self, size: int, low: int, high: int) -> bool:
        """Whether so many bytes may be decoded of what is encoded from `low` to `high`, which is skipped otherwise."""
        if size > self.left:
            self.skipped.append((low, high))
            return False
        self.left -= size
        return True

    def told(self) -> list[tuple[int, int]]:
        """What was skipped since the last time."""
        out, self.skipped = self.skipped, []
        return out


# By rule, begin and end of the value in a text that is tried again: with all that its place tells.
Settled = dict["tuple[Judge, int, int]", "Verdict"]
# By rule, value and what stands before and behind it.
Known = dict["tuple[Judge, bytes, bytes, bytes]", "Verdict"]


class BlockCost:
    """What one block has cost so far, over all depths of decoding. `candidates`: places where a pattern matched;
    `judged`: different values among them, with what stands beside them; `spent`: by number of the rule."""

    def __init__(
        self,
        size: int,
        seconds: float | None,
        explain: bool = False,
        known: Known | None = None,
        *,
        accounts: bool = True,
    ) -> None:
        """`known`: verdicts of an earlier try of the same text. `accounts`: say what each rule has cost, which costs
        more than most of them do."""
        self.budget = DecodeBudget(size)
        self.explain = explain
        self.candidates = self.judged = 0
        self.spent: dict[int, Spent] = {}
        self._accounts, self._turns = accounts, 0
        self._account: Spent | None = None  # what pays for the time since
        self._since = 0.0
        self._known: Known = {} if known is None else known
        self._until = time.thread_time() + seconds if seconds is not None else math.inf
        self._seconds = seconds

    def known(self) -> Known:
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
        if not self._accounts:
            self._turns += 1
            if not self._turns % _OFTEN:
                self.check()
            return
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
