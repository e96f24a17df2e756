"""`monitor sample`: ammunition for a fire drill."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import ConfigOption, command_app, complete_rules, find_rule, read_config

if TYPE_CHECKING:
    from detectors.engine import Worker
    from detectors.rule import Rule

app = command_app()

TRIES = 200  # random text may fail its own rule's entropy filter; so many attempts before the rule is to blame


@app.command(
    epilog="Example: monitor sample github-pat >> var/log/demo.log",
    help="Print synthetic secrets that satisfy a rule, checksum included.\n\n"
    "They are random and belong to nobody: put one where a real one might leak, and see the alert arrive. A rule that "
    "knows its secret only by what stands around it gives the whole line.",
)
def sample(
    rule_id: Annotated[
        str,
        typer.Argument(metavar="RULE", help="Id of a rule; see `monitor rules list`.", autocompletion=complete_rules),
    ],
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 1,
    line: Annotated[bool, typer.Option("--line", help="The whole example line around the secret.")] = False,
    seed: Annotated[str | None, typer.Option(help="The same samples each time.", show_default=False)] = None,
    config: ConfigOption = None,
) -> None:
    from detectors.engine import Engine

    rule = find_rule(read_config(config, optional=True), rule_id)
    worker = Engine.build([rule]).worker()
    start = secrets.token_hex(16) if seed is None else seed
    for number in range(count):
        typer.echo(one(worker, rule, f"{start}/{number}", line=line))


def one(worker: Worker, rule: Rule, seed: str, *, line: bool = False) -> str:
    """A text that `worker`, built of `rule` alone, accepts. Raises RuntimeError when no example gives one."""
    from detectors.template import expand

    for attempt in range(TRIES):
        template = rule.examples[attempt % len(rule.examples)]
        text = expand(template, f"{seed}/{attempt}")
        matches = worker.scan(text.encode())
        if not matches:
            continue
        if not line and not matches[0].decode:
            bare = matches[0].secret
            again = worker.scan(bare)
            if again and again[0].secret == bare:
                return bare.decode()
        return text
    raise RuntimeError(f"{rule.id}: no example satisfies the rule; run `monitor rules test`")
