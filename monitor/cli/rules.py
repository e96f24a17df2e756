"""`monitor rules`: what is looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from detectors.rules.rule import Rule
from monitor.cli.common import (
    ConfigOption,
    SeverityOption,
    at_least,
    command_app,
    complete_rules,
    fail,
    fail_if,
    find_rule,
    known_rule,
    paint,
    printable,
    read_config,
)
from monitor.cli.kit import Format, FormatOption, emit, emit_list, emit_one, tracked
from monitor.cli.rule_files import imports, new
from monitor.cli.rule_history import diff
from monitor.cli.silences import about_rules

app = command_app(
    no_args_is_help=True,
    help="List, show, compare, test, measure, import and start detection rules. `monitor test-pattern --rule ID` "
    "tunes one.",
    epilog="Example: monitor rules list --search stripe",
)
app.add_typer(imports, name="import")
app.command(
    "new",
    epilog="Example: monitor rules new acme api-key -o rules.d/acme.toml",
    help="Start a rule: a pack file with one rule that passes `monitor rules test`, to be changed to the real format.",
)(new)
app.command(
    "diff",
    epilog="Examples:\n\n  monitor rules diff --since 2026-11-27\n\n"
    "  monitor rules diff --since 746db64d --format json",
    help="Tell which rules are other ones than in an earlier version, and what of yours that concerns.\n\n"
    "Rules that were added, moved to another pack (`wide` is off by default), renamed, changed, or are gone; settings "
    "that name one by an old id; and open incidents whose rule is gone or off, or finds at another level now. Exit "
    "code 1 when a setting or an open incident is concerned, 0 when none is.",
)(diff)


def as_dict(rule: Rule) -> dict[str, Any]:
    """A rule as its pack file describes it; keys without a value are left out."""
    return {name: value for name, value in asdict(rule).items() if value not in (None, (), {}, "")}


@app.command(
    "list",
    epilog="Example: monitor rules list --severity critical --format json",
    help="List the rules in force, and which are lowered or silenced.",
)
def list_rules(
    family: Annotated[str | None, typer.Option(help="Only this family: cloud, ai, vcs, …", show_default=False)] = None,
    vendor: Annotated[str | None, typer.Option(help="Only this vendor.", show_default=False)] = None,
    severity: SeverityOption = None,
    confidence: Annotated[str | None, typer.Option(help="Only this confidence.", show_default=False)] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Only rules with this text in id, name, vendor or keywords.", show_default=False),
    ] = None,
    form: Annotated[
        Literal[Format, "markdown"],
        typer.Option("--format", "-f", help="How to print the data; markdown: the list that `make docs` makes."),
    ] = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.site import read_rules

    wanted = {"family": family, "vendor": vendor, "confidence": confidence}
    settings = read_config(config, rules_only=True)
    every = read_rules(settings)
    for key, value in wanted.items():
        known = {getattr(rule, key) for rule in every}
        if value is not None and value not in known:
            there = sorted(known) if len(known) <= 40 else get_close_matches(value, known, n=3)
            meant = f"; there are {', '.join(there)}" if there else ""
            fail(f"no rule has the {key} {printable(value)!r}{meant}", 2)
    rules = [
        rule
        for rule in every
        if all(value is None or getattr(rule, key) == value for key, value in wanted.items())
        and rule.severity in at_least(severity)
        and (search or "").lower() in "\n".join((rule.id, rule.name, rule.vendor, *rule.keywords)).lower()
    ]
    if form == "markdown":
        typer.echo("\n".join(_markdown(rules)))
        return
    keys = ("id", "severity", "confidence", "pack", "family", "vendor", "name")
    said = about_rules(settings, rules)
    rows = [
        {key: _pack(rule) if key == "pack" else getattr(rule, key) for key in keys}
        | {"silences": [row for row, _ in said.get(rule.id, ())]}
        for rule in rules
    ]
    now = ("now", lambda row: "; ".join(words for _, words in said.get(row["id"], ())))
    columns = (*keys, now) if said else keys
    spare = ("family", "vendor", "confidence", "pack")
    emit_list(rows, form, columns, nothing="no rule is like that", spare=spare, notes=[f"{len(rows):,} rules"])


def _pack(rule: Rule) -> str:
    """As [rules] packs names it; of your own rules their file."""
    return rule.source if rule.family == "custom" else rule.source.split("/")[1]


def _markdown(rules: Sequence[Rule]) -> Iterable[str]:
    """A section a pack, a row a rule."""
    packs: dict[str, list[Rule]] = {}
    for rule in rules:
        packs.setdefault(_pack(rule), []).append(rule)
    yield f"{len(rules)} rules in {len(packs)} packs."
    for pack, members in sorted(packs.items()):
        yield from ("", f"### {pack} ({len(members)})", "", "| rule | finds | severity | confidence |")
        yield "| --- | --- | --- | --- |"
        for rule in sorted(members, key=lambda r: (r.vendor, r.id)):
            name = rule.name.replace("|", "\\|")
            url = rule.references[0] if rule.references else ""
            linked = f"[{name}]({url})" if url.startswith("https://") and not set(url) & set(" ()|") else name
            yield f"| `{rule.id}` | {linked} | {rule.severity} | {rule.confidence} |"


@app.command("show", epilog="Example: monitor rules show github-pat", help="Show one rule in full.")
def show(
    rule_id: Annotated[str, typer.Argument(metavar="RULE", help="Id of a rule.", autocompletion=complete_rules)],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, rules_only=True)
    rule = find_rule(settings, rule_id)
    said = about_rules(settings, [rule]).get(rule.id, ())

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        for key, value in {**as_dict(rule), "now": [words for _, words in said]}.items():
            for item in value if isinstance(value, list | tuple) else [value]:
                yield f"{paint(key.ljust(18), dim=True)} {printable(str(item))}"

    emit_one({**as_dict(rule), "silences": [row for row, _ in said]}, form, text)


@app.command(
    "test",
    epilog="Example: monitor rules test github-pat --seeds 200",
    help="Check that every rule finds its examples and none of its counter-examples. All are tried together, so that "
    "one which takes the secret of another is seen; rules that are named are tried alone. Exit code 1 when one of "
    "them fails.",
)
def check(
    rule_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE]…", help="Only these rules. Default: all.", autocompletion=complete_rules),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Expand each template so many times.")] = 1,
    wrapped: Annotated[
        bool,
        typer.Option("--wrapped", help="Also inside each form of log: JSON, logfmt, access log, Docker, syslog, …"),
    ] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from detectors.author.check import FORMS, alone, check_rules
    from detectors.match.engine import Engine
    from monitor.site import read_rules, rule_errors

    settings = read_config(config, rules_only=True)
    rules = read_rules(settings)
    ids = {known_rule(rule_id, {rule.id for rule in rules}) for rule_id in rule_ids or ()}
    chosen = [rule for rule in rules if not ids or rule.id in ids]
    with rule_errors(settings):
        # Of all, overlaps between them are part of what examples check.
        engine = alone(chosen, rules) if ids else Engine.build(rules, settings.state_dir / "cache")
    forms: dict[str, Callable[[str], str]] = {"": str, **FORMS} if wrapped else {"": str}
    problems = check_rules(engine, chosen, range(1, seeds + 1), forms)
    examples = sum(len(rule.examples) for rule in chosen) * len(forms)
    counter = sum(len(rule.negative_examples) for rule in chosen) * len(forms)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        yield from problems
        if not problems:
            yield f"{len(chosen)} rules: {examples} examples found, {counter} counter-examples not found"

    emit([{"problem": problem} for problem in problems], form, text)
    fail_if(problems, f"{len(problems)} of {examples + counter} examples failed")


@app.command(
    "bench",
    epilog="Example: monitor rules bench --sample /var/log/app.log --limit 20",
    help="Measure what each rule costs the scan, worst first.\n\n"
    "`alone` is the speed of Hyperscan with what it looks for on behalf of this rule; `hits` is how often that sends "
    "text to the confirm stage. A rule that is slow alone or hit all the time slows all others down; `monitor "
    "test-pattern --rule ID` says why.",
)
def bench(
    rule_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE]…", help="Only these rules. Default: all.", autocompletion=complete_rules),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measure on the first 16 MiB of this file.", show_default="plain log lines"),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many rules; 0: all.")] = 25,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from detectors.author.tune import anchor, cost, log_text, megabytes_a_second, passing, warnings
    from detectors.match.engine import Engine
    from monitor.site import read_rules, rule_errors

    settings = read_config(config, rules_only=True)
    ids = {find_rule(settings, rule_id).id for rule_id in rule_ids or ()}
    data = _sample(sample) if sample is not None else log_text(1 << 20)
    rules = read_rules(settings)
    with rule_errors(settings):
        pack = Engine.build(rules, settings.state_dir / "cache")
    together, _ = megabytes_a_second(data, *pack.databases)
    chosen = [rule for rule in rules if not ids or rule.id in ids]
    costs = sorted((cost(rule, data) for rule in tracked(chosen, "measuring")), key=lambda c: c.alone)
    rows = [
        {
            "id": c.rule.id,
            "mb_s_alone": round(c.alone),
            "hits_per_mb": round(c.hits * 1e6 / len(data), 1),
            "passing": round(passing(c.rule), 3),
            "anchor": anchor(c.rule),
            "warnings": warnings(c.rule),
        }
        for c in (costs[:limit] if limit else costs)
    ]

    columns = (
        ("rule", "id"),
        ("MB/s alone", "mb_s_alone"),
        ("hits/MB", lambda row: f"{row['hits_per_mb']:,}"),
        ("pass", lambda row: f"{row['passing']:.0%}"),
        "anchor",
    )
    note = f"{len(rows)} of {len(costs)} rules; all {len(rules)} together: {together:,.0f} MB/s"
    emit_list(rows, form, columns, nothing="no rule was measured", notes=[note])


def _sample(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(16 << 20)
    except OSError as error:
        fail(f"{printable(str(path))}: {error.strerror}", 2)
    fail_if(
        len(data) < 64 << 10,
        f"{printable(str(path))}: {len(data):,} bytes are too few to measure on; give 64 KiB or more",
        2,
    )
    return data
