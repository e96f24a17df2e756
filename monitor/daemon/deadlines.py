"""Deadlines of runs and ends of suppressions: in the database, swept when the next is due, and in between.

When it is due is only a hint. A restart, a clock that jumps and another process that writes change what the database
says, and the next sweep finds it there. Pauses count by a clock that nobody sets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import structlog

from monitor.common.steady import SETTLED
from monitor.common.tasks import whenever
from monitor.snapshot import Snapshot
from monitor.store import Store, StoreError

__all__ = ["Deadlines", "Watched"]

log = structlog.get_logger(__name__)

# Seconds between sweeps: so late a deadline is told at most. Shorter than any step of the clock that is believed.
_SWEEP = 0.75 * SETTLED
_SHORTEST = 0.05  # seconds from one sweep to the next
_BEHIND = 60.0  # seconds that something written may wait to be read
_SLACK = 5.0  # seconds; a clock put back by more has set deadlines that come too late


class Deadlines:
    """`run` until cancelled."""

    def __init__(self, store: Store, watched: Callable[[], Mapping[str, float]] = dict) -> None:
        """`watched`: sources that are read without a gap, with since when; asked at each sweep."""
        self._store, self._watched = store, watched
        self._everything = True
        self._swept = float("-inf")  # by the clock of the store
        self._wake = asyncio.Event()

    def look_again(self) -> None:
        """The ladder may have changed: look at every run anew, soon."""
        self._everything = True
        self._wake.set()

    async def run(self) -> None:
        self._everything = True
        await whenever(self._wake, self._sweep, longest=_SWEEP, failed=_failed, rest=0.0)

    async def _sweep(self) -> float:
        """Returns the seconds until the next deadline, or the next sweep."""
        before, self._swept = self._swept, self._store.now()
        everything, self._everything = self._everything or self._swept < before - _SLACK, False
        try:
            ends = await self._store.suppressions.sweep()
            due = await self._store.runs.sweep(everything=everything, watched=self._watched())
        except StoreError:
            self._everything |= everything
            raise
        soonest = min((at for at in (due, ends) if at is not None), default=float("inf"))
        return min(max(soonest - self._store.now(), _SHORTEST), _SWEEP)


def _failed(error: Exception) -> None:
    if not isinstance(error, StoreError):
        raise error
    log.debug("deadlines wait for the state database", reason=str(error))  # which reports its trouble itself


class Watched:
    """Since when each source is read without a gap: only then does it say anything that a secret is not seen. Asked
    again and again: what happened to a source since the last time begins its time anew."""

    def __init__(
        self,
        sources: Callable[[], Iterable[str]],
        snapshot: Snapshot,
        *,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sources`: those that run. `steady`: a clock that nobody sets, by which the time is measured."""
        self._sources, self._snapshot, self._now, self._steady = sources, snapshot, now, steady
        self._since: dict[str, tuple[float, int]] = {}  # source → by the steady clock, and what had gone wrong by then

    def __call__(self) -> Mapping[str, float]:
        """By the clock of the wall."""
        now, steady = self._now(), self._steady()
        well = {name: self._problem(name) for name in self._sources() if not self._late(name)}
        self._since = {
            name: since if (since := self._since.get(name)) and since[1] == problem else (steady, problem)
            for name, problem in well.items()
        }
        return {name: now - (steady - since) for name, (since, _) in self._since.items()}

    def _late(self, name: str) -> bool:
        """Whether it does not work, or is behind what is written."""
        if any(source == name for source, _ in self._snapshot.degraded):
            return True
        tell = self._snapshot.backlog.get(name)
        unread = max((one.seconds for one in tell()), default=0.0) if tell is not None else 0.0
        return max(unread, self._snapshot.lag.get(name, 0.0)) > _BEHIND

    def _problem(self, name: str) -> int:
        """Grows with each loss and each restart."""
        lost = sum(count for (source, _), count in self._snapshot.losses.items() if source == name)
        return lost + self._snapshot.restarts[name]
