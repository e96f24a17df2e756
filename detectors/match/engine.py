"""The engine: Hyperscan over a whole block finds where to look, RE2 and the filters decide what is a secret.

    block ─Hyperscan→ (rule, end)… ─merge→ windows ─RE2→ spans ─filters→ verdicts ─overlap→ matches
                    └→ (codec, end)… ─decode→ text ─ the same again, to depth 3

Python runs per block and per hit, never per line. Windows of one rule are merged before RE2 sees them, so a block full
of hits costs at most one RE2 pass a rule: linear on any input.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import hyperscan

from detectors.compile.codecs import VALUE, Codec
from detectors.compile.plan import Compiled, compiled, tried
from detectors.match.batch import verdicts
from detectors.match.cost import PACE, UNHURRIED, BlockCost, Pace, TooSlowError
from detectors.match.decode import Region, encoded_values, regions
from detectors.match.exact import Exact
from detectors.match.filters import LABEL, masked_before
from detectors.match.judge import Judge, Verdict
from detectors.match.outcome import (
    CandidateDecision,
    Match,
    Placed,
    ScanResult,
    Unsearched,
    moved,
    rank,
    resolve,
    through,
)
from detectors.match.region import Buffer
from detectors.match.search import BlockPart, Hits, Search, Text
from detectors.match.tables import cells
from detectors.match.windows import NEAR, Ends, named, share, thinned, windows
from detectors.rules.rule import HINT_AHEAD, HINT_BACK, Rule, RuleError
from detectors.rules.syntax import diagnose, re2_problem
from monitor.common.regex import NOWHERE, UNANCHORED, RegexError

__all__ = [
    "PACE",
    "CandidateDecision",
    "Engine",
    "Match",
    "Pace",
    "ScanResult",
    "Search",
    "TooSlowError",
    "Unsearched",
    "Worker",
]

MAX_DEPTH = 3  # of decoding
# What can be read as it stands: only what is found in it has to be hidden.
_READABLE = ("lines", "quoted", "table", "terminal", "utf16")
_ROW, _BATCH = 2, 512  # so many accepted in a row that so many more are judged at once
_GAP = b"\n" + bytes(256) + b"\n"  # between decoded texts
_SEPARATOR = re.compile(rb"[^A-Za-z0-9+/]")
# A short keyword stands in any large base64 text by chance.
_INSIDE = Verdict(False, "pattern", "nothing separates keyword and value: both are inside a longer run")
_LABELLED = Verdict(False, "placeholder", "masked before")


class Engine:
    """A compiled set of rules. Immutable and shared by threads; each thread scans through its own `worker()`."""

    def __init__(self, rules: Sequence[Rule], parts: Sequence[Compiled]) -> None:
        self.rules = tuple(rules)
        self.parts = tuple(parts)
        self._judges: dict[int, Judge] = {}
        self._index = {rule.id: number for number, rule in enumerate(rules)}
        self.exact: Exact | None = None

    @property
    def databases(self) -> list[hyperscan.Database]:
        """What every byte goes through."""
        return [part.database for part in self.parts]

    @classmethod
    def build(cls, rules: Sequence[Rule], cache_dir: Path | None = None, *, trial: bool = False) -> Engine:
        """Compile `rules`, or take the compiled databases from `cache_dir`. Blocking. `trial`: to try them on a few
        texts, quick to build and slower to scan.

        Raises RuleError that names each rule Hyperscan or RE2 refuses. A damaged or stale cache file is rebuilt.
        """
        if not rules:
            raise RuleError(["no rules: every pack is disabled, so nothing could ever be found"])
        try:
            engine = cls(rules, tried(rules) if trial else compiled(rules, cache_dir))
        except hyperscan.error as error:
            # Hyperscan does not say which of many: compile each alone to name it. Of shipped ones some are too large by
            # themselves, as it gets parts of them only.
            own = [rule for rule in rules if rule.family == "custom"] or rules
            problems = [f"{r.source}: {r.id}: pattern: {p}" for r in own if (p := diagnose(r.pattern, r.trigger))]
            raise RuleError(problems or [f"Hyperscan: {error}"]) from None
        engine._compile_own()
        return engine

    def _compile_own(self) -> None:
        """Compile the confirm regexes of the user's rules, which RE2 may refuse though Hyperscan took them."""
        problems = []
        for number, rule in enumerate(self.rules):
            if rule.family == "custom":
                try:
                    self.judge(number)
                except RegexError as error:
                    problems.append(f"{rule.source}: {rule.id}: pattern: {re2_problem(rule.pattern) or error}")
        if problems:
            raise RuleError(problems)

    def beside(self, exact: Exact | None) -> Engine:
        """The same rules, and these values beside them."""
        if exact is self.exact:
            return self
        other = copy(self)
        other.exact = exact
        return other

    def worker(self) -> Worker:
        """A scanner for one thread, with a scratch of its own."""
        return Worker(self)

    def judge(self, number: int) -> Judge:
        """The judge of a rule; made at its first hit, as most rules never have one."""
        judge = self._judges.get(number)
        if judge is None:
            judge = self._judges[number] = Judge(self.rules[number])
        return judge

    def has(self, rule_id: str) -> bool:
        return rule_id in self._index

    def judge_of(self, rule_id: str) -> Judge:
        """The judge of a rule by its id. Raises KeyError."""
        return self.judge(self._index[rule_id])

    def number(self, rule_id: str) -> int:
        """Index of a rule in `rules`. Raises KeyError."""
        return self._index[rule_id]


class Worker:
    """Scans on behalf of one thread: by the rules, and for the exact values beside them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # Decoded text is scanned after the scan it came from has returned, so one scratch serves every depth.
        self._parts = [
            (one, hyperscan.Scratch(one.database), None if one.near is None else hyperscan.Scratch(one.near))
            for one in engine.parts
        ]
        self.rules = engine.rules
        self.exact = engine.exact.worker() if engine.exact is not None else None

    def scan(self, data: Buffer, fresh: int = 0, limit: int | None = None) -> list[Match]:
        """Secrets in `data` whose match ends in `fresh < end <= limit`, by position, one for a span. One that needs a
        companion is told again while a new one may have come: it was none as long as it stood alone."""
        return self.search(data, fresh, limit, UNHURRIED).matches

    def search(
        self, data: Buffer, fresh: int = 0, limit: int | None = None, pace: Pace | None = None, head: bytes = b""
    ) -> ScanResult:
        """The same with what must not be shown, and what was given up as it alone takes longer than it may; not with
        what rules have `spent`. `head`: the first line of what the data is a part of, where it may name the columns of
        a table."""
        hits = self.hits(data, head)
        if not (hits.ends or hits.encoded or self.exact):
            return ScanResult([])  # as of most files of a tree
        search = Search(data, fresh, limit, pace or PACE, head, hits=hits, accounts=False)
        while search.left:
            search.step(self)
        return search.found()

    def begin(
        self, data: Buffer, fresh: int = 0, limit: int | None = None, pace: Pace | None = None, head: bytes = b""
    ) -> Search:
        """The same, to be done turn by turn, between which others may have theirs; with what rules have `spent`."""
        return Search(data, fresh, limit, pace or PACE, head)

    def decide(self, data: Buffer, work: BlockCost) -> list[Placed]:
        """By the rules."""
        text = Text(data, work)
        self.examine(text, self.hits(data), BlockPart(0, len(data)))
        return text.out

    def examine(self, text: Text, hits: Hits, part: BlockPart, *, plain: bool = True) -> None:
        """Add to `text` what the rules say in a part of it: as it stands if `plain`, and decoded.

        Raises TooSlowError.
        """
        if plain:
            self._read(text, hits.ends)
        if hits.encoded:
            self._decode_all(text, hits.encoded, 0, part)

    def explain(self, data: Buffer) -> list[CandidateDecision]:
        """Every candidate with the stage that accepted or rejected it, by position."""
        decided = self.decide(data, BlockCost(len(data), None, explain=True))
        kept = {id(m) for m, _ in resolve(decided)}
        out = []
        for decision, _ in decided:
            if decision.accepted and id(decision.match) not in kept:
                why = "a more specific rule has this span"
                out.append(replace(decision, accepted=False, stage="overlap", reason=why))
            else:
                out.append(decision)
        return sorted(out, key=lambda d: (d.start, d.end, d.rule.id))

    def hits(self, data: Buffer, head: bytes = b"") -> Hits:
        """Trigger ends by rule number, and those of decoders. This is the whole cost of a block without hits."""
        ends: dict[int, list[int]] = {}
        encoded: list[tuple[Codec, Sequence[int]]] = []
        assigned: list[int] = []
        columns: Sequence[int] = ()
        for part, scratch, near_scratch in self._parts:
            plan = part.plan
            told = Ends(whole=plan.exact)
            part.database.scan(data, match_event_handler=told.handler(), scratch=scratch)
            raw = told.told()
            if plan.assigned:  # the same in each part that has them; one without goes by those of a part before it
                assigned = [end for number in plan.assigned for end in raw.get(number, ())] if raw else []
            if assigned and near_scratch is not None:
                self._hints(data, assigned, ends, part, near_scratch)
            for number, positions in raw.items():
                if number < len(plan.rules):
                    if number in plan.hinted:
                        self._named(data, positions, plan.rules[number], ends)
                    else:
                        share(thinned(positions), plan.rules[number], ends)
                    continue
                codec = plan.codecs[number - len(plan.rules)]
                if codec.name == "table":
                    columns = positions
                else:
                    encoded.append((codec, encoded_values(data, positions) if codec.open else positions))
        if assigned:
            encoded.insert(0, (VALUE, encoded_values(data, assigned)))
        if columns or head:
            encoded += cells(data, columns, head)
        return Hits(ends, [(codec, found) for codec, found in encoded if found])

    def _hints(
        self,
        data: Buffer,
        assigned: list[int],
        ends: dict[int, list[int]],
        part: Compiled,
        scratch: hyperscan.Scratch | None,
    ) -> None:
        """Look for hints around assignments; adds to `ends`."""
        places = windows(thinned(assigned), HINT_BACK + NEAR, HINT_AHEAD, len(data))
        # Each window costs a call, so where they are dense one scan over all of them is cheaper.
        if len(places) > 8 + (len(data) >> 12):
            places = [(places[0][0], places[-1][1])]
        told = Ends()
        view = memoryview(data)
        for low, high in places:
            part.near.scan(view[low:high], match_event_handler=told.handler(low), scratch=scratch)
        for number, positions in told.told().items():
            self._named(data, positions, part.plan.near[number], ends)

    def _named(
        self, data: Buffer, positions: Sequence[int], numbers: Sequence[int], ends: dict[int, list[int]]
    ) -> None:
        """Where the keywords of rules stand that share a hint; adds to `ends`."""
        names = {number: self.rules[number].names for number in numbers}
        for number, found in named(data, thinned(positions), names).items():
            share(found, [number], ends)

    def _read(self, text: Text, ends: dict[int, list[int]]) -> None:
        """Hold the rules against the text as it stands."""
        data = text.data
        around: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        rules = self.engine.rules
        for number in sorted(ends, key=lambda number: -rules[number].priority):
            if not (text.work.explain or rules[number].reads(text.decoders)):
                continue  # or what it takes would be nobody's
            shape = rules[number].shape
            # Rules that share a trigger share its positions, and mostly the windows around them.
            place = id(ends[number]), shape.back, shape.ahead
            if place not in around:
                around[place] = windows(ends[number], shape.back + NEAR, shape.ahead + 2, len(data))
            text.work.turn(number, len(around[place]))
            self._candidates(text, self.engine.judge(number), around[place])
        text.work.turn(None)
        text.plain = True

    def _candidates(self, text: Text, judge: Judge, places: Iterable[tuple[int, int]]) -> None:
        """Decide what a rule's pattern matches in these windows."""
        rule, search, priority = judge.rule, judge.search, judge.rule.priority
        data, taken, settled, work, explain = text.data, text.taken, text.settled, text.work, text.work.explain
        row = -1 if explain or not judge.batched else 0  # accepted one after another, about
        for low, high in places:
            at, reach = low, low - 1
            ahead: dict[int, Sequence[tuple[int, int]]] = {}  # what was found from a place on, before it is come to
            while at < high:
                if row >= _ROW and at > reach:
                    ahead = self._ahead(text, judge, at, high)
                    reach = max(ahead)
                spans = ahead.pop(at, None) or search(UNANCHORED, data, at, high)
                if spans[0] == NOWHERE:
                    if explain and at == low:
                        why = "the trigger was hit but the pattern does not match around it"
                        none = CandidateDecision(rule, low, min(high, len(data)), False, "pattern", why)
                        text.out.append((none, high))
                    break
                work.count()
                (first, last), (start, end) = spans[0], spans[1] if len(spans) > 1 else spans[0]
                if start < 0:
                    start, end = first, last
                better = taken.get((start, end), priority) > priority
                if better and not explain:
                    at = _middle(start, end)
                    continue  # whatever is said of it, the better rule has this span
                v = settled.get((judge, start, end))
                if v is None:
                    inside = rule.keywords and not _SEPARATOR.search(data, first, start)
                    v = _INSIDE if inside else self._verdict(text, judge, start, end)
                    if v.accepted:
                        settled[judge, start, end] = v
                if v.accepted:
                    if rule.reads(text.decoders):
                        taken.setdefault((start, end), priority)
                    match = Match(rule, start, end, v.secret, v.masked, v.severity, v.confidence, (), v.labels)
                    text.out.append((CandidateDecision(rule, start, end, True, v.stage, v.reason, match), last))
                    at = _middle(start, end) if better else max(end, at + 1)
                    row += row >= 0
                    continue
                if row > 0:
                    settled.pop((judge, start, end), None)  # of what is refused there may be any number
                    row = min(row, _BATCH) // 2
                if explain:
                    text.out.append((CandidateDecision(rule, start, end, False, v.stage, v.reason), last))
                # A rejected candidate may hide a real one that starts inside it.
                at = max(_middle(start, end), at + 1)

    def _ahead(self, text: Text, judge: Judge, at: int, high: int) -> dict[int, Sequence[tuple[int, int]]]:
        """What the rule's pattern matches from a place on, as long as all of it is accepted; most verdicts on it are
        settled then, many at once."""
        ahead: dict[int, Sequence[tuple[int, int]]] = {}
        values = []
        while at < high and len(ahead) < _BATCH:
            spans = ahead[at] = judge.search(UNANCHORED, text.data, at, high)
            if spans[0] == NOWHERE:
                break
            start, end = spans[1] if len(spans) > 1 and spans[1] != NOWHERE else spans[0]
            if text.taken.get((start, end), judge.rule.priority) > judge.rule.priority:
                at = _middle(start, end)
                continue
            if (judge, start, end) not in text.settled:
                values.append((start, end))
            at = max(end, at + 1)
        if len(values) <= _ROW:
            return ahead
        labels = bytes(text.data[max(0, values[0][0] - LABEL) : values[-1][1] + LABEL]).find(b"[") >= 0
        for start, end, verdict in verdicts(judge, text.data, values):
            text.work.judged += 1
            if not (labels and verdict.accepted and self._label(text.data, start, end)):
                text.settled[judge, start, end] = verdict
        return ahead

    def _label(self, data: Buffer, start: int, end: int) -> bool:
        """Whether a label of `monitor mask` is what stands there, of a rule that there is: `[password:…]` may be how a
        service writes a name and its value."""
        around = bytes(data[max(0, start - LABEL) : end + LABEL])
        label = masked_before(around, min(start, LABEL), end - start)
        return label is not None and self.engine.has(label)

    def _verdict(self, text: Text, judge: Judge, start: int, end: int) -> Verdict:
        """What the rule says to the value here: remembered of its like, but for what only its own place can tell."""
        data = text.data
        before, after = bytes(data[max(0, start - judge.back) : start]), bytes(data[end : end + judge.ahead])
        key = judge, bytes(data[start:end]), before, after
        known = text.work.known()
        verdict = known.get(key)
        if verdict is None:
            text.work.judged += 1
            verdict = known[key] = judge.verdict(key[1], before, after, text.work.explain)
        if judge.of_people and not verdict.accepted:
            verdict = judge.further(verdict, key[1], before, data, end)
        if verdict.accepted and judge.doubts:
            verdict = judge.doubted(verdict, data, start, end, text.work.explain)
        if verdict.accepted and judge.rule.requires:
            verdict = judge.accompanied(verdict, data, start, end, self.engine.judge_of)
        if verdict.accepted and self._label(data, start, end):
            return _LABELLED
        return verdict

    def _decode_all(
        self, text: Text, encoded: list[tuple[Codec, Sequence[int]]], depth: int, part: BlockPart | None = None
    ) -> None:
        told: dict[tuple[int, int, str, bytes], int] = {}  # place, rule and secret → rank
        work = text.work
        for name in dict.fromkeys(codec.name for codec, _ in encoded):
            hits = [(codec, end) for codec, ends in encoded if codec.name == name for end in ends]
            areas = [*regions(hits[0][0], text.data, hits, work.budget, part)]
            text.skipped += work.budget.told()
            work.check()
            if not areas or not (decoded := _Decoded(areas)).text:
                continue
            inner = Text(decoded.text, work, decoders=(name, *text.decoders))
            further = self.hits(decoded.text)
            self._read(inner, further.ends)
            if further.encoded and depth + 1 < MAX_DEPTH:
                self._decode_all(inner, further.encoded, depth + 1)
            if name == "utf16" and self.exact is not None:  # exact values know what the other decoders make of them
                inner.out += self.exact.decide(decoded.text, work)
            if name in _READABLE:
                text.hiding += [span for first, last in inner.hiding for span in decoded.places(first, last)]
            else:
                text.hiding += decoded.spans
            text.skipped += [span for first, last in inner.skipped for span in decoded.places(first, last)]

            for found, last in inner.out:
                decision = through(name, found)
                if not (work.explain or decision.accepted):
                    continue
                standing = rank((name, *decision.decode))
                # Such text may be all of the block, and nothing in it depends on where it ends.
                wide = decoded.places(decision.start, last) if name in _READABLE else []
                ends = [high for _, high in wide] or decoded.ends(decision.start)
                for number, (start, end) in enumerate(decoded.places(decision.start, decision.end)):
                    if decision.match is not None:
                        # Decoders in another order often come to the same; and where a region has no other place than
                        # the whole of it, all that it repeats does.
                        one = start, end, decision.rule.id, decision.match.secret
                        if told.get(one, standing + 1) <= standing:
                            continue
                        told[one] = standing
                    text.out.append((moved(decision, start, end, name), ends[number]))


def _middle(start: int, end: int) -> int:
    """Where to look again for what a value hides that is none."""
    return max(start + 1, start + (end - start) // 2)


class _Decoded:
    """Regions as one text, as a scan of each would cost more than the bytes. The gap between them is wider than any
    between a keyword and its value; what many hold stands there once."""

    def __init__(self, found: Iterable[Region]) -> None:
        same: dict[bytes, list[Region]] = {}
        for region in found:
            same.setdefault(region.text, []).append(region)
        self.text = _GAP.join(same)
        self.spans = [(region.start, region.end) for group in same.values() for region in group]
        self._starts = list(accumulate((len(text) + len(_GAP) for text in same), initial=0))
        self._groups = list(same.values())
        self._places: dict[int, Callable[[int, int], tuple[int, int]]] = {}

    def places(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where a span of the text stands in the data that it was decoded from: in each region that holds it."""
        number = bisect_right(self._starts, start) - 1
        out = []
        for region in self._groups[number]:
            place = self._places.get(id(region))
            if place is None:
                place = self._places[id(region)] = region.places()
            out.append(place(start - self._starts[number], end - self._starts[number]))
        return out

    def ends(self, start: int) -> list[int]:
        """Of the regions that hold what begins there."""
        return [region.end for region in self._groups[bisect_right(self._starts, start) - 1]]
