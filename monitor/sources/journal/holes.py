"""Numbers that were left out while a sequence was read: pure.

They are in a file that grew while journalctl looked at another one, or were deleted before they were read, or may not
be seen here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from monitor.sources.journal.files import JournalFile

__all__ = ["Holes"]

_REMEMBERED = 1000  # deleted files


@dataclass(slots=True)
class _Hole:
    """Between two numbers. `before`: cursor of the record before it."""

    before: str
    low: int
    high: int
    found: set[int] = field(default_factory=set)

    @property
    def missing(self) -> int:
        return self.high - self.low - 1 - len(self.found)

    def meets(self, head: int, tail: int) -> bool:
        return head < self.high and tail > self.low


class Holes:
    """Of one sequence, in their order. True while there are any."""

    def __init__(self) -> None:
        self._holes: list[_Hole] = []
        self._files: dict[str, tuple[int, int]] = {}  # files that are there: first and last number
        self._deleted: list[tuple[int, int]] = []  # the same of those that were

    def __bool__(self) -> bool:
        return bool(self._holes)

    def know(self, files: Iterable[JournalFile]) -> None:
        """The files that are there now."""
        now = {file.id: (file.head, file.tail) for file in files if file.entries}
        gone = [numbers for id, numbers in self._files.items() if id not in now]
        self._deleted = [*self._deleted, *gone][-_REMEMBERED:]
        self._files = now

    def add(self, before: str, low: int, high: int) -> None:
        self._holes.append(_Hole(before, low, high))

    @property
    def first(self) -> int:
        return self._holes[0].low + 1

    @property
    def last(self) -> int:
        return self._holes[-1].high - 1

    def files(self, files: Sequence[JournalFile], read: set[tuple[str, str]]) -> list[str]:
        """Paths of files that may have them. None when only one may, which was `read` (ids and paths): within one file
        nothing is left out."""
        found = [f for f in files if f.entries and any(hole.meets(f.head, f.tail) for hole in self._holes)]
        alone = len(found) == 1 and (found[0].id, found[0].path) in read
        return [] if alone else [file.path for file in found]

    def __contains__(self, number: int) -> bool:
        return self._hole(number) is not None

    def fill(self, number: int) -> bool:
        """Whether it was missing."""
        hole = self._hole(number)
        if hole is not None:
            hole.found.add(number)
        return hole is not None

    def _hole(self, number: int) -> _Hole | None:
        """That in which it is missing."""
        hole = next((hole for hole in self._holes if hole.low < number < hole.high), None)
        return None if hole is None or number in hole.found else hole

    def close(self, files: Iterable[JournalFile]) -> int:
        """How many were deleted; the rest may not be seen here. The oldest are deleted first: the record before has
        gone as well, or a file that had such numbers."""
        oldest = min((file.head for file in files if file.entries), default=None)
        lost = 0
        for hole in self._holes:
            deleted = oldest is None or oldest > hole.low or any(hole.meets(*numbers) for numbers in self._deleted)
            lost += hole.missing if deleted else 0
        self._holes.clear()
        return lost
