"""One sequence of journal records: those that one journald or one receiver of uploads numbers, in however many files.

journalctl merges all files by time, and what comes late to one of them it has passed by. Within a sequence there is
nothing to merge: a record that is written later has a higher number, whatever its clock said and whenever it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from monitor.common.backoff import backoff
from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake
from monitor.sources.journal.config import JournalConfig
from monitor.sources.journal.entries import Decoder, JournalEntry, cursor_of, numbered
from monitor.sources.journal.files import JournalFile
from monitor.sources.journal.holes import Holes
from monitor.sources.journal.journalctl import JournalError, call, filters, said, started
from monitor.sources.journal.records import Records
from monitor.sources.settle import settle

__all__ = ["SequenceReader", "Slots"]

_READ = 1 << 20
_OPEN = 2.0  # seconds after which a line that journald cut is scanned without what may still follow
_BUSY = 60.0  # the same while other records come
_SILENT = 60.0  # seconds without a record after which nothing is followed until there is something new
_TURN = 3.0  # seconds for a sequence that is followed while others wait
_UNHEARD = 10.0  # seconds after which what is there and was not given out is asked for anew
_HEARD = 4096  # bytes of a line in which journalctl says what is wrong
_LOOK = 5.0  # seconds between looks at numbers that were left out
_FIRST, _LONGEST = 1.0, 60.0  # seconds before journalctl is started again


class Slots:
    """How many are followed at once. The others take turns."""

    def __init__(self, most: int) -> None:
        self.waiting = 0
        self._free = asyncio.Semaphore(most)

    async def __aenter__(self) -> None:
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class SequenceReader:
    """`show` it its files; `follow` reads what is new in them, `catch_up` once. `sequence`: its id. `key`: of its
    position."""

    def __init__(
        self,
        config: JournalConfig,
        intake: Intake,
        sequence: str,
        key: str,
        state: dict[str, Any],
        *,
        slots: Slots,
        fresh: Callable[[], Awaitable[object]],
        report: Callable[[str | None], None],
    ) -> None:
        """`state`: as it was kept. `fresh`: has its files shown anew. `report`: gets what ails it, None: nothing."""
        self.files: tuple[JournalFile, ...] = ()
        self._config, self._intake, self._sequence, self._key = config, intake, sequence, key
        self.state = dict(state)  # what is kept of it
        self._slots, self._fresh, self._report = slots, fresh, report
        self._records = Records(config, intake, key, str(state.get("cursor", "")))
        self._filtered = bool(filters(config))
        self._holes = Holes()
        self._past: set[tuple[str, int]] = set()  # files and how many records they had, as of the last run's beginning
        self._high = 0  # the highest number there was
        self._marked = self._number  # when its files were looked at
        self._back = False  # numbers have gone back since: an older state of the journal was restored
        self._followed: set[tuple[str, str]] = set()  # ids and paths of the files that journalctl has
        self._process: asyncio.subprocess.Process | None = None
        self._following = self._ended = False  # ended: by us
        self._began = self._heard = self._looked = float("-inf")  # monotonic
        self._got = 0  # records in this run
        self._changes = asyncio.Event()

    # What there is

    def mark(self) -> None:
        """Its files are looked at now, and shown then."""
        self._marked = self._number

    def show(self, files: tuple[JournalFile, ...]) -> None:
        """Its files as they are now; none: they are all gone."""
        self._holes.know(files)
        self.files = files
        self._high = max((file.tail for file in files), default=self._high)
        self._back = bool(files) and (self._marked or 0) > self._high
        if not files or self._snapshot() != self._past:
            self._changes.set()
        if self._following and self._over():
            self._again()

    @property
    def _number(self) -> int | None:
        return numbered(self._records.cursor)

    def _snapshot(self) -> set[tuple[str, int]]:
        return {(file.id, file.entries) for file in self.files}

    def _unread(self) -> list[JournalFile]:
        number = self._number
        return [file for file in self.files if file.entries and (number is None or file.tail > number)]

    def _over(self) -> bool:
        """Whether to go on with another run of journalctl, or to give way to others."""
        now = time.monotonic()
        unread = self._unread()
        if self._back or any((file.id, file.path) not in self._followed for file in unread):
            return True
        if unread and not self._filtered and now > max(self._heard, self._began) + _UNHEARD:
            return True
        turn = _TURN if not self._records.open else _BUSY
        return bool(self._slots.waiting) and now > self._began + turn

    def _again(self) -> None:
        """Begin another run now: this one has nothing more to say, or not all of it."""
        self._past = set()
        self._changes.set()
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    # Reading

    async def follow(self) -> None:
        """Until its files are gone for good. journalctl is started again when it ends."""
        failures = 0
        while True:
            await self._changes.wait()
            self._changes.clear()
            if not self.files:
                await self._vanish()
                return
            if self._snapshot() == self._past:
                continue
            try:
                async with self._slots:
                    if self._filtered:
                        await self._through()
                    await self._run(follow=True)
                await self._settle([])
            except (JournalError, OSError) as error:
                self._report(str(error))
                failures = 1 if self._got else failures + 1
                self._past = set()
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))
                self._changes.set()

    async def catch_up(self) -> None:
        """Up to the present end, and what is open as it is. Raises JournalError."""
        self._ended = True
        while self.files and self._ended:
            await self._through()
        await (self._settle(self._records.flushed(float("inf"))) if self.files else self._vanish())

    async def _through(self) -> None:
        """A run to the present end. What filters leave out is settled by it as well."""
        high, begin = self._high, self._cursor(self._high - 1)
        await self._run(follow=False)
        # The last number may have been given to a record that was still being written.
        if self._filtered and not (self._ended or self._records.open) and (self._number or 0) < high - 1:
            if await self._were(self._followed):
                self._records.cursor = begin
            else:
                self._again()

    async def _run(self, *, follow: bool) -> None:
        self._got, self._ended = 0, False
        self._past = self._snapshot()
        self._check_beginning()
        number = self._number
        files = [file for file in self.files if file.entries and file.tail >= (number or 0)]
        if not files:
            return
        self._followed = {(file.id, file.path) for file in files}
        command = [*call(self._config, [file.path for file in files]), *self._from(number)]
        command += ["--follow", "--no-tail"] if follow else []
        async with self._started(command) as process:
            assert process.stdout is not None
            self._following = follow
            await self._take(process.stdout, follow=follow)
        if follow and not self._ended:
            raise JournalError("journalctl has ended; it is started again")

    def _from(self, number: int | None) -> list[str]:
        if number is not None:
            return [f"--cursor={self._cursor(number)}"]
        since = self.state.get("since")
        return [] if since is None else [f"--since=@{float(since):.6f}"]

    def _cursor(self, number: int) -> str:
        return f"s={self._sequence};i={max(0, number):x}"

    def _check_beginning(self) -> None:
        """Tells what was deleted before it was read, and goes on at what is left."""
        number, heads = self._number, [file.head for file in self.files if file.entries]
        if number is None or not heads:
            return
        if self._back:
            self._replaced()
        elif min(heads) > number + 1:
            self._intake.missed("journal_gap", min(heads) - number - 1, self._key, unit="records")
            self._records.cursor = self._cursor(min(heads) - 1)

    def _replaced(self) -> None:
        """The record at the position is another one: the journal was replaced, and is read from its oldest record."""
        self._intake.missed("journal_gap", 0, self._key, unit="records")
        self._records.cursor = ""
        self.state.pop("since", None)
        self._marked, self._back = None, False

    async def _vanish(self) -> None:
        """All its files were deleted, with what was not read of them."""
        number = self._number or 0
        if number < self._high and not self._filtered:
            self._intake.missed("journal_gap", self._high - number, self._key, unit="records")
        elif not self.state.get("closed") and "gone" not in self.state:
            self._intake.missed("journal_gap", 0, self._key, unit="records")
        await self._settle(self._records.flushed(float("inf")))
        self.state = {"cursor": self._records.cursor, "gone": time.time()}
        await self._intake.record((), (Position(self._config.name, self._key, self.state),))

    # journalctl

    @contextlib.asynccontextmanager
    async def _started(self, command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
        """A run of it. Raises JournalError when it ends badly by itself."""
        heard: list[bytes] = []
        async with started(command, subprocess.PIPE) as process:
            assert process.stderr is not None
            listening = asyncio.create_task(self._listen(process.stderr, heard))
            self._process, self._began = process, time.monotonic()
            try:
                yield process
                code = await process.wait()
                await listening
            finally:
                self._process, self._following = None, False
                listening.cancel()
        if code and not self._ended:
            raise JournalError(said(b"".join(heard)) or f"journalctl ended with {code}")
        self._report(None)

    async def _listen(self, stream: asyncio.StreamReader, heard: list[bytes]) -> None:
        """To its complaints; one that has none for a moment works."""
        quiet: float | None = 1.0
        while True:
            try:
                async with asyncio.timeout(quiet):
                    line = await stream.readline()
            except TimeoutError:
                self._report(None)
                quiet = None
                continue
            except ValueError:  # a line beyond the limit
                continue
            if not line:
                return
            heard[:] = [*heard[-20:], line if len(line) <= _HEARD else b""]

    async def _take(self, stream: asyncio.StreamReader, *, follow: bool) -> None:
        decoder = Decoder()
        while True:
            chunk = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OPEN if self._records.open or self._holes else _SILENT):
                    chunk = await stream.read(_READ)
            now = time.monotonic()
            if chunk and not self._got and not await self._were(self._followed):
                self._again()
            if chunk is None and follow and now > max(self._heard, self._began) + _SILENT - 1:
                self._end()
            if chunk == b"":
                while self._holes:
                    await self._fill(float("inf"))
                return
            self._heard = now if chunk else self._heard
            records = list(self._records.take(self._seen(decoder.feed(chunk or b"")), now))
            records += self._records.flushed(now - (_OPEN if chunk is None else _BUSY))
            if decoder.garbled:
                self._intake.missed("garbled", decoder.garbled, self._key)
                decoder.garbled = 0
            await self._settle(records)
            await self._fill(now)

    async def _were(self, files: set[tuple[str, str]]) -> bool:
        """Whether these are still the names of these files: journalctl has opened what bore the names meanwhile."""
        await self._fresh()
        return files <= {(file.id, file.path) for file in self.files}

    def _seen(self, entries: Iterator[JournalEntry]) -> Iterator[JournalEntry]:
        """The records that are new. Numbers that are left out between them are noted."""
        for entry in entries:
            if self._ended:  # what it still says the next run says again
                return
            cursor, number, last = cursor_of(entry), numbered(cursor_of(entry)), self._number
            if number is None or (last is not None and number < last):
                continue
            if number == last:
                if "x=" in self._records.cursor and cursor != self._records.cursor:
                    self._replaced()
                    self._again()
                continue
            if last is not None and number > last + 1 and not self._filtered:
                self._holes.add(self._records.cursor, last, number)
                self._records.floor = self._records.floor or self._records.cursor
            self._got += 1
            yield entry

    async def _fill(self, now: float) -> None:
        """Look again at numbers that were left out: two files may have grown while journalctl looked at one of them.
        What is not there then was deleted while we lagged behind, or may not be seen here."""
        if not self._holes or now < self._looked + _LOOK:
            return
        await self._fresh()
        names = {(file.id, file.path) for file in self.files}
        missing: list[JournalEntry] = []
        if paths := self._holes.files(self.files, self._followed):
            command = [*call(self._config, paths), f"--cursor={self._cursor(self._holes.first)}"]
            async with contextlib.aclosing(_entries(command)) as entries:
                async for entry in entries:
                    number = numbered(cursor_of(entry)) or 0
                    if number > self._holes.last:
                        break
                    if number in self._holes:
                        missing.append(entry)
        fresh = [entry for entry in missing if self._holes.fill(numbered(cursor_of(entry)) or 0)]
        late = [record for entry in fresh for record in self._records.late(entry)]
        if not await self._were(names):
            await self._settle(late)
            return  # and look again
        self._looked = time.monotonic()
        lost = self._holes.close(self.files)
        self._records.floor = None
        await self._settle(late)
        if lost:
            self._intake.missed("journal_gap", lost, self._key, unit="records")

    # Keeping

    async def _settle(self, records: list[tuple[Block, str]]) -> None:
        """Scan the records and commit how far that is."""
        await settle(self._intake, [record for record, _ in records], lambda done: self._upto(records, done))
        if not records and self._state(self._records.committable) != self.state:
            await self._intake.record((), self._positions(self._records.committable))

    def _upto(self, records: list[tuple[Block, str]], done: int) -> tuple[Position, ...]:
        if done == len(records):
            return self._positions(self._records.committable)
        return self._positions(records[done - 1][1]) if done else ()

    def _state(self, cursor: str) -> dict[str, Any]:
        """`closed`: all there is was read, and nothing more will be written."""
        state: dict[str, Any] = {"cursor": cursor}
        if not cursor and "since" in self.state:
            state["since"] = self.state["since"]
        read = (numbered(cursor) or 0) >= self._high - self._filtered
        if read and self.files and all(file.archived for file in self.files):
            state["closed"] = True
        return state

    def _positions(self, cursor: str) -> tuple[Position, ...]:
        self.state = self._state(cursor)
        return (Position(self._config.name, self._key, self.state),)


async def _entries(command: Sequence[str]) -> AsyncGenerator[JournalEntry]:
    """What a run to the end prints. Raises JournalError."""
    decoder = Decoder()
    async with started(command, subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while chunk := await process.stdout.read(_READ):
            for entry in decoder.feed(chunk):
                yield entry
        if code := await process.wait():
            raise JournalError(f"journalctl ended with {code}")
