"""`monitor drill`: plant a synthetic secret and follow it to the page, hop by hop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
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
from monitor.cli.sample import Ammunition, ammunition
from monitor.drill.plant import KINDS, DrillError, spot

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.drill.follow import Hop
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
        birds.plant(settings, canary, ammunition(settings, known), known.id, at=at, note=note)
    if canaries or forget is not None or canary is not None:
        return
    patience, chosen = lasting("--timeout", timeout), _source(settings, source)
    shot, hops = ammunition(settings, find_rule(settings, rule)), []

    def came(hop: Hop) -> None:
        hops.append(hop)
        if form == "text":
            typer.echo(f"{hop.seconds:9.3f} s  {hop.name.ljust(14)} {printable(hop.detail)}".rstrip())

    broken = _follow(settings, chosen, at, shot, page=page, patience=patience, came=came)
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


def _follow(
    settings: Config,
    source: SourceConfig,
    at: str | None,
    shot: Ammunition,
    *,
    page: bool,
    patience: float,
    came: Callable[[Hop], None],
) -> DrillError | None:
    """Plant it, which is the first hop, and follow it; what is returned says which one did not come."""
    from monitor.drill.follow import Follower, Hop

    pagers = () if page else tuple(sink.name for sink in settings.sinks if sink.pages)

    async def run(store: Store) -> None:
        if (task := asyncio.current_task()) is not None:  # it takes back what it planted, as after Ctrl-C
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        place = spot(source, at)
        await store.drills.plan(shot.logged, pages=page)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            planted = await place.plant(f"{now} INFO exposure-monitor drill, nothing leaked: {shot.value}")
            came(Hop("planted", 0.0, redacted(settings, place.place)))
            follower = Follower(store, f"{person()} (drill)", patience, came, source.name, place.look, pagers)
            await follower.follow(shot.logged[0], planted)
        finally:
            place.remove()

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
