"""Many files at once: jobs of about equal size for a few threads, results in the order of the tree."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from monitor.common.archive import HEAD, ArchiveError, Budget, Readable, Stream, kind, leaves
from monitor.scan.holes import next_data, stretches
from monitor.scan.search import BLOCK, Hit, Lines, Searcher, file_blocks, stream_blocks
from monitor.scan.walk import Entry

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.model import Block, Owned

__all__ = ["Options", "Outcome", "scan", "scan_stream"]

BATCH = 4 << 20  # bytes of small files in one job
FILES = 64  # or so many of them
PART = 64 << 20  # a larger file is shared out among the threads in parts of this size
SNIFF = 8192  # bytes that tell text from binary


@dataclass(frozen=True, slots=True)
class Options:
    """How to look. `skip_binary`: leave out files with a NUL in their first bytes, but for UTF-16. `max_unpacked`:
    bytes of an archive.

    `owners`: see `occurrences`. `stopped`: set when nobody waits for the outcomes any more.
    """

    key: bytes = field(repr=False)
    context: bool = False
    suppressions: bool = True
    reveal: bool = False
    skip_binary: bool = False
    archives: bool = True
    max_unpacked: int = 4 << 30
    owners: Mapping[str, Sequence[Owned]] = field(default_factory=dict, repr=False)
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Outcome:
    """What came of a job."""

    hits: list[Hit] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)  # path, what could not be read
    skipped: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0  # bytes on disk that were dealt with

    def report(self, path: str, what: str) -> None:
        """Something of it could not be read."""
        self.problems.append((path, what))


Job = Callable[[Searcher, Outcome], None]


def scan(entries: Iterable[Entry], engine: Engine, options: Options, threads: int) -> Iterator[Outcome]:
    """Outcomes in the order of `entries`; only a few jobs are ever ahead of the reader."""
    local = threading.local()
    options = replace(options, stopped=threading.Event())

    def run(job: Job) -> Outcome:
        searcher = getattr(local, "searcher", None)
        if searcher is None:
            searcher = local.searcher = _searcher(engine, options)
        outcome = Outcome()
        job(searcher, outcome)
        return outcome

    pool = ThreadPoolExecutor(threads, thread_name_prefix="scan")
    wait = True
    try:
        waiting: deque[Future[Outcome]] = deque()
        for job in _jobs(entries, options):
            waiting.append(pool.submit(run, job))
            if len(waiting) >= 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except KeyboardInterrupt:
        wait = False  # a pipe that nobody writes to would hold us for ever
        raise
    finally:
        options.stopped.set()
        pool.shutdown(wait=wait, cancel_futures=True)


def scan_stream(name: str, file: Readable, engine: Engine, options: Options) -> Iterator[Outcome]:
    """What can be read once, such as standard input; an outcome for each part of it that holds something."""
    searcher, outcome = _searcher(engine, options), Outcome(files=1)
    for path, stream in _opened(name, file, options, outcome):
        try:
            for hit in searcher.search(stream_blocks(path, stream), report=outcome.report):
                yield Outcome(hits=[hit])
        except ArchiveError as error:
            outcome.problems.append((path, str(error)))
        except OSError as error:
            outcome.problems.append((path, error.strerror or "cannot be read"))
    yield outcome


def _searcher(engine: Engine, options: Options) -> Searcher:
    return Searcher(
        engine.worker(),
        options.key,
        context=options.context,
        suppressions=options.suppressions,
        reveal=options.reveal,
        owners=options.owners,
    )


def _jobs(entries: Iterable[Entry], options: Options) -> Iterator[Job]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if entry.size is not None and entry.size > PART:
            if batch:
                yield _batch(batch, options)
                batch, size = [], 0
            yield from _parts(entry, entry.size, options)
            continue
        batch.append(entry)
        size += entry.size or 0
        if size >= BATCH or len(batch) >= FILES:
            yield _batch(batch, options)
            batch, size = [], 0
    if batch:
        yield _batch(batch, options)


def _batch(entries: list[Entry], options: Options) -> Job:
    def job(searcher: Searcher, outcome: Outcome) -> None:
        for entry in entries:
            _file(entry, options, searcher, outcome)

    return job


def _parts(entry: Entry, size: int, options: Options) -> Iterator[Job]:
    """Parts of one large file. Line numbers are counted once, whichever part asks first."""
    head = b""
    with contextlib.suppress(OSError):  # reported by the job below
        head = _read(entry.path, 0, SNIFF)
    whole = not head or (options.archives and kind(head[:HEAD])) or (options.skip_binary and _binary(head))
    if whole:
        yield _batch([entry], options)
        return
    lines = Lines(lambda at, count: _read(entry.path, at, count), lambda at: _data(entry.path, at))
    told: dict[str, Block] = {}

    def part(start: int, end: int | None, number: int) -> Job:
        def job(searcher: Searcher, outcome: Outcome) -> None:
            outcome.files += number == 0
            outcome.size += (end or size) - start
            try:
                with open(entry.path, "rb", buffering=0) as file:
                    blocks = file_blocks(entry.path, file.fileno(), searcher.buffer, start, end)
                    outcome.hits += searcher.search(blocks, lines, outcome.report, told)
            except OSError as error:
                outcome.problems.append((entry.path, error.strerror or "cannot be read"))

        return job

    try:
        with open(entry.path, "rb", buffering=0) as file:
            ranges = [
                (start, min(start + PART, end))
                for begin, end in stretches(file.fileno(), size)
                for start in range(begin, end, PART)
            ] or [(0, min(size, SNIFF))]
    except OSError:  # reported by the job below
        ranges = [(0, size)]
    yield from (part(start, end if end < size else None, number) for number, (start, end) in enumerate(ranges))


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


def _file(entry: Entry, options: Options, searcher: Searcher, outcome: Outcome) -> None:
    outcome.size += entry.size or 0
    try:
        with open(entry.path, "rb", buffering=0) as file:
            head = os.pread(file.fileno(), SNIFF, 0) if entry.size is not None else b""
            packed = entry.size is None or (options.archives and kind(head[:HEAD]) is not None)
            if options.skip_binary and not packed and _binary(head):
                outcome.skipped.append(entry.path)
                return
            outcome.files += 1
            if packed and _archive(entry.path, file, options, searcher, outcome):
                return
            if entry.size is None:
                return
            lines = Lines(lambda at, count: os.pread(file.fileno(), count, at))
            outcome.hits += searcher.search(
                file_blocks(entry.path, file.fileno(), searcher.buffer), lines, outcome.report
            )
    except OSError as error:
        outcome.problems.append((entry.path, error.strerror or "cannot be read"))


def _archive(path: str, file: Readable, options: Options, searcher: Searcher, outcome: Outcome) -> bool:
    """Whether anything could be read of it; if not, its bytes are searched as they are."""
    read = False
    for name, stream in _opened(path, file, options, outcome):
        try:
            if options.skip_binary and _binary(stream.peek(SNIFF)):
                outcome.skipped.append(name)
                read = True
                continue
            outcome.hits += searcher.search(stream_blocks(name, stream), report=outcome.report)
        except ArchiveError as error:
            outcome.problems.append((name, str(error)))
        read = read or stream.given > 0
    return read


def _opened(path: str, file: Readable, options: Options, outcome: Outcome) -> Iterator[tuple[str, Stream]]:
    if not options.archives:
        yield path, Stream(iter(lambda: file.read(BLOCK), b""))
        return
    budget = Budget(options.max_unpacked, stopped=options.stopped)
    try:
        yield from leaves(path, file, budget, lambda name, why: outcome.problems.append((name, why)))
    except ArchiveError as error:
        outcome.problems.append((path, str(error)))
