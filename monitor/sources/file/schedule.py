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

    def hold(self, life: TrackedFile) -> None:
        """No turn before `release`."""
        assert life.work is WorkState.RESTING
        life.work = WorkState.HELD

    def release(self, life: TrackedFile) -> None:
        if life.work is WorkState.HELD:
            life.work = WorkState.RESTING

    def want(self, life: TrackedFile, flush: int | None = None, *, whole: bool = False) -> None:
        """Give it a turn as soon as there is one."""
        if life.ended:
            return
        if life.busy:
            life.work = WorkState.AGAIN
        elif life.work is WorkState.RESTING:
            life.work = WorkState.QUEUED
            self._pending += 1
            self._idle.clear()
            waiting = life.there - life.offset
            (self._bulk if life.bulk or waiting > BURST else self._live).append((life, flush, whole))
            self._ready.release()

    def grown(self, life: TrackedFile, size: int, mtime: int) -> None:
        """Its file has this size by now, and was written at that time."""
        if life.there <= max(life.offset, life.flushed):
            life.caught = time.monotonic()
        life.there = size
        if life.busy and life.proven:
            # Known content that grows while its turn waits for the store.
            life.grown = size, mtime
        self.want(life)

    def later(self, life: TrackedFile, seconds: float, flush: int | None = None, *, whole: bool = False) -> None:
        """Give it a turn after so long; replaces what was planned for it before."""
        self.forget(life)

        def fire() -> None:
            self._timers.pop(life, None)
            self.want(life, flush, whole=whole)

        self._timers[life] = asyncio.get_running_loop().call_later(seconds, fire)

    def forget(self, life: TrackedFile) -> None:
        """Drop what was planned for it."""
        if planned := self._timers.pop(life, None):
            planned.cancel()

    async def next(self) -> Ask:
        """The next file, which is busy from now on: live ones first, every fourth time one that catches up."""
        await self._ready.acquire()
        self._picked += 1
        first, second = (self._bulk, self._live) if self._picked % 4 == 0 else (self._live, self._bulk)
        ask = (first or second).popleft()
        life = ask[0]
        assert life.work is WorkState.QUEUED
        life.work = WorkState.BUSY
        return ask

    def over(self, life: TrackedFile) -> bool:
        """Its turn is over. Returns whether another one was wanted meanwhile."""
        assert life.busy
        again, life.work = life.work is WorkState.AGAIN, WorkState.RESTING
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

    def shut(self, life: TrackedFile) -> None:
        """Close its file, unless it is at work: then that is done at the end of its turn."""
        self._open.pop(life, None)
        if not life.busy:
            life.close()

    def keep_open(self, life: TrackedFile) -> None:
        """Descriptors stay open, so that a rotated or deleted file can be read to its end, up to a limit. Beyond it
        those go that can be opened again, the one that rests longest first: followed files, then rotated ones."""
        if life.fd < 0:
            self._open.pop(life, None)
            return
        life.unopened = life.away = False
        self._open[life] = None
        self._open.move_to_end(life)
        for loose in (False, True):
            for other in list(self._open):
                if len(self._open) <= self.open_max:
                    return
                if not other.busy and other.loose is loose and other.fd >= 0 and os.fstat(other.fd).st_nlink:
                    self.shut(other)
                    other.unopened = True
