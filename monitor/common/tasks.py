"""Tasks of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from monitor.common.backoff import backoff

__all__ = ["FIRST", "LONGEST", "cancel", "keep_up", "whenever", "within"]

FIRST, LONGEST = 1.0, 60.0  # seconds from a failure to the next beginning
_REST = 0.2  # seconds
STEADY = 60.0  # seconds after which what was begun anew counts as mended


async def cancel(task: asyncio.Task[Any]) -> None:
    """Returns when it has ended, however. Can be cancelled itself."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # nobody else asks for it


async def within(seconds: float | None, work: Awaitable[object]) -> None:
    """Returns when it has come to its end, or is cancelled as it takes longer than that (None: however long)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def keep_up(
    work: Callable[[], Awaitable[object]],
    failed: Callable[[BaseException, int], bool],
    mended: Callable[[], object] = lambda: None,
) -> bool:
    """Whether `work` came to its end. When it fails, `failed` is told why and how often in a row, and says whether it
    is begun anew, which is after growing pauses. `mended` is called when it has gone on for a while.

    A cancellation that was meant for something in it is a failure like others.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    failures = 0
    while True:
        began = time.monotonic()
        steady = loop.call_later(STEADY, mended)
        try:
            await work()
            return True
        except (Exception, asyncio.CancelledError) as error:  # the supervision boundary
            if task.cancelling():
                raise
            failures = failures + 1 if time.monotonic() - began < LONGEST else 1
            if not failed(error, failures):
                return False
        finally:
            steady.cancel()
        await asyncio.sleep(backoff(failures, FIRST, LONGEST))


async def whenever(
    wake: asyncio.Event,
    look: Callable[[], Awaitable[float]],
    *,
    longest: float,
    failed: Callable[[Exception], object],
    rest: float = _REST,
) -> NoReturn:
    """Look once `wake` is set, and else after so many seconds as the look before returned. Where it has `failed`, which
    is told why, that is `longest`. `rest`: seconds from the wake to the look, so that a flood of changes is one look.
    """
    while True:
        wake.clear()
        pause = longest
        try:
            pause = await look()
        except Exception as error:  # noqa: BLE001 - a supervision boundary
            failed(error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await wake.wait()
                await asyncio.sleep(rest)
