"""Secrets in what commits changed: where something may be (see prefilter), the version as a whole.

What is told is what `scan` tells of that version of the file, as far as it is new there: it stands on a line that was
added, or was not in the version before.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.common.archive import HEAD, kind
from monitor.scan.changes import FileChange, GitCommit, parsed
from monitor.scan.prefilter import Passed, Prefilter
from monitor.scan.run import scan_stream
from monitor.scan.search import Searcher
from monitor.scanning.blocks import Cutter

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.clients.git import Blob, Blobs
    from monitor.domain.model import Block
    from monitor.scan.search import Hit, ScanOptions

__all__ = ["CommitFinding", "CommitSearch"]

_PIECE = 1 << 20  # bytes of a hunk searched at once
_WHOLE = 8 << 20  # bytes of a version that is looked at as a whole for the sake of a hunk
_REMEMBERED = 256  # versions whose findings are: branches bring the same ones again
_PRINTS = 50_000  # versions of which it is known which secrets are in them
_PATHS, _PATH = 30_000, 20  # bytes of all paths in one question; of what stands beside one

Report = Callable[[str, str], None]
Hunks = Callable[[Sequence[FileChange]], Iterable[FileChange]]


@dataclass(frozen=True, slots=True)
class CommitFinding:
    """What one commit brought; no commit: what is to be committed. `path`: of the file, as git knows it."""

    commit: GitCommit | None
    hit: Hit
    path: str


class CommitSearch:
    """Searches what git says that changed. `passed`: what was not; `prefilter` counts."""

    def __init__(self, engine: Engine, options: ScanOptions, blobs: Blobs, report: Report, *, everything: bool) -> None:
        """`everything`: also what is generated."""
        self.passed = Passed()
        self._engine, self._options, self._blobs, self._report = engine, options, blobs, report
        self._searcher = Searcher(engine.worker(), options)
        self.worker = self._searcher.worker
        self.prefilter = Prefilter(self.worker, blobs, self.passed, archives=options.archives, everything=everything)
        self._known: OrderedDict[tuple[str, str], list[Hit]] = OrderedDict()
        self._prints: dict[tuple[str, str], frozenset[str]] = {}

    def search(self, items: Iterable[GitCommit | FileChange], hunks: Hunks | None = None) -> Iterator[CommitFinding]:
        """What is new in each, in their order. `hunks`: gives changes anew, with theirs."""
        for some in _groups(self.prefilter.candidates(items)):
            asked = [item for item in some if isinstance(item, FileChange) and not item.opaque]
            anew = {_key(change): change for change in hunks(asked)} if hunks is not None and asked else {}
            for item in some:
                if isinstance(item, GitCommit):
                    for hit in self._alone(path := f"({item.kind} message)", item.message, 1):
                        yield CommitFinding(item, hit, path)
                    continue
                # Of what git gives no lines all that was not there before is new.
                for hit in self._new(anew.get(_key(item)) or replace(item, opaque=True)):
                    yield CommitFinding(item.commit, hit, item.path)

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
        if hits is not None:
            self._known[key] = hits
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            if len(self._prints) > _PRINTS:
                self._prints.clear()
            self._prints[key] = frozenset(hit.finding.fingerprint for hit in hits)
        return hits

    def prints(self, path: str, name: str, *, large: bool = True) -> frozenset[str]:
        """Fingerprints in a version of a file."""
        known = self._prints.get((path, name))
        if known is None:
            known = frozenset(hit.finding.fingerprint for hit in self.version(path, name, large=large) or ())
        return known

    def named(self, names: Mapping[str, str]) -> Iterator[GitCommit]:
        """Commits and annotated tags by the names of their objects, each with its kind."""
        for name, what in names.items():
            blob = self._blobs.get(name, what.encode())
            if blob is not None:
                yield parsed(name, what, blob.whole())
            if blob is None or blob.damaged:
                self.passed.missing.add(name)

    def _new(self, change: FileChange) -> Iterator[Hit]:
        hits = self.version(change.path, change.new, large=change.opaque)
        if hits is None:  # missing, or so large that only what changed is looked at
            for hunk in change.hunks:
                added = set(hunk.added())
                yield from (hit for hit in self._alone(change.path, hunk.text(), hunk.line) if _lines(hit) & added)
            return
        if not hits:
            return
        added = {line for hunk in change.hunks for line in hunk.added()}
        before: frozenset[str] | None = None
        for hit in hits:
            if not change.opaque and _lines(hit) & added:
                yield hit
                continue
            if before is None:
                before = self._before(change)
            if hit.finding.fingerprint not in before:
                yield hit

    def _before(self, change: FileChange) -> frozenset[str]:
        """Fingerprints in the versions before."""
        old = [name for name in change.old if name.strip("0")]
        return frozenset[str]().union(*(self.prints(change.path, name, large=change.opaque) for name in old))

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


def _key(change: FileChange) -> tuple[str | None, str]:
    return change.commit.id if change.commit is not None else None, change.path


def _groups(items: Iterable[GitCommit | FileChange]) -> Iterator[list[GitCommit | FileChange]]:
    """Of which each asks for no more paths than a command line takes."""
    group: list[GitCommit | FileChange] = []
    size = 0
    for item in items:
        size += len(item.path) + _PATH if isinstance(item, FileChange) else 0
        if size > _PATHS:
            yield group
            group, size = [], len(item.path) + _PATH if isinstance(item, FileChange) else 0
        group.append(item)
    if group:
        yield group


class _Rest(io.RawIOBase):
    """A content of which the head was read. It comes once."""

    def __init__(self, head: bytes, blob: Blob) -> None:
        self._head, self._blob = head, blob

    def read(self, size: int = -1, /) -> bytes:
        head, self._head = self._head, b""
        return head or self._blob.read(size)


def _blocks(path: str, text: bytes, line: int) -> Iterator[Block]:
    return Cutter("", path, "", line=line).blocks(text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _lines(hit: Hit) -> set[int]:
    return set(range(hit.finding.line or 1, hit.end[0] + 1))
