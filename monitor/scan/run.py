"""Many files at once: jobs of about equal size for a few processes, results in the order of the tree."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING

from monitor.common.archive import HEAD, ArchiveBudget, ArchiveError, ByteStream, Readable, kind, leaves
from monitor.scan.search import BLOCK, Hit, LineNumbers, ScanOptions, Searcher, file_blocks, stream_blocks
from monitor.scan.walk import FileEntry

if TYPE_CHECKING:
    from detectors.match.engine import Engine

__all__ = ["ScanOutcome", "next_data", "scan", "scan_stream", "stretches"]

BATCH = 4 << 20  # bytes of small files in one job
FILES = 64  # or so many of them
PART = 64 << 20  # a larger file is shared out in parts of this size
DENSE = 10_000  # places of one rule's literals in a file: a second's work, which others share
PIECE = 256 << 10  # bytes of such a file in one job, at least
_SAMPLE = 64 << 10  # bytes of it that are looked at
_ALONE = 4  # jobs up to which no other process is worth its start
SNIFF = 8192  # bytes that tell text from binary
MEMBER = 1 << 20  # bytes of an archive's member that is searched as it comes; a smaller one is taken whole


@dataclass(slots=True)
class ScanOutcome:
    """What came of a job. `path`: of the file that it searched a part of. `left`: where it ended before a file that is
    to be shared out, that and what was to follow."""

    path: str = ""
    hits: list[Hit] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)  # path, what could not be read
    skipped: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0  # bytes on disk that were dealt with
    left: Sequence[FileEntry] = ()

    def report(self, path: str, what: str) -> None:
        """Something of it could not be read."""
        self.problems.append((path, what))


def scan(entries: Iterable[FileEntry], engine: Engine, options: ScanOptions, workers: int) -> Iterator[ScanOutcome]:
    """Outcomes in the order of `entries`; only a few jobs are ever ahead of the reader.

    What is more than a few jobs is shared out among `workers` processes: threads would wait for each other's Python.
    """
    jobs = _jobs(entries, options)
    first = list(islice(jobs, _ALONE if workers > 1 else 0))
    if workers > 1 and len(first) == _ALONE:
        from monitor.scan.shared import shared

        outcomes = shared(chain(first, jobs), lambda: _Jobs(engine, options), _lost, workers)
    else:
        outcomes = _here(chain(first, jobs), engine, options, workers)
    twice: set[str] = set()
    path = ""
    for outcome in outcomes:
        if outcome.path != path:
            path = outcome.path
            twice.clear()
        # Parts of one file find what needs a companion each by itself where they meet.
        outcome.hits = [hit for hit in outcome.hits if not (hit.rule.awaits and hit.finding.id in twice)]
        if path:
            twice.update(hit.finding.id for hit in outcome.hits if hit.rule.awaits)
        yield outcome


def _here(
    jobs: Iterable[Batch | FilePart], engine: Engine, options: ScanOptions, workers: int
) -> Iterator[ScanOutcome]:
    """Outcomes of jobs that are done here, but for files so dense that they are worth other processes."""
    here = _Jobs(engine, options, shares=workers > 1)
    for job in jobs:
        outcome = here(job)
        yield outcome
        while outcome.left:
            from monitor.scan.shared import shared

            dense, *further = outcome.left
            parts = _pieces(dense, workers)
            yield from shared(parts, lambda: _Jobs(engine, options), _lost, workers, ahead=2)
            outcome = here(Batch(further))
            yield outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are searched whole."""

    entries: Sequence[FileEntry]

    @property
    def paths(self) -> list[str]:
        return [entry.path for entry in self.entries]


@dataclass(frozen=True, slots=True)
class FilePart:
    """The part of a large file from `start` to `end` (None: its end). `number`: of the file's parts, from 0."""

    path: str
    start: int
    end: int | None
    size: int
    number: int

    @property
    def paths(self) -> list[str]:
        return [self.path]


def _lost(job: Batch | FilePart, end: str) -> ScanOutcome:
    what = f"was not searched to its end: the process that did it ended by {end}"
    return ScanOutcome(problems=[(path, what) for path in job.paths])


class _Jobs:
    """Does jobs, one after another."""

    def __init__(self, engine: Engine, options: ScanOptions, *, shares: bool = False) -> None:
        """`shares`: a file that is dense ends a job."""
        self._searcher, self._shares = Searcher(engine.worker(), options), shares
        self._of: tuple[str, LineNumbers] | None = None  # of the file whose part came last

    def __call__(self, job: Batch | FilePart) -> ScanOutcome:
        outcome = ScanOutcome()
        if isinstance(job, FilePart):
            self._part(job, outcome)
        else:
            for number, entry in enumerate(job.entries):
                _file(entry, self._searcher, outcome, shares=self._shares)
                if outcome.left:
                    outcome.left = job.entries[number:]
                    break
        return outcome

    def _part(self, part: FilePart, outcome: ScanOutcome) -> None:
        path = outcome.path = part.path
        outcome.files += part.number == 0
        outcome.size += (part.size if part.end is None else part.end) - part.start
        if self._of is None or self._of[0] != path:
            self._of = path, LineNumbers(lambda at, count: _read(path, at, count), lambda at: _data(path, at))
        try:
            with open(path, "rb", buffering=0) as file:
                blocks = file_blocks(path, file.fileno(), self._searcher.buffer, part.start, part.end)
                outcome.hits += self._searcher.search(blocks, self._of[1], outcome.report)
        except OSError as error:
            outcome.problems.append((path, error.strerror or "cannot be read"))


def scan_stream(
    name: str, file: Readable, engine: Engine, options: ScanOptions, by: Searcher | None = None
) -> Iterator[ScanOutcome]:
    """What can be read once, such as standard input; an outcome for each part of it that holds something. `by`: who
    searches, where there is one already."""
    by, outcome = by or Searcher(engine.worker(), options), ScanOutcome(files=1)
    for path, stream in _opened(name, file, options, outcome):
        try:
            for hit in by.search(stream_blocks(path, stream), report=outcome.report):
                yield ScanOutcome(hits=[hit])
        except ArchiveError as error:
            outcome.problems.append((path, str(error)))
        except OSError as error:
            outcome.problems.append((path, error.strerror or "cannot be read"))
    yield outcome


def _jobs(entries: Iterable[FileEntry], options: ScanOptions) -> Iterator[Batch | FilePart]:
    batch: list[FileEntry] = []
    size = 0
    for entry in entries:
        if entry.size is not None and entry.size > PART:
            if batch:
                yield Batch(batch)
                batch, size = [], 0
            yield from _parts(entry, entry.size, options)
            continue
        batch.append(entry)
        size += entry.size or 0
        if size >= BATCH or len(batch) >= FILES:
            yield Batch(batch)
            batch, size = [], 0
    if batch:
        yield Batch(batch)


def _parts(entry: FileEntry, size: int, options: ScanOptions) -> Iterator[Batch | FilePart]:
    """Parts of one large file."""
    head = b""
    with contextlib.suppress(OSError):  # reported by the job below
        head = _read(entry.path, 0, SNIFF)
    if not head or (options.archives and kind(head[:HEAD])) or (options.skip_binary and _binary(head)):
        yield Batch([entry])
        return
    try:
        with open(entry.path, "rb", buffering=0) as file:
            ranges = [
                (start, min(start + PART, end))
                for begin, end in stretches(file.fileno(), size)
                for start in range(begin, end, PART)
            ] or [(0, min(size, SNIFF))]
    except OSError:  # reported by the job below
        ranges = [(0, size)]
    for number, (start, end) in enumerate(ranges):
        yield FilePart(entry.path, start, end if end < size else None, size, number)


def _pieces(entry: FileEntry, workers: int) -> Iterator[FilePart]:
    """Parts of a dense one."""
    size = entry.size or 0
    step = min(max(PIECE, size // (4 * workers)), BLOCK)
    for number, start in enumerate(range(0, size, step)):
        yield FilePart(entry.path, start, start + step if start + step < size else None, size, number)


def _binary(head: bytes) -> bool:
    """Text in UTF-16 has zeros as well, but says what it is, or has many of them, all at every other place."""
    zeros = head[::2].count(0), head[1::2].count(0)
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff")) or (not min(zeros) and max(zeros) > len(head) // 16)
    return any(zeros) and not wide


def _data(path: str, at: int) -> int | None:
    with open(path, "rb", buffering=0) as file:
        return next_data(file.fileno(), at)


def _read(path: str, at: int, count: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return os.pread(file.fileno(), count, at)


def _file(entry: FileEntry, searcher: Searcher, outcome: ScanOutcome, *, shares: bool) -> None:
    try:
        fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _open_file(entry, fd, searcher, outcome, shares=shares)
        finally:
            os.close(fd)
    except OSError as error:
        outcome.problems.append((entry.path, error.strerror or "cannot be read"))
    if not outcome.left:
        outcome.size += entry.size or 0


def _open_file(entry: FileEntry, fd: int, searcher: Searcher, outcome: ScanOutcome, *, shares: bool) -> None:
    """Raises OSError."""
    path, view, options = entry.path, searcher.view, searcher.options
    # Most files of a tree are small: one look at the disk reads all that there is.
    got = os.preadv(fd, [view], 0) if entry.size is not None else 0
    packed = entry.size is None or (options.archives and kind(bytes(view[: min(got, HEAD)])) is not None)
    if options.skip_binary and not packed and _binary(bytes(view[: min(got, SNIFF)])):
        outcome.skipped.append(path)
        return
    if shares and not packed and got > 2 * PIECE and _dense(searcher, got, entry.size or 0):
        outcome.left = (entry,)
        return
    outcome.files += 1
    there = got == entry.size and got < len(view)
    if packed:
        with io.BytesIO(view[:got]) if there else open(fd, "rb", buffering=0, closefd=False) as file:
            if _archive(path, file, searcher, outcome) or entry.size is None:
                return
    if there:
        outcome.hits += searcher.whole(path, view[:got], outcome.report)
        return
    # It is large, or becomes larger or smaller meanwhile.
    lines = LineNumbers(lambda at, count: os.pread(fd, count, at))
    outcome.hits += searcher.search(file_blocks(path, fd, searcher.buffer), lines, outcome.report)


def _dense(searcher: Searcher, got: int, size: int) -> bool:
    """Whether a file, by its beginning, is worth other processes, which then need not compile what it takes."""
    sample = searcher.view[: min(got, _SAMPLE)]
    hits = searcher.worker.hits(sample)
    places = max(hits.most, *(len(cells) for codec, cells in hits.encoded if codec.name == "table"), 0)
    if places * size < DENSE * len(sample):
        return False
    searcher.worker.search(sample[: _SAMPLE // 8])
    return True


def _archive(path: str, file: Readable, searcher: Searcher, outcome: ScanOutcome) -> bool:
    """Whether anything could be read of it; if not, its bytes are searched as they are."""
    read = False
    for name, stream in _opened(path, file, searcher.options, outcome):
        try:
            if searcher.options.skip_binary and _binary(stream.peek(SNIFF)):
                outcome.skipped.append(name)
                read = True
                continue
            _member(name, stream, searcher, outcome)
        except ArchiveError as error:
            outcome.problems.append((name, str(error)))
        read = read or stream.given > 0
    return read


def _member(name: str, stream: ByteStream, searcher: Searcher, outcome: ScanOutcome) -> None:
    """Raises ArchiveError."""
    text = stream.peek(MEMBER)
    if len(text) == MEMBER:
        outcome.hits += searcher.search(stream_blocks(name, stream), report=outcome.report)
        return
    stream.read(len(text))
    outcome.hits += searcher.whole(name, text, outcome.report)
    stream.read()  # which says what is behind it, if that is a fault


def _opened(path: str, file: Readable, options: ScanOptions, outcome: ScanOutcome) -> Iterator[tuple[str, ByteStream]]:
    if not options.archives:
        yield path, ByteStream(iter(lambda: file.read(BLOCK), b""))
        return
    budget = ArchiveBudget(options.max_unpacked)
    try:
        yield from leaves(path, file, budget, lambda name, why: outcome.problems.append((name, why)))
    except ArchiveError as error:
        outcome.problems.append((path, str(error)))


_NEAR = 1 << 20  # bytes of a hole that are read like any other: each stretch is a search of its own


def next_data(fd: int, at: int) -> int | None:
    """The first place from `at` on that may hold data; None: there is none before the end. Raises OSError."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        if error.errno == errno.EINVAL:  # a file system that knows of no holes
            return at
        raise


def stretches(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Begin and end of what is to be read of the first `size` bytes. Raises OSError."""
    begin, end = next_data(fd, 0), 0
    while begin is not None and begin < size:
        end = _hole(fd, begin, size)
        after = next_data(fd, end) if end < size else None
        while after is not None and after - end < _NEAR and end < size:
            end = _hole(fd, after, size)
            after = next_data(fd, end) if end < size else None
        yield begin, end
        begin = after


def _hole(fd: int, at: int, size: int) -> int:
    try:
        return min(size, os.lseek(fd, at, os.SEEK_HOLE))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENXIO):
            return size
        raise
