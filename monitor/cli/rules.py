"""`monitor rules`: what is looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
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
    read_config,
    read_rules,
    rule_errors,
    table,
)

if TYPE_CHECKING:
    from detectors.rule import Rule

app = command_app(no_args_is_help=True, help="List, show and test the detection rules.")


def as_dict(rule: Rule) -> dict[str, Any]:
    """A rule as its pack file describes it; keys without a value are left out."""
    return {name: value for name, value in asdict(rule).items() if value not in (None, (), {}, "")}


@app.command(
    "list", epilog="Example: monitor rules list --severity critical --format json", help="List the rules in force."
)
def list_rules(
    family: Annotated[str | None, typer.Option(help="Only this family: cloud, ai, vcs, …", show_default=False)] = None,
    vendor: Annotated[str | None, typer.Option(help="Only this vendor.", show_default=False)] = None,
    severity: Annotated[str | None, typer.Option(help="Only this severity.", show_default=False)] = None,
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    wanted = {"family": family, "vendor": vendor, "severity": severity}
    rows = [
        {
            "id": rule.id,
            "severity": rule.severity,
            "confidence": rule.confidence,
            "family": rule.family,
            "vendor": rule.vendor,
            "name": rule.name,
        }
        for rule in read_rules(read_config(config, optional=True))
        if all(value is None or getattr(rule, key) == value for key, value in wanted.items())
    ]

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        head = ("id", "severity", "confidence", "family", "vendor", "name")
        yield from table(head, [[row[key] for key in head] for row in rows])
        yield f"{len(rows)} rules"

    emit(rows, form, text)


@app.command("show", epilog="Example: monitor rules show github-pat", help="Show one rule in full.")
def show(
    rule_id: Annotated[str, typer.Argument(metavar="RULE", help="Id of a rule.", autocompletion=complete_rules)],
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    def text(row: Mapping[str, Any]) -> Iterable[str]:
        for key, value in row.items():
            for item in value if isinstance(value, list | tuple) else [value]:
                yield f"{paint(key.ljust(18), dim=True)} {printable(str(item))}"

    emit_one(as_dict(find_rule(read_config(config, optional=True), rule_id)), form, text)


@app.command(
    "test",
    epilog="Example: monitor rules test github-pat --seeds 200",
    help="Check that every rule finds its examples and none of its counter-examples. Exit code 1 when one does not.",
)
def check(
    rule_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE]…", help="Only these rules. Default: all.", autocompletion=complete_rules),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Expand each template so many times.")] = 1,
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    from detectors.check import check_rules
    from detectors.engine import Engine

    settings = read_config(config, optional=True)
    wanted = [find_rule(settings, rule_id) for rule_id in rule_ids or ()]
    with rule_errors(settings):
        # Compiled with all rules, as overlaps between rules are part of what examples check.
        engine = Engine.build(read_rules(settings), settings.state_dir / "cache")
    ids = {rule.id for rule in wanted}
    chosen = [rule for rule in engine.rules if not ids or rule.id in ids]
    problems = check_rules(engine, chosen, range(1, seeds + 1))
    examples = sum(len(rule.examples) for rule in chosen)
    counter = sum(len(rule.negative_examples) for rule in chosen)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        yield from problems
        if not problems:
            yield f"{len(chosen)} rules: {examples} examples found, {counter} counter-examples not found"

    emit([{"problem": problem} for problem in problems], form, text)
    if problems:
        fail(f"{len(problems)} of {examples + counter} examples failed")
