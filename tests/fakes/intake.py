"""An intake that finds marks instead of secrets and keeps what a store would keep."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from monitor.common.scheduler import Scheduler
from monitor.domain.model import Block, Finding, Position
from monitor.intake.protocol import Behind, RequestQuota, ScanError
from monitor.sources.base import Source
from monitor.store.crash_mark import BlockMarks

# A mark stands for a secret; the long one spans lines as a PEM does.
MARK = re.compile(rb"<(\d+)>|BEGIN (\d+)\n[a-z\n]*?END\n")


class Seen(NamedTuple):
    mark: int
    path: str
    offset: int
    line: int | None
    time: float


class _Shut(dict[tuple[int, int], int]):
    """Keeps no descriptor."""

    def __setitem__(self, inode: tuple[int, int], descriptor: int) -> None:
        os.close(descriptor)


class FakeIntake:
    """Survives its source, as the store does: give the same one to the next source to restart it."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, int, int], Seen] = {}  # generation, offset, mark: what makes a finding's id
        self.hits = 0  # with repeats
        self.present: Mapping[str, tuple[int, int]] | None = None
        self.begun = False
        self.saved: dict[str, Mapping[str, Any]] = {}
        self.lost: list[tuple[str, int, str]] = []
        self.problems: dict[str, str] = {}
        self.told: list[tuple[str, str | None]] = []
        self.refused: Counter[str] = Counter()
        self.scanned = 0
        self.commits = 0
        self.every = Scheduler().every
        self.blocks: list[tuple[int, int, int, int | None]] = []  # offset, length, fresh, limit
        self.broken: bytes | None = None  # blocks with this text break the engine
        self.enough = 1 << 30  # hits after which no further block is taken
        self.gate = asyncio.Event()  # cleared: the store cannot write
        self.gate.set()
        self._pool = ThreadPoolExecutor(2)
        self._crash_marks = BlockMarks(None)

    def _pull(self, blocks: Iterable[Block]) -> list[tuple[tuple[str, int, int], Seen]]:
        hits = []
        try:
            for block in blocks:
                data = bytes(block.data)
                limit = len(data) if block.limit is None else block.limit
                assert 0 <= block.fresh <= limit <= len(data)
                if self.broken is not None and self.broken in data[block.fresh :]:
                    raise ScanError(f"{block.path}: engine failed", *block.span, block.generation)
                self._crash_marks.end(self._crash_marks.begin(block))
                self.scanned += limit - block.fresh
                self.blocks.append((block.offset, len(data), block.fresh, block.limit))
                for match in MARK.finditer(data):
                    if block.fresh < match.end() <= limit:
                        start, place = _place(block, match)
                        offset = place.offset + match.start() - start
                        mark = int(next(filter(None, match.groups())))
                        line = block.line_at(offset) if block.line_at else None
                        if block.offset_at:
                            offset = block.offset_at(match.start())
                        path, generation, offset = place.place(offset)
                        hits.append(((generation, offset, mark), Seen(mark, path, offset, line, time.monotonic())))
                if len(hits) >= self.enough:
                    break
        finally:
            close = getattr(blocks, "close", None)
            if close:
                close()
        return hits

    async def _pulled(self, blocks: Iterable[Block]) -> list[tuple[tuple[str, int, int], Seen]]:
        """As the scanner does: however often it is cancelled, nobody reads any more once this is over."""
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._pull, blocks)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        hits = await self._pulled(blocks)
        await self.gate.wait()
        self._commit(positions())
        for key, seen in hits:
            self.found.setdefault(key, seen)
        self.hits += len(hits)
        return len(hits)

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        assert not list(findings)
        await self.gate.wait()
        self._commit(positions)
        return 0

    def _commit(self, positions: Iterable[Position]) -> None:
        for position in positions:
            self.commits += 1
            if position.state is None:
                self.saved.pop(position.key, None)
            else:
                self.saved[position.key] = position.state

    @property
    def handles(self) -> dict[tuple[int, int], int]:
        """None: a source that ends here ends as in a crash."""
        return _Shut()

    async def started(self) -> None:
        self.begun = True

    async def positions(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.saved)

    def backlog(self, tell: Callable[[], Sequence[Behind]]) -> None:
        self.behind = tell

    def quotas(self, tell: Callable[[], Sequence[RequestQuota]]) -> None:
        self.asked = tell

    def missed(self, reason: str, count: int, path: str = "", unit: str = "bytes") -> None:
        self.lost.append((reason, count, path))

    def degraded(self, what: str, message: str | None) -> None:
        self.told.append((what, message))
        if message is None:
            self.problems.pop(what, None)
        else:
            self.problems[what] = message

    def malformed(self, what: str) -> None:
        self.refused[what] += 1

    @property
    def marks(self) -> list[int]:
        return sorted(seen.mark for seen in self.found.values())

    def files(self) -> list[Mapping[str, Any]]:
        """Saved positions of files."""
        return [state for key, state in self.saved.items() if not key.startswith("@") and not state.get("ended")]


def _place(block: Block, match: re.Match[bytes]) -> tuple[int, Block]:
    """The record a match lies in, of the many a block may be made of, and where that begins."""
    if not block.parts:
        return 0, block
    start, record = block.parts[bisect_right(block.parts, match.start(), key=lambda part: part[0]) - 1]
    assert match.end() <= start + len(record.data)
    return start, record


class MortalIntake(FakeIntake):
    """Commits as the store does, in transactions between any two of which it can be killed.

    Positions without findings wait a moment for the next transaction. What was not committed is gone after a kill; the
    source hangs, as nothing answers it any more, until it is stopped.
    """

    def __init__(self, moment: float = 0.05) -> None:
        super().__init__()
        self.dead = asyncio.Event()
        self.left: int | None = None  # transactions until the kill
        self._moment = moment
        self._waiting: dict[str, Position] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._new: list[tuple[tuple[str, int, int], Seen]] = []

    def revive(self) -> None:
        """For the next source, with what was committed."""
        self.dead.clear()
        self.left = None
        self._drop()

    def _drop(self) -> None:
        self._waiting, self._new = {}, []
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _transaction(self) -> None:
        if self.dead.is_set():
            return
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self._drop()
                self.dead.set()
                return
        super()._commit(self._waiting.values())
        for key, seen in self._new:
            self.found.setdefault(key, seen)
        self._drop()

    def _commit(self, positions: Iterable[Position]) -> None:
        for position in positions:
            self._waiting.pop(position.key, None)
            self._waiting[position.key] = position
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._moment, self._transaction)

    async def _alive(self) -> None:
        if self.dead.is_set():
            await asyncio.Event().wait()

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        hits = await self._pulled(blocks)
        await self._alive()
        self._commit(positions())
        if hits:
            self._new += hits
            self.hits += len(hits)
            self._transaction()
        await self._alive()
        return len(hits)

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        await self._alive()
        return await super().record(findings, positions)

    async def started(self) -> None:
        await self._alive()
        self._transaction()
        await self._alive()


async def until(condition: Callable[[], object], what: Callable[[], str] | None = None, seconds: float = 60.0) -> None:
    """Less than what a source looks at again by itself only every minute, or a hint that is missed went unseen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if what else "timed out"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[asyncio.Task[None]]:
    """The source at work; stopped as a crash would stop it: nothing more is committed."""
    task = asyncio.create_task(source.run(False))
    try:
        yield task
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])


async def caught_up(intake: FakeIntake, *marks: int) -> None:
    """Wait until exactly these were found."""
    await until(lambda: intake.marks == sorted(marks), lambda: f"wanted {sorted(marks)}, got {intake.marks}")
