"""journald's records, through `journalctl`: nothing to build, and whatever format the journal has, it can read it.

A run of journalctl reads up to the present end; another one follows from there, as following may mean the present boot
only. The cursor of the last record is committed with what was found up to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Literal

import structlog
from pydantic import Field, ValidationInfo, field_validator

from monitor.common.backoff import backoff
from monitor.common.cuts import LOOKAHEAD
from monitor.intake import Intake
from monitor.model import Block, Position
from monitor.sources.base import LogConfig, SourceConfig, Where
from monitor.sources.journalctl import (
    SHOWN,
    JournalError,
    Numbers,
    between,
    cursor_of,
    entry_at,
    environment,
    newest,
    put_to_end,
    refused,
    said,
)
from monitor.sources.journald import Decoder, Entry, logged, own, suppressed
from monitor.sources.pem import Joiner
from monitor.sources.settle import settle

__all__ = ["JournalConfig", "JournalSource"]

log = structlog.get_logger(__name__)

_READ = 1 << 20
_OPEN = 2.0  # seconds after which a line that journald cut is scanned without what may still follow
_JUMPS = 5.0  # seconds between looks whether records that were left out are gone
_BUSY = 60.0  # the same while other records come
_HEARD = 4096  # bytes of a line in which journalctl says what is wrong
_LINE = 4 << 20  # bytes of such a line that wait for its end
_ABSENT = 30.0  # seconds between looks for a journal on a host that has none
_FIRST, _LONGEST = 1.0, 60.0  # seconds before journalctl is started again
_SOCKET = Path("/run/systemd/journal/socket")
_FOLDERS = (Path("/var/log/journal"), Path("/run/log/journal"))


class JournalConfig(LogConfig):
    """`type = "journal"`. Without filters: everything. Names in `units` and `exclude_units` may have `*` and `?`."""

    type: Literal["journal"] = "journal"
    units: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    exclude_units: tuple[str, ...] = ()
    priority: str | None = Field(default=None, pattern=r"^[a-z0-7]+(\.\.[a-z0-7]+)?$")
    boot: str | None = Field(default=None, pattern=r"^([0-9a-f]{32}|[+-]?[0-9]{1,5})$")
    namespace: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.*+-]+$")
    directory: str | None = None
    fields: tuple[str, ...] = ("MESSAGE",)  # what is scanned of a record
    start_at: Literal["end", "beginning"] = "end"

    @field_validator("directory")
    @classmethod
    def _anchored(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value and os.path.join((info.context or {}).get("folder") or "", os.path.expanduser(value))

    @field_validator("units", "exclude_units", "identifiers")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name or name.startswith("-") or "\0" in name for name in value):
            raise ValueError('must be names, such as "nginx.service"')
        return value

    @field_validator("units", "exclude_units")
    @classmethod
    def _whole(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unit if "." in unit or unit.endswith("*") else f"{unit}.service" for unit in value)

    @field_validator("fields")
    @classmethod
    def _fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(not name.replace("_", "").isalnum() or name != name.upper() for name in value):
            raise ValueError('must be names of journal fields, such as ["MESSAGE"]')
        return value


@dataclass(slots=True)
class _Line:
    """A line that journald stores in several records, as it was too long for one."""

    before: str  # cursor of the record before its first piece
    first: Block
    data: bytearray = field(default_factory=bytearray)
    fresh: int = 0  # so much of it is settled
    since: float = 0.0
    key: str = ""  # origin of a key that is printed line by line: its pieces were scanned, only the position waits


class JournalSource:
    """See `JournalConfig`. One position: the cursor up to which everything is scanned; "" is before the oldest."""

    Config: ClassVar[type[SourceConfig]] = JournalConfig

    def __init__(self, config: JournalConfig, intake: Intake, key: bytes) -> None:
        self.config = config
        self._intake = intake
        self._key = f"journal:{config.directory or ''}:{config.namespace or ''}"
        self._cursor = ""  # of the last record that was read
        self._expected = ""  # of the record with which a run of journalctl begins, unless it was removed just then
        self._saved = ""
        self._since: float | None = None  # where to begin when no cursor could be had
        self._open: dict[str, _Line] = {}  # by stream, in the order in which their first pieces came
        self._joiner = Joiner()
        self._own = own()
        self._got = 0  # records in this run of journalctl
        self._numbers: Numbers | None = None  # of it; None: filters leave records out
        self._looked = float("-inf")  # monotonic: when jumps in them were looked at

    @staticmethod
    def present(config: JournalConfig) -> dict[str, tuple[int, int]]:
        """The cursor of the newest record; "" when there is none. Empty: cannot be told. Blocking."""
        program = shutil.which("journalctl")
        if program is None or not _exists(config):
            return {"": (0, 0)}
        cursor = newest([*_place(config, program), "--output-fields=_BOOT_ID"])
        return {} if cursor is None else {cursor: (0, 0)}

    @staticmethod
    def where(positions: Mapping[str, Mapping[str, Any]]) -> Where:
        """The time of the last record, which its cursor holds."""
        upto = None
        for state in positions.values():
            with contextlib.suppress(KeyError, ValueError):
                parts = dict(pair.split("=", 1) for pair in str(state.get("cursor", "")).split(";"))
                upto = int(parts["t"], 16) / 1e6
        return Where("a record of the journal" if upto else "the journal's beginning", upto=upto)

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, read to the present end. journalctl is started again when it ends."""
        await self._begin()
        failures = 0
        told = False
        while True:
            program = shutil.which("journalctl")
            if not _exists(self.config):
                if not told:
                    log.info("no journal on this host: nothing to read", source=self.config.name)
                    told = True
                if once:
                    return
                await asyncio.sleep(_ABSENT)
                continue
            try:
                if program is None:
                    raise JournalError("journalctl is not on PATH: install systemd, or remove this source")
                await self._read(program, once)
                return
            except (JournalError, OSError) as error:
                self._intake.degraded("journalctl", str(error))
                if once:
                    raise
                failures = 1 if self._got else failures + 1
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))

    # Where it begins

    async def _begin(self) -> None:
        state = (await self._intake.positions()).get(self._key)
        if state is not None:
            self._cursor = self._saved = str(state.get("cursor", ""))
            self._since = float(state["since"]) if "since" in state else None
        elif self.config.start_at == "end":
            present = self._intake.present
            if present is None:
                present = await asyncio.to_thread(self.present, self.config)
            self._cursor = next(iter(present), "")
            self._since = None if present else time.time()
            await self._intake.record((), self._positions(self._cursor))
        await self._intake.started()

    def _positions(self, cursor: str) -> tuple[Position, ...]:
        self._saved = cursor
        state: dict[str, Any] = {"cursor": cursor}
        if self._since is not None and not cursor:
            state["since"] = self._since
        return (Position(self.config.name, self._key, state),)

    async def _from(self, call: list[str]) -> list[str]:
        """The option that makes `call` go on at the last record. A cursor that is gone is a gap, and told."""
        self._expected = ""
        if not self._cursor:
            return [] if self._since is None else [f"--since=@{self._since:.6f}"]
        if await entry_at([*call, *self._filters()], self._cursor) == self._cursor:
            self._expected = self._cursor  # as `--after-cursor` would say nothing of one that goes in between
            return [f"--cursor={self._cursor}"]
        if await entry_at(call, self._cursor) == self._cursor:
            return [f"--cursor={self._cursor}"]  # it is one that the filters leave out: the first one after it
        self._tell_gap(await entry_at(call, self._cursor))
        self._cursor, self._since = "", None
        return []

    def _tell_gap(self, goes_on: str) -> None:
        """The journal was vacuumed or replaced. How many bytes that were nobody knows."""
        self._intake.missed("journal_gap", between(self._cursor, goes_on), self._key, unit="records")
        self._numbers = self._numbers and Numbers()  # or it would be told twice

    # Reading

    async def _read(self, program: str, once: bool) -> None:
        """Up to the end, and on from there. Raises JournalError when journalctl ends."""
        self._got = 0
        self._open.clear()
        self._cursor = self._saved
        self._numbers = None if self._filters() else Numbers()
        call = _place(self.config, program)
        fields = f"--output-fields={','.join(dict.fromkeys((*self.config.fields, *SHOWN)))}"
        look = [*call, "--output-fields=_BOOT_ID"]
        await self._pass([*call, fields, *self._filters(), *await self._from(look)])
        if once:
            await self._settle(self._flushed(float("inf")))
            return
        where = await self._from(look)
        await self._pass([*call, fields, *self._filters(), *where, "--follow", "--no-tail"])
        raise JournalError("journalctl has ended; it is started again")

    def _filters(self) -> list[str]:
        config = self.config
        filters = [f"--identifier={name}" for name in config.identifiers]
        if not _patterns(config.units):
            # journalctl takes a pattern for the units that are there when it starts.
            filters += [f"--unit={unit}" for unit in config.units]
        if config.boot is not None:
            filters.append(f"--boot={config.boot}")
        if config.priority:
            filters.append(f"--priority={config.priority}")
        return filters

    async def _pass(self, call: list[str]) -> None:
        """One run of journalctl to its end."""
        process = await asyncio.create_subprocess_exec(
            *call,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            limit=_READ,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        heard: list[bytes] = []
        listening = asyncio.create_task(self._listen(process.stderr, heard, following="--follow" in call))
        try:
            await self._take(process.stdout)
            code = await process.wait()
            await listening
        finally:
            listening.cancel()
            await put_to_end(process)
        if code:
            raise JournalError(said(b"".join(heard)) or f"journalctl ended with {code}")

    async def _listen(self, stream: asyncio.StreamReader, heard: list[bytes], following: bool) -> None:
        works = not following
        while True:
            try:
                async with asyncio.timeout(None if works else 1.0):
                    line = await stream.readline()
            except TimeoutError:
                self._intake.degraded("journalctl", None)
                if not any(map(refused, heard)):
                    self._intake.degraded("access", None)
                works = True
                continue
            except ValueError:  # a line beyond the limit
                continue
            if not line:
                return
            heard[:] = [*heard[-20:], line if len(line) <= _HEARD else b""]
            if refused(line):
                self._intake.degraded("access", f"{said(line)}; see docs/operations.md for the group that may")

    async def _take(self, stream: asyncio.StreamReader) -> None:
        decoder = Decoder()
        while True:
            chunk = None
            with contextlib.suppress(TimeoutError):
                jumped = self._numbers is not None and self._numbers.jumped
                async with asyncio.timeout(_OPEN if self._open or jumped else None):
                    chunk = await stream.read(_READ)
            if chunk == b"":
                await self._look_at_jumps(float("inf"))
                return
            now = time.monotonic()
            records = list(self._records(decoder.feed(chunk or b""), now))
            records += self._flushed(now - (_OPEN if chunk is None else _BUSY))
            await self._look_at_jumps(now)
            if decoder.garbled:
                self._intake.missed("garbled", decoder.garbled, self._key)
                decoder.garbled = 0
            await self._settle(records)

    async def _look_at_jumps(self, now: float) -> None:
        """Whether what was left out was deleted while we lagged behind."""
        numbers = self._numbers
        if numbers is None or not numbers.jumped or now < self._looked + _JUMPS:
            return
        call = [*_place(self.config, shutil.which("journalctl") or "journalctl"), "--output-fields=_BOOT_ID"]
        if await entry_at(call, numbers.before) != numbers.before:
            self._intake.missed("journal_gap", numbers.jumped, self._key, unit="records")
        numbers.forget()
        self._looked = time.monotonic()

    async def _settle(self, records: list[tuple[Block, str]]) -> None:
        """Scan the records and commit how far that is."""
        await settle(self._intake, [record for record, _ in records], lambda done: self._upto(records, done))
        if not records and self._committable() != self._saved:
            await self._intake.record((), self._positions(self._committable()))

    def _upto(self, records: list[tuple[Block, str]], done: int) -> tuple[Position, ...]:
        if done == len(records):
            return self._positions(self._committable())
        return self._positions(records[done - 1][1]) if done else ()

    # Records

    def _committable(self) -> str:
        """The cursor before the first piece of a line that is not over."""
        return next((line.before for line in self._open.values()), self._cursor)

    def _records(self, entries: Iterable[Entry], now: float) -> Iterator[tuple[Block, str]]:
        """What is to be scanned, each with the cursor that is committed once it was."""
        for entry in entries:
            expected, self._expected = self._expected, ""
            if expected and cursor_of(entry) != expected:
                self._tell_gap(cursor_of(entry))
            if self._numbers is not None:
                self._numbers.see(cursor_of(entry))
            if cursor_of(entry) == expected != "":
                continue
            before, self._cursor = self._cursor, cursor_of(entry) or self._cursor
            self._got += 1
            if entry.cut:
                self._intake.missed("too_long", entry.cut, _unit(entry) or self._key)
            if dropped := suppressed(entry):
                self._intake.missed("suppressed", *dropped, unit="records")
            block = self._block(entry)
            if block is None:
                continue
            stream = entry.text("_STREAM_ID")
            cut = entry.text("_LINE_BREAK") == "line-max" and bool(stream)
            line = self._open.pop(stream, None) if stream else None
            if not cut and line is None:
                key = self._joined(entry, before, block, now)
                yield block, self._committable()
                if key is not None:
                    yield key, self._committable()
                continue
            line = line or _Line(before, block)
            line.data += bytes(block.data)
            line.since = now
            if cut and len(line.data) <= _LINE:
                self._hold(stream, line)
                continue
            whole = _whole(line, LOOKAHEAD if cut else 0)
            if cut:
                rest = _Line(before, block, bytearray(block.data), max(0, len(block.data) - LOOKAHEAD), now)
                self._open[stream] = rest
            yield whole, self._committable()

    def _joined(self, entry: Entry, before: str, block: Block, now: float) -> Block | None:
        """The key that this record ends. While one is under way the position stays before its first record."""
        if not self._joiner.wants(block):
            return None
        origin = entry.text("_STREAM_ID") or f"{entry.text('_PID')} {entry.text('SYSLOG_IDENTIFIER')}"
        key = self._joiner.feed(origin, block)
        name = f"key {origin}"
        if not self._joiner.open(origin):
            self._open.pop(name, None)
        else:
            line = self._open.get(name) or _Line(before, block, key=origin)
            line.since = now
            self._hold(name, line)
        return key

    def _hold(self, name: str, line: _Line) -> None:
        # In its place: the one with the oldest first piece holds the position.
        self._open = dict(sorted({**self._open, name: line}.items(), key=lambda item: item[1].first.time))

    def _flushed(self, before: float) -> list[tuple[Block, str]]:
        """Lines of which no piece came for too long."""
        out = []
        for stream, line in list(self._open.items()):
            if line.since <= before:
                del self._open[stream]
                if line.key:
                    self._joiner.drop(line.key)
                else:
                    out.append((_whole(line), self._committable()))
        return out

    def _wanted(self, entry: Entry) -> bool:
        if self._own and self._own.items() <= entry.fields.items():
            return False
        names = (_unit(entry), entry.text("_SYSTEMD_UNIT"))
        units, excluded = self.config.units, self.config.exclude_units
        if excluded and any(fnmatchcase(name, pattern) for name in names for pattern in excluded):
            return False
        return not _patterns(units) or any(fnmatchcase(name, pattern) for name in names for pattern in units)

    def _block(self, entry: Entry) -> Block | None:
        """None: nothing to scan, not wanted, or our own."""
        text = b"\n".join(value for name in self.config.fields if (value := entry.fields.get(name)))
        if not text or not self._wanted(entry):
            return None
        unit = _unit(entry)
        identifier = entry.text("SYSLOG_IDENTIFIER", "_COMM")
        container = entry.text("CONTAINER_NAME", "CONTAINER_ID")
        attributes = {
            "service": container or unit.removesuffix(".service") or identifier,
            "unit": unit,
            "identifier": identifier,
            "pid": entry.text("_PID"),
            "host": entry.text("_HOSTNAME"),
            "container": container,
            "image": entry.text("IMAGE_NAME"),
        }
        return Block(
            source=self.config.name,
            path=unit or container or identifier or "journal",
            generation=blake2b(cursor_of(entry).encode(), digest_size=8).hexdigest(),
            offset=0,
            data=text,
            time=time.time(),
            attributes={name: value for name, value in attributes.items() if value},
            logged_at=logged(entry),
        )


def _whole(line: _Line, ahead: int = 0) -> Block:
    first = line.first
    return Block(
        source=first.source,
        path=first.path,
        generation=first.generation,
        offset=0,
        data=bytes(line.data),
        time=first.time,
        fresh=line.fresh,
        limit=len(line.data) - ahead if ahead else None,
        attributes=first.attributes,
        logged_at=first.logged_at,
    )


def _patterns(units: Iterable[str]) -> bool:
    return any(set("*?[") & set(unit) for unit in units)


def _unit(entry: Entry) -> str:
    return entry.text("_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT")


def _exists(config: JournalConfig) -> bool:
    """Whether there is a journal to read, or should be."""
    if config.directory or config.namespace or _SOCKET.exists():
        return True
    return any(path.suffix == ".journal" for folder in _FOLDERS for path in folder.glob("*/*"))


def _place(config: JournalConfig, program: str) -> list[str]:
    """The call that names the journal."""
    place = [program, "--output=json", "--all", "--no-pager"]
    if config.directory:
        place.append(f"--directory={config.directory}")
    if config.namespace:
        place.append(f"--namespace={config.namespace}")
    if config.boot is None:
        place.append("--merge")  # or --follow would mean the present boot only
    return place
