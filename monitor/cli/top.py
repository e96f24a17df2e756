"""`monitor top`: what the monitor is doing now, on a terminal or as data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, command_app, json_text, read_config, started
from monitor.cli.kit import Format, FormatOption, emit_one
from monitor.cli.running import NoAnswerError, daemon_status

if TYPE_CHECKING:
    from monitor.config.config import Config

app = command_app(help="Show what the monitor does now: sources, sinks, queue, losses and the cost of rules.")

_SHORTEST = 0.2  # seconds between two looks


@app.command(epilog="Example: monitor top --once --format json")
def top(
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    interval: Annotated[float, typer.Option("--interval", "-n", help="Seconds between two looks.")] = 2.0,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    """Show what the monitor does now: sources, sinks, queue, losses and the cost of rules.

    Asks the daemon that runs; its database where none answers. `q` or Ctrl-C ends it."""
    from monitor.cli.top_page import page

    settings = read_config(config, enter=True)
    if once:
        emit_one(_look(settings), form, page)
        return
    interval = max(interval, _SHORTEST)
    started()
    with contextlib.suppress(KeyboardInterrupt):
        if form == "text" and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            _screen(settings, interval, page)
        else:
            _stream(settings, interval, form, page)


def _stream(settings: Config, interval: float, form: Format, page: Callable[[Any], Any]) -> None:
    """For a pipe: one look after the other."""
    while True:
        status = _look(settings)
        text = "\n".join([*page(status), ""]) if form == "text" else json_text(status, indent=form == "json")
        typer.echo(text)
        time.sleep(interval)


def _screen(settings: Config, interval: float, page: Callable[[Any], Any]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = [*page(_look(settings))]
            room = max(console.size.height - 1, 1)
            shown = Text.from_ansi("\n".join(lines[:room]), no_wrap=True, overflow="crop")
            live.update(shown.append("\nq ends", style="dim"), refresh=True)
            if pressed(interval) & {"q", "Q", "\x03", "\x04"}:
                return


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], set[str]]]:
    """A wait of so many seconds, cut short by a key (it gives those pressed) or a terminal of another size. The
    terminal is as it was afterwards, also where a signal ends us."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    watched = [reading]
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reading)
        stack.callback(os.close, writing)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writing, warn_on_full_buffer=False))
        handlers = {signal.SIGWINCH: lambda *_: None, signal.SIGTERM: _end, signal.SIGHUP: _end}
        for number, handler in handlers.items():
            stack.callback(signal.signal, number, signal.signal(number, handler))
        if sys.stdin.isatty():
            terminal = sys.stdin.fileno()
            stack.callback(termios.tcsetattr, terminal, termios.TCSADRAIN, termios.tcgetattr(terminal))
            tty.setcbreak(terminal)
            watched.append(terminal)

        def wait(seconds: float) -> set[str]:
            ready, _, _ = select.select(watched, [], [], seconds)
            keys: set[str] = set()
            for descriptor in ready:
                data = os.read(descriptor, 1024)
                if descriptor != reading:
                    keys |= set(data.decode("utf-8", "replace")) or {"q"}  # at its end nobody can press anything
            return keys

        yield wait


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


# Where it comes from


def _look(settings: Config) -> dict[str, Any]:
    """From the daemon, else from its database, with a `note` why."""
    try:
        return {**daemon_status(settings), "note": None}
    except NoAnswerError as error:
        return {**_read(settings), "note": str(error)}


def _read(settings: Config) -> dict[str, Any]:
    """What the database and the disk say: no daemon has to run."""
    from monitor.common.process import log_apart
    from monitor.site import present_store
    from monitor.snapshot import Snapshot
    from monitor.sources.standing import Rows, standing
    from monitor.status import document
    from monitor.store import StoreError, StoreStats

    log_apart()

    async def read() -> tuple[Rows, StoreStats]:
        async with present_store(settings) as (store, why):
            if store is None:
                return {}, StoreStats(degraded=why)
            return await store.positions.all(), await store.stats()

    try:
        rows, stats = asyncio.run(read())
    except StoreError as error:
        rows, stats = {}, StoreStats(degraded=str(error))
    host = settings.monitor.node or socket.gethostname()
    return document(settings, Snapshot(store=stats), standing(settings.sources, rows), host=host)
