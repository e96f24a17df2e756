"""Space set aside in a file: a run of NULs up to its end is not written yet."""

from __future__ import annotations

import errno
import os

__all__ = ["blank_end", "first_blank", "last_written"]

_PIECE = 1 << 20  # bytes
_NOTHING = bytes(_PIECE)


def blank_end(fd: int, size: int) -> bool:
    """Whether the last byte is NUL, as it is where space was set aside. Raises OSError."""
    return size > 0 and os.pread(fd, 1, size - 1) == b"\0"


def last_written(fd: int, start: int, end: int) -> int:
    """Where the run of NULs that reaches to `end` begins: `end` without one, never before `start`. Raises OSError."""
    if not blank_end(fd, end):
        return end
    hole = end
    try:
        hole = os.lseek(fd, start, os.SEEK_HOLE)
        os.lseek(fd, hole, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # space that was reserved and never written
            end = min(end, hole)
    while end > start:
        begin = max(start, end - _PIECE)
        piece = os.pread(fd, end - begin, begin)
        if piece != _NOTHING[: len(piece)]:
            return begin + len(piece.rstrip(b"\0"))
        end = begin
    return start


def first_blank(fd: int, start: int, end: int) -> int:
    """Where writing in a space that is being filled has got to: before the first piece that ends with NUL."""
    at = start
    while at < end and (piece := os.pread(fd, min(_PIECE, end - at), at)):
        written = len(piece.rstrip(b"\0"))
        if written < len(piece):
            return at + written
        at += len(piece)
    return at
