"""Deleted files that a process still has open: they can be opened through its handle, where the system shows it."""

from __future__ import annotations

import contextlib
import os
import stat
import time

from monitor.common.files import open_same
from monitor.sources.file.identity import Hasher
from monitor.sources.file.tracked_file import TrackedFile

__all__ = ["OpenHandles"]

_PROCESSES = "/proc"
_DELETED = " (deleted)"


class OpenHandles:
    """Blocking, and for one thread at a time. Sees the handles of its own user's processes, as root those of all."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._handles: dict[tuple[int, int], str] = {}
        self._listed = float("-inf")  # monotonic time

    def open(self, tracked: TrackedFile) -> int:
        """A descriptor of the deleted file that `tracked` was read from, or -1."""
        if tracked.changed >= self._listed:  # for many that vanish at once one list will do
            self._list()
        path = self._handles.get(tracked.inode)
        fd = -1 if path is None else open_same(path, tracked.inode)
        if fd < 0 or self._is_its_own(fd, tracked):
            return fd
        os.close(fd)
        return -1

    def _is_its_own(self, fd: int, tracked: TrackedFile) -> bool:
        """The inode may have been given to another file meanwhile, which is none of ours."""
        try:
            size = os.fstat(fd).st_size
            read = tracked.head[0] > 0
            return read and self._hasher.continues(fd, size, tracked) and self._hasher.body_matches(fd, tracked)
        except OSError:
            return False

    def _list(self) -> None:
        """Some 4 µs a handle."""
        self._listed, own = time.monotonic(), str(os.getpid())
        self._handles.clear()
        for process in _entries(_PROCESSES):
            if not process.isdigit():
                continue
            for number in _entries(f"{_PROCESSES}/{process}/fd"):
                path = f"{_PROCESSES}/{process}/fd/{number}"
                with contextlib.suppress(OSError):  # it is gone, or none of our business
                    if os.readlink(path).endswith(_DELETED):
                        if process == own and not os.lstat(path).st_mode & stat.S_IWUSR:
                            continue  # of another source of ours
                        status = os.stat(path)
                        self._handles[status.st_dev, status.st_ino] = path


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
