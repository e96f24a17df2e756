"""Blocks to findings: here a match is turned into a fingerprint and a preview.

Scans run in threads (Hyperscan and RE2 release the GIL), each with a worker of its own. The event loop only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from detectors.fingerprint import fingerprint
from detectors.match.cost import Spent
from detectors.match.engine import Engine, Found, Match, TooSlowError, Worker, patience
from detectors.match.exact import OWN, Exact
from monitor import runbook
from monitor.common.outside import LABEL, PATH, let_in
from monitor.common.severity import rank
from monitor.connection import AROUND, connection
from monitor.incidents import own_title
from monitor.intake import ScanError
from monitor.model import Block, Finding
from monitor.pairs import pair
from monitor.places import Places
from monitor.scrub import WITHHELD, Scrubber
from monitor.service import service_of
from monitor.store.mark import ENOUGH, BlockMarks
from monitor.store.owners import Owned, labels_of, worth_of

__all__ = ["RuleStats", "Scanner", "ScannerStats", "finding_id", "named"]

_Told = TypeVar("_Told", bound=Any)  # a Finding, or a Hit of `scan`
_TELLING = 16  # bytes of a secret that is nothing else, wherever it stands
_PIECE = 6  # characters of a path that may be a part of a secret
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


def finding_id(generation: str, offset: int, rule: str, print_: str) -> str:
    """The same occurrence has the same id however often it is read: 32 hex digits."""
    text = f"{generation}\0{offset}\0{rule}\0{print_}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class _SuspectError(Exception):
    """A block in work at which the process ended again and again."""


_FAILURES = {
    TooSlowError: "the text takes far too long",
    _SuspectError: f"the monitor was ended {ENOUGH} times while at it",
}


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


class Scanner:
    """Scans with `workers` threads. `swap` takes effect between blocks: each block is scanned wholly by one engine."""

    def __init__(self, engine: Engine, key: bytes, workers: int = 1, marks: BlockMarks | None = None) -> None:
        """`marks`: which blocks were in work when the process was killed; without it that is known of this one only."""
        self._engine = engine
        self._marks = marks or BlockMarks(None)
        self._gate = _Gate()
        self._key = key
        self._exact: Exact | None = None
        self._owners: Mapping[str, Sequence[Owned]] = {}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="scan")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._scanning: dict[int, float] = {}  # thread → monotonic time at which the engine got its block
        self.stats = ScannerStats()

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def key(self) -> bytes:
        return self._key

    def scrub(self, text: str) -> str:
        """A text from outside with what the rules in force take for a secret masked. From any thread."""
        return self.scrubber()(text)

    def scrubber(self) -> Scrubber:
        """For this thread, and for as long as these rules are in force."""
        self._worker()
        scrubber: Scrubber = self._local.scrubber
        return scrubber

    def swap(self, engine: Engine) -> None:
        """Use these rules from the next block on."""
        self._engine = engine if self._exact is None else engine.beside(self._exact)

    def enrol(self, exact: Exact | None, owners: Mapping[str, Sequence[Owned]]) -> None:
        """Find these values, and give the names of their secrets to all findings with these fingerprints."""
        self._owners, self._exact = owners, exact
        self._engine = self._engine.beside(exact)

    def longest(self) -> float:
        """Seconds for which the engine has been at one block. The time a source takes to read does not count."""
        now = time.monotonic()
        return max((now - since for since in list(self._scanning.values())), default=0.0)

    def close(self) -> None:
        """Let running scans end; take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def scan(self, blocks: Iterable[Block], undecoded: list[tuple[str, int]] | None = None) -> list[Finding]:
        """Findings of `blocks`, which are pulled in a thread. Raises ScanError, and whatever the iterator raises.

        `undecoded` gets (path, bytes) of encoded text that was too much to decode.

        Takes no further block once it has thousands of findings.
        When cancelled it stops after the present block, and returns only after the iterator is closed.
        """
        stop = threading.Event()
        task = self._pool.submit(self._pull, blocks, stop, [] if undecoded is None else undecoded)
        work = asyncio.wrap_future(task)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            if task.cancel():
                _close(blocks)
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            if work.done() and not work.cancelled():
                work.exception()  # nobody asks for it any more
            raise

    async def identify(self, text: bytes) -> list[Finding]:
        """Findings in a text that comes from no place."""
        return await self.scan([Block(source="", path="", generation="", offset=0, data=text, time=time.time())])

    def _pull(self, blocks: Iterable[Block], stop: threading.Event, undecoded: list[tuple[str, int]]) -> list[Finding]:
        found: list[Finding] = []
        stats = self.stats
        blocks_done = bytes_done = 0
        start = time.perf_counter()
        with self._lock:
            stats.busy += 1
        try:
            for block in blocks:
                found += self._scan(block, undecoded)
                blocks_done += 1
                bytes_done += block.end - block.fresh
                if stop.is_set() or len(found) >= _ENOUGH:
                    break
        finally:
            _close(blocks)
            with self._lock:
                stats.busy -= 1
                stats.blocks += blocks_done
                stats.bytes += bytes_done
                stats.matches += len(found)
                stats.seconds += time.perf_counter() - start
        return found

    def _scan(self, block: Block, undecoded: list[tuple[str, int]]) -> list[Finding]:
        thread = threading.get_ident()
        limit = block.end
        failure = None
        suspicion = self._marks.suspicion(block)
        try:
            if suspicion >= ENOUGH:
                self._marks.pass_over(block)
                raise _SuspectError
            # The worker is looked up for each block, so that new rules hold from the next one on.
            worker = self._worker()
            # A suspect is scanned alone, so that no innocent one is in work at its second end.
            with self._gate.passed(alone=suspicion > 0):
                self._scanning[thread] = time.monotonic()
                mark = self._marks.begin(block)
                try:
                    found = worker.search(block.data, block.fresh, limit, patience(len(block.data)))
                finally:
                    self._marks.end(mark)
            self._charge(found)
            if found.skipped:
                undecoded.append((block.path, found.skipped))
            scrub = self._local.scrubber
            out = []
            for part, within in _apart(worker, block, found) if block.parts else [(block, found)]:
                places = Places(part, within)
                matches, facts = pair(within.matches)
                for number, match in enumerate(matches):
                    one = self._finding(part, match, places, scrub)
                    out.append(replace(one, labels={**one.labels, **facts[number]}) if number in facts else one)
            return out
        except Exception as error:  # noqa: BLE001 - a message may quote the text: only the type leaves here
            self.stats.failures += 1
            what = _FAILURES.get(type(error), type(error).__name__)
            failure = f"{self.scrub(block.path)}: the engine failed at offset {block.offset}: {what}"
        finally:
            self._scanning.pop(thread, None)
        # Outside of the handler, so that the error does not carry the original one along.
        raise ScanError(failure, block.offset + limit)

    def _charge(self, found: Found) -> None:
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

    def _worker(self) -> Worker:
        local, engine = self._local, self._engine
        if getattr(local, "engine", None) is not engine:
            local.worker = engine.worker()
            local.scrubber, local.engine = Scrubber(local.worker), engine
        worker: Worker = local.worker
        return worker

    def _finding(self, block: Block, match: Match, places: Places, scrub: Scrubber) -> Finding:
        offset = block.offset + match.start if block.offset_at is None else block.offset_at(match.start)
        print_ = fingerprint(self._key, match.secret)
        begin = places.begin(match.start)
        record = places.record(begin)
        path = let_in(_covered(block.path, match), scrub, PATH)
        told = {**block.attributes, **_connection(block, match), **match.labels}
        labels = scrub.labels({name: _covered(value, match) for name, value in told.items()})
        if path != block.path:
            labels = _untorn(labels, block.path, path)
        # From what is masked already: a part of a secret is not known for one.
        service = service_of(path, {name: labels[name] for name in block.attributes}, record.service)
        finding = Finding(
            id=finding_id(block.generation, offset, match.rule.id, print_),
            rule=match.rule.id,
            name=match.rule.name,
            severity=match.severity,
            confidence=match.confidence,
            fingerprint=print_,
            masked=match.masked,
            source=block.source,
            path=path,
            generation=block.generation,
            offset=offset,
            time=block.time,
            line=places.line(match.start),
            column=places.column(match, begin),
            decode=match.decode,
            labels=labels,
            runbook=runbook.of(match.rule),
            url=scrub.address(block.url),
            service=None if service is None else let_in(service, scrub, LABEL),
            logged_at=record.logged_at if block.logged_at is None else block.logged_at,
            context=places.context(match, begin, scrub),
        )
        return named(finding, self._owners.get(print_, ()), finding.rule)


def named(found: _Told, owned: Sequence[Owned], rule: str) -> _Told:
    """With the name of our own secret, where it is one, and what that is worth. What only its value told, and is in use
    no more, is low; what the rule with this id knows may still work at its issuer."""
    if not owned:
        return found
    labels, worth = labels_of(owned), worth_of(owned)
    return replace(
        found,
        name=own_title(labels) + found.name,
        labels={**found.labels, **labels},
        severity=worth if rule == OWN.id or rank(worth) > rank(found.severity) else found.severity,
        confidence="high",
    )


def _covered(text: str, match: Match) -> str:
    """`text` without the secret where it stands there once more, as no rule may know it there. A short one may be a
    name as well."""
    if len(match.secret) < _TELLING:
        return text
    return text.replace(match.secret.decode("utf-8", "surrogateescape"), match.masked)


def _untorn(labels: Mapping[str, str], path: str, shown: str) -> Mapping[str, str]:
    """Labels without what was taken out of the midst of a secret in `path`, of which only `shown` may be shown."""

    def torn(value: str) -> bool:
        return any(len(part) >= _PIECE and part in path and part not in shown for part in value.split("/"))

    return {name: WITHHELD if torn(value) else value for name, value in labels.items()}


def _connection(block: Block, match: Match) -> Mapping[str, str]:
    """User, host and database where the match is the password of a connection string."""
    if match.decode:
        return {}
    before, after = block.data[max(0, match.start - AROUND) : match.start], block.data[match.end : match.end + AROUND]
    facts = connection(bytes(before), bytes(after))
    secret = match.secret.decode("utf-8", "replace")
    return {name: value for name, value in facts.items() if secret not in value}


def _apart(worker: Worker, block: Block, found: Found) -> Iterator[tuple[Block, Found]]:
    """What was found in each record, by places in it. Records that a match runs across are scanned one by one."""
    starts = [start for start, _ in block.parts]
    inside: dict[int, Found] = {}
    again: set[int] = set()
    for match in found.matches:
        first, last = bisect_right(starts, match.start) - 1, bisect_left(starts, match.end) - 1
        start, record = block.parts[first]
        if first != last or match.end > start + len(record.data):
            again.update(range(first, last + 1))
        else:
            within = inside.setdefault(first, Found([], [], found.skipped))
            within.matches.append(replace(match, start=match.start - start, end=match.end - start))
    for begin, end in found.hidden:
        for number in range(bisect_right(starts, begin) - 1, bisect_left(starts, end)):
            if number in inside:
                start = starts[number]
                inside[number].hidden.append((max(0, begin - start), end - start))
    for number in sorted(inside.keys() | again):
        record = block.parts[number][1]
        if number in again:
            yield record, worker.search(record.data, seconds=patience(len(record.data)))
        else:
            yield record, inside[number]


def _close(blocks: Iterable[Block]) -> None:
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
