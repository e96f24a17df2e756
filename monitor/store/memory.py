"""What this process wrote last, kept until a server that forgets can hardly have been so far behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from monitor.domain.model import Position
from monitor.store.records import Commit

__all__ = ["Memory"]

_MOST = 10_000  # findings and readings; what they hold is masked, and about a kilobyte


class Memory:
    """Of commits by the number of their transaction, as the server counts it; of positions the last of each key."""

    def __init__(self, most: int | None = None) -> None:
        self._most, self._held = _MOST if most is None else most, 0
        self._since: int | None = None  # all after that one is here
        self._commits: deque[tuple[int, Commit]] = deque()
        self._positions: dict[tuple[str, str], tuple[int, Position]] = {}

    def add(self, number: int, commits: Iterable[Commit], late: Iterable[Position]) -> None:
        """In the order in which they were written; `late` positions come last."""
        if self._since is None:
            self._since = number - 1
        for commit in (*commits, Commit((), tuple(late))):
            for position in commit.positions:
                self._positions[position.source, position.key] = (number, position)
            if _weight(commit):
                self._commits.append((number, replace(commit, positions=())))
                self._held += _weight(commit)
        while self._held > self._most and self._commits:
            self._since, old = self._commits.popleft()
            self._held -= _weight(old)

    def since(self, number: int) -> tuple[list[Commit], bool]:
        """What came after that transaction, in order, which has to be added again; whether that is all of it. Only then
        positions are among it: otherwise sources go back to those that the server knows."""
        found = [commit for at, commit in self._commits if at > number]
        complete = self._since is not None and self._since <= number
        self._commits = deque((at, commit) for at, commit in self._commits if at <= number)
        self._held = sum(_weight(commit) for _, commit in self._commits)
        moved = tuple(position for at, position in self._positions.values() if at > number)
        self._positions = {key: kept for key, kept in self._positions.items() if kept[0] <= number}
        return ([*found, Commit((), moved)] if complete and moved else found), complete


def _weight(commit: Commit) -> int:
    return len(commit.findings) + len(commit.readings) + len(commit.notices)
