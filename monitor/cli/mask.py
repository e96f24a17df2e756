"""`monitor mask`: secrets out of a stream, or out of finished files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import signal
import stat
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import (
    Confidence,
    ConfigOption,
    at_least,
    command_app,
    fail_if,
    nothing,
    printable,
    read_config,
    sure,
    with_store,
)
from monitor.common.severity import Severity
from monitor.config.locate import ConfigError
from monitor.domain.model import Block, Finding

if TYPE_CHECKING:
    from detectors.match.engine import Engine, Match
    from monitor.config.config import Config
    from monitor.scanning.mask import Masker, MaskStats

app = command_app()

_READ = 1 << 20
_REPORT_EVERY, _REPORT_AGAIN = 2.0, 30.0  # seconds between commits of what was found, and after one that failed
_KEPT = 10_000  # findings that wait for a database
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which `fcntl` does not name everywhere


@app.command(
    epilog="Examples:\n\n  service 2>&1 | monitor mask >> clean.log\n\n  monitor mask --in-place transcript.jsonl",
    help="Pass bytes through and replace each secret by [rule:fingerprint]; nothing else is touched.\n\n"
    "A line leaves within a few hundredths of a second; what may still become a secret waits a second at most. With "
    "--in-place finished files are masked where they lie, atomically, with owner and mode kept; JSON lines stay JSON.",
)
def mask(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="With --in-place.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", "-i", help="Mask the files named, not standard input.")
    ] = False,
    min_severity: Annotated[Severity, typer.Option(help="Leave what is less severe as it is.")] = "info",
    min_confidence: Annotated[Confidence, typer.Option(help="Leave what is less certain as it is.")] = "low",
    on_error: Annotated[
        Literal["closed", "open"],
        typer.Option(help="What cannot be searched or masked is withheld (closed) or let through (open); exit 1."),
    ] = "closed",
    report: Annotated[
        bool, typer.Option("--report", help="Record what is found as incidents, in the state of the configuration.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary on standard error.")] = False,
    config: ConfigOption = None,
) -> None:
    from detectors.match.engine import Engine
    from monitor.config.state import key
    from monitor.site import read_rules

    fail_if(bool(files) != in_place, "name files together with --in-place, or neither to mask standard input", 2)
    settings = read_config(config, rules_only=not report)
    if report:
        with_store(settings, nothing)  # a state that is not there is told before the stream begins
    engine = Engine.build(read_rules(settings), settings.state_dir / "cache")
    levels = frozenset(at_least(min_severity)), sure(min_confidence)
    work = _Work(settings, engine, key(settings), levels, fail_open=on_error == "open", report=report)
    code = _in_place(work, files or []) if in_place else _stream(work)
    if not work.records.close() or work.stats.withheld or work.stats.unscanned:
        code = code or 1
    if not quiet:
        typer.echo(_summary(work.stats), err=True)
    raise typer.Exit(code)


class _Work:
    """What every masker of one command shares."""

    def __init__(
        self,
        settings: Config,
        engine: Engine,
        key: bytes,
        levels: tuple[frozenset[str], frozenset[str]],
        *,
        fail_open: bool,
        report: bool,
    ) -> None:
        """`levels`: the severities and the confidences of what is masked."""

        from monitor.scanning.mask import MaskStats

        self._engine, self._key, self._worker = engine, key, engine.worker()
        self._severities, self._confidences = levels
        self._fail_open, self._report = fail_open, report
        self.records = _Records(settings)
        self.stats = MaskStats()

    def masker(self, path: str) -> Masker:
        from monitor.scanning.mask import Masker

        observe = self._observer(path) if self._report else None
        return Masker(self._worker, self._key, wanted=self._wanted, fail_open=self._fail_open, observe=observe)

    def add(self, stats: MaskStats) -> None:
        self.stats.bytes += stats.bytes
        self.stats.masked += stats.masked
        self.stats.withheld += stats.withheld
        self.stats.unscanned += stats.unscanned

    def _wanted(self, match: Match) -> bool:
        return match.severity in self._severities and match.confidence in self._confidences

    def _observer(self, path: str) -> Any:
        import asyncio

        from monitor.intake.protocol import ScanError
        from monitor.site import make_scanner

        generation = secrets.token_hex(8)
        scanner = make_scanner(self._engine, self._key)

        def observe(data: bytes, offset: int, fresh: int, limit: int) -> None:
            block = Block("mask", path, generation, offset, data, time.time(), fresh=fresh, limit=limit)
            try:
                self.records.add(asyncio.run(scanner.scan([block])))
            except ScanError:  # at the limit of what it may take: masked it is, and the stream goes on
                self.records.miss()

        return observe


class _Records:
    """What was found, on its way to the store: beside the stream, which waits for no database and outlives it."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._found: list[Finding] = []
        self._lost = 0
        self._due = 0.0  # monotonic
        self._fails = False
        self._thread: threading.Thread | None = None

    def add(self, found: Sequence[Finding]) -> None:
        with self._lock:
            self._found += found
            self._lost += max(len(self._found) - _KEPT, 0)
            del self._found[_KEPT:]

    def miss(self) -> None:
        """At least one that could not be made."""
        self._lost += 1

    def look(self) -> None:
        """Record what was found since the last time, when it is time."""
        busy = self._thread is not None and self._thread.is_alive()
        if self._found and not busy and time.monotonic() >= self._due:
            self._thread = threading.Thread(target=self._commit, daemon=True)
            self._thread.start()

    def close(self) -> bool:
        """The rest. Returns whether all of it is recorded."""
        if self._thread is not None:
            self._thread.join()
        if self._found and not self._fails:
            self._commit()
        if lost := len(self._found) + self._lost:
            typer.echo(f"{lost} findings are not recorded", err=True)
        return not lost

    def _commit(self) -> None:
        with self._lock:
            findings, self._found = self._found, []
        self._fails = True
        try:
            with_store(self._settings, lambda store: store.commit(findings, []))
            self._fails = False
        except typer.Exit:  # which has said why
            pass
        except Exception as error:  # noqa: BLE001 - the stream goes on: a credential is gone, a folder cannot be read
            why = str(error) if isinstance(error, ConfigError) else type(error).__name__
            typer.echo(f"findings cannot be recorded: {printable(why)}", err=True)
        if self._fails:
            self.add(findings)
        self._due = time.monotonic() + (_REPORT_AGAIN if self._fails else _REPORT_EVERY)


def _stream(work: _Work) -> int:
    """Standard input to standard output until its end, or until asked to end; what is held, or waits in the pipe, then
    still goes out."""
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as behind nohup
            signal.signal(number, lambda got, _frame: ended.append(got))
    source, target = sys.stdin.fileno(), sys.stdout.fileno()
    with contextlib.suppress(OSError):
        fcntl.fcntl(source, _SET_PIPE_SIZE, _READ)
    masker = work.masker("-")
    try:
        for piece in _pieces(source, masker, ended):
            _write(target, piece)
            work.records.look()
        _write(target, masker.finish())
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), target)  # its reader need not wait for a database
    except BrokenPipeError:
        # As filters do: whoever read it has gone. What was found is recorded all the same.
        work.add(masker.stats)
        return 141
    work.add(masker.stats)
    return 128 + ended[0] if ended else 0


def _pieces(source: int, masker: Masker, ended: Sequence[int]) -> Iterator[bytes]:
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    while not ended:
        due = masker.due()
        pause = 500.0 if due is None else max(0.0, (due - time.monotonic()) * 1000)
        if not waiting.poll(min(pause, 500.0)):
            yield masker.release(time.monotonic())
            continue
        data = os.read(source, _READ)
        if not data:
            return
        yield masker.feed(data, time.monotonic())

    # Whoever wrote it was told that it has gone, and a service says most when it ends.
    left = _in_pipe(source)
    while left > 0 and (data := os.read(source, min(left, _READ))):
        left -= len(data)
        yield masker.feed(data, time.monotonic())


def _in_pipe(source: int) -> int:
    """Bytes that wait there; 0 for what is no pipe."""
    if not stat.S_ISFIFO(os.fstat(source).st_mode):
        return 0
    return int.from_bytes(fcntl.ioctl(source, termios.FIONREAD, bytes(4)), sys.byteorder)


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:  # it is shared with a program that does not wait, such as Node.js
            full = select.poll()
            full.register(target, select.POLLOUT)
            full.poll()


def _in_place(work: _Work, files: Sequence[Path]) -> int:
    from monitor.scanning.mask import ChangedError, mask_file

    code = 0
    signal.signal(signal.SIGTERM, lambda got, _frame: sys.exit(128 + got))  # nothing half-made stays behind
    for path in files:
        try:
            stats = mask_file(path, partial(work.masker, str(path)))
        except ChangedError:
            typer.echo(f"{printable(str(path))}: was written to meanwhile; left as it is", err=True)
            code = 1
        except OSError as error:
            typer.echo(f"{printable(str(path))}: {error.strerror or error}", err=True)
            code = 1
        else:
            work.add(stats)
            if stats.names:
                names = "another name, which keeps" if stats.names == 1 else f"{stats.names} other names, which keep"
                typer.echo(f"{printable(str(path))}: has {names} the old text (hard links)", err=True)
                code = 1
    return code


def _summary(stats: MaskStats) -> str:
    total = sum(stats.masked.values())
    by_rule = ", ".join(f"{rule} {count}" for rule, count in Counter(stats.masked).most_common(8))
    text = f"{stats.bytes} bytes, {total} secret{'' if total == 1 else 's'} masked" + (
        f" ({by_rule})" if by_rule else ""
    )
    return text + f"; {stats.withheld} bytes withheld, {stats.unscanned} let through unsearched"
