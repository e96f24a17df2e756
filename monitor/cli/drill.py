"""`monitor drill`: plant a synthetic secret and follow it to the page, hop by hop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import canaries as birds
from monitor.cli.common import (
    ConfigOption,
    command_app,
    complete_rules,
    fail,
    find_rule,
    lasting,
    person,
    printable,
    read_config,
    redacted,
    with_store,
)
from monitor.cli.kit import FormatOption, emit_one
from monitor.drill.ammunition import Ammunition, NoSampleError, ammunition
from monitor.drill.plant import KINDS, DrillError

if TYPE_CHECKING:
    from detectors.rules.rule import Rule
    from monitor.config.config import Config
    from monitor.drill.follow import Hop
    from monitor.drill.run import FireDrill
    from monitor.sources.base import SourceConfig
    from monitor.store import Store

app = command_app()

PlaceOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        "--file",
        metavar="PLACE",
        help="Where in the source: a file to append to, a topic, an address of listen, a path such as /v1/logs.",
        show_default=False,
    ),
]


@app.command(
    epilog="Examples:\n\n  monitor drill services\n\n  monitor drill --canary backup-env --at /srv/backup/.env",
    help="Plant a synthetic secret in a source, and follow it hop by hop to the alert and to its end. The source is a "
    "file or a container's log, the journal, an MQTT topic, or what listens for syslog or HTTP; the monitor that runs "
    "detects it, routes it, alerts, and has it acknowledged and closed. Each alert says that it is a drill; pagers get "
    "none, unless --page is given. Exit code 1, with the hop that did not come, when one is missing.\n\n"
    "With --canary it plants one that stays, and that is an alarm when it is seen anywhere else.",
)
def drill(
    *,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Default: the first that follows files, else the first.")
    ] = None,
    rule: Annotated[str, typer.Option(help="What kind of secret.", autocompletion=complete_rules)] = "github-pat",
    at: PlaceOption = None,
    page: Annotated[bool, typer.Option("--page", help="Alert pagers, too: somebody is woken.")] = False,
    canary: Annotated[
        str | None, typer.Option(metavar="NAME", help="Plant one that stays, in the file --at.", show_default=False)
    ] = None,
    note: Annotated[str, typer.Option(help="Where the canary lies, in words, for its alarm.", show_default=False)] = "",
    canaries: Annotated[bool, typer.Option("--canaries", help="List the canaries.")] = False,
    forget: Annotated[
        str | None, typer.Option(metavar="NAME", help="Forget a canary that was taken away.", show_default=False)
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for each hop.")] = "60s",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config)
    if canaries:
        birds.show(settings, form)
    if forget is not None:
        birds.forget(settings, forget)
    if canary is not None:
        known = find_rule(settings, rule)
        birds.plant(settings, canary, _ammunition(settings, known), known.id, at=at, note=note)
    if canaries or forget is not None or canary is not None:
        return
    from monitor.drill.follow import Hop
    from monitor.drill.run import FireDrill

    patience, chosen = lasting("--timeout", timeout), _source(settings, source)
    kind, hops = find_rule(settings, rule), list[Hop]()
    shot = _ammunition(settings, kind)

    def came(hop: Hop) -> None:
        hops.append(hop)
        if form == "text":
            typer.echo(f"{hop.seconds:9.3f} s  {hop.name.ljust(14)} {printable(hop.detail)}".rstrip())

    pagers = tuple(sink.name for sink in settings.sinks if sink.pages)
    masked = partial(redacted, settings)
    planned = FireDrill(chosen, at, kind.id, shot, page, pagers, person(), patience, masked)
    broken = _follow(settings, planned, came)
    why = None if broken is None else redacted(settings, str(broken))  # it may quote what was typed
    row = {
        "source": chosen.name,
        "rule": rule,
        "ok": broken is None,
        "hops": [{"hop": one.name, "seconds": round(one.seconds, 3), "detail": one.detail} for one in hops[1:]],
        "broken": None if broken is None else broken.hop,
        "why": why,
    }
    emit_one(row, form, lambda _row: ["broken" if broken else "every hop came"])
    if broken is not None:
        fail(printable(f"drill: {broken.hop}: {why}"))


def _ammunition(settings: Config, rule: Rule) -> Ammunition:
    """A new one. Ends the command with exit code 2 where it would be no drill."""
    from monitor.config.state import key
    from monitor.site import build_engine, read_rules

    try:
        return ammunition(rule, read_rules(settings), lambda: build_engine(settings), key(settings))
    except NoSampleError as error:
        fail(str(error), 2)


def _follow(settings: Config, planned: FireDrill, came: Callable[[Hop], None]) -> DrillError | None:
    """See it through; what is returned says which hop did not come."""

    async def run(store: Store) -> None:
        if (task := asyncio.current_task()) is not None:  # it takes back what it planted, as after Ctrl-C
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await planned.run(store, came)

    def unborn() -> None:
        raise DrillError("detected", "no monitor has run on this state yet")

    try:
        with_store(settings, run, missing=unborn)
    except DrillError as error:
        return error
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    return None


def _source(settings: Config, name: str | None) -> SourceConfig:
    """The one of that name; without one, the first that follows files, else the first in which something can be
    planted."""

    fitting = [source for source in settings.sources if source.type in KINDS]
    known = ", ".join(one.name for one in fitting) or "there is none"
    if name is None:
        fitting.sort(key=lambda one: one.type != "file")
    found = next((one for one in fitting if name in (None, one.name)), None)
    if found is None:
        other = next((source for source in settings.sources if source.name == name), None)
        why = f"no source is named {printable(redacted(settings, name))!r}" if name else "there is nothing to plant in"
        if other is not None:
            why = f"nothing can be planted in {other.name}, which is of type {other.type}"
        fail(f"{why}; sources to drill: {known}", 2)
    return found
