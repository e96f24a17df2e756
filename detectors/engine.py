"""The engine: Hyperscan over a whole block finds where to look, RE2 and the filters decide what is a secret.

    block ─Hyperscan→ (rule, end)… ─merge→ windows ─RE2→ spans ─filters→ verdicts ─overlap→ matches
                    └→ (codec, end)… ─decode→ text ─ the same again, to depth 3

Python runs per block and per hit, never per line. Windows of one rule are merged before RE2 sees them, so a block full
of hits costs at most one RE2 pass a rule: linear on any input.
"""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import hyperscan
import re2

from detectors.checksums import CHECKS, proven
from detectors.decode import VALUE, Budget, Codec, Region, encoded_values
from detectors.filters import LABEL, entropy, looks_like_hash, masked_before, placeholder, words
from detectors.fingerprint import mask
from detectors.plan import Compiled, compiled
from detectors.rule import HINT_AHEAD, HINT_BACK, Confidence, Rule, RuleError
from detectors.score import AHEAD, BACK, Score, score
from detectors.syntax import compile_re2, diagnose, re2_problem
from monitor.common.severity import Severity

__all__ = ["Decision", "Engine", "Found", "Match", "TooSlowError", "Worker", "patience"]

Buffer = bytes | bytearray | memoryview
MAX_DEPTH = 3  # of decoding
_NEAR = 16  # bytes between ends that are looked at as one; every window reaches further back
_UNANCHORED, _NOWHERE = re2._Anchor.UNANCHORED, (-1, -1)
_BEFORE = 64  # bytes left of a value that filters look at
_KNOWN = 1 << 14  # decisions of a block that are remembered
_OFTEN = 64  # candidates after which the clock is looked at
_GAP = b"\n" + bytes(256) + b"\n"  # between decoded texts
_DIGITS = b"0123456789"
_SEPARATOR = re.compile(rb"[^A-Za-z0-9+/]")


@dataclass(frozen=True, slots=True)
class Match:
    """A secret in a block: the only object that holds one. `start`, `end`: byte span of the secret in the scanned data
    (of the encoded text when `decode` names decoders, outermost first)."""

    rule: Rule
    start: int
    end: int
    secret: bytes = field(repr=False)
    masked: str
    severity: Severity
    confidence: Confidence
    decode: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one candidate, for people who tune a rule. `stage` is the stage that decided."""

    rule: Rule
    start: int  # of the secret, or of the trigger's window when the pattern did not match
    end: int
    accepted: bool
    # pattern, placeholder, stopwords, allow, digits, entropy, words, hash, score, checksum, requires, decode, overlap
    stage: str
    reason: str
    match: Match | None = field(default=None, repr=False)
    decode: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a block. `hidden`: spans, disjoint and by position, of all that is or may hold a secret: what lost
    to another rule on its span, and every stretch of encoded text that was decoded. `skipped`: bytes of encoded text
    that were not decoded, as the block had used up what decoding one may cost."""

    matches: list[Match]
    hidden: list[tuple[int, int]] = field(default_factory=list)
    skipped: int = 0


class TooSlowError(Exception):
    """A block takes longer than it may. Nothing of it is in the message."""


def patience(size: int) -> float:
    """Seconds of processor time that a block of `size` bytes may take: real ones take a hundredth."""
    return 2.0 + size / (1 << 19)


class _Work:
    """What one block has cost so far, over all depths of decoding."""

    def __init__(self, size: int, seconds: float | None, explain: bool = False) -> None:
        self.budget = Budget(size)
        self.regions: list[tuple[int, int]] = []  # of the block itself, that were decoded
        self.explain = explain
        # By rule, value and what stands beside it.
        self.known: dict[tuple[int, bytes, tuple[bytes, bytes]], Decision] = {}
        self._scores: dict[tuple[bytes, bytes, bytes], Score] = {}
        self._candidates = 0
        self._until = time.thread_time() + seconds if seconds is not None else math.inf
        self._seconds = seconds

    def score(self, value: bytes, before: bytes, after: bytes) -> Score:
        """What `score` says; once of a value that several rules take for one, one after the other."""
        key = value, before, after
        known = self._scores.get(key)
        if known is None:
            if len(self._scores) >= _KNOWN:
                self._scores.clear()
            known = self._scores[key] = score(value, before, after)
        return known

    def count(self) -> None:
        """One more candidate. Raises TooSlowError."""
        self._candidates += 1
        if not self._candidates % _OFTEN:
            self.check()

    def check(self) -> None:
        """Raises TooSlowError."""
        if time.thread_time() > self._until:
            raise TooSlowError(f"more than {self._seconds:.1f} s of processor time")


class Engine:
    """A compiled set of rules. Immutable and shared by threads; each thread scans through its own `worker()`."""

    def __init__(self, rules: Sequence[Rule], what: Compiled) -> None:
        self.rules = tuple(rules)
        self.plan, self.database, self.near = what
        self._confirm: dict[int, Any] = {}
        self._allow: dict[int, list[Any]] = {}
        self._index = {rule.id: number for number, rule in enumerate(rules)}

    @classmethod
    def build(cls, rules: Sequence[Rule], cache_dir: Path | None = None) -> Engine:
        """Compile `rules`, or take the compiled databases from `cache_dir`. Blocking.

        Raises RuleError that names each rule Hyperscan or RE2 refuses. A damaged or stale cache file is rebuilt.
        """
        if not rules:
            raise RuleError(["no rules: every pack is disabled, so nothing could ever be found"])
        try:
            engine = cls(rules, compiled(rules, cache_dir))
        except hyperscan.error as error:
            # Hyperscan does not say which of many: compile each alone to name it.
            problems = [f"{r.source}: {r.id}: pattern: {p}" for r in rules if (p := diagnose(r.pattern, r.trigger))]
            raise RuleError(problems or [f"Hyperscan: {error}"]) from None
        engine._compile_own()
        return engine

    def _compile_own(self) -> None:
        """Compile the confirm regexes of the user's rules, which RE2 may refuse though Hyperscan took them."""
        problems = []
        for number, rule in enumerate(self.rules):
            if rule.family == "custom":
                try:
                    self.confirm(number)
                except re2.error as error:
                    problems.append(f"{rule.source}: {rule.id}: pattern: {re2_problem(rule.pattern) or error}")
        if problems:
            raise RuleError(problems)

    def worker(self) -> Worker:
        """A scanner for one thread, with a scratch of its own."""
        return Worker(self)

    def confirm(self, number: int) -> Any:
        """The compiled confirm regex of a rule; compiled at its first hit, as most rules never have one."""
        regex = self._confirm.get(number)
        if regex is None:
            regex = self._confirm[number] = compile_re2(self.rules[number].confirm)
        return regex

    def allowed(self, number: int, secret: bytes) -> str | None:
        """The entry of a rule's allowlist that matches, or None."""
        entries = self.rules[number].allow
        if not entries:
            return None
        regexes = self._allow.get(number)
        if regexes is None:
            # All as one come first, as mostly none of them matches.
            one = "|".join(f"(?:{entry})" for entry in entries)
            regexes = self._allow[number] = [compile_re2(text) for text in (one, *entries)]
        if regexes[0].search(secret) is None:
            return None
        return next(entry for entry, regex in zip(entries, regexes[1:], strict=True) if regex.search(secret))

    def has(self, rule_id: str) -> bool:
        return rule_id in self._index

    def number(self, rule_id: str) -> int:
        """Index of a rule in `rules`. Raises KeyError."""
        return self._index[rule_id]


class Worker:
    """Scans on behalf of one thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # Decoded text is scanned after the scan it came from has returned, so one scratch serves every depth.
        self._scratch = hyperscan.Scratch(engine.database)
        self._near_scratch = hyperscan.Scratch(engine.near) if engine.near is not None else None

    def scan(self, data: Buffer, fresh: int = 0, limit: int | None = None) -> list[Match]:
        """Secrets in `data` whose match ends in `fresh < end <= limit`, by position, one for a span."""
        return self.search(data, fresh, limit).matches

    def search(self, data: Buffer, fresh: int = 0, limit: int | None = None, seconds: float | None = None) -> Found:
        """The same with what must not be shown and what was left out. Raises TooSlowError after so much CPU time."""
        work = _Work(len(data), seconds)
        ends, encoded = self._hits(data, work)
        if not ends and not encoded:
            return Found([])
        decided = self._decide_all(data, ends, encoded, 0, work)
        matches = [m for m, end in _resolve(decided) if fresh < end and (limit is None or end <= limit)]
        spans = [(decision.start, decision.end) for decision, _ in decided if decision.accepted]
        return Found(matches, _merged(spans + work.regions), work.budget.skipped)

    def explain(self, data: Buffer) -> list[Decision]:
        """Every candidate with the stage that accepted or rejected it, by position."""
        work = _Work(len(data), None, explain=True)
        decided = self._decide_all(data, *self._hits(data, work), 0, work)
        kept = {id(m) for m, _ in _resolve(decided)}
        out = []
        for decision, _ in decided:
            if decision.accepted and id(decision.match) not in kept:
                why = "a more specific rule has this span"
                out.append(replace(decision, accepted=False, stage="overlap", reason=why))
            else:
                out.append(decision)
        return sorted(out, key=lambda d: (d.start, d.end, d.rule.id))

    def hits(self, data: Buffer) -> tuple[dict[int, list[int]], list[tuple[Codec, int]]]:
        """Trigger ends by rule number, and hits of decoders. This is the whole cost of a block without hits."""
        return self._hits(data, _Work(len(data), None))

    def _hits(self, data: Buffer, work: _Work) -> tuple[dict[int, list[int]], list[tuple[Codec, int]]]:
        raw: defaultdict[int, list[int]] = defaultdict(list)

        def on_match(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            raw[number].append(end)

        plan = self.engine.plan
        self.engine.database.scan(data, match_event_handler=on_match, scratch=self._scratch)
        ends: dict[int, list[int]] = {}
        encoded: list[tuple[Codec, int]] = []
        near = [end for number in plan.assigned for end in raw.get(number, ())]
        if near:
            self._hints(data, near, ends)
            encoded.extend((VALUE, end) for end in encoded_values(data, near))
        for number, positions in raw.items():
            if number < len(plan.rules):
                _share(_thinned(positions), plan.rules[number], ends)
            else:
                codec = plan.codecs[number - len(plan.rules)]
                encoded.extend((codec, end) for end in (encoded_values(data, positions) if codec.open else positions))
        return ends, encoded

    def _hints(self, data: Buffer, assigned: list[int], ends: dict[int, list[int]]) -> None:
        """Look for hints around assignments; adds to `ends`."""
        windows = _windows(_thinned(assigned), HINT_BACK + _NEAR, HINT_AHEAD, len(data))
        # Each window costs a call, so where they are dense one scan over all of them is cheaper.
        if len(windows) > 8 + (len(data) >> 12):
            windows = [(windows[0][0], windows[-1][1])]
        base = 0
        raw: defaultdict[int, list[int]] = defaultdict(list)

        def on_match(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            raw[number].append(base + end)

        view = memoryview(data)
        for low, high in windows:
            base = low
            self.engine.near.scan(view[low:high], match_event_handler=on_match, scratch=self._near_scratch)
        for number, positions in raw.items():
            _share(_thinned(positions), self.engine.plan.near[number], ends)

    def _decide_all(
        self,
        data: Buffer,
        ends: dict[int, list[int]],
        encoded: list[tuple[Codec, int]],
        depth: int,
        work: _Work | None = None,
    ) -> list[tuple[Decision, int]]:
        """Decisions with the end of the whole match (where `scan` counts it)."""
        work = work or _Work(len(data), None)
        explain = work.explain
        out: list[tuple[Decision, int]] = []
        windows: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        rules = self.engine.rules
        taken: dict[tuple[int, int], int] = {}  # span → priority
        for number in sorted(ends, key=lambda number: -rules[number].priority):
            positions = ends[number]
            work.check()
            rule = rules[number]
            shape = rule.shape
            regex = self.engine.confirm(number)
            # Rules that share a trigger share its positions, and mostly the windows around them.
            place = id(positions), shape.back, shape.ahead
            if place not in windows:
                windows[place] = _windows(positions, shape.back + _NEAR, shape.ahead + 2, len(data))
            # Past the wrapper of each match, which costs as much as a match.
            search = regex._regexp.Match
            for low, high in windows[place]:
                at, found = low, False
                while at < high:
                    spans = search(_UNANCHORED, data, at, high)
                    if spans[0] == _NOWHERE:
                        break
                    found = True
                    work.count()
                    (first, last), (start, end) = spans[0], spans[1] if len(spans) > 1 else spans[0]
                    if start < 0:
                        start, end = first, last
                    if taken.get((start, end), rule.priority) > rule.priority and not explain:
                        at = max(start + 1, start + (end - start) // 2)
                        continue  # whatever is said of it, the better rule has this span
                    if rule.keywords and not _SEPARATOR.search(data, first, start):
                        # A short keyword stands in any large base64 text by chance.
                        why = "nothing separates keyword and value: both are inside a longer run"
                        decision = Decision(rule, start, end, False, "pattern", why)
                    else:
                        decision = self._decided(number, data, start, end, work)
                    if explain or decision.accepted:
                        out.append((decision, last))
                    if decision.accepted:
                        taken.setdefault((start, end), rule.priority)
                    # A rejected candidate may hide a real one that starts inside it.
                    at = max(end, at + 1) if decision.accepted else max(start + 1, at + 1)
                    if not decision.accepted:
                        at = max(at, start + (end - start) // 2)
                if explain and not found:
                    why = "the trigger was hit but the pattern does not match around it"
                    out.append((Decision(rule, low, min(high, len(data)), False, "pattern", why), high))
        if encoded and depth < MAX_DEPTH:
            self._decode_all(data, encoded, depth, work, out)
        return out

    def _decode_all(
        self,
        data: Buffer,
        encoded: list[tuple[Codec, int]],
        depth: int,
        work: _Work,
        out: list[tuple[Decision, int]],
    ) -> None:
        kinds: dict[str, list[tuple[Codec, int]]] = {}
        for hit in encoded:
            kinds.setdefault(hit[0].name, []).append(hit)
        for name, hits in kinds.items():
            same: dict[bytes, list[Region]] = {}  # what many regions hold is decided once
            for region in hits[0][0].regions(data, hits, work.budget):
                same.setdefault(region.text, []).append(region)
                if not depth:
                    work.regions.append((region.start, region.end))
            work.check()
            # All regions in one scan: a call for each would cost more than the bytes. The gap between them is wider
            # than any between a keyword and its value.
            starts = list(accumulate((len(text) + len(_GAP) for text in same), initial=0))
            text = _GAP.join(same)
            groups = list(same.values())
            places: dict[int, Callable[[int, int], tuple[int, int]]] = {}
            told: set[tuple[int, str, bytes]] = set()
            for found, _ in self._decide_all(text, *self._hits(text, work), depth + 1, work):
                decision = _through(name, found)
                if not (work.explain or decision.accepted):
                    continue
                number = bisect_right(starts, decision.start) - 1
                if decision.match is not None and groups[number][0].marks is None:
                    # All that comes of such a region has one place: what it repeats is told once.
                    same_one = number, decision.rule.id, decision.match.secret
                    if same_one in told:
                        continue
                    told.add(same_one)
                for region in groups[number]:
                    place = places.get(id(region))
                    if place is None:
                        place = places[id(region)] = region.places()
                    start, end = place(decision.start - starts[number], decision.end - starts[number])
                    out.append((_moved(name, decision, start, end), region.end))

    def _decided(self, number: int, data: Buffer, start: int, end: int, work: _Work) -> Decision:
        """What `_remembered` says, unless the value stands in a label of ours, which only its own place can tell."""
        decision = self._remembered(number, data, start, end, work)
        if decision.accepted:
            around = bytes(data[max(0, start - LABEL) : end + LABEL])
            # Of a rule that there is: `[password:…]` may be how a service writes a name and its value.
            label = masked_before(around, min(start, LABEL), end - start)
            if label is not None and self.engine.has(label):
                why = "masked before"
                return Decision(self.engine.rules[number], start, end, False, "placeholder", why)
        return decision

    def _remembered(self, number: int, data: Buffer, start: int, end: int, work: _Work) -> Decision:
        """What `_decide` says, or said of the same value behind the same text."""
        rule = self.engine.rules[number]
        if rule.requires:
            return self._decide(number, data, start, end, work)
        back = BACK if rule.score else _BEFORE if rule.words or rule.hashes else 0
        beside = bytes(data[max(0, start - back) : start]), bytes(data[end : end + AHEAD]) if rule.score else b""
        key = number, bytes(data[start:end]), beside
        known = work.known.get(key)
        if known is None:
            if len(work.known) >= _KNOWN:
                work.known.clear()
            known = work.known[key] = self._decide(number, data, start, end, work)
            return known
        match = known.match
        if match is not None:
            match = Match(
                rule, start, end, match.secret, match.masked, match.severity, match.confidence, (), match.labels
            )
        return Decision(rule, start, end, known.accepted, known.stage, known.reason, match)

    def _decide(self, number: int, data: Buffer, start: int, end: int, work: _Work) -> Decision:
        """Run the filters over one candidate, cheapest first."""
        rule = self.engine.rules[number]
        secret = bytes(data[start:end])

        def no(stage: str, reason: str) -> Decision:
            return Decision(rule, start, end, False, stage, reason)

        if rule.placeholders:
            reason = placeholder(secret)
            if reason and not proven(rule.checksum, secret):
                return no("placeholder", reason)
        lowered = secret.lower()
        for word in rule.stopwords:
            if word.lower().encode() in lowered:
                return no("stopwords", f"contains the stopword {word!r}")
        if (entry := self.engine.allowed(number, secret)) is not None:
            return no("allow", f"matches the allowlist entry {entry!r}")
        if rule.digits and len(secret) - len(secret.translate(None, _DIGITS)) < rule.digits:
            return no("digits", f"fewer than {rule.digits} digits")
        if rule.entropy is not None:
            bits = entropy(secret)
            if bits < rule.entropy:
                return no("entropy", f"entropy {bits:.2f} is below {rule.entropy:.2f} bits a character")
        beside = bytes(data[max(0, start - BACK) : start])
        before = beside[-_BEFORE:]
        if rule.words and (reason := words(secret, before)):
            return no("words", reason)
        if rule.hashes:
            reason = looks_like_hash(secret, before)
            if reason:
                return no("hash", reason)
        severity, confidence, labels = rule.severity, rule.confidence, dict(rule.labels)
        why = "all stages passed"
        if rule.score:
            weighed = work.score(secret, beside, bytes(data[end : end + AHEAD]))
            if weighed.confidence is None:
                return no("score", weighed.reason())
            confidence, why = weighed.confidence, weighed.reason()
        value = secret
        if rule.checksum is not None:
            check = CHECKS[rule.checksum](secret)
            if check.reject:
                return no("checksum", check.reason)
            why = check.reason or why
            labels |= check.labels
            if check.value is not None:
                value = check.value
                if rule.placeholders and (reason := placeholder(value)):
                    return no("placeholder", reason)
            if check.valid is False:
                # Vendors change formats without notice: a miss is worse than a quiet, low finding.
                severity, confidence = "low", "low"
                labels["checksum"] = "mismatch"
            elif check.valid:
                confidence = "high"
            severity = check.severity or severity
            confidence = check.confidence or confidence
        for companion in rule.requires:
            present = self._companion(companion, data, start, end)
            if present is None and not companion.optional:
                return no("requires", f"no {companion.rule or 'companion'} within {companion.within} bytes")
            if present is not None and (companion.optional or companion.rule is not None):
                confidence = "high"
            if present is not None and companion.rule is not None:
                labels[companion.rule] = present
        masked = mask(value, (rule.shape.prefix, *rule.shape.literals) if value is secret else ())
        match = Match(rule, start, end, value, masked, severity, confidence, (), labels)
        return Decision(rule, start, end, True, "accepted", why, match)

    def _companion(self, companion: Any, data: Buffer, start: int, end: int) -> str | None:
        """The masked companion near the span, or None."""
        low, high = max(0, start - companion.within), min(len(data), end + companion.within)
        if companion.lines is not None:
            before, after = bytes(data[low:start]), bytes(data[end:high])
            low = start - len(b"\n".join(before.rsplit(b"\n", companion.lines + 1)[-companion.lines - 1 :]))
            high = end + len(b"\n".join(after.split(b"\n", companion.lines + 1)[: companion.lines + 1]))
        if companion.rule is not None:
            number = self.engine.number(companion.rule)
            regex, prefixes = self.engine.confirm(number), self.engine.rules[number].shape.literals
        else:
            regex, prefixes = _companion_regex(companion.pattern), ()
        at = low
        while at < high:
            m = regex.search(data, at, high)
            if m is None:
                return None
            group = 1 if regex.groups and m.start(1) >= 0 else 0
            s, e = m.span(group)
            if e <= start or s >= end:
                return mask(bytes(data[s:e]), tuple(prefixes))
            at = max(e, at + 1)
        return None


def _moved(decoder: str, decision: Decision, start: int, end: int) -> Decision:
    """The decision on decoded text, at the place of the encoded."""
    d, m = decision, decision.match
    if m is not None:
        chain = (decoder, *m.decode)
        m = Match(m.rule, start, end, m.secret, m.masked, m.severity, m.confidence, chain, m.labels)
    return Decision(d.rule, start, end, d.accepted, d.stage, d.reason, m, (decoder, *d.decode))


def _through(decoder: str, decision: Decision) -> Decision:
    """The decision, refused if its rule is not for what `decoder` decodes."""
    wanted = decision.rule.decode
    if not decision.accepted or wanted is None or decoder in wanted:
        return decision
    reason = f"this rule is not for what {decoder} decodes"
    return replace(decision, accepted=False, stage="decode", reason=reason, match=None)


_companions: dict[str, Any] = {}


def _companion_regex(pattern: str) -> Any:
    if pattern not in _companions:
        _companions[pattern] = compile_re2(pattern)
    return _companions[pattern]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _share(positions: list[int], rules: Iterable[int], ends: dict[int, list[int]]) -> None:
    """Add to the `ends` of all these rules. Those with no others get the same list, by which they share windows."""
    for rule in rules:
        ends[rule] = ends[rule] + positions if rule in ends else positions


def _thinned(ends: list[int]) -> list[int]:
    """Of ends that lie close as many as lead to the same windows: the first, the last and one every few bytes."""
    if len(ends) < _OFTEN:
        return ends
    ordered = sorted(ends)
    out = ordered[:2]
    for end in ordered[2:]:
        if end - out[-2] <= _NEAR:
            out[-1] = end
        else:
            out.append(end)
    return out


def _windows(ends: Iterable[int], back: int, ahead: int, size: int) -> list[tuple[int, int]]:
    """Disjoint windows that cover [end - back, end + ahead] of every end."""
    out: list[tuple[int, int]] = []
    low = last = -1
    for end in sorted(ends):
        if last < 0 or end - back > last + ahead:
            if last >= 0:
                out.append((low, min(size, last + ahead)))
            low = max(0, end - back)
        last = end
    return [*out, (low, min(size, last + ahead))] if last >= 0 else out


def _resolve(decided: Sequence[tuple[Decision, int]]) -> list[tuple[Match, int]]:
    """One match a span: the highest priority wins, then the plain over the decoded, the longer, the earlier."""
    ordered = [(decision.match, end) for decision, end in decided if decision.match is not None]
    ordered.sort(key=lambda pair: pair[0].start)
    out: list[tuple[Match, int]] = []
    first = reach = 0  # of those that overlap, directly or by others between them
    for at, (match, _) in enumerate(ordered):
        if match.start >= reach:
            out += _best(ordered[first:at])
            first = at
        reach = max(reach, match.end)
    return out + _best(ordered[first:])


def _best(matches: list[tuple[Match, int]]) -> list[tuple[Match, int]]:
    """Those of overlapping matches that no better one stands in the way of, by position."""
    if len(matches) < 2:
        return matches
    # A key put together from log records is the key; the plain text has the heads of the records in it.
    ranked = sorted(
        matches,
        key=lambda p: (
            -p[0].rule.priority,
            0 if p[0].decode[:1] == ("lines",) else 1 + len(p[0].decode),
            p[0].start - p[0].end,
            p[0].start,
            p[0].rule.id,
        ),
    )
    # Taken spans are kept sorted, so that a block full of secrets costs a look at the neighbours, not at all of them.
    taken: list[tuple[int, int]] = []
    kept = []
    for match, end in ranked:
        at = bisect_left(taken, (match.start, match.end))
        if at < len(taken) and taken[at][0] < match.end:
            continue
        if at and taken[at - 1][1] > match.start:
            continue
        insort(taken, (match.start, match.end))
        kept.append((match, end))
    return sorted(kept, key=lambda p: p[0].start)
