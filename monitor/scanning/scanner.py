"""Blocks to findings: which thread searches what, and for how long at once; occurrence.py makes the findings.

Scans run in threads (Hyperscan and RE2 release the GIL), each with a worker of its own. The event loop only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from detectors.match.cost import Spent
from detectors.match.engine import PACE, Engine, Pace, ScanResult, Search, Worker
from detectors.match.exact import Exact
from detectors.match.outcome import merged
from monitor.domain.model import Block, Finding, OwnedSecret
from monitor.intake.protocol import ScanError
from monitor.scanning.occurrence import occurrences
from monitor.scanning.redact import Redactor
from monitor.store.crash_mark import ENOUGH, BlockMarks

__all__ = ["Gap", "RuleStats", "Scanner", "ScannerStats"]

_Done = TypeVar("_Done")
_ENOUGH = 4096  # findings for one transaction: a log full of them must neither fill the memory nor hold up the others


@dataclass(slots=True)
class RuleStats(Spent):
    """`matches`: what was taken for a secret, repeats included."""

    matches: int = 0


@dataclass(slots=True)
class ScannerStats:
    """Counters since start. `seconds`: thread time spent with blocks, reading them included."""

    blocks: int = 0
    bytes: int = 0
    matches: int = 0
    failures: int = 0
    seconds: float = 0.0
    busy: int = 0  # threads at work now
    rules: dict[str, RuleStats] = field(default_factory=dict)  # id → those that anything was held against


class Gap(NamedTuple):
    """What of a block nobody has looked into, and why, as the ledger of losses calls it."""

    path: str
    bytes: int
    reason: str


_REASONS = {"slow": "unscannable", "undecoded": "undecoded"}


class _SuspectError(Exception):
    """A block in work at which the process ended again and again."""


_FAILURES: dict[type[Exception], str] = {_SuspectError: f"the monitor was ended {ENOUGH} times while at it"}


class _Gate:
    """Lets many pass together, or one alone: whoever comes while that one waits is behind it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._asked = 0  # wait to pass alone

    @contextlib.contextmanager
    def passed(self, *, alone: bool) -> Iterator[None]:
        with self._changed:
            self._asked += alone
            self._changed.wait_for(lambda: not (self._alone or (self._inside if alone else self._asked)))
            self._asked -= alone
            self._inside += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False
                self._changed.notify_all()


@dataclass(slots=True)
class _InWork:
    """A block between its turns: all of them by the engine that had the first one."""

    block: Block
    engine: Engine
    search: Search
    suspect: bool


@dataclass(slots=True)
class _Pull:
    """Blocks of one source on their way. `stop`: nobody waits for them any more. `turns`: that the last one took."""

    blocks: Iterator[Block]
    gaps: list[Gap]
    stop: threading.Event = field(default_factory=threading.Event)
    found: list[Finding] = field(default_factory=list)
    work: _InWork | None = None
    turns: int = 0
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        close = getattr(self.blocks, "close", None)
        if close is not None:
            close()


class Scanner:
    """Scans with `workers` threads. `swap` takes effect between blocks: each block is scanned wholly by one engine."""

    def __init__(
        self, engine: Engine, key: bytes, workers: int = 1, marks: BlockMarks | None = None, pace: Pace | None = None
    ) -> None:
        """`marks`: which blocks were in work when the process was killed; without it that is known of this one only."""
        self.engine = engine
        self._pace = pace or PACE
        self._marks = marks or BlockMarks(None)
        self._gate = _Gate()
        self.key = key
        self._exact: Exact | None = None
        self._owners: Mapping[str, Sequence[OwnedSecret]] = {}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="scan")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._scanning: dict[int, float] = {}  # thread → monotonic time at which the engine got its block
        self.stats = ScannerStats()

    def redact(self, text: str) -> str:
        """A text from outside with what the rules in force take for a secret masked. From any thread."""
        return self.redactor()(text)

    def redactor(self) -> Redactor:
        """For this thread, and for as long as these rules are in force."""
        self._worker()
        redactor: Redactor = self._local.redactor
        return redactor

    def swap(self, engine: Engine) -> None:
        """Use these rules from the next block on."""
        self.engine = engine if self._exact is None else engine.beside(self._exact)

    def enrol(self, exact: Exact | None, owners: Mapping[str, Sequence[OwnedSecret]]) -> None:
        """Find these values, and give the names of their secrets to all findings with these fingerprints."""
        self._owners, self._exact = owners, exact
        self.engine = self.engine.beside(exact)

    def longest(self) -> float:
        """Seconds for which the engine has been at one block. The time a source takes to read does not count."""
        now = time.monotonic()
        return max((now - since for since in list(self._scanning.values())), default=0.0)

    def close(self) -> None:
        """Let running scans end; take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def scan(self, blocks: Iterable[Block], gaps: list[Gap] | None = None) -> list[Finding]:
        """Findings of `blocks`, which are pulled in a thread. Raises ScanError, and whatever the iterator raises.

        `gaps` gets what could not be searched, or not decoded, within what a piece of text may cost.

        A block that takes long is searched in turns, between which others have theirs. Takes no further block after
        such a one, or once it has thousands of findings.
        When cancelled it stops after the present turn, and returns only after the iterator is closed.
        """
        pull = _Pull(iter(blocks), [] if gaps is None else gaps)
        try:
            while not pull.closed:
                await self._turn(pull)
        finally:
            if not pull.closed:
                pull.close()
        return pull.found

    async def _turn(self, pull: _Pull) -> None:
        task = self._pool.submit(self._pull, pull)
        work = asyncio.wrap_future(task)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            pull.stop.set()
            task.cancel()
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            if work.done() and not work.cancelled():
                work.exception()  # nobody asks for it any more
            raise

    async def identify(self, text: bytes) -> list[Finding]:
        """Findings in a text that comes from no place."""
        return await self.scan([Block(source="", path="", generation="", offset=0, data=text, time=time.time())])

    def _pull(self, pull: _Pull) -> None:
        """Blocks until one has had its turn and is not done, or it is enough: then the iterator is closed."""
        stats = self.stats
        blocks_done = bytes_done = known = 0
        start = time.perf_counter()
        with self._lock:
            stats.busy += 1
        over = True
        try:
            known = len(pull.found)
            while (work := pull.work or self._take(pull)) is not None:
                block = work.block
                if not self._advance(pull, work):
                    over = pull.stop.is_set()
                    break
                blocks_done += 1
                bytes_done += block.end - block.fresh
                if pull.stop.is_set() or pull.turns > 1 or len(pull.found) >= _ENOUGH:
                    break
        finally:
            if over:
                pull.close()
            with self._lock:
                stats.busy -= 1
                stats.blocks += blocks_done
                stats.bytes += bytes_done
                stats.matches += len(pull.found) - known
                stats.seconds += time.perf_counter() - start

    def _take(self, pull: _Pull) -> _InWork | None:
        """The next block, if there is one."""
        block = next(pull.blocks, None)
        if block is not None:
            pull.work, pull.turns = self._guarded(block, lambda: self._begin(block)), 0
        return pull.work

    def _begin(self, block: Block) -> _InWork:
        suspicion = self._marks.suspicion(block)
        if suspicion >= ENOUGH:
            self._marks.pass_over(block)
            raise _SuspectError
        # The worker is looked up for each block, so that new rules hold from the next one on.
        engine = self.engine
        search = self._worker(engine).begin(block.data, block.fresh, block.end, self._pace, block.head)
        return _InWork(block, engine, search, suspicion > 0)

    def _advance(self, pull: _Pull, work: _InWork) -> bool:
        """One turn of the block in work. Whether it is done."""
        pull.turns += 1
        self._guarded(work.block, lambda: self._step(work))
        if work.search.left:
            return False
        pull.work = None
        pull.found += self._guarded(work.block, lambda: self._finish(work, pull.gaps))
        return True

    def _step(self, work: _InWork) -> None:
        thread, worker = threading.get_ident(), self._worker(work.engine)
        # A suspect is scanned alone, so that no innocent one is in work at its second end.
        with self._gate.passed(alone=work.suspect):
            self._scanning[thread] = time.monotonic()
            mark = self._marks.begin(work.block)
            try:
                work.search.step(worker)
            finally:
                self._marks.end(mark)
                self._scanning.pop(thread, None)

    def _finish(self, work: _InWork, gaps: list[Gap]) -> list[Finding]:
        block, found = work.block, work.search.found()
        self._charge(found)
        gaps += _gaps(block, found)
        worker = self._worker(work.engine)
        if block.seam:
            found = _with_sides(worker, block, found, self._pace)
        parts = self._apart(worker, block, found, gaps) if block.parts else [(block, found)]
        redact: Redactor = self._local.redactor
        return [
            finding
            for part, within in parts
            for _, finding in occurrences(part, within, self.key, redact, self._owners)
        ]

    def _guarded(self, block: Block, work: Callable[[], _Done]) -> _Done:
        """Whatever fails on a block becomes a ScanError."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - a message may quote the text: only the type leaves here
            self.stats.failures += 1
            what = _FAILURES.get(type(error), type(error).__name__)
            failure = f"{self.redact(block.path)}: the engine failed at offset {block.span[0]}: {what}"
        # Outside of the handler, so that the error does not carry the original one along.
        raise ScanError(failure, *block.span, block.generation)

    def _apart(
        self, worker: Worker, block: Block, result: ScanResult, gaps: list[Gap]
    ) -> Iterator[tuple[Block, ScanResult]]:
        """What was found in each record, by places in it. Records that a match runs across are scanned one by one."""
        starts = [start for start, _ in block.parts]
        inside: dict[int, ScanResult] = {}
        again: set[int] = set()
        for match in result.matches:
            first, last = bisect_right(starts, match.start) - 1, bisect_left(starts, match.end) - 1
            start, record = block.parts[first]
            if first != last or match.end > start + len(record.data):
                again.update(range(first, last + 1))
            else:
                within = inside.setdefault(first, ScanResult([], [], result.unsearched))
                within.matches.append(replace(match, start=match.start - start, end=match.end - start))
        for begin, end in result.hidden:
            for number in range(bisect_right(starts, begin) - 1, bisect_left(starts, end)):
                if number in inside:
                    start = starts[number]
                    inside[number].hidden.append((max(0, begin - start), end - start))
        for number in sorted(inside.keys() | again):
            record = block.parts[number][1]
            if number in again:
                alone = worker.search(record.data, pace=self._pace)
                gaps += _gaps(record, alone)
                yield record, alone
            else:
                yield record, inside[number]

    def _charge(self, found: ScanResult) -> None:
        if not found.spent:
            return
        rules = self.stats.rules
        with self._lock:
            for rule, spent in found.spent.items():
                account = rules.setdefault(rule, RuleStats())
                account.looks += spent.looks
                account.seconds += spent.seconds
            for match in found.matches:
                rules.setdefault(match.rule.id, RuleStats()).matches += 1

    def _worker(self, engine: Engine | None = None) -> Worker:
        local, engine = self._local, engine or self.engine
        if getattr(local, "engine", None) is not engine:
            local.worker = engine.worker()
            local.redactor, local.engine = Redactor(local.worker), engine
        worker: Worker = local.worker
        return worker


def _with_sides(worker: Worker, block: Block, result: ScanResult, pace: Pace) -> ScanResult:
    """With what stands on either side of a seam alone, where nothing that was found in the whole covers it: the open
    line of a file may be over after all, and a new one begin with its successor."""
    data, seam = bytes(block.data), block.seam
    line = min(block.end, data.find(b"\n", seam) + 1 or block.end)
    sides = [(0, worker.search(data[:seam], block.fresh, seam, pace))]
    if line > seam:
        sides.append((seam, worker.search(data[seam:line], pace=pace)))
    alone = [replace(one, start=one.start + at, end=one.end + at) for at, side in sides for one in side.matches]
    alone = [one for one in alone if not any(one.start < two.end and two.start < one.end for two in result.matches)]
    hidden = [(start + at, end + at) for at, side in sides for start, end in side.hidden]
    return replace(result, matches=[*result.matches, *alone], hidden=merged([*result.hidden, *hidden]))


def _gaps(block: Block, found: ScanResult) -> list[Gap]:
    return [Gap(block.path, one.end - one.start, _REASONS[one.why]) for one in found.unsearched]
