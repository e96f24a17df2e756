"""All lives of one source, and everything they are found by. Whoever changes one index changes them all: here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from monitor.common.rotation_names import original_names
from monitor.intake.protocol import Behind
from monitor.sources.file.rotation import Rest
from monitor.sources.file.tracked_file import FileState, TrackedFile, text

__all__ = ["ClosedFiles", "Registry"]

KEPT = 1024  # lives that ended, or as many as there are files


class Registry:
    """Use on the event loop only."""

    def __init__(self) -> None:
        self._lives: dict[TrackedFile, None] = {}
        self._paths: dict[str, TrackedFile] = {}  # followed path → the life it shows
        self._inodes: dict[tuple[int, int], TrackedFile] = {}
        self._last: dict[str, TrackedFile] = {}  # path → the life last seen there
        self._aliases: dict[str, TrackedFile] = {}  # further names that events come under: link targets, rotated names
        self._past = ClosedFiles()

    # Looking up

    def __iter__(self) -> Iterator[TrackedFile]:
        return iter(list(self._lives))

    def loose(self) -> list[TrackedFile]:
        """Lives without a followed path."""
        return [life for life in self._lives if life.loose]

    def shown(self, path: str) -> TrackedFile | None:
        """The life that a followed path leads to."""
        return self._paths.get(path)

    def inside(self, inode: tuple[int, int]) -> TrackedFile | None:
        """The life known to lie in this file."""
        return self._inodes.get(inode)

    def last(self, path: str) -> TrackedFile | None:
        """The life last seen at a path, also when it has moved on."""
        return self._last.get(path)

    def called(self, path: str) -> TrackedFile | None:
        """The life that an event under this name is about."""
        return self._paths.get(path) or self._aliases.get(path)

    def targets(self) -> set[str]:
        """Folders in which the targets of followed links lie."""
        return {os.path.dirname(path) for path, life in self._aliases.items() if not life.loose}

    def parents(self, path: str, inode: tuple[int, int] | None = None) -> list[TrackedFile]:
        """Lives of which a file at `path` may be a copy; with `inode`, also those that had the same name once, and
        those that ended: compressed after it was read, a file may look younger than the log that came after it."""
        found = [self._last.get(name) for name in original_names(path)]
        lives = [life for life in found if life is not None and life.known_by_content and not life.ended]
        if inode is not None:
            names = set(original_names(path)[1:])
            lives += [life for life in self._related(names, inode) if life.known_by_content]
            lives += self._past.called(names)
        return list(dict.fromkeys(lives))

    def awaited(self, path: str, inode: tuple[int, int]) -> bool:
        """Whether a deleted file that will be read, and was not yet, may be the original of one at `path`."""
        related = self._related(set(original_names(path)[1:]), inode)
        unread = (life for life in related if life.fd >= 0 and not life.known_by_content and not life.failures)
        return any(not os.fstat(life.fd).st_nlink for life in unread)

    def _related(self, names: set[str], inode: tuple[int, int]) -> Iterator[TrackedFile]:
        """Lives in other files that may have had one of these names."""
        for life in self._lives:
            if life.inode != inode and names & set(original_names(life.path)):
                yield life

    def unread(self) -> list[Behind]:
        """What is on disk, as last seen, and was not scanned. What is compressed does not tell how much it holds."""
        now = time.monotonic()
        return [
            Behind(text(life.path), unread, now - life.caught)
            for life in self._lives
            if not life.archive and (unread := life.there - max(life.offset, life.flushed, life.blank)) > 0
        ]

    # Changes

    def add(self, life: TrackedFile) -> None:
        """A life without a followed path, as yet or for good."""
        assert life not in self._lives
        life.place = FileState.LOOSE
        self._lives[life] = None
        self._claim(life, life.inode)

    def remember(self, lives: Iterable[TrackedFile]) -> None:
        """Lives from before a restart. Where two claim one inode (it was reused, or the file was truncated just before
        the end) the younger one has it."""
        ordered = sorted(lives, key=lambda life: (life.mtime, -life.offset))
        claimed = {life.inode: life for life in ordered}
        for life in ordered:
            if claimed[life.inode] is not life:
                life.inode = (0, 0)
            self.add(life)
            self._last[life.path] = life

    def attach(self, life: TrackedFile, path: str) -> None:
        """A followed path leads to it."""
        assert not life.ended
        assert path not in self._paths
        if life not in self._lives:
            self.add(life)
        self._paths[path] = self._last[path] = life
        life.paths.add(path)
        life.place = FileState.FOLLOWED
        life.searches = 0
        if life.path not in life.paths:
            self._aliases.pop(life.path, None)
            self._renamed(life)
            life.path = path
        real = os.path.realpath(path) if os.path.islink(path) else ""
        if real:
            # Events come under the name of its target, and so do its copies.
            self._aliases[real] = self._last[real] = life
        if life.path == path and life.target != real:
            life.target = real
            life.stale()
        self.check(life)

    def detach(self, path: str) -> TrackedFile:
        """A followed path leads to it no longer. Returns the life, which is loose when that was its last one."""
        life = self._paths.pop(path)
        life.paths.discard(path)
        self._renamed(life)
        if not life.paths:
            life.place = FileState.LOOSE
            life.changed = time.monotonic()
        elif life.path == path:
            life.path = next(iter(life.paths))
        self.check(life)
        return life

    def move(self, life: TrackedFile, rest: Rest) -> None:
        """Its file, or a copy of it in which it goes on, lies there now."""
        assert life.loose
        self._aliases.pop(life.path, None)
        self._renamed(life)
        life.path, life.archive, life.target = rest.path, rest.archive, ""
        life.there, life.searches = rest.size, 0
        self._claim(life, rest.inode)
        self._aliases[life.path] = life
        self.check(life)

    def found(self, rest: Rest, life: TrackedFile) -> None:
        """A rotated file that nobody has read is the new life `life`."""
        self.add(life)
        self._aliases[rest.path] = life

    def settle_in(self, life: TrackedFile, inode: tuple[int, int]) -> None:
        """It goes on in another file at the same path."""
        self._claim(life, inode)
        life.stale()

    def renounce(self, life: TrackedFile) -> None:
        """The file of that inode is not its own."""
        if self._inodes.get(life.inode) is life:
            del self._inodes[life.inode]
        life.inode = (0, 0)

    def succeed(self, old: TrackedFile, new: TrackedFile) -> None:
        """The file of `old` holds the new life `new`: it takes over paths, inode and descriptor."""
        new.fd, old.fd = old.fd, -1
        new.place = old.place
        self._lives[new] = None
        new.paths, old.paths = old.paths, set()
        for index in (self._paths, self._last, self._aliases):
            for path in [path for path in (old.path, old.target, *new.paths) if index.get(path) is old]:
                index[path] = new
        if self._inodes.get(old.inode) is old:
            self._inodes[old.inode] = new
        old.inode, old.place, old.changed = (0, 0), FileState.LOOSE, time.monotonic()
        self.check(new)
        self.check(old)

    def end(self, life: TrackedFile) -> list[TrackedFile]:
        """Forget it, but for what was read of it. Returns lives of which nothing is kept any more."""
        for path in life.paths:
            del self._paths[path]
        life.paths = set()
        for index in (self._last, self._aliases):
            for path in [path for path in (life.path, life.target) if index.get(path) is life]:
                del index[path]
        if self._inodes.get(life.inode) is life:
            del self._inodes[life.inode]  # it keeps its number: a turn that is at work ends by it
        self._lives.pop(life, None)
        life.place = FileState.ENDED
        life.before = life.after = None
        return self.recall(life)

    def recall(self, life: TrackedFile) -> list[TrackedFile]:
        """Know again what was read of a life that ended. Returns lives of which nothing is kept any more."""
        return self._past.add(life, len(self._lives)) if life.known_by_content else [life]

    def _claim(self, life: TrackedFile, inode: tuple[int, int]) -> None:
        self.renounce(life)
        if (other := self._inodes.get(inode)) is not None:
            self.renounce(other)
        life.inode = inode
        if inode != (0, 0):
            self._inodes[inode] = life

    def _renamed(self, life: TrackedFile) -> None:
        """Losing or getting a name changes the ctime, which is no reason to doubt the content."""
        life.known = (*life.known[:2], -1)
        life.stale()

    def check(self, life: TrackedFile) -> None:
        """What must hold of a life and the indices."""
        assert life in self._lives
        assert (life.place is FileState.FOLLOWED) == bool(life.paths), life.place
        assert all(self._paths[path] is life for path in life.paths)
        assert life.place is not FileState.FOLLOWED or life.path in life.paths
        assert life.inode == (0, 0) or self._inodes[life.inode] is life


class ClosedFiles:
    """Use on the event loop only. One a generation: the last that ended."""

    def __init__(self) -> None:
        self._lives: dict[str, TrackedFile] = {}  # by generation, the first to end first
        self._names: dict[str, dict[TrackedFile, None]] = {}  # names they may have had before they were rotated

    def add(self, life: TrackedFile, files: int) -> list[TrackedFile]:
        """Keep one that something was read of. Returns those that are forgotten for it. `files`: lives that go on."""
        assert life.ended
        assert life.known_by_content
        forgotten = [self._lives.pop(life.generation)] if life.generation in self._lives else []
        self._lives[life.generation] = life
        while len(self._lives) > max(KEPT, files):
            forgotten.append(self._lives.pop(next(iter(self._lives))))
        for name in original_names(life.path):
            self._names.setdefault(name, {})[life] = None
        for other in forgotten:
            for name in original_names(other.path):
                del self._names[name][other]
                if not self._names[name]:
                    del self._names[name]
        return forgotten

    def called(self, names: Iterable[str]) -> list[TrackedFile]:
        """Those that may have had one of these names before they were rotated."""
        return list(dict.fromkeys(life for name in names for life in self._names.get(name, ())))
