"""All tracked files of a source, and everything they are found by. Who changes one index changes them all: here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from monitor.common.rotation_names import original_names
from monitor.intake.protocol import Behind
from monitor.sources.file.rotation import Rest
from monitor.sources.file.tracked_file import FileState, TrackedFile, text

__all__ = ["ClosedFiles", "Registry"]

KEPT = 1024  # tracked files that ended, or as many as there are files


class Registry:
    """Use on the event loop only."""

    def __init__(self) -> None:
        self._tracked_files: dict[TrackedFile, None] = {}
        self._paths: dict[str, TrackedFile] = {}  # followed path → the tracked file it shows
        self._inodes: dict[tuple[int, int], TrackedFile] = {}
        self._last: dict[str, TrackedFile] = {}  # path → the tracked file last seen there
        self._aliases: dict[str, TrackedFile] = {}  # further names that events come under: link targets, rotated names
        self._past = ClosedFiles()

    # Looking up

    def __iter__(self) -> Iterator[TrackedFile]:
        return iter(list(self._tracked_files))

    def loose(self) -> list[TrackedFile]:
        """Lives without a followed path."""
        return [tracked for tracked in self._tracked_files if tracked.loose]

    def shown(self, path: str) -> TrackedFile | None:
        """The tracked file that a followed path leads to."""
        return self._paths.get(path)

    def inside(self, inode: tuple[int, int]) -> TrackedFile | None:
        """The tracked file known to lie in this file."""
        return self._inodes.get(inode)

    def last(self, path: str) -> TrackedFile | None:
        """The tracked file last seen at a path, also when it has moved on."""
        return self._last.get(path)

    def called(self, path: str) -> TrackedFile | None:
        """The tracked file that an event under this name is about."""
        return self._paths.get(path) or self._aliases.get(path)

    def targets(self) -> set[str]:
        """Folders in which the targets of followed links lie."""
        return {os.path.dirname(path) for path, tracked in self._aliases.items() if not tracked.loose}

    def parents(self, path: str, inode: tuple[int, int] | None = None) -> list[TrackedFile]:
        """Lives of which a file at `path` may be a copy; with `inode`, also those that had the same name once, and
        those that ended: compressed after it was read, a file may look younger than the log that came after it."""
        found = [self._last.get(name) for name in original_names(path)]
        tracked_files = [
            tracked for tracked in found if tracked is not None and tracked.known_by_content and not tracked.ended
        ]
        if inode is not None:
            names = set(original_names(path)[1:])
            tracked_files += [tracked for tracked in self._related(names, inode) if tracked.known_by_content]
            tracked_files += self._past.called(names)
        return list(dict.fromkeys(tracked_files))

    def awaited(self, path: str, inode: tuple[int, int]) -> bool:
        """Whether a deleted file that will be read, and was not yet, may be the original of one at `path`."""
        related = self._related(set(original_names(path)[1:]), inode)
        unread = (
            tracked for tracked in related if tracked.fd >= 0 and not tracked.known_by_content and not tracked.failures
        )
        return any(not os.fstat(tracked.fd).st_nlink for tracked in unread)

    def _related(self, names: set[str], inode: tuple[int, int]) -> Iterator[TrackedFile]:
        """Lives in other files that may have had one of these names."""
        for tracked in self._tracked_files:
            if tracked.inode != inode and names & set(original_names(tracked.path)):
                yield tracked

    def unread(self) -> list[Behind]:
        """What is on disk, as last seen, and was not scanned. What is compressed does not tell how much it holds."""
        now = time.monotonic()
        return [
            Behind(text(tracked.path), unread, now - tracked.caught)
            for tracked in self._tracked_files
            if not tracked.archive
            and (unread := tracked.there - max(tracked.offset, tracked.flushed, tracked.blank)) > 0
        ]

    # Changes

    def add(self, tracked: TrackedFile) -> None:
        """A tracked file without a followed path, as yet or for good."""
        assert tracked not in self._tracked_files
        tracked.place = FileState.LOOSE
        self._tracked_files[tracked] = None
        self._claim(tracked, tracked.inode)

    def remember(self, tracked_files: Iterable[TrackedFile]) -> None:
        """Lives from before a restart. Where two claim one inode (it was reused, or the file was truncated just before
        the end) the younger one has it."""
        ordered = sorted(tracked_files, key=lambda tracked: (tracked.mtime, -tracked.offset))
        claimed = {tracked.inode: tracked for tracked in ordered}
        for tracked in ordered:
            if claimed[tracked.inode] is not tracked:
                tracked.inode = (0, 0)
            self.add(tracked)
        self._last |= {tracked.log: tracked for tracked in ordered if tracked.log}
        self._last |= {tracked.path: tracked for tracked in ordered}

    def attach(self, tracked: TrackedFile, path: str) -> None:
        """A followed path leads to it."""
        assert not tracked.ended
        assert path not in self._paths
        if tracked not in self._tracked_files:
            self.add(tracked)
        self._paths[path] = self._last[path] = tracked
        tracked.paths.add(path)
        tracked.place = FileState.FOLLOWED
        tracked.searches = 0
        if tracked.path not in tracked.paths:
            self._aliases.pop(tracked.path, None)
            self._renamed(tracked)
            tracked.log = tracked.log or tracked.path
            tracked.path = path
        real = os.path.realpath(path) if os.path.islink(path) else ""
        if real:
            # Events come under the name of its target, and so do its copies.
            self._aliases[real] = self._last[real] = tracked
        if tracked.path == path and tracked.target != real:
            tracked.target = real
            tracked.stale()
        self.check(tracked)

    def detach(self, path: str) -> TrackedFile:
        """A followed path leads to it no longer. Returns the file, which is loose when that was its last one."""
        tracked = self._paths.pop(path)
        tracked.paths.discard(path)
        self._renamed(tracked)
        if not tracked.paths:
            tracked.place = FileState.LOOSE
            tracked.changed = time.monotonic()
        elif tracked.path == path:
            tracked.path = next(iter(tracked.paths))
        self.check(tracked)
        return tracked

    def move(self, tracked: TrackedFile, rest: Rest) -> None:
        """Its file, or a copy of it in which it goes on, lies there now."""
        assert tracked.loose
        self._aliases.pop(tracked.path, None)
        self._renamed(tracked)
        tracked.log = tracked.log or tracked.path
        tracked.path, tracked.archive, tracked.target = rest.path, rest.archive, ""
        tracked.there, tracked.searches = rest.size, 0
        self._claim(tracked, rest.inode)
        self._aliases[tracked.path] = tracked
        self.check(tracked)

    def found(self, rest: Rest, tracked: TrackedFile) -> None:
        """A rotated file that nobody has read is the new tracked file `tracked`."""
        self.add(tracked)
        self._aliases[rest.path] = tracked

    def settle_in(self, tracked: TrackedFile, inode: tuple[int, int]) -> None:
        """It goes on in another file at the same path."""
        self._claim(tracked, inode)
        tracked.stale()

    def renounce(self, tracked: TrackedFile) -> None:
        """The file of that inode is not its own."""
        if self._inodes.get(tracked.inode) is tracked:
            del self._inodes[tracked.inode]
        tracked.inode = (0, 0)

    def succeed(self, old: TrackedFile, new: TrackedFile) -> None:
        """The file of `old` holds the new tracked file `new`: it takes over paths, inode and descriptor."""
        new.fd, old.fd = old.fd, -1
        new.place = old.place
        self._tracked_files[new] = None
        new.paths, old.paths = old.paths, set()
        for index in (self._paths, self._last, self._aliases):
            for path in [path for path in (old.path, old.target, *new.paths) if index.get(path) is old]:
                index[path] = new
        if self._inodes.get(old.inode) is old:
            self._inodes[old.inode] = new
        old.inode, old.place, old.changed = (0, 0), FileState.LOOSE, time.monotonic()
        self.check(new)
        self.check(old)

    def end(self, tracked: TrackedFile) -> list[TrackedFile]:
        """Forget it, but for what was read of it. Returns tracked files of which nothing is kept any more."""
        for path in tracked.paths:
            del self._paths[path]
        tracked.paths = set()
        for index in (self._last, self._aliases):
            for path in [path for path in (tracked.path, tracked.target) if index.get(path) is tracked]:
                del index[path]
        if self._inodes.get(tracked.inode) is tracked:
            del self._inodes[tracked.inode]  # it keeps its number: a turn that is at work ends by it
        self._tracked_files.pop(tracked, None)
        tracked.place = FileState.ENDED
        tracked.before = tracked.after = None
        return self.recall(tracked)

    def recall(self, tracked: TrackedFile) -> list[TrackedFile]:
        """Know again what was read of one that ended. Returns those of which nothing is stored any more."""
        return self._past.add(tracked, len(self._tracked_files)) if tracked.known_by_content else [tracked]

    def _claim(self, tracked: TrackedFile, inode: tuple[int, int]) -> None:
        self.renounce(tracked)
        if (other := self._inodes.get(inode)) is not None:
            self.renounce(other)
        tracked.inode = inode
        if inode != (0, 0):
            self._inodes[inode] = tracked

    def _renamed(self, tracked: TrackedFile) -> None:
        """Losing or getting a name changes the ctime, which is no reason to doubt the content."""
        tracked.known = (*tracked.known[:2], -1)
        tracked.stale()

    def check(self, tracked: TrackedFile) -> None:
        """What must hold of a tracked file and the indices."""
        assert tracked in self._tracked_files
        assert (tracked.place is FileState.FOLLOWED) == bool(tracked.paths), tracked.place
        assert all(self._paths[path] is tracked for path in tracked.paths)
        assert tracked.place is not FileState.FOLLOWED or tracked.path in tracked.paths
        assert tracked.inode == (0, 0) or self._inodes[tracked.inode] is tracked


class ClosedFiles:
    """Use on the event loop only. One a generation: the last that ended."""

    def __init__(self) -> None:
        self._tracked_files: dict[str, TrackedFile] = {}  # by generation, the first to end first
        self._names: dict[str, dict[TrackedFile, None]] = {}  # names they may have had before they were rotated

    def add(self, tracked: TrackedFile, files: int) -> list[TrackedFile]:
        """Keep one that something was read of. Returns those that are forgotten for it. `files`: those that go on."""
        assert tracked.ended
        assert tracked.known_by_content
        forgotten = [self._tracked_files.pop(tracked.generation)] if tracked.generation in self._tracked_files else []
        self._tracked_files[tracked.generation] = tracked
        while len(self._tracked_files) > max(KEPT, files):
            forgotten.append(self._tracked_files.pop(next(iter(self._tracked_files))))
        for name in original_names(tracked.path):
            self._names.setdefault(name, {})[tracked] = None
        for other in forgotten:
            for name in original_names(other.path):
                del self._names[name][other]
                if not self._names[name]:
                    del self._names[name]
        return forgotten

    def called(self, names: Iterable[str]) -> list[TrackedFile]:
        """Those that may have had one of these names before they were rotated."""
        return list(dict.fromkeys(tracked for name in names for tracked in self._names.get(name, ())))
