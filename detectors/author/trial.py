"""A rule on trial: what its pattern finds in samples, what each stage says to it, and what it costs the pack."""

from __future__ import annotations

import mmap
import re
import tomllib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from detectors.author.convert import exemplify, to_toml
from detectors.author.tune import anchor, log_text, megabytes_a_second, warnings
from detectors.excerpt import LINE, around
from detectors.fingerprint import mask
from detectors.match.engine import Engine, Worker
from detectors.match.filters import entropy
from detectors.match.outcome import CandidateDecision, Match
from detectors.rules import packs
from detectors.rules.rule import Rule
from monitor.common.cuts import CONTEXT, carried, settled
from monitor.common.regex import compile_re2

__all__ = ["Report", "Sample", "as_entry", "search", "summary"]

CHUNK = 2 << 20  # bytes a step: progress moves, and a sample larger than memory works
NEAR = 64  # bytes of context beside a candidate


@dataclass(frozen=True)
class Sample:
    """A named text to search; `data` may be a mapped file."""

    name: str
    data: bytes | mmap.mmap


@dataclass
class Report:
    """What came of all samples."""

    hits: list[dict[str, Any]] = field(default_factory=list)  # the first `limit` candidates
    accepted: int = 0
    stages: Counter[str] = field(default_factory=Counter)  # stage that rejected → how often
    overlaps: Counter[str] = field(default_factory=Counter)  # other rule on the same span → how often
    size: int = 0
    lines: int = 0
    found: tuple[bytes, bytes, bytes] | None = None  # text before, value, text after of the first hit, for --emit


def search(
    rule: Rule,
    alone: Engine,
    whole: Callable[[], Engine],
    samples: Iterable[Sample],
    *,
    limit: int,
    reveal: bool,
    advance: Callable[[int], object] = lambda size: None,
) -> Report:
    """What `rule` decides on in the samples. The first `limit` candidates are shown, masked if not to `reveal`.

    `alone` is an engine of the rule and its companions; `whole`, of the pack, tells what others find, which is masked
    in every context: it is asked for at the first candidate, as to compile a pack takes seconds. `advance` is told of
    bytes that were searched.
    """
    report = Report()
    worker, witnesses = alone.worker(), cache(lambda: (alone.worker(), whole().worker()))
    for sample in samples:
        line = 1
        for piece, fresh, end in _pieces(sample.data):
            at, number = 0, line
            decisions = [one for one in _candidates(rule, worker, piece) if fresh < one.end <= end]
            seen = _Seen(piece, witnesses() if decisions else ())
            for decision in decisions:
                number += piece.count(b"\n", at, decision.start)
                at = decision.start
                _enter(report, decision, piece, seen, name=sample.name, line=number, limit=limit, reveal=reveal)

            line += piece.count(b"\n", 0, carried(end))
            report.lines += piece.count(b"\n", fresh, end)
            report.size += end - fresh
            advance(end - fresh)
        report.lines += sample.data[-1:] not in (b"", b"\n")
    return report


def _pieces(data: bytes | mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Pieces, and between which places in each of them an end counts: what lies before and behind is context."""
    at, size = 0, len(data)
    while at < size:
        low = carried(at)
        piece = data[low : at + CHUNK + CONTEXT]
        limit = len(piece)
        if at + CHUNK < size:
            limit = settled(piece, at - low, at + CHUNK - low, full=True)
        yield piece, at - low, limit
        at = low + limit


# A value goes on to a blank, a quote or a bracket.
_RUN = re.compile(rb"[^\s\"'`<>(){}\[\],;&]{0,256}")


def _runs(rule: Rule, piece: bytes, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """(start, end of the literal, end) of runs in piece[low:high]: a literal, and what goes on as a value would."""
    literals = rule.shape.literals
    if not literals or min(map(len, literals)) < 4:
        return
    words = "|".join(re.escape(word) for word in sorted(literals, key=len, reverse=True)).encode("latin-1")
    end = low
    for m in re.compile(words, re.IGNORECASE if rule.shape.caseless else 0).finditer(piece, low, high):
        if m.start() >= end:
            run = _RUN.match(piece, m.end())
            end = run.end() if run else m.end()
            yield m.start(), m.end(), end


def _candidates(rule: Rule, worker: Worker, piece: bytes) -> list[CandidateDecision]:
    """What the rule decided on, and its near misses: places that have its literal, where the pattern does not match."""
    decisions = [decision for decision in worker.explain(piece) if decision.rule.id == rule.id]
    literals = sorted(rule.shape.literals, key=len, reverse=True)
    if not literals or len(literals[-1]) < 4:
        return decisions
    decisions = [decision for decision in decisions if decision.stage != "pattern"]
    taken = []
    for decision in decisions:
        before, value, after = _around(decision, piece) or (b"", piece[decision.start : decision.end], b"")
        taken.append((decision.start - len(before), decision.start + len(value) + len(after)))
    taken.sort()
    number = 0
    for start, _, end in _runs(rule, piece, 0, len(piece)):
        while number < len(taken) and taken[number][1] <= start:
            number += 1
        if number < len(taken) and taken[number][0] < end:
            continue
        word = next(w for w in literals if piece[start : start + len(w)].decode("latin-1").lower() == w.lower())
        why = f"has {word!r}, but the pattern does not match there"
        decisions.append(CandidateDecision(rule, start, end, False, "pattern", why))
    return sorted(decisions, key=lambda d: d.start)


class _Seen:
    """All secrets in a piece, whichever rule finds them: found once, asked for by place."""

    def __init__(self, piece: bytes, witnesses: Sequence[Worker]) -> None:
        results = [witness.search(piece) for witness in witnesses]
        found = {(m.rule.id, m.start, m.end): m for result in results for m in result.matches}
        self._matches = sorted(found.values(), key=lambda m: m.start)
        self._starts = [match.start for match in self._matches]
        self._hidden = [result.hidden for result in results]

    def within(self, low: int, high: int) -> list[Match]:
        """Those that reach into low…high, of at most 4 KiB before it."""
        first, last = bisect_left(self._starts, low - 4096), bisect_left(self._starts, high)
        return [match for match in self._matches[first:last] if match.end > low]

    def hidden(self, low: int, high: int) -> Iterator[tuple[int, int, str]]:
        """What must not be shown of low…high: all that any rule has found, and the whole of what was decoded."""
        for spans in self._hidden:
            first = bisect_right(spans, low, key=lambda span: span[1])
            for start, end in spans[first : bisect_left(spans, high, key=lambda span: span[0])]:
                yield start, end, "…"


def _enter(
    report: Report,
    decision: CandidateDecision,
    piece: bytes,
    seen: _Seen,
    *,
    name: str,
    line: int,
    limit: int,
    reveal: bool,
) -> None:
    """Count a decision, and show it where it is one of the first."""
    if decision.accepted:
        report.accepted += 1
        report.found = report.found or _around(decision, piece)
        others = {match.rule.id for match in seen.within(decision.start, decision.end)} - {decision.rule.id}
        report.overlaps.update(others)
    else:
        report.stages[decision.stage] += 1
    if len(report.hits) < limit:
        place = {"path": name, "line": line, "column": decision.start - piece.rfind(b"\n", 0, decision.start)}
        report.hits.append(place | _shown(decision, piece, seen, reveal=reveal))


def _shown(decision: CandidateDecision, piece: bytes, seen: _Seen, *, reveal: bool) -> dict[str, Any]:
    """What is said of a decision."""
    begin, line_break = piece.rfind(b"\n", 0, decision.start) + 1, piece.find(b"\n", decision.end)
    ended = line_break if line_break >= 0 else len(piece)
    low, high = max(begin, decision.start - NEAR), min(ended, decision.end + NEAR)
    reach = max(begin, decision.start - LINE), min(ended, decision.end + LINE)
    matched = decision.stage != "pattern"
    masked = decision.match.masked if decision.match is not None else ""
    masked = masked or mask(piece[decision.start : decision.end], decision.rule.shape.literals)
    spans = _covered(decision, masked, piece, seen, reach)

    def text(start: int, end: int) -> str:
        return piece[start:end].decode("utf-8", "replace") if reveal else _masked(piece, start, end, spans)

    return {
        "accepted": decision.accepted,
        "stage": decision.stage,
        "reason": decision.reason,
        "masked": text(decision.start, decision.end) if reveal else masked,
        "groups": {name: text(*span) for name, span in _groups(decision, piece).items()} if matched else {},
        "entropy": round(entropy(piece[decision.start : decision.end]), 2) if matched else None,
        "decode": list(decision.decode),
        "labels": dict(decision.match.labels) if decision.match is not None else {},
        "severity": decision.match.severity if decision.match is not None else None,
        "confidence": decision.match.confidence if decision.match is not None else None,
        "context": text(low, high) if reveal else _context(decision, masked, piece, spans),
    }


def _covered(
    decision: CandidateDecision, masked: str, piece: bytes, seen: _Seen, window: tuple[int, int]
) -> list[tuple[int, int, str]]:
    """Spans of a window that may hold a secret, the value's own and what any rule finds beside it, each with what is
    shown in its place."""
    spans = [*((m.start, m.end, m.masked) for m in seen.within(*window)), *seen.hidden(*window)]
    if masked:
        first, last = decision.start, decision.end
        # What reaches beyond the value on trial belongs to a longer secret.
        before = [(start, min(end, first), text) for start, end, text in spans if start < first]
        after = [(max(start, last), end, text if start >= last else "…") for start, end, text in spans if end > last]
        spans = [(first, last, masked), *before, *after]
    # Near misses in the context may be secrets of another length than the pattern expects.
    return spans + [
        (start, end, mask(piece[start:end]))
        for start, middle, end in _runs(decision.rule, piece, *window)
        if end > middle and not any(s < end and start < e for s, e, _ in spans)
    ]


def _context(decision: CandidateDecision, masked: str, piece: bytes, spans: Iterable[tuple[int, int, str]]) -> str:
    """The line around it, as alerts show it."""
    hidden: list[tuple[int, int]] = []
    for start, end, _ in sorted(spans):
        if hidden and start <= hidden[-1][1]:
            hidden[-1] = hidden[-1][0], max(end, hidden[-1][1])
        else:
            hidden.append((start, end))
    line = piece.rfind(b"\n", 0, decision.start) + 1
    before, after = around(piece, (decision.start, decision.end), hidden, line, NEAR)
    return f"{before}{masked}{after}"


def _masked(piece: bytes, low: int, high: int, spans: Iterable[tuple[int, int, str]]) -> str:
    """piece[low:high] with every span replaced by its preview."""
    out, at = [], low
    for start, end, masked in sorted(spans):
        if end <= at or start >= high:
            continue
        out.append(piece[at : max(at, start)].decode("utf-8", "replace"))
        out.append(masked if start >= at else "…")
        at = min(end, high)
    out.append(piece[at:high].decode("utf-8", "replace"))
    return "".join(out)


def summary(
    rule: Rule, report: Report, alone: Engine, pack: list[Rule], samples: Sequence[Sample], *, cost: bool, cache: Path
) -> dict[str, Any]:
    """What is told of the trial as a whole; with `cost`, the speed of the pack without and with the rule, measured.

    Databases of the pack are taken from and put into the folder `cache`.
    """
    lines = max(1, report.lines)
    facts: dict[str, Any] = {
        "rule": rule.id,
        "accepted": report.accepted,
        "rejected": dict(report.stages),
        "bytes": report.size,
        "lines": report.lines,
        "hits_per_million_lines": round(report.accepted * 1e6 / lines, 1),
        "anchor": anchor(rule),
        "warnings": warnings(rule),
        "overlaps": dict(report.overlaps),
    }
    if cost:
        # A small sample says nothing of speed: plain log lines stand in for it.
        joined = (
            b"".join(bytes(sample.data[: 16 << 20]) for sample in samples) if report.size >= 1 << 20 else log_text()
        )
        others = Engine.build([r for r in pack if r.id != rule.id] or pack, cache)
        with_it = Engine.build([*others.rules, rule], cache)
        facts |= {
            "measured_on": "the sample" if report.size >= 1 << 20 else "plain log lines",
            "mb_s_alone": round(megabytes_a_second(joined, *alone.databases)[0]),
            "mb_s_pack_without": round(megabytes_a_second(joined, *others.databases)[0]),
            "mb_s_pack_with": round(megabytes_a_second(joined, *with_it.databases)[0]),
        }
        facts["warnings"] = warnings(rule, joined)
    return facts


_CLASSES = (("digit", r"\d+"), ("hex", r"[0-9a-f]+"), ("HEX", r"[0-9A-F]+"), ("lower", r"[a-z]+"), ("upper", r"[A-Z]+"),
            ("lownum", r"[a-z0-9]+"), ("upnum", r"[A-Z0-9]+"), ("alnum", r"[A-Za-z0-9]+"), ("base64url", r"[\w-]+"),
            ("base64", r"[A-Za-z0-9+/]+"), ("ascii", r".+"))  # fmt: skip


@cache
def _regex(pattern: str) -> Any:
    return compile_re2(pattern)


def _around(decision: CandidateDecision, piece: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The whole match as (text before the value, the value, text after it); None for a decoded one."""
    match = _match(decision, piece)
    if match is None:
        return None
    start, end = _span(match)
    return piece[match.start() : start], piece[start:end], piece[end : match.end()]


def _groups(decision: CandidateDecision, piece: bytes) -> dict[str, tuple[int, int]]:
    """Where the groups of the pattern are, by name or number, those left out that took no part."""
    match = _match(decision, piece)
    if match is None:
        return {}
    names = {number: name.decode() for name, number in match.re.groupindex.items()}
    spans = {names.get(number, str(number)): match.span(number) for number in range(1, match.re.groups + 1)}
    return {name: span for name, span in spans.items() if span[0] >= 0}


def _span(match: Any) -> tuple[int, int]:
    """Of the value: the first group, or the whole."""
    start, end = match.span(1 if match.re.groups and match.start(1) >= 0 else 0)
    return start, end


def _match(decision: CandidateDecision, piece: bytes) -> Any:
    if decision.decode:
        return None
    at = max(0, decision.start - decision.rule.shape.back - decision.rule.shape.ahead)
    regex = _regex(decision.rule.pattern)
    while match := regex.search(piece, at, min(len(piece), decision.end + decision.rule.shape.ahead + 2)):
        if _span(match)[0] == decision.start:
            return match
        at = max(match.end(), at + 1)
    return None


def _template(value: str) -> str:
    """`value` as the field of a template with the same alphabet and length."""
    kind = next(name for name, pattern in _CLASSES if re.fullmatch(pattern, value, re.DOTALL))
    return f"{{{kind}:{len(value)}}}"


def as_entry(rule: Rule, report: Report) -> tuple[str, bool]:
    """A ready rule as TOML, and whether the pattern and its filters accept its examples.

    These are templates of what was found, so that no value lands in a file.
    """
    filters = {
        key: list(value) if isinstance(value, tuple) else value
        for key in ("entropy", "digits", "checksum", "stopwords", "allow")
        if (value := getattr(rule, key))
    }
    if rule.source:
        return to_toml([_written(rule, filters)]), True

    entry = {"id": "custom-rule", "name": "Name what it finds", "pattern": rule.pattern, "severity": rule.severity}
    before, secret, after = (part.decode("latin-1") for part in report.found or (b"", b"x" * 32, b""))
    prefix = rule.shape.prefix if secret.startswith(rule.shape.prefix) else ""
    body = secret[len(prefix) :] or "x"
    example = f"{before}{prefix}{_template(body)}{after}"
    short = f"{before}{prefix}{_template(body[: max(1, len(body) // 3)])}{after}"

    done = exemplify(entry | filters, *([example], [short]) if report.found else ())
    whole = done or {"examples": [example], "negative_examples": [short]}
    samples = {key: whole[key][:1] for key in ("examples", "negative_examples")}
    comment = (
        "Examples: the text around the secret, as your services write it.\nReferences: where its format is documented."
    )
    return to_toml([entry | filters | samples | {"references": []}], comment), done is not None


def _written(rule: Rule, filters: Mapping[str, Any]) -> dict[str, Any]:
    """The rule as its pack file has it, with the filters on trial; whole, as it replaces the one with the same id."""
    own = rule.family == "custom"
    text = Path(rule.source).read_text(encoding="utf-8") if own else packs.text(packs.source(rule.source))
    entry: dict[str, Any] = next(raw for raw in tomllib.loads(text)["rule"] if raw["id"] == rule.id)
    if rule.family == "generic":  # outside their family rules have other defaults
        entry |= {k: getattr(rule, k) for k in ("confidence", "priority", "words", "hashes", "score") if k not in entry}
    entry |= filters
    last = ("examples", "negative_examples", "references")
    return {key: entry[key] for key in (*(key for key in entry if key not in last), *(k for k in last if k in entry))}
