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
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from monitor.cli.common import ConfigOption, command_app, json_text, read_config, started
from monitor.cli.kit import Format, FormatOption, emit_one
from monitor.common.listen import split_listen

if TYPE_CHECKING:
    from monitor.config.config import Config

app = command_app(help="Show what the monitor does now: sources, sinks, queue, losses and the cost of rules.")

_PATIENCE = 5.0  # seconds for an answer
_LARGEST = 16 << 20  # bytes of it
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


class _NoAnswerError(Exception):
    """Why the daemon's answer cannot be had."""


def _look(settings: Config) -> dict[str, Any]:
    """From the daemon, else from its database, with a `note` why."""
    try:
        return {**_ask(settings), "note": None}
    except _NoAnswerError as error:
        return {**_read(settings), "note": str(error)}


def _ask(settings: Config) -> dict[str, Any]:
    """What the daemon answers. Raises _NoAnswerError."""
    from monitor.common.credential import CredentialError

    listen = settings.http.listen
    host, port = split_listen(listen) if listen else ("", 0)
    if not port and not host.startswith("/"):
        raise _NoAnswerError("http.listen names no port where it could be asked")
    headers = {}
    if settings.http.token is not None:
        with contextlib.suppress(CredentialError):  # then it answers that it is asked for
            headers["Authorization"] = f"Bearer {settings.http.token.resolve()}"
    connection = _Connection(host, port)
    try:
        connection.request("GET", "/status", headers=headers)
        answer = connection.getresponse()
        body = answer.read(_LARGEST)
        if answer.status != 200:
            raise _NoAnswerError(f"what listens on {listen} answers {answer.status} when asked for its status")
        status = orjson.loads(body)
    except (OSError, HTTPException) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise _NoAnswerError(f"no daemon answers on {listen} ({why})") from None
    except orjson.JSONDecodeError:
        raise _NoAnswerError(f"what listens on {listen} is no exposure monitor") from None
    finally:
        connection.close()
    if not isinstance(status, dict) or not {"daemon", "sources", "sinks"} <= status.keys():
        raise _NoAnswerError(f"what listens on {listen} is no exposure monitor")
    return status


class _Connection(HTTPConnection):
    """To where the daemon of this host listens: an address, or a path of a unix socket."""

    def __init__(self, host: str, port: int) -> None:
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
        self._path = host if host.startswith("/") else None
        super().__init__("localhost" if self._path else everywhere.get(host, host), port or None, timeout=_PATIENCE)

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


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
