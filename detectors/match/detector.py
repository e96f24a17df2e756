"""What finds secrets in a block: the rules, and beside them values that are known."""

from __future__ import annotations

from typing import Protocol

from detectors.match.cost import BlockCost
from detectors.match.outcome import CandidateDecision

__all__ = ["Buffer", "Detector", "Placed"]

Buffer = bytes | bytearray | memoryview
Placed = tuple[CandidateDecision, int]  # with the end of what was read for it, where `scan` counts it


class Detector(Protocol):
    """On behalf of one thread."""

    def decide(self, data: Buffer, work: BlockCost, /) -> list[Placed]:
        """What it says of each candidate, in any order. Raises TooSlowError."""
        ...
