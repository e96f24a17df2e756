"""`monitor sinks`: where alerts go, and whether they arrive."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import ConfigOption, command_app, complete_sinks, fail, fail_if, printable, read_config
from monitor.cli.kit import FormatOption, emit_list, emit_one
from monitor.common.http import Http, RemoteError
from monitor.common.notification import Receipt

if TYPE_CHECKING:
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
    help="Send a test notification, at once and past no queue. Exit code 1 when it does not arrive.",
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
    row = {"name": name, "type": chosen.type, "ok": problem is None, "problem": problem, "receipt": dict(receipt or {})}

    ticket = (receipt or {}).get("ticket")
    taken = f"accepted, as {ticket}" if ticket else "accepted"
    emit_one(row, form, lambda row: [f"{name}: {printable(problem or taken)}"])
    fail_if(problem)


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
