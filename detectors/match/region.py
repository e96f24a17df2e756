"""Encoded text and what it says: decoded regions of a block, and the way back from them into it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["REACH_AHEAD", "REACH_BACK", "Buffer", "Marks", "Region", "run_ahead", "run_back"]

Buffer = bytes | bytearray | memoryview
REACH_BACK, REACH_AHEAD = 4096, 16384  # bytes of encoded text taken around a hit
_NEAR, _OVER = 256, 8  # bytes of it that are looked at first, and by how much a pattern may look past where it ends
Marks = list[tuple[int, int]]  # (offset in the compact text, offset in the data) where a piece starts, ascending


@dataclass(frozen=True, slots=True)
class Region:
    """Decoded `text` of data[start:end].

    A decoded byte stands for `ratio` = (characters, bytes) of the compact text: the encoded one without what decoding
    skips. `marks` lead from there into the data: a piece of one length on both sides is the same text, any other (an
    escape, a line break) is taken whole. `find` gives a way of its own to find back. Neither: nothing less than the
    whole region can be pointed at.
    """

    start: int
    end: int
    text: bytes
    ratio: tuple[int, int] = (1, 1)
    marks: Callable[[], Marks] | None = None
    find: Callable[[], Callable[[int, int], tuple[int, int]]] | None = None

    def places(self) -> Callable[[int, int], tuple[int, int]]:
        """A function from a span of `text` to the least span of the data that it was decoded from."""
        if self.find is not None:
            return self.find()
        if self.marks is None:
            return lambda low, high: (self.start, self.end)
        wide, narrow = self.ratio
        marks = self.marks()
        compact, real = [mark[0] for mark in marks], [mark[1] for mark in marks]

        def place(low: int, high: int) -> tuple[int, int]:
            first, last = low * wide // narrow, -(-max(high, low + 1) * wide // narrow)
            at = min(max(0, bisect_right(compact, first) - 1), len(marks) - 2)
            to = max(0, min(bisect_left(compact, last) - 1, len(marks) - 2))
            same = compact[at + 1] - compact[at] == real[at + 1] - real[at]
            start = real[at] + (first - compact[at] if same else 0)
            same = compact[to + 1] - compact[to] == real[to + 1] - real[to]
            end = real[to] + last - compact[to] if same else real[to + 1]
            start = min(start, self.end - 1)
            return start, max(start + 1, min(end, self.end))

        return place


def run_back(data: Buffer, at: int, pattern: re.Pattern[bytes]) -> int:
    """Start of the run of `pattern` that ends at `at`, at most REACH_BACK before it."""
    size = 0
    for reach in (_NEAR, REACH_BACK):  # most begin soon, and to turn all round takes longer than the rest
        m = pattern.match(bytes(data[max(0, at - reach) : at])[::-1])
        size = m.end() if m else 0
        if size < reach - _OVER:
            break
    return at - size


def run_ahead(data: Buffer, at: int, pattern: re.Pattern[bytes]) -> int:
    """End of the run of `pattern` that begins at `at`, at most REACH_AHEAD behind it."""
    m = pattern.match(data, at, min(len(data), at + REACH_AHEAD))
    return m.end() if m else at
