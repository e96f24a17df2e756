"""`monitor sample`: ammunition for a fire drill."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from monitor.cli.common import ConfigOption, command_app, complete_rules, fail, known_rule, read_config
from monitor.cli.kit import FormatOption, emit
from monitor.drill.ammunition import NoSampleError, synthetic, worker_for

app = command_app()


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
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.site import read_rules

    settings = read_config(config, rules_only=True)
    known = {rule.id: rule for rule in read_rules(settings)}
    rule = known[known_rule(rule_id, known)]
    worker = worker_for(rule, known.values())
    start = secrets.token_hex(16) if seed is None else seed
    rows = ({"rule": rule.id, "sample": synthetic(worker, rule, f"{start}/{n}", line=line)} for n in range(count))
    try:
        emit(rows, form, lambda rows: (row["sample"] for row in rows))
    except NoSampleError as error:
        fail(str(error), 2)
