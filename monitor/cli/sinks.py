"""`monitor sinks`: where alerts go, and whether they arrive."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import ConfigOption, command_app, complete_sinks, fail, fail_if, printable, read_config
from monitor.cli.kit import FormatOption, emit_list, emit_one
from monitor.cli.running import NoAnswerError, daemon_status
from monitor.common.http import Http, RemoteError
from monitor.common.notification import Receipt

if TYPE_CHECKING:
    from monitor.config.config import Config
    from sinks.base import SinkConfig

app = command_app(
    no_args_is_help=True,
    help="List the sinks and send test notifications.",
    epilog="Example: monitor sinks test pager",
)


@app.command("list", epilog="Example: monitor sinks list --format json", help="List the configured sinks.")
def list_sinks(form: FormatOption = "text", config: ConfigOption = None) -> None:
    sinks = read_config(config, needs=("sinks",)).sinks
    rows = [{"name": sink.name, "type": sink.type, "fallback": sink.fallback} for sink in sinks]

    nothing = "no sinks: incidents are stored and nobody is alerted; add [[sinks]] to the configuration"
    emit_list(rows, form, ("name", "type", "fallback"), nothing=nothing)


@app.command(
    "test",
    epilog="Example: monitor sinks test pager",
    help="Send a test notification, at once and past no queue. Exit code 1 when it does not arrive, or the "
    "daemon that runs could not send it.",
)
def check(
    name: Annotated[str, typer.Argument(help="Name of a sink.", autocompletion=complete_sinks)],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, enter=True, needs=("sinks",))
    chosen = next((sink for sink in settings.sinks if sink.name == name), None)
    if chosen is None:
        known = ", ".join(sink.name for sink in settings.sinks) or "none is configured"
        fail(f"no sink is called {printable(name)!r}; sinks: {known}", 2)
    problem: str | None = None
    receipt: Receipt | None = None
    try:
        receipt = asyncio.run(_send(chosen, settings.monitor.node or socket.gethostname()))
    except RemoteError as error:
        problem = str(error)
    daemon, unasked = _of_the_daemon(settings, name)
    ok = not (problem or daemon)
    row = {"name": name, "type": chosen.type, "ok": ok, "problem": problem, "receipt": dict(receipt or {})}

    ticket = (receipt or {}).get("ticket")
    taken = f"accepted, as {ticket}" if ticket else "accepted"
    lines = [f"{name}: {printable(problem or taken)}", *([printable(daemon)] if daemon else [])]
    emit_one({**row, "daemon": daemon or unasked}, form, lambda row: lines)
    if unasked and form == "text":
        typer.echo(f"whether a daemon can send it is not known: {printable(unasked)}", err=True)
    fail_if(problem or daemon)


def _of_the_daemon(settings: Config, name: str) -> tuple[str | None, str | None]:
    """What keeps the daemon that runs from sending to the sink, and why it could not be asked. It has another
    environment than this shell, and perhaps another configuration than the file now."""
    try:
        status = daemon_status(settings)
    except NoAnswerError as error:
        return None, str(error)
    names = [sink["name"] for sink in status["sinks"]]
    if name not in names:
        return f"the daemon that runs has no sink {name!r}: reload it, or restart it", None
    within = f"sinks[{names.index(name)}]."
    missing = [why for key, why in status["daemon"]["problems"].items() if key.startswith(within)]
    return ("the daemon that runs cannot send it: " + "; ".join(missing)) if missing else None, None


async def _send(config: SinkConfig, host: str) -> Receipt | None:
    from sinks import load_sink
    from sinks.base import Closes
    from sinks.trial import trial

    http = Http()
    try:
        sink = load_sink(config.type)(config, http)
        try:
            return await trial(sink, f"`monitor sinks test {config.name}`", host)
        finally:
            if isinstance(sink, Closes):
                await sink.close()
    finally:
        await http.close()
