"""`monitor sinks`: where alerts go, and whether they arrive."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    command_app,
    complete_sinks,
    emit,
    emit_one,
    fail,
    printable,
    read_config,
    table,
)

if TYPE_CHECKING:
    from monitor.common.notification import Receipt
    from sinks.base import SinkConfig

app = command_app(
    no_args_is_help=True,
    help="List the sinks and send test notifications.",
    epilog="Example: monitor sinks test pager",
)


@app.command("list", epilog="Example: monitor sinks list --format json", help="List the configured sinks.")
def list_sinks(form: FormatOption = Format.text, config: ConfigOption = None) -> None:
    sinks = read_config(config, needs=("sinks",)).sinks
    rows = [{"name": sink.name, "type": sink.type, "fallback": sink.fallback} for sink in sinks]

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        if not rows:
            yield "no sinks: incidents are kept and nobody is told; add [[sinks]] to the configuration"
            return
        yield from table(("name", "type", "fallback"), [[r["name"], r["type"], r["fallback"] or "-"] for r in rows])

    emit(rows, form, text)


@app.command(
    "test",
    epilog="Example: monitor sinks test pager",
    help="Send a test notification, at once and past no queue. Exit code 1 when it does not arrive.",
)
def check(
    name: Annotated[str, typer.Argument(help="Name of a sink.", autocompletion=complete_sinks)],
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    from monitor.common.http import RemoteError

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

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        yield f"{name}: {printable(problem)}" if problem else f"{name}: accepted"

    emit_one(row, form, text)
    if problem:
        raise typer.Exit(1)


async def _send(config: SinkConfig, host: str) -> Receipt | None:
    from monitor.common.http import Http
    from monitor.common.notification import Notification
    from sinks import load_sink

    identity = f"test-{secrets.token_hex(8)}"
    notification = Notification(
        id=identity,
        key=identity,
        reason="test",
        title="Test of the exposure monitor",
        text=f"Sent by `monitor sinks test {config.name}` on {host}. Nothing has leaked.",
        host=host,
    )
    http = Http()
    try:
        sink = load_sink(config.type)(config, http)
        try:
            return await sink.send(notification)
        finally:
            await sink.close()
    finally:
        await http.close()
