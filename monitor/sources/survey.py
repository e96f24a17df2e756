"""What lies on disk now as against the last look: the truth that a watch on the folders only hints at."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.sources.globs import Globs, literal
from monitor.sources.tail import text

__all__ = ["Found", "Seen", "Survey"]


class Seen(NamedTuple):
    """What tells that a path leads to another file, or that its file was written to."""

    dev: int
    ino: int
    size: int
    mtime: int  # nanoseconds


@dataclass(slots=True)
class Found:
    """What changed since the last look; None: no regular file lies there any more."""

    changes: list[tuple[str, Seen | None]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)  # path → why it cannot be followed
    whole: bool = False
    cost: float = 0.0  # seconds of processor time


class Survey:
    """Looks at the paths that the globs name. Blocking, and for one thread at a time."""

    def __init__(self, globs: Globs, include: Collection[str]) -> None:
        self._globs, self._include = globs, include
        self._seen: dict[str, Seen] = {}
        self._listed: list[str] = []

    def forget(self, path: str) -> None:
        """Report this path again at the next look."""
        self._seen.pop(path, None)

    def look(self, only: Iterable[str] | None = None) -> Found:
        """Compare files with what was seen before; `only`: these paths, as far as the globs name them."""
        began = time.thread_time()
        found = Found(whole=only is None)
        for path in self._all(found) if only is None else [path for path in only if self._globs.matches(path)]:
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                status = None
            except OSError as error:
                found.problems[path] = f"cannot be examined: {error.strerror or type(error).__name__}"
                continue
            if status is not None and not stat.S_ISREG(status.st_mode):
                if stat.S_ISDIR(status.st_mode) and literal(path) and path in self._include:
                    found.problems[path] = f"is a folder; write {text(path)}/* to follow the files in it"
                status = None
            if status is None:
                if self._seen.pop(path, None):
                    found.changes.append((path, None))
                continue
            now = Seen(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if self._seen.get(path) != now:
                self._seen[path] = now
                found.changes.append((path, now))
        found.cost = time.thread_time() - began
        return found

    def _all(self, found: Found) -> Iterable[str]:
        paths = self._globs.paths()
        if paths is not self._listed:
            self._listed = list(paths) if not isinstance(paths, list) else paths
            for path in self._seen.keys() - set(paths):
                del self._seen[path]
                found.changes.append((path, None))
        found.problems.update(self._globs.problems)
        return paths
