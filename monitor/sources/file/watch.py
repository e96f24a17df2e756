"""A watch on folders: hints within a millisecond of what changes in them. A survey sees what it misses.

The kernel's inotify, called directly: a library that takes names for text stops at the first one that is not UTF-8.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import struct
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Watch", "WatchHints"]

_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
_MOVE_SELF, _OVERFLOW, _IGNORED = 0x800, 0x4000, 0x8000
_ONLYDIR, _ISDIR = 0x1000000, 0x40000000
_WANTED = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _MOVE_SELF | _ONLYDIR
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows

_LIMITS = {
    "fs.inotify.max_user_watches is reached; raise it with sysctl": (errno.ENOSPC,),
    "fs.inotify.max_user_instances or the limit of open files is reached; raise it with sysctl": (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    ),
    "this system has no inotify": (errno.ENOSYS, errno.EPERM),
}
_REST = 0.005  # seconds between two reads: meanwhile the kernel makes one event of many writes to a file
_SHARE = 20  # so many times longer than reading took is the pause after it, at least

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class WatchHints:
    """What happened since the last hint."""

    written: set[str] = field(default_factory=set)  # paths of files whose content or attributes changed
    named: set[str] = field(default_factory=set)  # paths that lead elsewhere now
    gap: bool = False  # folders came or went, or things happened unseen: anything may have changed


class Watch:
    """`follow` and `close` may block and are for one thread at a time; the rest is for the event loop."""

    def __init__(self, hint: Callable[[WatchHints], None]) -> None:
        """`hint` is called in the event loop that runs now."""
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._fd = -1
        self._asked: Mapping[str, int] = {}
        self._watched: dict[str, tuple[int, int]] = {}  # folder → watch, inode
        self._folders: dict[int, tuple[str, ...]] = {}  # watch → paths of the folder
        self._ended: set[int] = set()  # watches of folders that are gone
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._problem: str | None = None

    def follow(self, folders: Mapping[str, int]) -> tuple[bool, str | None]:
        """Watch these folders and no others; with their inodes, as one that was made anew needs a new watch. Returns
        whether things may have happened unseen, and why not all of them could be watched: those are seen by the
        survey alone. To be asked again and again."""
        if folders == self._asked and not self._ended and self._problem is None:
            return False, None
        self._asked, ended, self._ended = folders, self._ended, set()
        for folder, (watch, inode) in list(self._watched.items()):
            if watch in ended or folders.get(folder) != inode:
                self._drop(folder, watch)

        new, missing, self._problem = False, 0, None
        for folder, inode in folders.items():
            if folder in self._watched:
                continue
            if self._problem is None:
                try:
                    self._add(folder, inode)
                    new = True
                except OSError as error:
                    self._problem = _limit(error)
            missing += folder not in self._watched and self._problem is not None
        if self._problem is not None:
            return new, f"{missing} folders are only looked at every second or two, not watched: {self._problem}"
        return new, None

    def _add(self, folder: str, inode: int) -> None:
        if self._fd < 0:
            self._fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            self._loop.call_soon_threadsafe(self._listen)
        try:
            watch = _check(_libc.inotify_add_watch(self._fd, os.fsencode(folder), _WANTED))
        except OSError as error:
            if _limit(error):
                raise
            return  # gone or not to be read: the survey says so
        self._watched[folder] = watch, inode
        self._folders[watch] = (*self._folders.get(watch, ()), folder)

    def _drop(self, folder: str, watch: int) -> None:
        del self._watched[folder]
        left = tuple(path for path in self._folders.get(watch, ()) if path != folder)
        if left:
            self._folders[watch] = left
            return
        self._folders.pop(watch, None)
        _libc.inotify_rm_watch(self._fd, watch)  # in vain when the folder is gone

    def stop(self) -> None:
        """No more hints."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)

    def close(self) -> None:
        """After `stop`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _listen(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self._fd, self._ready)

    def _ready(self) -> None:
        began = time.monotonic()
        waiting = bytearray(4)
        fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        try:
            data = os.read(self._fd, max(4096, int.from_bytes(waiting, "little")))
        except BlockingIOError:
            return
        changes = WatchHints()
        self._sort(data, changes)
        if changes.written or changes.named or changes.gap:
            self._hint(changes)
        self._loop.remove_reader(self._fd)
        self._timer = self._loop.call_later(max(_REST, _SHARE * (time.monotonic() - began)), self._listen)

    def _sort(self, data: bytes, changes: WatchHints) -> None:
        at, last = 0, b""
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            end = at + _EVENT.size + length
            event, at, start = data[at:end], end, at + _EVENT.size
            if event == last:
                continue
            last = event
            if mask & (_OVERFLOW | _IGNORED | _MOVE_SELF):
                if mask & _OVERFLOW or watch in self._folders:
                    self._ended.add(watch)
                    changes.gap = True
            elif length:
                name = os.fsdecode(data[start:end].rstrip(b"\0"))
                paths = [f"{'' if folder == '/' else folder}/{name}" for folder in self._folders.get(watch, ())]
                if mask & _ISDIR:
                    changes.gap |= not mask & _ATTRIB
                elif mask & (_MODIFY | _ATTRIB):
                    changes.written.update(paths)
                else:
                    changes.named.update(paths)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _limit(error: OSError) -> str:
    """Which limit of the system was reached, and what to do; empty: none."""
    return next((limit for limit, codes in _LIMITS.items() if error.errno in codes), "")
