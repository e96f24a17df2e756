"""Deadlines of runs and ends of suppressions: in the database, armed here by APScheduler, and swept in between.

What is armed is only a hint. A restart, a clock that jumps and another process that writes change what the database
says, and the next sweep finds it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from monitor.common.steady import SETTLED
from monitor.store import Store, StoreError

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

__all__ = ["Deadlines"]

log = structlog.get_logger(__name__)

# Seconds between sweeps: so late a deadline is told at most. Shorter than any step of the clock that is believed.
_SWEEP = 0.75 * SETTLED
_SLACK = 5.0  # seconds; a clock put back by more has set deadlines that come too late
_SWEEPING, _NEXT = "deadlines", "next deadline"  # names of the jobs


class Deadlines:
    """`run` until cancelled."""

    def __init__(self, store: Store, watched: Callable[[], Mapping[str, float]] = dict) -> None:
        """`watched`: sources that are read without a gap, with since when; asked at each sweep."""
        self._store, self._watched = store, watched
        self._everything = True
        self._swept = float("-inf")  # by the clock of the store
        self._scheduler: AsyncIOScheduler | None = None
        self._failed: asyncio.Future[None] | None = None
        self._sweeping = asyncio.Lock()

    def look_again(self) -> None:
        """The ladder may have changed: look at every run anew, soon."""
        self._everything = True
        if self._scheduler is not None:
            self._scheduler.modify_job(_SWEEPING, next_run_time=datetime.now(UTC))

    async def run(self) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler  # slow to import, and `--once` has no deadlines

        self._failed = asyncio.get_running_loop().create_future()
        # Late is better than never: the scheduler's own defaults drop a job that a busy loop delayed by a second.
        self._scheduler = scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        scheduler.add_job(self._sweep, "interval", seconds=_SWEEP, id=_SWEEPING, next_run_time=datetime.now(UTC))
        scheduler.start()
        try:
            await self._failed
        finally:
            self._scheduler = None
            scheduler.shutdown(wait=False)
            async with self._sweeping:  # one under way ends first
                pass

    async def _sweep(self) -> None:
        async with self._sweeping:
            before, self._swept = self._swept, self._store.now()
            everything, self._everything = self._everything or self._swept < before - _SLACK, False
            try:
                ends = await self._store.suppressions.sweep()
                due = await self._store.runs.sweep(everything=everything, watched=self._watched())
            except StoreError as error:  # the database reports its trouble itself; the next sweep is soon
                self._everything |= everything
                log.debug("deadlines wait for the state database", reason=str(error))
                return
            except Exception as error:  # noqa: BLE001 - the scheduler would log it with its text; it is the caller's
                if self._failed is not None and not self._failed.done():
                    self._failed.set_exception(error)
                return
        self._arm(min((at for at in (due, ends) if at is not None), default=None))

    def _arm(self, due: float | None) -> None:
        """For the next deadline, if it comes before the next sweep."""
        now = self._store.now()
        if self._scheduler is None or due is None or due > now + _SWEEP:
            return
        at = datetime.now(UTC) + timedelta(seconds=max(due - now, 0.05))
        self._scheduler.add_job(self._sweep, "date", run_date=at, id=_NEXT, replace_existing=True)
