"""What a file leaves open at its end goes on in its successor: a record in pieces, a secret of several lines, a line.

Nothing of it is stored: it is read again from the predecessor, wherever that lies by then.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

from monitor.common.cuts import CONTEXT, carried
from monitor.common.files import open_archive, open_same, read_exactly
from monitor.domain.model import Predecessor
from monitor.sources.file.identity import Hasher
from monitor.sources.file.tracked_file import Carry, TrackedFile, WorkState, text

__all__ = [
    "EarlyError",
    "begins_anew",
    "carry",
    "chain",
    "close",
    "follow",
    "insert",
    "ready",
    "snapshot",
    "waited",
]

PATIENCE = 30.0  # seconds for which a file waits for its predecessor, unless that gets on
_MOST = 4 << 20  # bytes; what is open is never more than a block
_PIECE = 1 << 20
_HEAD = 8  # characters by which lines of one log are alike
_LINES = 64
_CLASSES = bytes.maketrans(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", b"0" * 10 + b"A" * 26 + b"a" * 26
)
_NUMBERED = re.compile(r"(.+)\.(\d{1,3})(?:\.(?:gz|bz2|xz|zst))?")


class EarlyError(Exception):
    """The predecessor is still being written to, or was not read to its end."""


# On the event loop


def follow(tracked: TrackedFile, before: TrackedFile | None) -> None:
    """`tracked` goes on from `before`, which its path showed until now."""
    if before is None or before is tracked or before.generation == tracked.generation:
        return
    tracked.before, before.after = before, tracked
    tracked.stale()


def insert(tracked: TrackedFile, successor: TrackedFile | None) -> None:
    """`tracked`, found late, was written before `successor` and after what that was taken to go on from."""
    if successor is None or successor is tracked or successor.offset or successor.start:
        return
    before = successor.before
    while before is not None and not before.known_by_content and not before.there:
        before = before.before  # it was empty when it was last seen: this may be what became of it
    if before is not tracked:
        follow(tracked, before)
        follow(successor, tracked)


def ready(tracked: TrackedFile) -> bool:
    """Whether its predecessor, if there is one to go on from, was read to its end."""
    before = tracked.before
    if tracked.offset or before is None or before.ended or before.failures:
        return True
    return before.work is WorkState.RESTING and before.at_end


def waited(tracked: TrackedFile) -> float:
    """Seconds for which its predecessor has kept it from being read; one that gets on does not count."""
    now = time.monotonic()
    if not tracked.waiting or (tracked.before is not None and tracked.before.bulk):
        tracked.waiting = now
    return now - tracked.waiting


def snapshot(tracked: TrackedFile) -> TrackedFile | None:
    """Of its predecessor as it is now, with a descriptor of its own; None: there is nothing to go on from. As long as
    what was read of it fills no context, that goes on
    into the predecessor."""
    before = tracked.before
    if before is None or tracked.offset >= CONTEXT or before.unsure or _skipped(before, tracked):
        return None
    if tracked.offset and (before.ended or before.archive):  # unpacked for each line, it would cost too much
        return None
    try:
        fd = os.dup(before.fd) if before.fd >= 0 else -1
    except OSError:
        fd = -1
    return replace(before, fd=fd, before=None if before.offset else snapshot(before))


def chain(tracked: TrackedFile, given: Carry) -> Iterator[tuple[TrackedFile, int]]:
    """Its predecessors that are still there, of which something was given, and where each ends."""
    before, of = tracked.before, cast("Predecessor | None", given.of)
    while before is not None and of is not None:
        if not before.ended:
            yield before, of.end
        before, of = before.before, of.before


def _skipped(before: TrackedFile, tracked: TrackedFile) -> bool:
    """Whether their numbers say that there was another one between them: only where an older one with a higher number
    says that they shift, as others rise."""
    number, own = _number(before, tracked), _number(tracked, tracked)
    return not tracked.loose and number > own + 1 and (own > 0 or _number(before.before, tracked) > number)


def _number(old: TrackedFile | None, log: TrackedFile) -> int:
    """Of an old file of the same log; 0: it has none."""
    found, own = _NUMBERED.fullmatch(old.path) if old is not None else None, _NUMBERED.fullmatch(log.path)
    return int(found[2]) if found is not None and found[1] in (log.path, own and own[1]) else 0


# In a worker thread


def carry(before: TrackedFile, hasher: Hasher) -> Carry | None:
    """What the successor of `before` begins with; None: its end cannot be read any more. Blocking.

    Raises EarlyError, OSError, and what a damaged archive raises.
    """
    begin = carried(before.offset)
    data = _archived(before, begin, hasher) if before.archive else _plain(before, begin, hasher)
    if data is None or len(data) > _MOST:
        return None
    settled = min(len(data), before.offset - begin)
    given = carry(before.before, hasher) if before.before is not None else None  # open from beginning to end
    if given is not None and len(given.text) + len(data) <= _MOST:
        of = Predecessor(text(before.path), before.generation, len(data), given.of)
        return Carry(given.text + data, given.settled, of)
    return Carry(data, settled, Predecessor(text(before.path), before.generation, begin + len(data)))


def close(before: TrackedFile | None) -> None:
    """Give back the descriptors of a snapshot."""
    while before is not None:
        before.close()
        before = before.before


def _plain(before: TrackedFile, begin: int, hasher: Hasher) -> bytes | None:
    fd = before.fd if before.fd >= 0 else open_same(before.path, before.inode)
    if fd < 0:
        return None
    try:
        status = os.fstat(fd)
        if not hasher.continues(fd, status.st_size, before):
            return None
        if (status.st_size, status.st_mtime_ns) != before.known[:2]:
            raise EarlyError
        return os.pread(fd, max(0, min(before.size - begin, _MOST + 1)), begin)
    finally:
        if fd != before.fd:
            os.close(fd)


def _archived(before: TrackedFile, begin: int, hasher: Hasher) -> bytes | None:
    for check in (True, False):
        stream = open_archive(before.path)
        if stream is None:
            return None
        with stream:
            if check:
                if not hasher.archive_continues(stream, before):
                    return None
                continue
            left = begin
            while left and (piece := read_exactly(stream, min(_PIECE, left))):
                left -= len(piece)
            return read_exactly(stream, _MOST + 1)
    return None


def begins_anew(head: bytes, known: Iterable[bytes]) -> bool:
    """Whether a file begins with a line like those `known` of its log, and not with the rest of one that was open.

    Alike are characters of one kind, and what separates them, as in times and brackets.
    """
    shape = head[:_HEAD].translate(_CLASSES)
    telling = len(shape) == _HEAD and not shape.isalnum()
    return telling and any(line[:_HEAD].translate(_CLASSES) == shape for line in list(known)[-_LINES:])
