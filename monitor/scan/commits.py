"""Secrets in what commits changed: many small texts in one search; where it finds something, the version as a whole.

What is told is what `scan` tells of that version of the file, as far as it is new there: it stands on a line that was
added, or was not in the version before.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from monitor.blocks import Cutter
from monitor.common.archive import HEAD, kind
from monitor.records import GAP
from monitor.scan.changes import Change, Commit, parsed
from monitor.scan.run import scan_stream, searcher

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.clients.git import Blob, Blobs
    from monitor.model import Block
    from monitor.scan.run import Options
    from monitor.scan.search import Hit

__all__ = ["CommitSearch", "Passed", "Seen", "generated"]

_BATCH = 1 << 20  # bytes of one search
_WHOLE = 8 << 20  # bytes of a version that is looked at as a whole for the sake of a hunk
_REMEMBERED = 256  # versions whose findings are: branches bring the same ones again
_POINTER = b"version https://git-lfs.github.com/spec/v1"
# What programs write: long, changed as a whole, and full of digests.
_GENERATED = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|poetry\.lock|uv\.lock|pdm\.lock"
    r"|Pipfile\.lock|Cargo\.lock|composer\.lock|Gemfile\.lock|go\.sum|mix\.lock|pubspec\.lock|Podfile\.lock|flake\.lock"
    r"|packages\.lock\.json|gradle\.lockfile|deno\.lock|Package\.resolved|[^/]*\.min\.(?:js|css|mjs)|[^/]*\.(?:js|css|mjs)\.map)$"
)

Report = Callable[[str, str], None]
_Text: TypeAlias = "tuple[Commit | Change, int, bytes]"  # of what, line of its beginning


def generated(path: str) -> bool:
    """Whether a lock file, or what a build makes small, by its name."""
    return _GENERATED.search(path) is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one commit brought; no commit: what is to be committed. `path`: of the file, as git knows it."""

    commit: Commit | None
    hit: Hit
    path: str


@dataclass(slots=True)
class Passed:
    """What was not searched, by path: `generated`, `pointers` of Git LFS, `links` to submodules, `binary`; by name
    what is `missing`."""

    generated: set[str] = field(default_factory=set)
    pointers: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    binary: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)

    def told(self) -> list[tuple[set[str], str]]:
        """Those that there are, with what they are in words."""
        words = (
            (self.generated, "generated or lock files passed over"),
            (self.pointers, "pointers of Git LFS, whose files were not scanned"),
            (self.links, "submodules not scanned"),
            (self.binary, "binary files left out"),
        )
        return [(paths, what) for paths, what in words if paths]

    def gone(self) -> str | None:
        """What is missing, in words."""
        if not self.missing:
            return None
        objects = "1 object is" if len(self.missing) == 1 else f"{len(self.missing):,} objects are"
        return f"{objects} missing or damaged, so what is in them was not scanned"


class CommitSearch:
    """Searches what git says that changed. `passed`, `commits`, `files` (changes of one each) and `size` count."""

    def __init__(self, engine: Engine, options: Options, blobs: Blobs, report: Report, *, everything: bool) -> None:
        """`everything`: also what is generated."""
        self.passed = Passed()
        self.commits = self.files = self.size = 0
        self._engine, self._options, self._blobs, self._report = engine, options, blobs, report
        self._everything = everything
        self._searcher = searcher(engine, options)
        self.worker = self._searcher.worker
        self._known: OrderedDict[tuple[str, str], list[Hit] | None] = OrderedDict()

    def search(self, items: Iterable[Commit | Change]) -> Iterator[Seen]:
        """What is new in each, in their order."""
        batch: list[_Text] = []
        size = 0
        for item in items:
            for text in self._texts(item):
                batch.append(text)
                size += len(text[2]) + len(GAP)
            if size >= _BATCH:
                yield from self._batch(batch)
                batch, size = [], 0
        yield from self._batch(batch)

    def version(self, path: str, name: str, *, large: bool = False) -> list[Hit] | None:
        """What `scan` tells of a version of a file by the name of its content; None: it cannot be read, or is of more
        text than anybody writes, unless that is asked for (`large`)."""
        key = path, name
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        blob = self._blobs.get(name)
        try:
            hits = None if blob is None else self._read(path, blob, large)
        except OSError:  # damaged
            hits = None
        if blob is None or blob.damaged:
            self.passed.missing.add(name)
        self._known[key] = hits
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return hits

    def named(self, names: Mapping[str, str]) -> Iterator[Commit]:
        """Commits and annotated tags by the names of their objects, each with its kind."""
        for name, what in names.items():
            blob = self._blobs.get(name, what.encode())
            if blob is not None:
                yield parsed(name, what, blob.whole())
            if blob is None or blob.damaged:
                self.passed.missing.add(name)

    def _texts(self, item: Commit | Change) -> Iterator[_Text]:
        if isinstance(item, Commit):
            self.commits += item.kind == "commit"
            self.size += len(item.message)
            yield item, 1, item.message
            return
        self.files += 1
        path = item.path
        if item.link:
            self.passed.links.add(path)
        elif not self._everything and generated(path):
            self.passed.generated.add(path)
        elif item.opaque:
            yield item, 0, b""
        else:
            for hunk in item.hunks:
                text = hunk.text()
                self.size += len(text)
                if hunk.line == 1 and text.startswith(_POINTER):
                    self.passed.pointers.add(path)
                yield item, hunk.line, text if len(text) < _BATCH else b""

    def _batch(self, batch: list[_Text]) -> Iterator[Seen]:
        done: Change | None = None
        for number in self._telling(batch):
            item, line, text = batch[number]
            if isinstance(item, Commit):
                for hit in self._alone(path := f"({item.kind} message)", text, line):
                    yield Seen(item, hit, path)
            elif item is not done:
                done = item
                for hit in self._new(item):
                    yield Seen(item.commit, hit, item.path)

    def _telling(self, batch: list[_Text]) -> list[int]:
        """Numbers of the texts in which something may be."""
        starts, at, telling = [], 0, set()
        for number, (item, _, text) in enumerate(batch):
            starts.append(at)
            at += len(text) + len(GAP)
            if not text and isinstance(item, Change):  # looked at as a whole
                telling.add(number)
        found = self.worker.search(GAP.join(text for _, _, text in batch))
        spans = [(one.start, one.end) for one in found.matches] + [(one.start, one.end) for one in found.unsearched]
        for start, end in spans:
            telling.update(range(bisect_right(starts, start) - 1, bisect_right(starts, max(start, end - 1))))
        return sorted(telling)

    def _new(self, change: Change) -> Iterator[Hit]:
        hits = self.version(change.path, change.new, large=change.opaque)
        if hits is None:  # missing, or so large that only what changed is looked at
            for hunk in change.hunks:
                added = set(hunk.added())
                yield from (hit for hit in self._alone(change.path, hunk.text(), hunk.line) if _lines(hit) & added)
            return
        if not hits:
            return
        added = {line for hunk in change.hunks for line in hunk.added()}
        before: set[str] | None = None
        for hit in hits:
            if not change.opaque and _lines(hit) & added:
                yield hit
                continue
            if before is None:
                before = self._before(change)
            if hit.finding.fingerprint not in before:
                yield hit

    def _before(self, change: Change) -> set[str]:
        """Fingerprints in the versions before."""
        old = [name for name in change.old if name.strip("0")]
        found = [self.version(change.path, name, large=change.opaque) or [] for name in old]
        return {hit.finding.fingerprint for hits in found for hit in hits}

    def _alone(self, path: str, text: bytes, line: int) -> list[Hit]:
        return list(self._searcher.search(_blocks(path, text, line), report=self._report))

    def _read(self, path: str, blob: Blob, large: bool) -> list[Hit] | None:
        head = blob.read(HEAD)
        packed = kind(head) is not None
        if blob.size > _WHOLE and not packed and not large:
            return None
        if self._options.skip_binary and not packed and b"\0" in head:
            self.passed.binary.add(path)
            return []
        hits: list[Hit] = []
        source = io.BytesIO(head + blob.whole()) if blob.size <= _WHOLE else _Rest(head, blob)
        for outcome in scan_stream(path, source, self._engine, self._options, self._searcher):
            hits += outcome.hits
            for problem in outcome.problems:
                self._report(*problem)
        return hits


class _Rest:
    """A content of which the head was read."""

    def __init__(self, head: bytes, blob: Blob) -> None:
        self._head, self._blob = head, blob

    def read(self, size: int = -1, /) -> bytes:
        head, self._head = self._head, b""
        return head or self._blob.read(size)

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._blob.seek(offset, whence)

    def tell(self) -> int:
        return self._blob.tell()


def _blocks(path: str, text: bytes, line: int) -> Iterator[Block]:
    cutter = Cutter("", path, "", line=line)
    for at in range(0, len(text), _BATCH):
        if (block := cutter.feed(text[at : at + _BATCH])) is not None:
            yield block
    if (block := cutter.flush()) is not None:
        yield block


def _lines(hit: Hit) -> set[int]:
    return set(range(hit.finding.line or 1, hit.end[0] + 1))
