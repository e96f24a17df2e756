"""`monitor silences`: who is not told of what, until when, and why."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    command_app,
    fail,
    fail_if,
    find_rule,
    lasting,
    person,
    printable,
    read_config,
    redacted,
    typed,
    with_store,
)
from monitor.cli.kit import FormatOption, emit_list, emit_one, spoken
from monitor.common.severity import Severity
from monitor.common.wording import moment

if TYPE_CHECKING:
    from detectors.rules.rule import Rule
    from monitor.config.config import Config
    from monitor.domain.incidents import Incident
    from monitor.routing.routes import Silence
    from monitor.store.silences import SilenceRule

app = command_app(
    no_args_is_help=True,
    help="Alert nobody to incidents that match, for a while, or lower a rule. What is held back is sent when the "
    "silence ends.",
    epilog="Example: monitor silences add 'service=\"billing\"' --for 4h --note 'being migrated'",
)


@app.command(
    "list",
    epilog="Examples:\n\n  monitor silences list --format jsonl\n\n  monitor silences list --over",
    help="The silences that are not over: of the configuration, of `silences add`, and of single incidents.",
)
def list_silences(
    *,
    over: Annotated[bool, typer.Option(help="Those of `add` that ended in the last 30 days instead.")] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.report.silenced import rule_row, silence_rows

    settings = read_config(config, store_only="look")
    if over:
        rows = [
            rule_row(rule) for rule in with_store(settings, lambda store: store.silences.over(), missing=lambda: [])
        ]
    else:
        rules, single = with_store(settings, lambda store: store.silences.list(), missing=lambda: ([], []))
        rows = silence_rows(settings.silences, rules, single, time.time())
    columns = (
        "id",
        ("silenced", _meant),
        ("from", "starts"),
        ("until", lambda row: spoken(row["ends"], "for ever")),
        "by",
        ("why", lambda row: row["reason"] + _ending(row)),
    )
    nothing = "no silence is over" if over else "nothing is silenced"
    emit_list(rows, form, columns, nothing=nothing, spare=("from", "by"))


@app.command(
    "add",
    epilog="Examples:\n\n  monitor silences add 'severity=~\"low|medium\"' 'source=\"staging\"' --for 2d "
    "--note 'load test'\n\n  monitor silences add 'rule=\"jwt\"' --lower-to low --for 30d --note 'test data'",
    help="Silence the incidents that fit every matcher, present ones and those that come. Nobody is alerted, and no "
    "deadline is missed, until it ends. Matchers are those of routes; `monitor routes test --incident ID` tries "
    "them.\n\n"
    "With --lower-to nobody is silenced: what the one rule finds opens no worse than that until then. What is open "
    "keeps its severity; what is seen again after the end gets that of the rule. What an issuer says outranks it.",
)
def add(
    *,
    matchers: Annotated[list[str], typer.Argument(metavar="MATCHER…", help='Such as severity="low".')],
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 4h.")],
    reason: Annotated[str, typer.Option("--note", "-m", help="Why.")],
    starts: Annotated[datetime | None, typer.Option(metavar="TIME", help="When it begins, UTC; now, without.")] = None,
    lower_to: Annotated[
        Severity | None, typer.Option(help="Alert, but lower the rule to this.", show_default=False)
    ] = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.report.silenced import rule_row
    from monitor.routing.match import Matcher
    from monitor.store.silences import ONE_RULE, rule_alone

    seconds = lasting("--for", duration)
    fail_if(seconds <= 0 or not reason.strip(), "--for must be longer than nothing, and --note say why", 2)
    settings = read_config(config, store_only="act")
    for text in matchers:
        try:
            why = Matcher.parse(text).impossible()
        except ValueError as error:
            why = str(error)
        if why:
            fail(printable(redacted(settings, why)), 2)
    if lower_to is not None:
        fail_if(not (lowered := rule_alone(matchers)), f"--lower-to: {ONE_RULE}", 2)
        matchers = [f'rule="{find_rule(settings, lowered).id}"']
    begin = None if starts is None else starts.replace(tzinfo=starts.tzinfo or UTC).timestamp()
    fail_if(
        begin is not None and begin + seconds <= time.time(),
        "--starts lies so far back that the silence is over already",
        2,
    )

    kept = [typed(settings, text) for text in matchers]
    fail_if(
        kept != matchers, "a matcher holds a secret, which would be stored; match by rule, source or name instead", 2
    )
    why = typed(settings, reason.strip())
    rule = with_store(
        settings,
        lambda store: store.silences.add(kept, seconds, actor=person(), reason=why, starts=begin, severity=lower_to),
    )

    does = f"lowers to {lower_to}" if lower_to else "silences"
    said = f"{rule.id} {does} {printable(', '.join(rule.matchers))} until {moment(rule.ends)}"
    emit_one(rule_row(rule), form, lambda _row: [said])


@app.command(
    "end",
    epilog="Example: monitor silences end 3f2a91bc",
    help="End what `silences add` said now; what it held back is sent. Those of the configuration end there. "
    "`silences list --over` says who ended which.",
)
def end(
    silence: Annotated[str, typer.Argument(metavar="ID", help="As `silences list` shows it, or a unique start.")],
    note: Annotated[str, typer.Option("--note", "-m", help="Why.", show_default=False)] = "",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="act")
    why = typed(settings, note.strip())
    rule = with_store(settings, lambda store: store.silences.end(silence, actor=person(), note=why))
    typer.echo(f"{rule.id} {'silences' if rule.severity is None else 'lowers'} nothing any more")


def holding(settings: Config, rules: Sequence[SilenceRule], incident: Incident) -> list[dict[str, Any]]:
    """The silences by what incidents are that hold this one back now, as `list` has them, with `places`: how many of
    its newest ten they take, and `of`."""
    from monitor.report.routed import places_of
    from monitor.report.silenced import configured_row, rule_row
    from monitor.store.silences import silence_of

    now = time.time()
    places = places_of(incident)
    known: list[tuple[Silence, dict[str, Any]]] = [(one, configured_row(one)) for one in settings.silences]
    known += [(silence_of(rule), rule_row(rule)) for rule in rules if rule.severity is None]
    found = []
    for silence, row in known:
        if count := sum(silence.until(place, now) is not None for place in places):
            found.append(row | {"places": count, "of": len(places)})
    return found


def in_words(row: Mapping[str, Any]) -> str:
    """One of `holding`, for people."""
    end = f"until {spoken(row['ends'])}" if row["ends"] else "for ever"
    which = f"silence {row['id']}" if row["id"] else "a silence of the configuration"
    where = f", at {row['places']} of {row['of']} places" if row["places"] < row["of"] else ""
    why = f" ({row['by']}: {row['reason']})" if row["reason"] else f" ({row['by']})"
    ends = f"; `silences end {row['id']}` ends it" if row["id"] else ""
    return printable(f"{end} by {which}, {', '.join(row['matchers'])}{where}{why}{ends}")


def quiet_rules(settings: Config) -> tuple[list[SilenceRule], str]:
    """Rules that people have lowered or silenced, of each nothing beside its id; and why they are not known, empty
    where they are or there is no database yet. Makes and mends nothing."""
    import asyncio

    from monitor.config.locate import ConfigError
    from monitor.config.state import database, existing_key

    try:
        url = database(settings)
        if (isinstance(url, Path) and not url.exists()) or existing_key(settings) is None:
            return [], ""
    except (ConfigError, OSError) as error:
        return [], str(error)
    from monitor.common.process import log_apart
    from monitor.site import present_store
    from monitor.store import StoreError

    async def read() -> tuple[list[SilenceRule], str]:
        async with present_store(settings) as (store, why):
            rules, _ = await store.silences.list() if store is not None else ([], [])
            return [rule for rule in rules if rule.rule], why

    log_apart()
    try:
        return asyncio.run(read())
    except StoreError as error:
        return [], str(error)


def about_rules(settings: Config, rules: Sequence[Rule]) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """Of each rule that people have lowered or silenced, how: as `monitor silences list` has it, and in words."""
    quiet, why = quiet_rules(settings)
    if why:
        typer.echo(f"note: which rules are lowered or silent is not known: {printable(why)}", err=True)
    if not quiet:
        return {}
    from monitor.report.silenced import rule_row
    from monitor.store.lowering import about_rule, by_rule

    by_id = by_rule(quiet)
    known = {rule.id: about_rule(by_id, rule.id) for rule in rules}
    return {rule: [(rule_row(one), rule_in_words(one)) for one in said] for rule, said in known.items() if said}


def rule_in_words(rule: SilenceRule) -> str:
    """That it is lowered or silent, for people."""
    does = f"lowered to {rule.severity}" if rule.severity else "silent"
    begins = f"from {moment(rule.starts)} " if rule.starts > time.time() else ""
    return printable(f"{does} {begins}until {moment(rule.ends)} by {rule.by}: {rule.reason}")


def _meant(row: Mapping[str, Any]) -> object:
    lowered = f", lowered to {row['severity']}" if row["severity"] else ""
    return ", ".join(row["matchers"]) + lowered if row["matchers"] else f"incident {row['incident']}"


def _ending(row: Mapping[str, Any]) -> str:
    why = f": {row['ended_why']}" if row["ended_why"] else ""
    return f"; ended by {row['ended_by']}{why}" if row["ended_by"] is not None else ""
