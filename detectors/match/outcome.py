"""What comes of a scan: matches, the decisions behind them, and which of those that overlap is told."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Literal, NamedTuple, get_args

from detectors.match.cost import Spent
from detectors.rules.rule import Confidence, Rule
from monitor.common.severity import Severity

__all__ = [
    "REASONS",
    "CandidateDecision",
    "Cover",
    "Match",
    "Placed",
    "ScanResult",
    "Unsearched",
    "covered",
    "merged",
    "moved",
    "rank",
    "resolve",
    "through",
]


# Rules of values that hold what ends one elsewhere, such as a semicolon.
_GO_ON = frozenset(("generic-password-line", "generic-password-symbols"))


@dataclass(slots=True)  # not frozen: to set each field past that lock takes four times as long
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

    @property
    def wide(self) -> bool:
        """Whether it stands in text in UTF-16."""
        return self.decode[:1] == ("utf16",)


@dataclass(slots=True)
class CandidateDecision:
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


Placed = tuple[CandidateDecision, int]  # with the end of what was read for it, where `scan` counts it
Reason = Literal["slow", "undecoded"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True, order=True)
class Unsearched:
    """A stretch of a block in which a secret may stand unseen. `why`: it took too long, so that the rules did not come
    to its end (`slow`), or encoded text in it was not decoded, or not to its end (`undecoded`). What was found in it by
    then is among the matches."""

    start: int
    end: int
    why: Reason


class Cover(NamedTuple):
    """What must not be shown for a match: at least its span."""

    start: int
    end: int
    match: Match


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What came of a block. `hidden`: spans, disjoint and by position, of all that is or may hold a secret: what lost
    to another rule on its span, every stretch of encoded text that was decoded, and all that is `unsearched`. `spent`:
    by rule id. `covers`: by position, also of matches that lost to another."""

    matches: list[Match]
    hidden: list[tuple[int, int]] = field(default_factory=list)
    unsearched: list[Unsearched] = field(default_factory=list)
    spent: Mapping[str, Spent] = field(default_factory=dict)
    covers: list[Cover] = field(default_factory=list)


def moved(decision: CandidateDecision, start: int, end: int, *decoder: str) -> CandidateDecision:
    """The decision on a part of a text, or on what `decoder` made of it, at its place in the text."""
    d, m = decision, decision.match
    if m is not None:
        chain = (*decoder, *m.decode)
        m = Match(m.rule, start, end, m.secret, m.masked, m.severity, m.confidence, chain, m.labels)
    return CandidateDecision(d.rule, start, end, d.accepted, d.stage, d.reason, m, (*decoder, *d.decode))


def through(decoder: str, decision: CandidateDecision) -> CandidateDecision:
    """The decision, refused if its rule is not for what `decoder` decodes."""
    if not decision.accepted or decision.rule.reads([decoder]):
        return decision
    reason = f"this rule is not for what {decoder} decodes"
    return replace(decision, accepted=False, stage="decode", reason=reason, match=None)


def covered(covers: Sequence[Cover]) -> list[Cover]:
    """The same as disjoint spans: of those that overlap the best rule's has what the others add, so that another rule
    never uncovers anything."""
    out: list[Cover] = []
    first = reach = 0
    for at, cover in enumerate(covers):
        if cover.start >= reach:
            out += _together(covers[first:at])
            first = at
        reach = max(reach, cover.end)
    return out + _together(covers[first:])


def _together(covers: Sequence[Cover]) -> list[Cover]:
    if len(covers) < 2:
        return [*covers]
    told = [match for match, _ in _best([(cover.match, 0) for cover in covers])]
    edges = [covers[0].start, *(match.start for match in told[1:]), max(cover.end for cover in covers)]
    return [Cover(*edge, match) for edge, match in zip(pairwise(edges), told, strict=True)]


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def resolve(decided: Sequence[tuple[CandidateDecision, int]]) -> list[tuple[Match, int]]:
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


def rank(decode: tuple[str, ...], *, apart: bool = False) -> int:
    """Which of two that were decoded in different ways is told: the lower one. `apart`: it stands there in parts."""
    # A key put together from log records is the key; the plain text has the heads of the records in it.
    return 0 if decode[:1] == ("lines",) and apart else 1 + len(decode)


def _whole(matches: list[tuple[Match, int]]) -> list[tuple[Match, int]]:
    """Those of overlapping matches, by position, that none holds more of: a rule that knows a value to go on where
    others end it has the value, and the best of those the name."""
    out: list[tuple[Match, int]] = []
    for _, alike in groupby(matches, key=lambda pair: pair[0].start):
        group = list(alike)
        whole = max((match for match, _ in group if match.rule.id in _GO_ON), key=lambda match: match.end, default=None)
        if whole is not None and len(group) > 1:
            parts = [match for match, _ in group if match.end < whole.end and match.rule.checksum is None]
            best = max(parts, key=lambda part: part.rule.priority, default=whole)
            if best.rule.priority > whole.rule.priority:
                whole.rule, whole.severity, whole.labels = best.rule, best.severity, best.labels
            group = [pair for pair in group if not any(pair[0] is part for part in parts)]
        out += group
    return out


def _best(matches: list[tuple[Match, int]]) -> list[tuple[Match, int]]:
    """Those of overlapping matches that no better one stands in the way of, by position."""
    if len(matches) < 2:
        return matches
    matches = _whole(matches)
    ranked = sorted(
        matches,
        key=lambda p: (
            -p[0].rule.priority,
            rank(p[0].decode, apart=len(p[0].secret) != p[0].end - p[0].start),
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
