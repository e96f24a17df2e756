"""A line put at the end of a file that may be somebody's: nothing of theirs is damaged or removed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Made", "append"]

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was not there before. `size`: bytes of it that are ours."""

    path: Path
    device: int
    inode: int
    size: int

    def remove(self) -> None:
        """It goes, unless somebody has written to it, or has put another in its place: then it is theirs."""
        with contextlib.suppress(OSError):
            now = self.path.lstat()
            if (now.st_dev, now.st_ino, now.st_size) == (self.device, self.inode, self.size):
                self.path.unlink()


def append(path: Path, line: str, *, mode: int = 0o666, follow: bool = True) -> Made | None:
    """Write the line, on a line of its own. `line`: without its newline; `mode`: of a new file, less the umask;
    `follow`: write where a link leads. Returns what was made for it; None: the file was there. Raises OSError, also for
    what is no regular file.
    """
    data = f"{line}\n".encode()
    try:
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        if not follow and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link") from None
        _add(path, data, 0 if follow else os.O_NOFOLLOW)
        return None

    try:
        made = os.fstat(descriptor)
        try:
            _write(descriptor, data)
        except OSError:
            Made(path, made.st_dev, made.st_ino, os.fstat(descriptor).st_size).remove()
            raise
    finally:
        os.close(descriptor)
    return Made(path, made.st_dev, made.st_ino, len(data))


def _add(path: Path, data: bytes, flag: int) -> None:
    """To a file that is there, whose last line may have no newline yet."""
    descriptor = os.open(path, _FLAGS | flag)  # without O_NONBLOCK a FIFO would hold us for ever
    try:
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if there.st_size and os.pread(descriptor, 1, there.st_size - 1) != b"\n":
            data = b"\n" + data
        _write(descriptor, data)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    """In one write as a rule: what others append comes before or after it."""
    while data:
        data = data[os.write(descriptor, data) :]
