"""`monitor sample`: ammunition for a fire drill."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import ConfigOption, command_app, complete_rules, fail, fail_if, find_rule, read_config
from monitor.cli.kit import FormatOption, emit
from monitor.config.state import key

if TYPE_CHECKING:
    from detectors.match.engine import Worker
    from detectors.match.outcome import Match
    from detectors.rules.rule import Rule
    from monitor.config.config import Config

app = command_app()

TRIES = 200  # random text may fail its own rule's entropy filter; so many attempts before the rule is to blame
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+\Z")


class NoSampleError(Exception):
    """No example of a rule is found by it. The message names the rule."""


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
    rule = find_rule(settings, rule_id)
    worker = worker_for(rule, read_rules(settings))
    start = secrets.token_hex(16) if seed is None else seed
    rows = ({"rule": rule.id, "sample": one(worker, rule, f"{start}/{n}", line=line)} for n in range(count))
    try:
        emit(rows, form, lambda rows: (row["sample"] for row in rows))
    except NoSampleError as error:
        fail(str(error), 2)


def worker_for(rule: Rule, rules: Iterable[Rule]) -> Worker:
    from detectors.author.check import alone

    return alone([rule], rules).worker()


def one(worker: Worker, rule: Rule, seed: str, *, line: bool = False) -> str:
    """A text in which `worker` finds `rule`. Raises NoSampleError when no example gives one."""
    from detectors.rules.template import expand

    for attempt in range(TRIES):
        template = rule.examples[attempt % len(rule.examples)]
        text = expand(template, f"{seed}/{attempt}")
        found = [match for match in worker.scan(text.encode()) if match.rule.id == rule.id]
        if not found:
            continue
        if not line and not found[0].decode:
            bare = found[0].secret
            again = [match.secret for match in worker.scan(bare) if match.rule.id == rule.id]
            if again == [bare]:
                return bare.decode()
        return text
    raise NoSampleError(f"{rule.id}: no example satisfies the rule; run `monitor rules test`")


@dataclass(frozen=True, slots=True)
class Ammunition:
    """A synthetic secret. `value`: on one line; `line`: as it stands in a file of settings; the fingerprints by which
    the rules in force find it: `logged` in a log, its own rule's first, `written` in that line, `others` elsewhere."""

    value: str = field(repr=False)
    line: str = field(repr=False)
    logged: list[str]
    written: list[str]
    others: list[str]


def ammunition(settings: Config, rule: Rule) -> Ammunition:
    """A new one of the rule. Ends the command with exit code 2 where no log would show it, or where it is always the
    same: what lies somewhere already is no drill, and no canary."""
    from detectors.fingerprint import fingerprint
    from monitor.site import build_engine, read_rules

    own = key(settings)
    try:
        alone = worker_for(rule, read_rules(settings))
        raw, another = (one(alone, rule, secrets.token_hex(16)) for _ in range(2))
    except NoSampleError as error:
        fail(str(error), 2)
    value = raw.replace("\n", "\\n")
    worker, before = build_engine(settings).worker(), "nothing leaked: "

    logged = worker.scan(f"{before}{value}\n".encode())
    logged.sort(key=lambda match: match.rule.id != rule.id)
    fail_if(
        not logged or logged[0].rule.id != rule.id,
        f"rule {rule.id} finds none of its own secrets in a log line; choose another with --rule",
        2,
    )
    bare = min(match.start for match in logged) == len(before) or bool(_URL.match(value))
    line = f"{re.sub('[^A-Z0-9]', '_', rule.id.upper())}={value}" if bare else value

    def prints(matches: Sequence[Match]) -> list[str]:
        return list(dict.fromkeys(fingerprint(own, match.secret) for match in matches))

    written = prints(worker.scan(f"{line}\n".encode()))
    others = [print_ for print_ in prints([*logged, *worker.scan(raw.encode())]) if print_ not in written]
    fail_if(
        not {*written, *others}.isdisjoint(prints(worker.scan(another.encode()))),
        f"the examples of rule {rule.id} hold a fixed secret: write it as a template, such as {{alnum:20}}",
        2,
    )
    return Ammunition(value, line, prints(logged), written, others)
