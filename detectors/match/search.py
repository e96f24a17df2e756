"""A block on its way through the engine, in turns.

What takes longer than a turn makes way for others and goes on in halves, each with a budget of its own, so that dense
or packed text costs nobody else anything. Verdicts are remembered from one try to the next. Only a piece that alone
takes longer than it may is given up: what was found in it is kept, and it is told as `Unsearched`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from detectors.compile.codecs import Codec
from detectors.match.cost import BlockCost, Known, Pace, Settled, Spent, TooSlowError
from detectors.match.exact import ExactWorker, settled
from detectors.match.outcome import REASONS, Placed, ScanResult, Unsearched, merged, moved, resolve
from detectors.match.region import Buffer
from detectors.match.runs import covers
from detectors.rules.rule import Rule

__all__ = ["BlockPart", "Hits", "Search", "Text"]

_MANY = 4096  # places of a rule's trigger: what stands there may take a tenth of a millisecond each
_AROUND = 32 << 10  # bytes beside a piece in which exact values are looked for: more than the longest of them


class BlockPart(NamedTuple):
    """Of a block: what triggers ended in it, `low` < end <= `high`."""

    low: int
    high: int

    def halves(self) -> tuple[BlockPart, BlockPart]:
        middle = (self.low + self.high) // 2
        return BlockPart(self.low, middle), BlockPart(middle, self.high)

    def of(self, ends: Sequence[int]) -> list[int]:
        return [end for end in ends if self.low < end <= self.high]


class Hits(NamedTuple):
    """Where Hyperscan says to look: trigger ends by rule number, and those of decoders."""

    ends: dict[int, list[int]]
    encoded: list[tuple[Codec, Sequence[int]]]

    @property
    def most(self) -> int:
        """How many places there are of the rule that has most."""
        return max(map(len, self.ends.values()), default=0)

    def within(self, part: BlockPart) -> Hits:
        lists: dict[int, list[int]] = {}  # rules that share a trigger go on sharing its positions
        ends = {}
        for number, positions in self.ends.items():
            if id(positions) not in lists:
                lists[id(positions)] = part.of(positions)
            if inside := lists[id(positions)]:
                ends[number] = inside
        encoded = ((codec, positions if codec.once else part.of(positions)) for codec, positions in self.encoded)
        return Hits(ends, [(codec, inside) for codec, inside in encoded if inside])


class Text:
    """A text in work, the block or what was decoded of it: decisions with the end of the whole match (where `scan`
    counts it), the spans that show only decoded what they hold, those that were not decoded, and the priority of the
    best rule that has taken a span. `plain`: the rules have come to its end as it stands. `settled`: verdicts of
    earlier tries. `decoders`: what made it of the block."""

    __slots__ = ("data", "decoders", "hiding", "out", "plain", "settled", "skipped", "taken", "work")

    def __init__(
        self, data: Buffer, work: BlockCost, settled: Settled | None = None, decoders: tuple[str, ...] = ()
    ) -> None:
        self.data, self.work, self.decoders = data, work, decoders
        self.settled: Settled = {} if settled is None else settled
        self.out: list[Placed] = []
        self.hiding: list[tuple[int, int]] = []
        self.skipped: list[tuple[int, int]] = []
        self.taken: dict[tuple[int, int], int] = {}
        self.plain = False


class BlockSearcher(Protocol):
    """What searches: `detectors.match.engine.Worker`."""

    @property
    def rules(self) -> Sequence[Rule]: ...

    @property
    def exact(self) -> ExactWorker | None: ...

    def hits(self, data: Buffer, head: bytes = b"") -> Hits: ...

    def examine(self, text: Text, hits: Hits, part: BlockPart, *, plain: bool) -> None:
        """Add to `text` what the rules say in a part of it: as it stands if `plain`, and decoded."""


class _Task(NamedTuple):
    """`hits`: None: for the values beside the rules, and not by these. `plain`: the text is to be read as it stands,
    and not only decoded."""

    part: BlockPart
    hits: Hits | None
    plain: bool = True

    def halves(self, *, plain: bool) -> list[_Task]:
        """The second one first."""
        parts = self.part.halves()[::-1]
        return [_Task(part, self.hits and self.hits.within(part), plain) for part in parts]


class Search:
    """Of one block, valid as long as its bytes are. `step` until nothing is `left`, by any worker of one engine; two
    steps never at once."""

    def __init__(
        self,
        data: Buffer,
        fresh: int,
        limit: int | None,
        pace: Pace,
        head: bytes = b"",
        *,
        hits: Hits | None = None,
        accounts: bool = True,
    ) -> None:
        """`hits`: of the data, where they are known. `accounts`: see `BlockCost`."""
        self._data, self._pace, self._head, self._accounts = data, pace, head, accounts
        self._fresh, self._limit = fresh, len(data) if limit is None else limit
        self._tasks = [_Task(BlockPart(0, len(data)), hits)]
        self._started = False
        self._rules: Sequence[Rule] = ()
        self._known: Known = {}
        self._settled: Settled = {}
        self._decided: list[Placed] = []
        self._hidden: list[tuple[int, int]] = []
        self._unsearched: list[Unsearched] = []
        self._spent: dict[int, Spent] = {}

    @property
    def left(self) -> bool:
        return bool(self._tasks)

    def step(self, worker: BlockSearcher) -> None:
        """One turn."""
        if not self._started:
            self._started, self._rules = True, worker.rules
            (whole,) = self._tasks
            hits = whole.hits or worker.hits(self._data, self._head)
            # Most blocks of a log have none.
            self._tasks = [whole._replace(hits=hits)] if hits.ends or hits.encoded else []
            self._tasks += [whole._replace(hits=None)] if worker.exact is not None else []
            if not self._tasks:
                return
        task = self._tasks.pop()
        if self._pace.turn < math.inf:
            while (
                task.hits is not None and task.hits.most > _MANY and task.part.high - task.part.low > self._pace.least
            ):
                second, task = task.halves(plain=task.plain)
                self._tasks.append(second)
        last = task.part.high - task.part.low <= self._pace.least
        seconds = self._pace.piece if last else self._pace.turn
        work = BlockCost(task.part.high - task.part.low, seconds, known=self._known, accounts=self._accounts)
        text = Text(self._data, work, self._settled)
        try:
            self._try(worker, task, text)
        except TooSlowError:
            if last:
                self._unsearched.append(Unsearched(*task.part, "undecoded" if text.plain else "slow"))
            else:
                # What was decided decoded is decided again: it may have been half of what stands on a span.
                self._tasks += task.halves(plain=not text.plain)
                text.skipped.clear()
                if not text.plain:
                    text.out.clear()
        finally:
            self._charge(work)
        self._decided += text.out
        self._hidden += text.hiding
        self._unsearched += [Unsearched(low, high, "undecoded") for low, high in text.skipped]

    def _try(self, worker: BlockSearcher, task: _Task, text: Text) -> None:
        part = task.part
        if task.hits is not None:
            text.plain = not task.plain
            worker.examine(text, task.hits, part, plain=task.plain)
        elif worker.exact is not None:
            low, high = max(0, part.low - _AROUND), min(len(self._data), part.high + _AROUND)
            told = worker.exact.decide(memoryview(self._data)[low:high], text.work)
            text.out += [(moved(one, one.start + low, one.end + low), end + low) for one, end in told]

    def _charge(self, work: BlockCost) -> None:
        for number, cost in work.spent.items():
            account = self._spent.setdefault(number, Spent())
            account.looks += cost.looks
            account.seconds += cost.seconds

    def found(self) -> ScanResult:
        """What came of it."""
        fresh, limit = self._fresh, self._limit
        spent = {self._rules[number].id: cost for number, cost in self._spent.items()}
        if not (self._decided or self._hidden or self._unsearched):
            return ScanResult([], [], [], spent, [])
        decided = settled(self._decided)
        matches = [m for m, end in resolve(decided) if fresh - m.rule.awaits < end <= limit]
        hiding = covers(self._data, [decision.match for decision, _ in decided if decision.match is not None])
        spans = [(cover.start, cover.end) for cover in hiding]
        missed = [(one.start, one.end) for one in self._unsearched]
        hidden = merged(spans + self._hidden + missed)
        return ScanResult(matches, hidden, _clipped(self._unsearched, fresh, limit), spent, hiding)


def _clipped(unsearched: Iterable[Unsearched], low: int, high: int) -> list[Unsearched]:
    """What of them lies there, by position, those of one reason disjoint."""
    out: list[Unsearched] = []
    inside = [replace(one, start=max(one.start, low), end=min(one.end, high)) for one in unsearched]
    for why in REASONS:
        spans = merged([(one.start, one.end) for one in inside if one.why == why and one.start < one.end])
        out += [Unsearched(start, end, why) for start, end in spans]
    return sorted(out)
