"""Whose turn it is, and who may keep its file open."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import OrderedDict, deque

from monitor.sources.file.tracked_file import TrackedFile, WorkState

__all__ = ["Schedule"]

BURST = 1 << 20  # bytes up to which a file counts as live and goes before those that catch up

Ask = tuple[TrackedFile, int | None, bool]  # flush and whole as for a FileReader


class Schedule:
    """Use on the event loop only. Owns `TrackedFile.work`."""

    def __init__(self) -> None:
        self._live: deque[Ask] = deque()
        self._bulk: deque[Ask] = deque()
        self._picked = 0
        self._ready = asyncio.Semaphore(0)
        self._pending = 0
        self._idle = asyncio.Event()
        self._timers: dict[TrackedFile, asyncio.TimerHandle] = {}
        self._open: OrderedDict[TrackedFile, None] = OrderedDict()  # those that rest longest first
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.open_max = max(16, min(2048, soft // 4))

    # Turns

    def hold(self, tracked: TrackedFile) -> None:
        """No turn before `release`."""
        assert tracked.work is WorkState.RESTING
        tracked.work = WorkState.HELD

    def release(self, tracked: TrackedFile) -> None:
        if tracked.work is WorkState.HELD:
            tracked.work = WorkState.RESTING

    def want(self, tracked: TrackedFile, flush: int | None = None, *, whole: bool = False) -> None:
        """Give it a turn as soon as there is one."""
        if tracked.ended:
            return
        if tracked.busy:
            tracked.work = WorkState.AGAIN
        elif tracked.work is WorkState.RESTING:
            tracked.work = WorkState.QUEUED
            self._pending += 1
            self._idle.clear()
            waiting = tracked.there - tracked.offset
            (self._bulk if tracked.bulk or waiting > BURST else self._live).append((tracked, flush, whole))
            self._ready.release()

    def grown(self, tracked: TrackedFile, size: int, mtime: int) -> None:
        """Its file has this size by now, and was written at that time."""
        if tracked.there <= max(tracked.offset, tracked.flushed):
            tracked.caught = time.monotonic()
        tracked.there = size
        if tracked.busy and tracked.proven:
            # Known content that grows while its turn waits for the store.
            tracked.grown = size, mtime
        self.want(tracked)

    def later(self, tracked: TrackedFile, seconds: float, flush: int | None = None, *, whole: bool = False) -> None:
        """Give it a turn after so long; replaces what was planned for it before."""
        self.forget(tracked)

        def fire() -> None:
            self._timers.pop(tracked, None)
            self.want(tracked, flush, whole=whole)

        self._timers[tracked] = asyncio.get_running_loop().call_later(seconds, fire)

    def forget(self, tracked: TrackedFile) -> None:
        """Drop what was planned for it."""
        if planned := self._timers.pop(tracked, None):
            planned.cancel()

    async def next(self) -> Ask:
        """The next file, which is busy from now on: live ones first, every fourth time one that catches up."""
        await self._ready.acquire()
        self._picked += 1
        first, second = (self._bulk, self._live) if self._picked % 4 == 0 else (self._live, self._bulk)
        ask = (first or second).popleft()
        tracked = ask[0]
        assert tracked.work is WorkState.QUEUED
        tracked.work = WorkState.BUSY
        return ask

    def over(self, tracked: TrackedFile) -> bool:
        """Its turn is over. Returns whether another one was wanted meanwhile."""
        assert tracked.busy
        again, tracked.work = tracked.work is WorkState.AGAIN, WorkState.RESTING
        return again

    def done(self) -> None:
        """All that followed from a turn is done, too."""
        self._pending -= 1
        if not self._pending:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until nobody wants a turn."""
        if self._pending:
            await self._idle.wait()

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    # Descriptors

    @property
    def room(self) -> bool:
        """Whether another file may be kept open."""
        return self.spare > 0

    @property
    def spare(self) -> int:
        """How many more files may be kept open."""
        return self.open_max - len(self._open) - self._pending

    def shut(self, tracked: TrackedFile) -> None:
        """Close its file, unless it is at work: then that is done at the end of its turn."""
        self._open.pop(tracked, None)
        if not tracked.busy:
            tracked.close()

    def keep_open(self, tracked: TrackedFile) -> None:
        """Descriptors stay open, so that a rotated or deleted file can be read to its end, up to a limit. Beyond it
        those go that can be opened again, the one that rests longest first: followed files, then rotated ones."""
        if tracked.fd < 0:
            self._open.pop(tracked, None)
            return
        tracked.unopened = tracked.away = False
        self._open[tracked] = None
        self._open.move_to_end(tracked)
        for loose in (False, True):
            for other in list(self._open):
                if len(self._open) <= self.open_max:
                    return
                if not other.busy and other.loose is loose and other.fd >= 0 and os.fstat(other.fd).st_nlink:
                    self.shut(other)
                    other.unopened = True
