"""What lies on disk now as against the last look: the truth that a watch on the folders only hints at."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.common.files import open_same, shut
from monitor.sources.file.globs import Globs, literal
from monitor.sources.file.tracked_file import FileStatus, TrackedFile, text

__all__ = ["FileStamp", "Observation", "Survey"]

_AHEAD = 512  # bytes looked at in space that was set aside
_THOROUGH = 10.0  # seconds between surveys that ask for everything, also of files that are open


class FileStamp(NamedTuple):
    """What tells that a path leads to another file, or that its file was written to."""

    dev: int
    ino: int
    size: int
    mtime: int  # nanoseconds
    ctime: int  # nanoseconds


@dataclass(slots=True)
class Observation:
    """What changed since the last look; None: no regular file lies there any more."""

    changes: list[tuple[str, FileStamp | None]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)  # path → why it cannot be followed
    whole: bool = False
    cost: float = 0.0  # seconds of processor time


class Survey:
    """Looks at the paths that the globs name. Blocking, and for one thread at a time.

    While no folder has changed, no path leads to another file than before. Then the size tells whether a file was
    written to, and of an open one that costs an eighth of all its attributes. That it was written anew in the same size
    is seen at the next thorough look.
    """

    def __init__(self, globs: Globs, include: Collection[str], opened: Callable[[str], int] = lambda path: -1) -> None:
        """`opened`: path → a descriptor of the file in that folder, or -1. It may be closed at any moment."""
        self._globs, self._include, self._opened = globs, include, opened
        self._thorough = float("-inf")
        self._changed = True
        self._seen: dict[str, FileStamp] = {}
        self._listed: list[str] = []

    def forget(self, path: str) -> None:
        """Report this path again at the next look."""
        self._seen.pop(path, None)

    def look(self, only: Iterable[str] | None = None) -> Observation:
        """Compare files with what was seen before; `only`: these paths, as far as the globs name them."""
        began = time.thread_time()
        observation = Observation(whole=only is None)
        for path in self._whole(observation) if only is None else [path for path in only if self._globs.matches(path)]:
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                status = None
            except OSError as error:
                observation.problems[path] = f"cannot be examined: {error.strerror or type(error).__name__}"
                self._seen.pop(path, None)
                continue
            if status is not None and not stat.S_ISREG(status.st_mode):
                if stat.S_ISDIR(status.st_mode) and literal(path) and path in self._include:
                    observation.problems[path] = f"is a folder; write {text(path)}/* to follow the files in it"
                status = None
            if status is None:
                if self._seen.pop(path, None):
                    observation.changes.append((path, None))
                continue
            now = FileStamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._seen.get(path) != now:
                self._seen[path] = now
                observation.changes.append((path, now))
        observation.cost = time.thread_time() - began
        return observation

    def status(self, tracked: TrackedFile) -> FileStatus | None:
        """What the file of a loose tracked file is like; None: nothing is where it lay."""
        try:
            found = os.fstat(tracked.fd) if tracked.fd >= 0 else os.stat(tracked.path)
        except OSError:
            return None
        return FileStatus(found, _writers(tracked.fd) if tracked.fd >= 0 and not found.st_nlink else None)

    def filled(self, tracked: TrackedFile) -> bool:
        """Whether something stands by now where nothing but NUL was, behind what was read of it."""
        own = tracked.fd  # which may be closed meanwhile: a number that another file has by then is not ours to close
        fd = own if own >= 0 else open_same(tracked.path, tracked.inode)
        try:
            return fd >= 0 and bool(os.pread(fd, _AHEAD, tracked.size).strip(b"\0"))
        except OSError:
            return False
        finally:
            if own < 0:
                shut(fd)

    def _whole(self, found: Observation) -> Iterable[str]:
        paths = self._all(found)
        now = time.monotonic()
        if self._changed or now >= self._thorough + _THOROUGH:
            self._thorough = now
            return paths
        known, opened, seek, rest = self._seen.get, self._opened, os.lseek, []
        for path in paths:
            seen, descriptor = known(path), opened(path)
            if seen is not None and descriptor >= 0:
                try:
                    # A descriptor that is another file's by now tells a lie, but not for long.
                    if seek(descriptor, 0, os.SEEK_END) == seen.size:
                        continue
                except OSError:
                    pass
            rest.append(path)
        return rest

    def _all(self, found: Observation) -> Iterable[str]:
        paths = self._globs.paths()
        self._changed = paths is not self._listed
        if self._changed:
            self._listed = list(paths) if not isinstance(paths, list) else paths
            for path in self._seen.keys() - set(paths):
                del self._seen[path]
                found.changes.append((path, None))
        found.problems.update(self._globs.problems)
        return paths


def _writers(descriptor: int) -> bool | None:
    """Whether somebody has a deleted file open for writing. Linux grants a lease for reading only while nobody has; to
    others than the owner of the file and root it tells nothing."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
