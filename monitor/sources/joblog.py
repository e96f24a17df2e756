"""Logs of jobs that have ended, of any CI system: scanned as they come, and known as read with what was found.

That one was read is a row of its own, committed with its last findings. One that breaks off, or whose reader is killed,
is read again from its beginning, where the same findings have the same ids: none is missed, and none is there twice.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from monitor.common.outside import ROOM, taken
from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake, ScanError
from monitor.scanning.blocks import BLOCK, Cutter
from monitor.scanning.record import record
from monitor.sources.base import Where

__all__ = ["LARGEST", "CiJob", "JobLogs", "LogReading", "titled", "where"]

LARGEST = 1 << 30  # bytes of a log; what is beyond them is entered as lost
_ROW = "job:"
_BOM = b"\xef\xbb\xbf"
_BEHIND = 4 * BLOCK  # bytes of a log that a block may still reach back


def titled(title: str, begun: float | None) -> str:
    """A section is a step of its own, where nobody knows better."""
    return title


@dataclass(frozen=True, slots=True)
class CiJob:
    """One job of one attempt that has ended. `key`: its name among all of its `server`, which makes it known as read
    and tells its findings from others'. `path`: as alerts show it. `step`: title of a section of its log, and when that
    began → name of the step it is of."""

    key: str
    server: str
    path: str
    ended: float  # seconds since the epoch
    labels: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    step: Callable[[str, float | None], str] = titled


class JobLogs:
    """Which jobs of one source were read, and how the next one is."""

    def __init__(self, source: str, intake: Intake, section: re.Pattern[bytes], parts: int) -> None:
        """`section`: a line that begins a section of a log, with its title as the only group. `parts`: of a key, as far
        as they name the repository."""
        self._source, self._intake, self._section, self._parts = source, intake, section, parts
        self._read: defaultdict[str, dict[str, float]] = defaultdict(dict)  # repository → job → when it ended
        self._at_work: set[str] = set()
        self._whole: Counter[str] = Counter()  # logs of a repository that were read
        self._failed: dict[str, int] = {}  # job → how many had been when its log failed first

    def restore(self, saved: Mapping[str, Mapping[str, Any]]) -> None:
        """From the positions of the source."""
        rows = {key.removeprefix(_ROW): state.get("ended") for key, state in saved.items() if key.startswith(_ROW)}
        for key, ended in rows.items():
            if isinstance(ended, int | float):
                self._read[self._of(key)][key] = float(ended)

    def knows(self, key: str) -> bool:
        """Whether it was read, is given up, or is being read now."""
        return key in self._read.get(self._of(key), ()) or key in self._at_work

    def has(self, of: str, last: str) -> bool:
        """Whether one of a repository was read, or is given up, by the last part of its key."""
        return any(key.endswith(f"/{last}") for key in self._read.get(of, ()))

    def _of(self, key: str) -> str:
        return "/".join(key.split("/", self._parts)[: self._parts])

    async def read(self, job: CiJob, log: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        """Scan a log; once this returns it is known as read, or somebody else is at it. Raises what opening and reading
        it raises: nothing is lost then."""
        if self.knows(job.key):
            return
        self._at_work.add(job.key)
        try:
            async with log as pieces:
                await self._through(job, pieces)
            self._whole[self._of(job.key)] += 1
            self._known(job)
        finally:
            self._at_work.discard(job.key)

    async def _through(self, job: CiJob, pieces: AsyncIterator[bytes]) -> None:
        reading = LogReading(self._source, job, self._section)
        async for piece in pieces:
            await self._scan(job, reading.feed(piece))
            if reading.bytes > LARGEST:
                self._intake.missed("too_large", 0, job.path)
                break
        await self._scan(job, reading.rest(), self._row(job))

    async def lose(self, job: CiJob, reason: str) -> None:
        """Its log is not to be had any more: that is entered into the ledger, and it is known as read."""
        self._intake.missed(reason, 1, job.path, "logs")
        await self.pass_over(job)

    async def pass_over(self, job: CiJob) -> None:
        """It has no log."""
        await self._intake.record((), self._row(job))
        self._known(job)

    def failed(self, key: str) -> bool:
        """Its log cannot be read for now. Whether that is about it alone: others of its repository were read since it
        failed first. Where none can be, it is the way there or the right to read, and nothing is to be given up."""
        whole = self._whole[self._of(key)]
        return whole > self._failed.setdefault(key, whole)

    def _known(self, job: CiJob) -> None:
        self._read[self._of(job.key)][job.key] = job.ended
        self._failed.pop(job.key, None)

    def forget(self, of: str, before: float) -> list[Position]:
        """What is not to be stored any more: of jobs of a repository that ended before any that is still looked at."""
        read = self._read.get(of, {})
        old = [key for key, ended in read.items() if ended < before]
        for key in old:
            del read[key]
        return [Position(self._source, f"{_ROW}{key}", None) for key in old]

    def _row(self, job: CiJob) -> tuple[Position, ...]:
        return (Position(self._source, f"{_ROW}{job.key}", {"ended": job.ended}),)

    async def _scan(self, job: CiJob, block: Block | None, positions: tuple[Position, ...] = ()) -> None:
        if block is not None:
            try:
                await self._intake.scan(iter([block]), lambda: positions)
            except ScanError:
                self._intake.missed("unscannable", block.end - block.fresh, job.path)
            else:
                return
        if positions:
            await self._intake.record((), positions)


def where(positions: Mapping[str, Mapping[str, Any]]) -> Where:
    """How far a source of such logs has come, for people."""
    ended = [float(state.get("ended", 0)) for key, state in positions.items() if key.startswith(_ROW)]
    return Where(f"{len(ended):,} jobs of late", upto=max(ended, default=None))


class LogReading:
    """One log on its way: bytes in, blocks out. `bytes`: that came."""

    def __init__(self, source: str, job: CiJob, section: re.Pattern[bytes]) -> None:
        self.bytes = 0
        self._job = job
        self._steps = _Steps(section, job.step)
        self._cutter = Cutter(source, job.path, f"{job.server}/{job.key}", attributes=job.labels)
        self._parts: list[bytes] = []
        self._gathered = 0

    def feed(self, piece: bytes) -> Block | None:
        self.bytes += len(piece)
        self._parts.append(piece)
        self._gathered += len(piece)
        return self._block(self._cutter.feed(self._taken())) if self._gathered >= BLOCK else None

    def rest(self) -> Block | None:
        """The log is over."""
        return self._block(self._cutter.flush(self._taken()))

    def _taken(self) -> bytes:
        """What has come, without the mark at the beginning of a log, which would stand before the time of its first
        line."""
        data = b"".join(self._parts).removeprefix(_BOM if self.bytes == self._gathered else b"")
        self._parts, self._gathered = [], 0
        self._steps.feed(data)
        return data

    def _block(self, block: Block | None) -> Block | None:
        return block and replace(block, attributes_at=self._steps.at, url=self._job.url)


class _Steps:
    """Where in a log which step begins, as far as blocks may still ask for it."""

    def __init__(self, section: re.Pattern[bytes], step: Callable[[str, float | None], str]) -> None:
        self._section, self._step, self._now = section, step, time.time()
        self._begins, self._names = [0], [""]
        self._open = b""  # a line whose end has not come
        self._offset = 0  # of that

    def feed(self, data: bytes) -> None:
        data = self._open + data
        end = data.rfind(b"\n") + 1
        if not self._offset and end and not self._names[0]:
            begun = record(data[: data.find(b"\n")], self._now).logged_at
            self._names[0] = self._step("", begun)  # before the first section
        for found in self._section.finditer(data, 0, end):
            self._begins.append(self._offset + found.start())
            begun = record(found[0], self._now).logged_at
            self._names.append(self._step(taken(found[1]).strip(), begun) or self._names[-1])
        end = max(end, len(data) - ROOM)
        self._open, self._offset = data[end:], self._offset + end
        old = bisect_right(self._begins, self._offset - _BEHIND) - 1
        if old > 0:
            del self._begins[:old], self._names[:old]

    def at(self, offset: int) -> Mapping[str, str]:
        """As a block wants it (attributes_at)."""
        name = self._names[max(0, bisect_right(self._begins, offset) - 1)]
        return {"step": name} if name else {}
