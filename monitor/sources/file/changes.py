"""What a look or a turn changes: gathered under one lock, and committed in one go before any of it gets a turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from monitor.domain.model import Position
from monitor.intake.protocol import Intake
from monitor.sources.file.registry import Registry
from monitor.sources.file.schedule import Schedule
from monitor.sources.file.tracked_file import StoredState, TrackedFile, text

__all__ = ["PositionChanges", "TrackingOptions"]


class TrackingOptions(Protocol):
    """What the configuration of a source says about keeping."""

    @property
    def name(self) -> str: ...
    @property
    def start_at(self) -> str: ...
    @property
    def quiet(self) -> float: ...


class PositionChanges:
    """Use on the event loop only; the rest of it within `gathered`."""

    def __init__(self, source: str, intake: Intake, registry: Registry, schedule: Schedule) -> None:
        self._source, self._intake, self._registry, self._schedule = source, intake, registry, schedule
        self._lock = asyncio.Lock()
        self.note: dict[TrackedFile, None] = {}  # to be recorded
        self.over: dict[str, None] = {}  # keys of tracked files to be forgotten
        self.past: dict[TrackedFile, None] = {}  # that ended, to be known again
        self.turns: dict[TrackedFile, None] = {}  # to have a turn

    @contextlib.asynccontextmanager
    async def gathered(self, extra: Iterable[Position] = ()) -> AsyncIterator[None]:
        """What is noted inside is committed at its end, with `extra`."""
        async with self._lock:
            yield
            for tracked in self.note:
                if not tracked.ended:
                    tracked.record = StoredState.SAVED
            positions = [Position(self._source, key, None) for key in self.over]
            positions += [tracked.position(self._source) for tracked in self.note if not tracked.ended]
            positions += [tracked.position(self._source) for tracked in self.past]
            turns, self.note, self.over, self.turns, self.past = list(self.turns), {}, {}, {}, {}
            positions += extra
            if positions:
                await self._intake.record((), positions)
            for tracked in turns:
                if not tracked.unsure:
                    self._schedule.release(tracked)
                    self._schedule.want(tracked)

    def end(self, tracked: TrackedFile) -> None:
        """Forget a tracked file, but for what was read of it."""
        self.recovered(tracked)
        self._schedule.forget(tracked)
        self._schedule.shut(tracked)
        self.past[tracked] = None
        for one in self._registry.end(tracked):
            self.past.pop(one, None)
            self.over[one.key] = None

    def lost(self, reason: str, tracked: TrackedFile, written_on: bool = False) -> None:
        """What is known of it and unread will not be read any more. `written_on`: nor will be what may be written to it
        where nobody sees how much that is."""
        count = max(0, max(tracked.size, tracked.grown[0]) - max(tracked.offset, tracked.flushed))
        # Seen, but never looked into: what it held may have been read where it was found again.
        unsure = not tracked.looked_into and tracked.there > tracked.offset
        if count or written_on or unsure:
            self._intake.missed(reason, count, text(tracked.path))

    def outrun(self, tracked: TrackedFile) -> None:
        """It had lost its last name before it was seen to be rotated: nobody knows how many files came and went after
        it."""
        self._intake.missed("outrun", 0, text(tracked.path))

    def recovered(self, tracked: TrackedFile) -> None:
        """It can be read, or nobody asks any more."""
        if tracked.failures:
            tracked.failures = 0
            self._intake.degraded(text(tracked.path), None)
