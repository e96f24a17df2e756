"""Which files a file source follows: globs → paths, cheap enough to ask again every second."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["COMPRESSED", "Globs", "literal"]

# Read only as the rest of a rotated file: as bytes on their own they would be noise.
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z")
_SETTLED_NS = 2_000_000_000  # a folder changed later than this before it was listed may change again in the same tick
_REFRESH = 60.0  # seconds; file systems exist whose folders keep their mtime


def literal(part: str) -> bool:
    """Whether a glob or a segment of one names one thing."""
    return not any(char in part for char in "*?[")


def _segment(part: str, hidden: bool) -> str:
    """One path segment as a regular expression. As in a shell, a wildcard does not match a leading dot."""
    body = fnmatch.translate(part).removeprefix("(?s:").removesuffix(")\\Z").removesuffix(")\\z").replace(".*", "[^/]*")
    return body if hidden or part.startswith(".") else rf"(?!\.){body}"


def _regex(pattern: str, hidden: bool) -> str:
    parts = pattern.strip("/").split("/")
    if parts[-1] == "**":
        parts.append("*")
    deep = "(?:[^/]+/)*" if hidden else r"(?:(?!\.)[^/]+/)*"
    text = "/"
    for index, part in enumerate(parts):
        text += deep if part == "**" else _segment(part, hidden) + ("/" if index < len(parts) - 1 else "")
    return text


@dataclass(slots=True)
class _Listing:
    mtime: int
    settled: bool
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class Globs:
    """`*`, `?`, `[…]` within a segment, `**` for any depth (without following linked folders there).

    An `exclude` without a slash is held against the file's name alone. Use from one thread at a time.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str] = ()) -> None:
        self._include = [tuple(pattern.strip("/").split("/")) for pattern in include]
        self._include = [(*parts, "*") if parts[-1] == "**" else parts for parts in self._include]
        self._literal = {"/" + "/".join(parts) for parts in self._include if all(map(literal, parts))}
        exclude = list(exclude)
        whole = [_regex(pattern, hidden=True) for pattern in exclude if "/" in pattern]
        names = ["(?s:.*/)" + _segment(pattern, hidden=True) for pattern in exclude if "/" not in pattern]
        self._excluded = re.compile("|".join(whole + names) or r"(?!)", re.DOTALL)
        trees = [_regex(pattern.removesuffix("/**"), hidden=True) for pattern in exclude if pattern.endswith("/**")]
        self._pruned = re.compile("|".join(trees) or r"(?!)", re.DOTALL)
        self._included = re.compile(
            "|".join(_regex("/" + "/".join(parts), hidden=False) for parts in self._include) or r"(?!)", re.DOTALL
        )
        self._cache: dict[str, _Listing] = {}
        self._visited: dict[str, int] = {}  # folder → its mtime in ns, -1 when it could not be read
        self._paths: list[str] = []
        self._full = float("-inf")
        self.problems: dict[str, str] = {}  # folder → why it cannot be listed
        self.folders: Mapping[str, int] = {}  # existing folders whose entries matter → inode

    def matches(self, path: str) -> bool:
        """Whether an absolute path is one of ours (should it be a file)."""
        return bool(self._included.fullmatch(path)) and not self._skipped(path)

    def names(self, path: str) -> bool:
        """Whether the configuration names it by itself."""
        return path in self._literal and not self._skipped(path)

    def _skipped(self, path: str) -> bool:
        return path.endswith(COMPRESSED) or bool(self._excluded.fullmatch(path))

    def paths(self) -> list[str]:
        """Paths that match now, without repeats. Under wildcards they exist and are no folders; a link may be one."""
        now = time.monotonic()
        if now - self._full < _REFRESH and all(self._unchanged(folder) for folder in self._visited):
            return self._paths
        if now - self._full >= _REFRESH:
            self._cache.clear()
            self._full = now
        self._visited = {}
        self._inodes: dict[str, int] = {}
        self.problems = {}
        self._entered: set[str] = set()
        found = dict.fromkeys(path for parts in self._include for path in self._walk("/", parts, True))
        for folder in self._cache.keys() - self._visited.keys():
            del self._cache[folder]
        self.folders = {folder: self._inodes[folder] for folder in self._entered if self._visited[folder] != -1}
        self._paths = list(found)
        return self._paths

    def _unchanged(self, folder: str) -> bool:
        known = self._visited[folder]
        try:
            mtime = os.stat(folder).st_mtime_ns
        except OSError:
            return known == -1
        listing = self._cache.get(folder)
        return mtime == known and (listing is None or listing.settled)

    def _walk(self, folder: str, parts: tuple[str, ...], given: bool) -> Iterator[str]:
        """`given`: the folder is named in the configuration, so that its absence is worth a word."""
        head, rest = parts[0], parts[1:]
        inside = folder if folder.endswith("/") else folder + "/"
        if head == "**":
            yield from self._tree(folder, rest, given)
        elif rest:
            if literal(head):
                yield from self._walk(inside + head, rest, given)
                return
            self._entered.add(folder)
            matcher = re.compile(_segment(head, hidden=False), re.DOTALL)
            listing = self._list(folder, given)
            for name in listing.folders + listing.links:
                if matcher.fullmatch(name) and not self._pruned.fullmatch(inside + name):
                    yield from self._walk(inside + name, rest, False)
        elif literal(head) and given:
            # Found by its own stat: it may lie in a folder that cannot be listed.
            self._entered.add(folder)
            self._note(folder, given)
            if not self._skipped(inside + head):
                yield inside + head
        else:
            self._entered.add(folder)
            matcher = re.compile(_segment(head, hidden=False), re.DOTALL)
            listing = self._list(folder, given)
            for name in listing.files:
                if matcher.fullmatch(name) and not self._skipped(inside + name):
                    yield inside + name

    def _tree(self, top: str, rest: tuple[str, ...], given: bool) -> Iterator[str]:
        pending = [(top, given)]
        while pending:
            folder, given = pending.pop()
            inside = folder if folder.endswith("/") else folder + "/"
            pending.extend(
                (inside + name, False)
                for name in self._list(folder, given).folders
                if not name.startswith(".") and not self._pruned.fullmatch(inside + name)
            )
            self._entered.add(folder)
            yield from self._walk(folder, rest, False)

    def _note(self, folder: str, given: bool) -> os.stat_result | None:
        """Remember the state of a folder, and why it cannot be used."""
        try:
            status = os.stat(folder)
        except OSError as error:
            self._visited[folder] = -1
            self._problem(folder, error, given)
            return None
        self._visited[folder] = status.st_mtime_ns
        self._inodes[folder] = status.st_ino
        return status

    def _list(self, folder: str, given: bool) -> _Listing:
        # The mtime is taken before the listing: a change in between is seen next time.
        status = self._note(folder, given)
        if status is None:
            return _Listing(-1, False)
        known = self._cache.get(folder)
        if known is not None and known.settled and known.mtime == status.st_mtime_ns:
            return known
        listing = _Listing(status.st_mtime_ns, time.time_ns() - status.st_mtime_ns > _SETTLED_NS)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        listing.folders.append(entry.name)
                    else:
                        listing.files.append(entry.name)
                        if entry.is_symlink():
                            listing.links.append(entry.name)
        except OSError as error:
            self._visited[folder] = -1
            self._problem(folder, error, given)
            return _Listing(-1, False)
        self._cache[folder] = listing
        return listing

    def _problem(self, folder: str, error: OSError, given: bool) -> None:
        if isinstance(error, FileNotFoundError):
            if given:
                self.problems[folder] = "folder does not exist; waiting for it"
        elif not isinstance(error, NotADirectoryError) or given:
            self.problems[folder] = f"folder cannot be read: {error.strerror or type(error).__name__}"
