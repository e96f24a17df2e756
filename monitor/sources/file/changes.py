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
        self.over: dict[str, None] = {}  # keys of lives to be forgotten
        self.past: dict[TrackedFile, None] = {}  # that ended, to be known again
        self.turns: dict[TrackedFile, None] = {}  # to have a turn

    @contextlib.asynccontextmanager
    async def gathered(self, extra: Iterable[Position] = ()) -> AsyncIterator[None]:
        """What is noted inside is committed at its end, with `extra`."""
        async with self._lock:
            yield
            for life in self.note:
                if not life.ended:
                    life.record = StoredState.SAVED
            positions = [Position(self._source, key, None) for key in self.over]
            positions += [life.position(self._source) for life in self.note if not life.ended]
            positions += [life.position(self._source) for life in self.past]
            turns, self.note, self.over, self.turns, self.past = list(self.turns), {}, {}, {}, {}
            positions += extra
            if positions:
                await self._intake.record((), positions)
            for life in turns:
                if not life.unsure:
                    self._schedule.release(life)
                    self._schedule.want(life)

    def end(self, life: TrackedFile) -> None:
        """Forget a life, but for what was read of it."""
        self.recovered(life)
        self._schedule.forget(life)
        self._schedule.shut(life)
        self.past[life] = None
        for one in self._registry.end(life):
            self.past.pop(one, None)
            self.over[one.key] = None

    def lost(self, reason: str, life: TrackedFile, written_on: bool = False) -> None:
        """What is known of it and unread will not be read any more. `written_on`: nor will be what may be written to it
        where nobody sees how much that is."""
        count = max(0, max(life.size, life.grown[0]) - max(life.offset, life.flushed))
        # Seen, but never looked into: what it held may have been read where it was found again.
        unsure = not life.looked_into and life.there > life.offset
        if count or written_on or unsure:
            self._intake.missed(reason, count, text(life.path))

    def outrun(self, life: TrackedFile) -> None:
        """It had lost its last name before it was seen to be rotated: nobody knows how many files came and went after
        it."""
        self._intake.missed("outrun", 0, text(life.path))

    def recovered(self, life: TrackedFile) -> None:
        """It can be read, or nobody asks any more."""
        if life.failures:
            life.failures = 0
            self._intake.degraded(text(life.path), None)
