"""A mark of the blocks in work that outlives a killed process: what ended it twice is not tried a third time.

A memory-mapped file: a write costs a few microseconds and no system call, and the kernel keeps it when the process is
killed. It is not forced to the disk, as a machine that fails says nothing about a block.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from monitor.domain.model import Block

__all__ = ["ENOUGH", "BlockMarks"]

log = structlog.get_logger(__name__)

ENOUGH = 2  # unclean ends at which a block was in work, after which it is passed over

_SLOTS = 128  # blocks in work and suspects together: threads are few, and a suspect goes when it is scanned
_SLOT = struct.Struct("<16sQQII")  # stream, start, end (bytes), unclean ends, 1 while in work
_MAGIC = b"blocks 1".ljust(_SLOT.size, b"\0")


@dataclass(slots=True)
class _Mark:
    stream: bytes
    start: int
    end: int
    ends: int  # unclean ends so far
    working: bool

    def meets(self, stream: bytes, start: int, end: int) -> bool:
        """The cut into blocks differs after a restart: to overlap is enough."""
        return self.stream == stream and self.start < end and start < self.end


class BlockMarks:
    """Which blocks are in work, and which were when a process ended without saying so. Thread-safe.

    Holds digests of places, nothing of the text. A file that cannot be had or is damaged costs the memory of earlier
    ends, never the work.
    """

    def __init__(self, path: Path | None) -> None:
        """`path`: created when missing; None: only in memory."""
        self._lock = threading.Lock()
        self._marks: dict[int, _Mark] = {}
        self._memory: mmap.mmap | None = None
        if path is not None:
            try:
                self._memory = _mapped(path)
            except OSError as error:
                log.warning("no mark can be stored of the blocks in work", path=str(path), reason=error.strerror)
        self._load()

    def begin(self, block: Block) -> int:
        """The engine gets this block now. Returns what `end` wants."""
        place = _place(block)
        with self._lock:
            number = next((number for number in range(1, _SLOTS) if number not in self._marks), 0)
            if number:
                ends = max((mark.ends for mark in self._marks.values() if mark.meets(*place)), default=0)
                self._put(number, _Mark(*place, ends, working=True))
            return number

    def end(self, number: int) -> None:
        """It came back, with whatever result: it and what it overlaps are above suspicion."""
        with self._lock:
            mark = self._marks.get(number)
            if mark is not None:
                self._put(number, None)
                self._absolve(mark)

    def suspicion(self, block: Block) -> int:
        """At how many unclean ends a block that overlaps this one was in work."""
        if not self._marks:
            return 0
        place = _place(block)
        with self._lock:
            suspects = (mark.ends for mark in self._marks.values() if not mark.working and mark.meets(*place))
            return max(suspects, default=0)

    def pass_over(self, block: Block) -> None:
        """It is left out, and that was counted: forget it."""
        with self._lock:
            self._absolve(_Mark(*_place(block), 0, working=False))

    def close(self) -> None:
        """A clean end: nothing is in work any more. Suspects stay, as nobody has looked at them."""
        with self._lock:
            for number in [number for number, mark in self._marks.items() if mark.working]:
                self._put(number, None)
            if self._memory is not None:
                self._memory.close()
                self._memory = None

    def _absolve(self, good: _Mark) -> None:
        for number, mark in list(self._marks.items()):
            if not mark.working and mark.meets(good.stream, good.start, good.end):
                self._put(number, None)

    def _put(self, number: int, mark: _Mark | None) -> None:
        if mark is None:
            del self._marks[number]
            record = bytes(_SLOT.size)
        else:
            self._marks[number] = mark
            record = _SLOT.pack(mark.stream, mark.start, mark.end, mark.ends, mark.working)
        if self._memory is not None:
            self._memory[number * _SLOT.size : (number + 1) * _SLOT.size] = record

    def _load(self) -> None:
        if self._memory is None:
            return
        if self._memory[: _SLOT.size] != _MAGIC:
            self._memory[:] = _MAGIC + bytes(_SLOT.size * (_SLOTS - 1))
            return
        for number in range(1, _SLOTS):
            stream, start, end, ends, working = _SLOT.unpack_from(self._memory, number * _SLOT.size)
            if end > start:
                self._put(number, _Mark(stream, start, end, ends + bool(working), working=False))


def _mapped(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        size = _SLOT.size * _SLOTS
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, 0)
            # Room for it now: a full disk must not end the process at a write into a hole of the mapping.
            with contextlib.suppress(NotImplementedError):
                os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _place(block: Block) -> tuple[bytes, int, int]:
    name = f"{block.source}\0{block.path}\0{block.generation}".encode("utf-8", "surrogatepass")
    stream = hashlib.blake2b(name, digest_size=16).digest()
    start, end = block.span
    return stream, start, max(end, start + 1)
