"""`monitor test-pattern`: what a pattern finds, what each stage says to it, and what it costs."""

from __future__ import annotations

import contextlib
import mmap
import re
import sys
import tomllib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    command_app,
    complete_rules,
    emit,
    emit_one,
    fail,
    find_rule,
    paint,
    printable,
    private,
    read_config,
)
from monitor.site import read_rules

if TYPE_CHECKING:
    from detectors.match.engine import Decision, Engine, Match, Worker
    from detectors.rules.rule import Rule

app = command_app()

CHUNK = 2 << 20  # bytes a step: progress moves, and a sample larger than memory works
LARGE = 32 << 20  # a sample from here on gets a progress bar
NEAR = 64  # bytes of context beside a candidate
_EPILOG = r"""Examples:

monitor test-pattern 'acme_(?P<secret>[a-z0-9]{32})' /var/log/app/*.log

journalctl -u api -o cat | monitor test-pattern --rule generic-secret --entropy 3.8 -

monitor test-pattern @rules.d/acme.toml sample.log --watch
"""


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


@app.command(
    epilog=_EPILOG,
    help="Try a detection pattern on a sample: hits, near misses, the stage that decided, the cost. "
    "Exit code 0 with a hit, 1 with none, 2 for a pattern that cannot work.",
)
def try_pattern(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="A pattern (RE2 ∩ Hyperscan), @FILE with one, or @FILE.toml with rules.", show_default=False
        ),
    ] = None,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE|-]…", help="Samples.", show_default=False)] = None,
    rule_id: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help="A rule instead of a pattern, or which of @FILE.toml.",
            autocompletion=complete_rules,
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="The sample itself; - asks for it. Others on this host see arguments, so nothing real as one.",
            show_default=False,
        ),
    ] = None,
    entropy: Annotated[
        float | None, typer.Option(help="Override: least entropy, bits a character.", show_default=False)
    ] = None,
    digits: Annotated[int | None, typer.Option(help="Override: least number of digits.", show_default=False)] = None,
    checksum: Annotated[str | None, typer.Option(help="Override: the offline check.", show_default=False)] = None,
    stopword: Annotated[list[str] | None, typer.Option(help="Override: more stopwords.", show_default=False)] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Override: more allowlist patterns.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many candidates.")] = 50,
    cost: Annotated[bool, typer.Option(help="Measure what the pattern costs the pack.")] = True,
    watch: Annotated[bool, typer.Option(help="Run again whenever the pattern's file or a sample changes.")] = False,
    emit_form: Annotated[
        str | None, typer.Option("--emit", metavar="toml", help="Print a ready rule.", show_default=False)
    ] = None,
    reveal: Annotated[bool, typer.Option(help="Show values unmasked; only on a terminal.")] = False,
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    if rule_id is not None and pattern is not None and not (pattern.startswith("@") and pattern.endswith(".toml")):
        files = [pattern, *(files or [])]
        pattern = None
    if rule_id is None and pattern is None:
        fail("give a PATTERN or --rule ID; `monitor test-pattern --help` has examples", 2)
    if emit_form not in (None, "toml"):
        fail("--emit takes toml", 2)
    if reveal and not sys.stdout.isatty():
        fail("--reveal shows secrets, so it works on a terminal only", 2)
    overrides: dict[str, Any] = {"entropy": entropy, "digits": digits, "checksum": checksum}
    _allowlist(allow or ())
    if text == "-":
        text = private("text")

    def once() -> int:
        rule = _rule(pattern, rule_id, config)
        changed = replace(
            rule,
            stopwords=(*rule.stopwords, *(stopword or ())),
            allow=(*rule.allow, *(allow or ())),
            **{key: value for key, value in overrides.items() if value is not None},
        )
        return _run(
            changed,
            _samples(files or [], text),
            config=config,
            limit=limit,
            cost=cost,
            emit_form=emit_form,
            reveal=reveal,
            form=form,
        )

    if not watch:
        raise typer.Exit(once())
    watched = [
        Path(name.removeprefix("@"))
        for name in [pattern or "", *(files or [])]
        if name.startswith("@") or name in (files or [])
    ]
    _watch(once, [path for path in watched if path.exists()])


def _allowlist(patterns: Iterable[str]) -> None:
    from detectors.rules.syntax import re2_problem

    for pattern in patterns:
        if (problem := re2_problem(pattern)) is not None:
            fail(f"--allow {printable(pattern)}: {printable(str(problem))}", 2)


def _watch(once: Any, paths: Sequence[Path]) -> None:
    from watchfiles import watch as changes

    if not paths:
        fail("--watch needs a file: a sample, or the pattern as @FILE", 2)
    # Folders are watched, as editors replace a file by a new one.
    names = {path.resolve() for path in paths}

    def run() -> None:
        if sys.stdout.isatty():
            typer.echo("\x1b[2J\x1b[H", nl=False)
        with contextlib.suppress(typer.Exit):  # its message is on the screen; the next save may mend it
            once()

    run()
    for changed in changes(*{path.resolve().parent for path in paths}, recursive=False, step=50):
        if names & {Path(name) for _, name in changed}:
            run()


def _rule(pattern: str | None, rule_id: str | None, config: Path | None) -> Rule:
    """The rule to try. Ends with exit code 2 and a caret under the place where a pattern is wrong."""
    from detectors.rules.packfile import load_file
    from detectors.rules.rule import Rule, RuleError
    from detectors.rules.syntax import diagnose

    if pattern is not None and pattern.startswith("@"):
        path = Path(pattern[1:])
        if path.suffix == ".toml":
            try:
                rules = load_file(path)
            except RuleError as error:
                fail(str(error), 2)
            if not rules:
                fail(f"{path}: holds no rule", 2)
            chosen = [rule for rule in rules if rule_id in (None, rule.id)]
            if not chosen:
                there = ", ".join(rule.id for rule in rules)
                fail(f"{path}: no rule is called {printable(rule_id or '')!r}; there are {there}", 2)
            rule = chosen[0]
            if len(chosen) > 1:
                typer.echo(f"{path}: the first of {len(rules)} rules, {rule.id}; --rule names another", err=True)
            pattern = rule.pattern
        else:
            try:
                pattern = path.read_text(encoding="utf-8").strip("\n")
            except (OSError, UnicodeDecodeError) as error:
                fail(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}", 2)
            rule = Rule(id="pattern", name="Pattern on trial", pattern=pattern, severity="high")
    elif pattern is not None:
        rule = Rule(id="pattern", name="Pattern on trial", pattern=pattern, severity="high")
    else:
        rule = find_rule(read_config(config, rules_only=True), rule_id or "")
    problem = diagnose(rule.pattern, rule.trigger)
    if problem is not None:
        typer.echo(printable(problem.pattern), err=True)
        if problem.column is not None:
            typer.echo(" " * len(printable(problem.pattern[: problem.column])) + paint("^", "red", bold=True), err=True)
        typer.echo(str(problem), err=True)
        raise typer.Exit(2)
    return rule


def _samples(files: Sequence[str], text: str | None) -> list[Sample]:
    samples = [Sample("--text", text.encode())] if text is not None else []
    if text is None and not files:
        files = ["-"]
    for name in files:
        if name == "-":
            if sys.stdin.isatty():
                typer.echo("reading the sample from the terminal; end it with Ctrl-D", err=True)
            samples.append(Sample("-", sys.stdin.buffer.read()))
            continue
        try:
            with Path(name).open("rb", buffering=0) as file:
                # A pipe, as `<(zcat old.log.gz)` gives one, can only be read.
                size = file.seek(0, 2) if file.seekable() else 0
                samples.append(
                    Sample(name, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else file.readall())
                )
        except (OSError, ValueError) as error:
            fail(f"{printable(name)}: {getattr(error, 'strerror', None) or error}", 2)
    return samples


def _chunks(sample: Sample) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) pieces cut at a newline, so that a candidate and its line are whole."""
    at, size = 0, len(sample.data)
    while at < size:
        end = min(size, at + CHUNK)
        if end < size:
            cut = sample.data.rfind(b"\n", at, end)
            end = cut + 1 if cut >= at else end
        yield at, sample.data[at:end]
        at = end


def _run(
    rule: Rule,
    samples: Sequence[Sample],
    *,
    config: Path | None,
    limit: int,
    cost: bool,
    emit_form: str | None,
    reveal: bool,
    form: Format,
) -> int:
    from detectors.match.engine import Engine
    from detectors.rules.rule import RuleError

    settings = read_config(config, rules_only=True)
    pack = read_rules(settings)
    cache = settings.state_dir / "cache"
    companions = [r for r in pack if any(c.rule == r.id for c in rule.requires)]
    try:
        alone = Engine.build([rule, *companions])
        whole = Engine.build(pack, cache)
    except RuleError as error:
        fail(str(error), 2)
    report = _search(rule, alone, whole, samples, limit=limit, reveal=reveal)
    if emit_form == "toml":
        typer.echo(_toml(rule, report), nl=False)
        return 0 if report.accepted else 1
    summary = _summary(rule, report, alone, pack, samples, cost=cost, cache=cache)
    if form is Format.jsonl:
        emit(report.hits, form, lambda _: ())
    else:
        emit_one({"hits": report.hits, "summary": summary}, form, lambda _: _text(report, summary))
    return 0 if report.accepted else 1


def _search(rule: Rule, alone: Engine, whole: Engine, samples: Sequence[Sample], *, limit: int, reveal: bool) -> Report:
    from rich.console import Console
    from rich.progress import Progress

    report = Report()
    worker, witnesses = alone.worker(), (alone.worker(), whole.worker())
    total = sum(len(sample.data) for sample in samples)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=total < LARGE or not console.is_terminal) as progress:
        task = progress.add_task("searching", total=total)
        for sample in samples:
            line = 1
            for _, piece in _chunks(sample):
                at, number = 0, line
                decisions = _candidates(rule, worker, piece)
                seen = _Seen(piece, witnesses if decisions else ())
                for decision in decisions:
                    number += piece.count(b"\n", at, decision.start)
                    at = decision.start
                    _enter(
                        report,
                        decision,
                        piece,
                        seen,
                        sample.name,
                        number,
                        keep=len(report.hits) < limit,
                        reveal=reveal,
                    )
                line += piece.count(b"\n")
                report.size += len(piece)
                progress.advance(task, len(piece))
            report.lines += line - 1 + (sample.data[-1:] not in (b"", b"\n"))
    return report


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


def _candidates(rule: Rule, worker: Worker, piece: bytes) -> list[Decision]:
    """What the rule decided on, and its near misses: places that have its literal, where the pattern does not match."""
    from detectors.match.engine import Decision

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
        decisions.append(Decision(rule, start, end, False, "pattern", why))
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
    decision: Decision,
    piece: bytes,
    seen: _Seen,
    name: str,
    line: int,
    *,
    keep: bool,
    reveal: bool,
) -> None:
    from detectors.fingerprint import mask
    from detectors.match.filters import entropy

    value = piece[decision.start : decision.end]
    if decision.accepted:
        report.accepted += 1
        report.found = report.found or _around(decision, piece)
        others = {match.rule.id for match in seen.within(decision.start, decision.end)} - {decision.rule.id}
        report.overlaps.update(others)
    else:
        report.stages[decision.stage] += 1
    if not keep:
        return
    low = piece.rfind(b"\n", 0, decision.start) + 1
    found = piece.find(b"\n", decision.end)
    high = found if found >= 0 else len(piece)
    low, high = max(low, decision.start - NEAR), min(high, decision.end + NEAR)
    # A window of the text, and not only the value, may hold a secret: what any rule finds in it is masked too.
    spans = [*((m.start, m.end, m.masked) for m in seen.within(low, high)), *seen.hidden(low, high)]
    masked = decision.match.masked if decision.match is not None else ""
    if decision.stage != "pattern" or decision.reason.startswith("has "):
        masked = masked or mask(value, decision.rule.shape.literals)
        own = (decision.start, decision.end, masked)
        # What reaches beyond the value on trial belongs to a longer secret.
        before = [(start, min(end, own[0]), text) for start, end, text in spans if start < own[0]]
        after = [
            (max(start, own[1]), end, text if start >= own[1] else "…") for start, end, text in spans if end > own[1]
        ]
        spans = [own, *before, *after]
    # Near misses in the context may be secrets of another length than the pattern expects.
    spans += [
        (start, end, mask(piece[start:end]))
        for start, middle, end in _runs(decision.rule, piece, low, high)
        if end > middle and not any(s < end and start < e for s, e, _ in spans)
    ]

    def shown(start: int, end: int) -> str:
        return piece[start:end].decode("utf-8", "replace") if reveal else _masked(piece, start, end, spans)

    groups = _groups(decision, piece) if decision.stage != "pattern" else {}
    report.hits.append(
        {
            "path": name,
            "line": line,
            "column": decision.start - piece.rfind(b"\n", 0, decision.start),
            "accepted": decision.accepted,
            "stage": decision.stage,
            "reason": decision.reason,
            "masked": value.decode("utf-8", "replace") if reveal else masked,
            "groups": {name: shown(*span) for name, span in groups.items()},
            "entropy": round(entropy(value), 2) if decision.stage != "pattern" else None,
            "decode": list(decision.decode),
            "labels": dict(decision.match.labels) if decision.match is not None else {},
            "severity": decision.match.severity if decision.match is not None else None,
            "confidence": decision.match.confidence if decision.match is not None else None,
            "context": shown(low, high),
        }
    )


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


def _summary(
    rule: Rule, report: Report, alone: Engine, pack: list[Rule], samples: Sequence[Sample], *, cost: bool, cache: Path
) -> dict[str, Any]:
    from detectors.author.tune import anchor, log_text, megabytes_a_second, warnings
    from detectors.match.engine import Engine

    lines = max(1, report.lines)
    summary: dict[str, Any] = {
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
        summary |= {
            "measured_on": "the sample" if report.size >= 1 << 20 else "plain log lines",
            "mb_s_alone": round(megabytes_a_second(alone.database, joined)[0]),
            "mb_s_pack_without": round(megabytes_a_second(others.database, joined)[0]),
            "mb_s_pack_with": round(megabytes_a_second(with_it.database, joined)[0]),
        }
        summary["warnings"] = warnings(rule, joined)
    return summary


def _text(report: Report, summary: Mapping[str, Any]) -> Iterator[str]:
    for hit in report.hits:
        colour = "green" if hit["accepted"] else "yellow"
        verdict = paint("found" if hit["accepted"] else f"rejected by {hit['stage']}", colour, bold=True)
        where = f"{printable(hit['path'])}:{hit['line']}:{hit['column']}"
        facts = [f"entropy {hit['entropy']:.2f}"] if hit["entropy"] is not None else []
        facts += [f"group {name}: {value}" for name, value in hit["groups"].items() if value != hit["masked"]]
        facts += [f"{hit['severity']}, {hit['confidence']} confidence"] if hit["severity"] else []
        facts += [f"inside {' in '.join(reversed(hit['decode']))}"] if hit["decode"] else []
        facts += [f"{key}={value}" for key, value in hit["labels"].items()]
        yield f"{paint(where, bold=True)}  {verdict}: {printable(hit['reason'])}"
        context = printable(hit["context"])
        shown = printable(hit["masked"])
        if shown:
            context = context.replace(shown, paint(shown, colour, bold=True), 1)
        yield f"    {context}"
        if facts:
            yield paint(f"    {printable('  '.join(facts))}", dim=True)
    rejected = sum(summary["rejected"].values())
    shown_of = f" (showing {len(report.hits)})" if len(report.hits) < report.accepted + rejected else ""
    if report.hits:
        yield ""
    yield (
        f"{summary['accepted']} found, {rejected} rejected{shown_of} in {summary['lines']:,} lines, "
        f"{summary['bytes']:,} bytes: {summary['hits_per_million_lines']:,} a million lines"
    )
    for stage, count in sorted(summary["rejected"].items(), key=lambda item: -item[1]):
        yield f"  rejected by {stage:<12} {count}"
    for rule_id, count in sorted(summary["overlaps"].items(), key=lambda item: -item[1])[:8]:
        yield f"  also found by {rule_id} ({count} of {summary['accepted']})"
    yield f"anchor: {printable(summary['anchor'])}"
    if "mb_s_alone" in summary:
        yield (
            f"speed on {summary['measured_on']}: {summary['mb_s_alone']:,} MB/s alone; "
            f"the pack {summary['mb_s_pack_without']:,} MB/s without it, {summary['mb_s_pack_with']:,} MB/s with it"
        )
    for warning in summary["warnings"]:
        yield paint(f"warning: {printable(warning)}", "yellow")


_CLASSES = (("digit", r"\d+"), ("hex", r"[0-9a-f]+"), ("HEX", r"[0-9A-F]+"), ("lower", r"[a-z]+"), ("upper", r"[A-Z]+"),
            ("lownum", r"[a-z0-9]+"), ("upnum", r"[A-Z0-9]+"), ("alnum", r"[A-Za-z0-9]+"), ("base64url", r"[\w-]+"),
            ("base64", r"[A-Za-z0-9+/]+"), ("ascii", r".+"))  # fmt: skip


@cache
def _regex(pattern: str) -> Any:
    from detectors.rules.syntax import compile_re2

    return compile_re2(pattern)


def _around(decision: Decision, piece: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The whole match as (text before the value, the value, text after it); None for a decoded one."""
    match = _match(decision, piece)
    if match is None:
        return None
    start, end = _span(match)
    return piece[match.start() : start], piece[start:end], piece[end : match.end()]


def _groups(decision: Decision, piece: bytes) -> dict[str, tuple[int, int]]:
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


def _match(decision: Decision, piece: bytes) -> Any:
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


def _toml(rule: Rule, report: Report) -> str:
    """A ready rule. Its examples are templates of what was found, so that no value lands in a file."""
    from detectors.author.convert import exemplify, to_toml

    filters = {
        key: list(value) if isinstance(value, tuple) else value
        for key in ("entropy", "digits", "checksum", "stopwords", "allow")
        if (value := getattr(rule, key))
    }
    if rule.source:
        return to_toml([_written(rule, filters)])
    entry = {"id": "custom-rule", "name": "Name what it finds", "pattern": rule.pattern, "severity": rule.severity}
    before, secret, after = (part.decode("latin-1") for part in report.found or (b"", b"x" * 32, b""))
    prefix = rule.shape.prefix if secret.startswith(rule.shape.prefix) else ""
    body = secret[len(prefix) :] or "x"
    example = f"{before}{prefix}{_template(body)}{after}"
    short = f"{before}{prefix}{_template(body[: max(1, len(body) // 3)])}{after}"
    done = exemplify(entry | filters, *([example], [short]) if report.found else ())
    if done is None:
        typer.echo("no example could be made that the pattern and its filters accept: write one by hand", err=True)
        done = {"examples": [example], "negative_examples": [short]}
    samples = {key: done[key][:1] for key in ("examples", "negative_examples")}
    comment = (
        "Examples: the text around the secret, as your services write it.\nReferences: where its format is documented."
    )
    return to_toml([entry | filters | samples | {"references": []}], comment)


def _written(rule: Rule, filters: Mapping[str, Any]) -> dict[str, Any]:
    """The rule as its pack file has it, with the filters on trial; whole, as it replaces the one with the same id."""
    from detectors.rules.rule import PACKS

    path = Path(rule.source) if rule.family == "custom" else PACKS.parent / rule.source
    entry: dict[str, Any] = next(
        raw for raw in tomllib.loads(path.read_text(encoding="utf-8"))["rule"] if raw["id"] == rule.id
    )
    if rule.family == "generic":  # outside their family rules have other defaults
        entry |= {k: getattr(rule, k) for k in ("confidence", "priority", "words", "hashes", "score") if k not in entry}
    entry |= filters
    last = ("examples", "negative_examples", "references")
    return {key: entry[key] for key in (*(key for key in entry if key not in last), *(k for k in last if k in entry))}
