"""Heartbeats: work that comes round in less than a minute, at once and then again and again (else: schedule.py)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

__all__ = ["every"]

JITTER = 0.1  # of the interval, so that many monitors do not ask in the same second


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], *, wake: asyncio.Event | None = None
) -> NoReturn:
    """Do `work` now and then once in `seconds`; setting `wake` brings the next round on. Until cancelled.

    Rounds are counted from when they were due, so a slow one does not move all that follow; what was missed meanwhile
    is made up for by a single round. The errors of `work` are the caller's. By a clock that nobody sets.
    """
    wake = wake or asyncio.Event()
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        wake.clear()
        await work()

        due = max(due + seconds, clock())
        spread = seconds * random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads the rounds, nothing secret
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due + spread):
                await wake.wait()
            due = clock()  # or each round that was brought on would put off the one after it
