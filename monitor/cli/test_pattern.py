"""`monitor test-pattern`: what a pattern finds, what each stage says to it, and what it costs."""

from __future__ import annotations

import contextlib
import mmap
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detectors.rules.rule import Rule, RuleError
from monitor.cli.common import (
    ConfigOption,
    command_app,
    complete_rules,
    fail,
    fail_if,
    find_rule,
    paint,
    printable,
    private,
    read_config,
    usage,
)
from monitor.cli.kit import Format, FormatOption, emit, emit_one
from monitor.cli.silences import about_rules
from monitor.common.field_names import identifier
from monitor.routing.fold import field_of

if TYPE_CHECKING:
    from detectors.author.trial import Report, Sample

app = command_app()

_TRIAL = "pattern"  # id of what is a rule for this command alone
LARGE = 32 << 20  # a sample from here on gets a progress bar
# How compressed files begin, and what unpacks them.
_COMPRESSED = {b"\x1f\x8b": "zcat", b"BZh": "bzcat", b"\xfd7zXZ\0": "xzcat", b"\x28\xb5\x2f\xfd": "zstdcat"}
_EPILOG = r"""Examples:

monitor test-pattern 'acme_(?P<secret>[a-z0-9]{32})' /var/log/app/*.log

journalctl -u api -o cat | monitor test-pattern --rule generic-secret --entropy 3.8 -

monitor test-pattern @rules.d/acme.toml sample.log --watch
"""


PatternArgument = Annotated[
    str | None,
    typer.Argument(help="A pattern (RE2 ∩ Hyperscan), @FILE with one, or @FILE.toml with rules.", show_default=False),
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        "--rule",
        help="A rule instead of a pattern, or which of @FILE.toml.",
        autocompletion=complete_rules,
        show_default=False,
    ),
]
TextOption = Annotated[
    str | None,
    typer.Option(
        help="The sample itself; - asks for it. Others on this host see arguments, so nothing real as one.",
        show_default=False,
    ),
]


@app.command(
    epilog=_EPILOG,
    help="Try a detection pattern on a sample: hits, near misses, the stage that decided, the cost. "
    "Exit code 0 with a hit, 1 with none, 2 for a pattern that cannot work.",
)
def try_pattern(
    pattern: PatternArgument = None,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE|-]…", help="Samples.", show_default=False)] = None,
    rule_id: RuleOption = None,
    text: TextOption = None,
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
        Literal["toml"] | None, typer.Option("--emit", help="Print a ready rule.", show_default=False)
    ] = None,
    reveal: Annotated[bool, typer.Option(help="Show values unmasked; only on a terminal.")] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    if rule_id is not None and pattern is not None and not (pattern.startswith("@") and pattern.endswith(".toml")):
        files = [pattern, *(files or [])]
        pattern = None
    usage(
        (
            rule_id is None and pattern is None,
            "give a PATTERN or --rule ID; `monitor test-pattern --help` has examples",
        ),
        (reveal and not sys.stdout.isatty(), "--reveal shows secrets, so it works on a terminal only"),
    )
    overrides: dict[str, Any] = {"entropy": entropy, "digits": digits, "checksum": checksum}
    _allowlist(allow or ())
    _check(checksum)
    given = private("text") if text == "-" else text
    names = files or []

    def once() -> int:
        rule = _rule(pattern, rule_id, config)
        changed = replace(
            rule,
            stopwords=(*rule.stopwords, *(stopword or ())),
            allow=(*rule.allow, *(allow or ())),
            **{key: value for key, value in overrides.items() if value is not None},
        )
        return _run(changed, _samples(names, given), config, limit, emit_form, form, cost=cost, reveal=reveal)

    if not watch:
        raise typer.Exit(once())
    own = [pattern] if pattern and pattern.startswith("@") else []
    _watch(once, [path for name in (*own, *names) if (path := Path(name.removeprefix("@"))).exists()])


def _allowlist(patterns: Iterable[str]) -> None:
    from detectors.rules.syntax import re2_problem

    for pattern in patterns:
        if (problem := re2_problem(pattern)) is not None:
            fail(f"--allow {printable(pattern)}: {printable(str(problem))}", 2)


def _check(name: str | None) -> None:
    from detectors.rules.checksums import CHECKS

    why = f"--checksum: no check is called {printable(name or '')!r}; there are {', '.join(CHECKS)}"
    fail_if(name not in (None, *CHECKS), why, 2)


def _watch(once: Any, paths: Sequence[Path]) -> None:
    from watchfiles import watch as changes

    fail_if(not paths, "--watch needs a file: a sample, or the pattern as @FILE", 2)
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
    from detectors.rules.syntax import diagnose

    if pattern is not None and pattern.startswith("@"):
        path = Path(pattern[1:])
        if path.suffix == ".toml":
            try:
                rules = load_file(path)
            except RuleError as error:
                fail(str(error), 2)
            fail_if(not rules, f"{path}: holds no rule", 2)
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
            rule = Rule(id=_TRIAL, name="Pattern on trial", pattern=pattern, severity="high")
    elif pattern is not None:
        rule = Rule(id=_TRIAL, name="Pattern on trial", pattern=pattern, severity="high")
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
    from detectors.author.trial import Sample

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
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else file.readall()
        except (OSError, ValueError) as error:
            fail(f"{printable(name)}: {getattr(error, 'strerror', None) or error}", 2)
        if (tool := next((tool for head, tool in _COMPRESSED.items() if data[: len(head)] == head), None)) is not None:
            typer.echo(f"{printable(name)}: is compressed, and searched as it is; give <({tool} FILE)", err=True)
        samples.append(Sample(name, data))
    return samples


def _run(
    rule: Rule,
    samples: Sequence[Sample],
    config: Path | None,
    limit: int,
    emit_form: str | None,
    form: Format,
    *,
    cost: bool,
    reveal: bool,
) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from detectors.author.trial import as_entry, search, summary
    from detectors.match.engine import Engine
    from monitor.site import read_rules

    settings = read_config(config, rules_only=True)
    pack = read_rules(settings)
    folder = settings.state_dir / "cache"
    companions = [r for r in pack if any(c.rule == r.id for c in rule.requires)]
    try:
        # Other filters are tried on the same pattern. In a folder of its own, so that no trial pushes out the pack.
        alone = Engine.build([rule, *companions], folder / "trial")
    except RuleError as error:
        fail(str(error), 2)

    def whole() -> Engine:
        return Engine.build(pack, folder) if emit_form is None else alone  # no context is shown of what is emitted

    total = sum(len(sample.data) for sample in samples)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=total < LARGE or not console.is_terminal) as progress:
        task = progress.add_task("searching", total=total)
        advance = partial(progress.advance, task)
        try:
            report = search(rule, alone, whole, samples, limit=limit, reveal=reveal, advance=advance)
        except RuleError as error:
            fail(str(error), 2)

    if emit_form == "toml":
        entry, accepted = as_entry(rule, report)
        if not accepted:
            typer.echo("no example could be made that the pattern and its filters accept: write one by hand", err=True)
        typer.echo(entry, nl=False)
        return 0 if report.accepted else 1
    said = about_rules(settings, [rule]).get(rule.id, ()) if rule.id != _TRIAL else ()
    facts = summary(rule, report, alone, pack, samples, cost=cost, cache=folder)
    facts = {**facts, "silences": [row for row, _ in said], "now": [words for _, words in said]}
    if form == "jsonl":
        emit(report.hits, form, lambda _: ())
    else:
        emit_one({"hits": report.hits, "summary": facts}, form, lambda _: _text(report, facts, by_name=rule.by_name))
    return 0 if report.accepted else 1


def _text(report: Report, summary: Mapping[str, Any], *, by_name: bool) -> Iterator[str]:
    for warning in summary["warnings"]:  # first: of a pattern that is too broad nothing else matters
        yield paint(f"warning: {printable(warning)}", "yellow")
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
        if by_name and hit["accepted"] and (line := identifier(field_of(hit["context"], hit["masked"]))):
            yield paint(f"    no secret? {line}", dim=True)
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
    yield from (f"now: {words}" for words in summary["now"])
    yield f"anchor: {printable(summary['anchor'])}"
    if "mb_s_alone" in summary:
        yield (
            f"speed on {summary['measured_on']}: {summary['mb_s_alone']:,} MB/s alone; "
            f"the pack {summary['mb_s_pack_without']:,} MB/s without it, {summary['mb_s_pack_with']:,} MB/s with it"
        )
