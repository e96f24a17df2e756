"""Records of a source to the store: scanned together, and one alone where the engine fails on them. Those that senders
bring and nobody can read again wait for that, bounded in bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake, ScanError
from monitor.scanning.blocks import Batcher

__all__ = ["SourceQueue", "settle"]

_MOST = 8 << 20  # bytes that wait before senders have to
_BATCH = 4 << 20  # bytes that are settled together
_RECORD = 512  # bytes that a record takes beside its text

Done = Callable[[], object]


async def settle(
    intake: Intake, records: Sequence[Block], upto: Callable[[int], Iterable[Position]] = lambda done: ()
) -> None:
    """Scan records; what was found in them is safe when this returns. `upto`: positions once so many are done.

    A record that the engine fails on is lost and told; no other one is.
    """
    batcher = Batcher(records)
    while batcher.more:
        before = batcher.done
        try:
            await intake.scan(batcher.blocks(), lambda: upto(batcher.done))
        except ScanError:
            await _singly(intake, records, before, max(batcher.done, before + 1), upto)


async def _singly(
    intake: Intake, records: Sequence[Block], start: int, stop: int, upto: Callable[[int], Iterable[Position]]
) -> None:
    """The engine failed somewhere in these."""
    for record in records[start:stop]:
        batcher = Batcher([record])
        while batcher.more:
            try:
                await intake.scan(batcher.blocks(), tuple)
            except ScanError:
                intake.missed("unscannable", len(record.data) - record.fresh, record.path)
                break
    positions = tuple(upto(stop))
    if positions:
        await intake.record((), positions)


class SourceQueue:
    """What is `put` is scanned in its order, by `run`. Who puts waits for `room` first: back-pressure is theirs."""

    def __init__(self, intake: Intake, most: int = _MOST) -> None:
        self._intake, self._most = intake, most
        self._waiting: deque[tuple[Block, Done | None]] = deque()
        self._batch: list[tuple[Block, Done | None]] = []  # in work
        self._bytes = 0  # of both
        self._changes, self._room = asyncio.Event(), asyncio.Event()
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
        self._changes.set()
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
            await self._changes.wait()
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
        self._changes.clear()
        self._empty.set()
