"""Rounds of a minute and more: one scheduler rings for all of them, and whoever is rung for works in a task of its own.

Intervals are jobs of one date each, made anew by every round: a trigger of intervals counts all rounds that a clock put
forward by years has passed over, one by one, while the loop stands still.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from monitor.common.every import JITTER
from monitor.common.tasks import within

__all__ = ["Scheduler"]


class Scheduler:
    """Costs nothing before its first round, as its scheduler is slow to import. Nothing of it is left to end once those
    who wait for it are cancelled."""

    def __init__(self) -> None:
        self._scheduler: Any = None

    async def every(
        self, seconds: float, work: Callable[[], Awaitable[object]], *, wake: asyncio.Event | None = None
    ) -> NoReturn:
        """Do `work` now and then once in `seconds`; setting `wake` brings the next round on. Until cancelled, and a
        round under way has ended then.

        No round begins before the last has ended; what was missed meanwhile is made up for by a single one. The errors
        of `work` are the caller's: the scheduler, which would log them with their texts, does not see them.
        """
        due = wake or asyncio.Event()
        while True:
            due.clear()
            with self._alarm(seconds * random.uniform(1 - JITTER, 1 + JITTER), due):  # noqa: S311 - spreads the rounds
                await work()
                # The scheduler waits for a time of day, which is long in coming where a clock was put back.
                await within(seconds * (1 + 2 * JITTER), due.wait())

    @contextlib.contextmanager
    def _alarm(self, seconds: float, due: asyncio.Event) -> Iterator[None]:
        job = self._started().add_job(_ring, "date", run_date=_now() + timedelta(seconds=seconds), args=[due])
        try:
            yield
        finally:
            if self._scheduler.get_job(job.id) is not None:
                job.remove()

    def _started(self) -> Any:
        if self._scheduler is None:
            from apscheduler.schedulers.asyncio import AsyncIOScheduler

            # Late is better than never: by default what a busy loop delayed by a second is dropped.
            self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"misfire_grace_time": None})
            self._scheduler.start()
        return self._scheduler


async def _ring(due: asyncio.Event) -> None:
    due.set()


def _now() -> datetime:
    return datetime.now(UTC)
