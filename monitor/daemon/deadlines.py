"""Deadlines of runs and ends of suppressions: in the database, armed here, and swept in between.

What is armed is only a hint. A restart, a clock that jumps and another process that writes change what the database
says, and the next sweep finds it there. Sweeps and arms count by a clock that nobody sets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import structlog

from monitor.common.every import every
from monitor.common.steady import SETTLED
from monitor.snapshot import Snapshot
from monitor.store import Store, StoreError

__all__ = ["Deadlines", "Watched"]

log = structlog.get_logger(__name__)

# Seconds between sweeps: so late a deadline is told at most. Shorter than any step of the clock that is believed.
_SWEEP = 0.75 * SETTLED
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
        self._armed: asyncio.TimerHandle | None = None

    def look_again(self) -> None:
        """The ladder may have changed: look at every run anew, soon."""
        self._everything = True
        self._wake.set()

    async def run(self) -> None:
        self._everything = True
        try:
            await every(_SWEEP, self._sweep, wake=self._wake)
        finally:
            self._disarm()

    async def _sweep(self) -> None:
        before, self._swept = self._swept, self._store.now()
        everything, self._everything = self._everything or self._swept < before - _SLACK, False
        try:
            ends = await self._store.suppressions.sweep()
            due = await self._store.runs.sweep(everything=everything, watched=self._watched())
        except StoreError as error:  # the database reports its trouble itself; the next sweep is soon
            self._everything |= everything
            log.debug("deadlines wait for the state database", reason=str(error))
            return
        self._arm(min((at for at in (due, ends) if at is not None), default=None))

    def _arm(self, due: float | None) -> None:
        """For the next deadline, if it comes before the next sweep."""
        self._disarm()
        now = self._store.now()
        if due is not None and due <= now + _SWEEP:
            self._armed = asyncio.get_running_loop().call_later(max(due - now, 0.05), self._wake.set)

    def _disarm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None


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
        well = {name: self._trouble(name) for name in self._sources() if not self._late(name)}
        self._since = {
            name: since if (since := self._since.get(name)) and since[1] == trouble else (steady, trouble)
            for name, trouble in well.items()
        }
        return {name: now - (steady - since) for name, (since, _) in self._since.items()}

    def _late(self, name: str) -> bool:
        """Whether it does not work, or is behind what is written."""
        if any(source == name for source, _ in self._snapshot.degraded):
            return True
        tell = self._snapshot.backlog.get(name)
        unread = max((one.seconds for one in tell()), default=0.0) if tell is not None else 0.0
        return max(unread, self._snapshot.lag.get(name, 0.0)) > _BEHIND

    def _trouble(self, name: str) -> int:
        """Grows with each loss and each restart."""
        lost = sum(count for (source, _), count in self._snapshot.losses.items() if source == name)
        return lost + self._snapshot.restarts[name]
