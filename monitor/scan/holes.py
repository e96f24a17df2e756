"""Where a file has bytes, and where there is nothing but space: a file of 200 GiB may hold a megabyte."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

__all__ = ["next_data", "stretches"]

_NEAR = 1 << 20  # bytes of a hole that are read like any other: each stretch is a search of its own


def next_data(fd: int, at: int) -> int | None:
    """The first place from `at` on that may hold data; None: there is none before the end. Raises OSError."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        if error.errno == errno.EINVAL:  # a file system that knows of no holes
            return at
        raise


def stretches(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Begin and end of what is to be read of the first `size` bytes. Raises OSError."""
    begin, end = next_data(fd, 0), 0
    while begin is not None and begin < size:
        end = _hole(fd, begin, size)
        after = next_data(fd, end) if end < size else None
        while after is not None and after - end < _NEAR and end < size:
            end = _hole(fd, after, size)
            after = next_data(fd, end) if end < size else None
        yield begin, end
        begin = after


def _hole(fd: int, at: int, size: int) -> int:
    try:
        return min(size, os.lseek(fd, at, os.SEEK_HOLE))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENXIO):
            return size
        raise
