"""Records that senders bring and nobody can read again: they wait here for the scanner, bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from monitor.domain.model import Block
from monitor.intake.protocol import Intake
from monitor.sources.settle import settle

__all__ = ["SourceQueue"]

_MOST = 8 << 20  # bytes that wait before senders have to
_BATCH = 4 << 20  # bytes that are settled together
_RECORD = 512  # bytes that a record takes beside its text

Done = Callable[[], object]


class SourceQueue:
    """What is `put` is scanned in its order, by `run`. Who puts waits for `room` first: back-pressure is theirs."""

    def __init__(self, intake: Intake, most: int = _MOST) -> None:
        self._intake = intake
        self._most = most
        self._waiting: deque[tuple[Block, Done | None]] = deque()
        self._batch: list[tuple[Block, Done | None]] = []  # in work
        self._bytes = 0  # of both
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    @property
    def waiting(self) -> int:
        """Bytes that are not settled."""
        return sum(len(record.data) - record.fresh for record, _ in (*self._batch, *self._waiting))

    def put(self, record: Block, done: Done | None = None) -> None:
        """`done` is called once what was found in the record is safe. Must not raise."""
        self._waiting.append((record, done))
        self._bytes += len(record.data) + _RECORD
        self._news.set()
        self._empty.clear()
        if self._bytes >= self._most:
            self._room.clear()

    async def room(self) -> None:
        """Returns when more may be put."""
        await self._room.wait()

    async def empty(self) -> None:
        """Returns when `run` has settled all there is."""
        await self._empty.wait()

    async def run(self) -> None:
        """Until cancelled. What was in work then is still here."""
        while True:
            await self._news.wait()
            await self.drain()

    async def drain(self) -> None:
        """Returns when all there is was settled."""
        while self._batch or self._waiting:
            size = 0
            while self._waiting and size < _BATCH:
                self._batch.append(self._waiting.popleft())
                size += len(self._batch[-1][0].data)
            await settle(self._intake, [record for record, _ in self._batch])

            batch, self._batch = self._batch, []
            self._bytes -= sum(len(record.data) + _RECORD for record, _ in batch)
            if self._bytes < self._most:
                self._room.set()
            for _, done in batch:
                if done is not None:
                    done()
        self._news.clear()
        self._empty.set()
