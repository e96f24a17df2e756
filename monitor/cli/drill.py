"""`monitor drill`: plant a synthetic secret and follow it to the page, hop by hop."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    command_app,
    complete_rules,
    emit_one,
    fail,
    find_rule,
    person,
    printable,
    read_config,
    with_store,
)

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.drill import Hop
    from monitor.sources.file.source import FileConfig
    from monitor.store import Store

app = command_app()


@app.command(
    epilog="Example: monitor drill services",
    help="Plant a synthetic secret in a file that a source follows, and see it detected, routed, told, acknowledged "
    "and closed by the monitor that runs; print when each hop came. Everybody is told that it is a drill; pagers are "
    "not told at all, unless --page is given. Exit code 1, with the hop that did not come, when one is missing.",
)
def drill(
    *,
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="A file source; default: the first.")] = None,
    rule: Annotated[str, typer.Option(help="What kind of secret.", autocompletion=complete_rules)] = "github-pat",
    file: Annotated[
        Path | None, typer.Option(help="Append to this file instead of a new one.", show_default=False)
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Tell pagers, too: somebody is woken.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for each hop.")] = "60s",
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    from monitor.common.duration import parse_duration
    from monitor.drill import DrillError, Follower, place, plant

    settings = read_config(config)
    try:
        patience = parse_duration(timeout)
    except ValueError as error:
        fail(f"--timeout {error}", 2)
    chosen = _source(settings, source)
    secret, prints = _ammunition(settings, rule)
    pagers = () if page else tuple(sink.name for sink in settings.sinks if sink.pages)
    hops: list[Hop] = []

    def came(hop: Hop) -> None:
        hops.append(hop)
        if form is Format.text:
            typer.echo(f"{hop.seconds:9.3f} s  {hop.name.ljust(14)} {printable(hop.detail)}".rstrip())

    async def run(store: Store) -> tuple[DrillError | None]:
        path = place(chosen, file)
        await store.drills.plan(prints, pages=page)
        planted = plant(path, secret)
        if form is Format.text:
            typer.echo(f"{0:9.3f} s  {'planted'.ljust(14)} {printable(str(path))}")
        try:
            follower = Follower(store, f"{person()} (drill)", patience, came, pagers)
            await follower.follow(prints[0], planted.at)
        except DrillError as error:
            return (error,)
        finally:
            planted.remove()
        return (None,)

    try:
        unborn: tuple[DrillError | None] = (DrillError("detected", "no monitor has run on this state yet"),)
        (broken,) = with_store(settings, run, missing=unborn)
    except DrillError as error:
        broken = error
    row = {
        "source": chosen.name,
        "rule": rule,
        "ok": broken is None,
        "hops": [{"hop": one.name, "seconds": round(one.seconds, 3), "detail": one.detail} for one in hops],
        "broken": None if broken is None else broken.hop,
        "why": None if broken is None else str(broken),
    }

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        yield "broken" if broken else "every hop came"

    emit_one(row, form, text)
    if broken is not None:
        fail(printable(f"drill: {broken.hop}: {broken}"))


def _source(settings: Config, name: str | None) -> FileConfig:
    from monitor.sources.file.source import FileConfig

    files = [source for source in settings.sources if isinstance(source, FileConfig)]
    known = ", ".join(one.name for one in files) or "there is none"
    found = next((one for one in files if name in (None, one.name)), None)
    if found is None:
        fail(f"no file source is named {printable(name or '')!r}; file sources: {known}", 2)
    return found


def _ammunition(settings: Config, rule_id: str) -> tuple[str, list[str]]:
    """A synthetic secret of the rule, and the fingerprints under which the rules in force will find it."""
    from detectors.fingerprint import fingerprint
    from monitor.cli.sample import one, worker_for
    from monitor.site import build_engine, read_rules
    from monitor.state import key

    rule = find_rule(settings, rule_id)
    secret = one(worker_for(rule, read_rules(settings)), rule, secrets.token_hex(16)).replace("\n", "\\n")
    matches = build_engine(settings).worker().scan(f"nothing leaked: {secret}\n".encode())
    found = [fingerprint(key(settings), match.secret) for match in matches if match.rule.id == rule.id]
    others = [fingerprint(key(settings), match.secret) for match in matches if match.rule.id != rule.id]
    if not found:
        fail(f"rule {rule.id} finds none of its own secrets in a log line; choose another with --rule", 2)
    return secret, list(dict.fromkeys([*found, *others]))
