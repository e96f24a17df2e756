"""Which messages and which new contents of commits may hold a secret: each part of a content is searched once, however
many versions have it.

Nearly all of a version was in the one before. To have git compare the two costs more than to read the new one and to
cut it where lines are empty: a part that was seen in any version is known by its hash, and passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from monitor.common.archive import HEAD, kind
from monitor.scan.changes import FileChange, GitCommit
from monitor.scanning.blocks import GAP

if TYPE_CHECKING:
    from detectors.match.engine import Worker
    from monitor.clients.git import Blob, Blobs

__all__ = ["Passed", "Prefilter", "generated"]

_BATCH = 1 << 20  # bytes of one search
_AT_ONCE = 500  # contents between two looks at what was found in them
_LONG = 4 << 20  # bytes of new parts in one content that are not searched but looked at with all of it
_LARGE = 32 << 20  # bytes from which on git compares no lines, either
_SNIFF = 8000  # bytes in which a NUL tells git that it is no text
_AROUND = 3  # lines around a part by which a secret in it is known for one,
_NEAR = 200  # and if they are short no fewer bytes: the part before and the one behind
_PARTS = 500_000  # that are remembered: some 40 MB
_END = b"\n\n"
_POINTER = b"version https://git-lfs.github.com/spec/v1"
# What programs write: long, changed as a whole, and full of digests.
_GENERATED = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|poetry\.lock|uv\.lock|pdm\.lock"
    r"|Pipfile\.lock|Cargo\.lock|composer\.lock|Gemfile\.lock|go\.sum|mix\.lock|pubspec\.lock|Podfile\.lock|flake\.lock"
    r"|packages\.lock\.json|gradle\.lockfile|deno\.lock|Package\.resolved|[^/]*\.min\.(?:js|css|mjs)|[^/]*\.(?:js|css|mjs)\.map)$"
)


def generated(path: str) -> bool:
    """Whether a lock file, or what a build makes small, by its name."""
    return _GENERATED.search(path) is not None


@dataclass(slots=True)
class Passed:
    """What was not searched, by path: `generated`, `pointers` of Git LFS, `links` to submodules, `binary`; by name
    what is `missing`."""

    generated: set[str] = field(default_factory=set)
    pointers: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    binary: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)

    def words(self) -> list[tuple[set[str], str]]:
        """Those that there are, with what they are in words."""
        kinds = (
            (self.generated, "generated or lock files passed over"),
            (self.pointers, "pointers of Git LFS, whose files were not scanned"),
            (self.links, "submodules not scanned"),
            (self.binary, "binary files left out"),
        )
        return [(paths, what) for paths, what in kinds if paths]

    def gone(self) -> str | None:
        """What is missing, in words."""
        if not self.missing:
            return None
        objects = "1 object is" if len(self.missing) == 1 else f"{len(self.missing):,} objects are"
        return f"{objects} missing or damaged, so what is in them was not scanned"


@dataclass(frozen=True, slots=True)
class _Run:
    """Parts of a content, one behind the other. `parts`: their hashes; `fresh`: those that were not searched yet."""

    text: bytes = field(repr=False)
    parts: Sequence[int]
    fresh: Set[int]

    def owners(self, places: Iterable[int]) -> Iterator[int]:
        """The fresh part by which what begins at each place is found: there, before, or else behind it."""
        lengths = map(len, self.text.split(_END))
        starts = [*accumulate((length + len(_END) for length in lengths), initial=0)]
        for start in places:
            number = min(bisect_right(starts, start), len(self.parts)) - 1
            nearest = chain(range(number, -1, -1), range(number + 1, len(self.parts)))
            yield next(part for part in map(self.parts.__getitem__, nearest) if part in self.fresh)


class Prefilter:
    """`commits`, `files` (changes of one each) count."""

    def __init__(self, worker: Worker, blobs: Blobs, passed: Passed, *, archives: bool, everything: bool) -> None:
        """`archives`: are to be opened; `everything`: also what is generated."""
        self.commits = self.files = 0
        self._worker, self._blobs, self._passed = worker, blobs, passed
        self._archives, self._everything = archives, everything
        self._known: set[str] = set()  # names of contents
        # Parts by path, as what stands in another file may be beside something else there. A hash has 64 bits and a
        # key of this process: that two share one is rarer than what disks do.
        self._seen: dict[str, set[int]] = {}
        self._room = _PARTS
        self._suspect: set[int] = set()  # those in which something may be
        self._suspects: dict[str, frozenset[int]] = {}  # contents → those in them
        self._whole: set[str] = set()  # contents that have no lines
        self._pointers: set[str] = set()
        self._batch: list[_Run | tuple[int, bytes]] = []
        self._size = 0
        self._pending: list[tuple[str, list[int]]] = []  # contents that wait for what their parts hold

    def candidates(self, items: Iterable[GitCommit | FileChange]) -> list[GitCommit | FileChange]:
        """Those in which something may be, in their order; `opaque` where it has no lines."""
        perhaps: list[GitCommit | FileChange] = []
        group: list[GitCommit | FileChange] = []
        names: dict[str, str] = {}  # of contents, each with a path of it
        for item in items:
            if isinstance(item, GitCommit):
                self.commits += item.kind == "commit"
            elif not self._wanted(item):
                continue
            elif item.new not in self._known:
                names.setdefault(item.new, item.path)
            group.append(item)
            if len(names) >= _AT_ONCE or len(group) >= 10 * _AT_ONCE:
                perhaps += self._of_group(group, names)
                group, names = [], {}
        perhaps += self._of_group(group, names)
        return [item for item in perhaps if isinstance(item, GitCommit) or self._new_in(item)]

    def _wanted(self, change: FileChange) -> bool:
        self.files += 1
        if change.link:
            self._passed.links.add(change.path)
        elif not self._everything and generated(change.path):
            self._passed.generated.add(change.path)
        else:
            return True
        return False

    def _of_group(
        self, group: Sequence[GitCommit | FileChange], names: Mapping[str, str]
    ) -> Iterator[GitCommit | FileChange]:
        messages: set[int] = set()
        for number, item in enumerate(group):
            if isinstance(item, GitCommit):
                self._add((number, item.message), len(item.message), messages)
        for name, blob in self._blobs.several([*names]):
            self._content(name, names[name], blob, messages)
        self._search(messages)
        if len(self._known) > _PARTS:
            self._known.clear()
        self._known.update(names)
        for number, item in enumerate(group):
            if isinstance(item, GitCommit):
                if number in messages:
                    yield item
                continue
            if item.new in self._pointers:
                self._passed.pointers.add(item.path)
            if item.new in self._whole:
                yield replace(item, opaque=True)
            elif item.new in self._suspects:
                yield item

    def _new_in(self, change: FileChange) -> bool:
        """Whether a part in which something may be was in none of the versions before. Finer marks than parts, lines
        around a place, lost what is known for a secret by what stands further away."""
        before = [self._suspects[name] for name in change.old if name in self._suspects]
        return change.opaque or not self._suspects[change.new] <= frozenset().union(*before)

    def _content(self, name: str, path: str, blob: Blob | None, messages: set[int]) -> None:
        if blob is None:
            self._passed.missing.add(name)
            return
        if blob.size > _LARGE:
            self._whole.add(name)
            return
        text = blob.whole()
        if blob.damaged:
            self._passed.missing.add(name)
        if text.startswith(_POINTER):
            self._pointers.add(name)
        if b"\0" in text[:_SNIFF] or (self._archives and kind(text[:HEAD]) is not None):
            self._whole.add(name)
            return
        parts = text.split(_END)
        hashes = [*map(hash, parts)]
        seen = self._seen.setdefault(path, set())
        if fresh := set(hashes) - seen:
            seen |= fresh
            self._forget(len(fresh))
            for run in _runs(text, parts, hashes, fresh):
                self._add(run, len(run.text), messages)
        self._pending.append((name, hashes))

    def _forget(self, more: int) -> None:
        """All of them, where there are too many."""
        self._room -= more
        if self._room < 0:
            self._seen.clear()
            self._room = _PARTS

    def _add(self, what: _Run | tuple[int, bytes], size: int, messages: set[int]) -> None:
        if size >= _LONG and isinstance(what, _Run):
            self._suspect.update(what.parts)
            return
        self._batch.append(what)
        self._size += size + len(GAP)
        if self._size >= _BATCH:
            self._search(messages)

    def _search(self, messages: set[int]) -> None:
        """What may hold something: of the parts, and by their numbers of `messages`."""
        texts = [entry.text if isinstance(entry, _Run) else entry[1] for entry in self._batch]
        starts = [*accumulate((len(text) + len(GAP) for text in texts), initial=0)]
        found = self._worker.search(GAP.join(texts))
        spans = [(entry.start, entry.end) for entry in found.matches] + [
            (entry.start, entry.end) for entry in found.unsearched
        ]
        places: dict[int, list[int]] = {}
        for start, end in spans:
            last = max(start, end - 1)
            for number in range(bisect_right(starts, start) - 1, min(len(texts), bisect_right(starts, last))):
                places.setdefault(number, []).append(max(0, start - starts[number]))
        for number, begins in places.items():
            entry = self._batch[number]
            if isinstance(entry, _Run):
                self._suspect.update(entry.owners(begins))
            else:
                messages.add(entry[0])
        for name, hashes in self._pending if self._suspect else ():
            if some := self._suspect.intersection(hashes):
                self._suspects[name] = frozenset(some)
        self._batch, self._size, self._pending = [], 0, []


def _runs(text: bytes, parts: Sequence[bytes], hashes: Sequence[int], fresh: set[int]) -> Iterator[_Run]:
    """Those that are fresh, each with one before and one behind it."""
    ends = [*accumulate(map(len, parts))]
    numbers = [number for number, one in enumerate(hashes) if one in fresh]
    first = before = numbers[0]
    for number in (*numbers[1:], len(parts) + 9):
        if number > before + 2:  # else they are one, with what is between them
            low, high = max(0, first - 1), min(len(parts) - 1, before + 1)
            start = (ends[low - 1] if low else 0) + len(_END) * low
            end = ends[high] + len(_END) * high
            if low < first and len(parts[low]) > _NEAR:
                start = _back(text, start, start + len(parts[low]))
            if high > before and len(parts[high]) > _NEAR:
                end = _ahead(text, end - len(parts[high]), end)
            yield _Run(text[start:end], hashes[low : high + 1], fresh)
            first = number
        before = number


def _back(text: bytes, start: int, end: int) -> int:
    """Where the last lines before `end` begin."""
    for _ in range(_AROUND):
        end = text.rfind(b"\n", start, max(start, end))
    return end + 1 if end >= 0 else start


def _ahead(text: bytes, start: int, end: int) -> int:
    """Where the first lines from `start` on end."""
    for _ in range(_AROUND):
        start = text.find(b"\n", start, end) + 1 or end
    return start
