"""journald's records, through `journalctl`: nothing to build, and whatever format the journal has, it can read it.

Each sequence of records has a position of its own, which is committed with what was found up to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import structlog

from monitor.common.tasks import cancel
from monitor.domain.model import Position
from monitor.intake.protocol import Intake
from monitor.sources.base import SourceConfig, Where
from monitor.sources.journal.config import JournalConfig
from monitor.sources.journal.entries import parts_of
from monitor.sources.journal.files import Catalogue, SequenceListing
from monitor.sources.journal.journalctl import JournalError, boot
from monitor.sources.journal.sequence import SequenceReader, Slots

__all__ = ["JournalConfig", "JournalSource"]

log = structlog.get_logger(__name__)

_LOOK = 0.25  # seconds between looks at the files
_ABSENT = 5.0  # seconds between looks for a boot that is not there yet
_FOLLOWED = 16  # sequences that are followed at once; what is new in others is read at the next look
_FORGOTTEN = 30 * 86400.0  # seconds after which a sequence whose files are gone is not known any more
_SOCKET = Path("/run/systemd/journal/socket")


class JournalSource:
    """See `JournalConfig`. A position for each sequence: the cursor up to which everything is scanned; "" is before the
    oldest. One more says that the source has begun: a sequence that comes later is read from its oldest record."""

    Config: ClassVar[type[SourceConfig]] = JournalConfig

    def __init__(self, config: JournalConfig, intake: Intake, key: bytes) -> None:
        self.config, self._intake = config, intake
        self._key = f"journal:{config.directory or ''}:{config.namespace or ''}"
        self._catalogue = Catalogue(config.directory, config.namespace)
        self._readers: dict[str, SequenceReader] = {}
        self._saved: dict[str, dict[str, Any]] = {}  # of sequences that have no reader yet
        self._since: float | None = None  # where those begin that were there when nobody could tell what was
        self._slots = Slots(_FOLLOWED)
        self._ailing: dict[str, str] = {}
        self._looking = asyncio.Lock()
        self._refused: tuple[str, ...] | None = None  # None: not looked yet

    @staticmethod
    def present(config: JournalConfig) -> dict[str, tuple[int, int]]:
        """Sequences with the number of their newest record, and "". Empty: cannot be told. Blocking."""
        listing = Catalogue(config.directory, config.namespace).look()
        if listing.refused:
            return {}
        return {"": (0, 0)} | {name: (max(f.tail for f in files), 0) for name, files in listing.sequences.items()}

    @staticmethod
    def where(positions: Mapping[str, Mapping[str, Any]]) -> Where:
        """The time of the newest record that was read, which its cursor holds."""
        times = []
        for state in positions.values():
            with contextlib.suppress(KeyError, ValueError):
                times.append(int(parts_of(str(state.get("cursor", "")))["t"], 16) / 1e6)
        return Where("a record of the journal" if times else "the journal's beginning", upto=max(times, default=None))

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, read to the present end."""
        await self._begin()
        config = await self._anchored(once)
        if config is None:
            return
        if not once:
            await self._follow(config)
        await self._look(config)
        for reader in self._readers.values():
            try:
                await reader.catch_up()
            except (JournalError, OSError) as error:
                self._intake.degraded("journalctl", str(error))
                raise

    async def _follow(self, config: JournalConfig) -> NoReturn:
        following: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                await self._look(config)
                for name, reader in self._readers.items():
                    if name not in following:
                        following[name] = asyncio.create_task(reader.follow())
                for name in [name for name, task in following.items() if task.done()]:
                    following.pop(name).result()
                    self._saved[name] = self._readers.pop(name).state  # its files are gone
                await asyncio.sleep(_LOOK)
        finally:
            await asyncio.gather(*(cancel(task) for task in following.values()))

    # Where it begins

    async def _begin(self) -> None:
        saved = {key: dict(state) for key, state in (await self._intake.positions()).items()}
        before = saved.pop(self._key, None)
        prefix = f"{self._key}:"
        self._saved = {key.removeprefix(prefix): state for key, state in saved.items() if key.startswith(prefix)}
        if before is None and self.config.start_at == "end":
            present = self._intake.present
            if present is None:
                present = await asyncio.to_thread(self.present, self.config)
            self._saved = {name: {"cursor": _cursor(name, number)} for name, (number, _) in present.items() if name}
            before = {"begun": True} if present else {"since": time.time()}
        self._since = None if before is None or before.get("since") is None else float(before["since"])
        await self._forget()
        await self._keep(before or {"begun": True}, self._saved)
        await self._intake.started()

    async def _forget(self) -> None:
        """Sequences whose files went long ago."""
        old = [name for name, state in self._saved.items() if state.get("gone", time.time()) < time.time() - _FORGOTTEN]
        for name in old:
            del self._saved[name]
        await self._intake.record((), [Position(self.config.name, f"{self._key}:{name}", None) for name in old])

    async def _keep(self, begun: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]]) -> None:
        rows = [Position(self.config.name, f"{self._key}:{name}", state) for name, state in states.items()]
        await self._intake.record((), [*rows, Position(self.config.name, self._key, begun)])

    async def _anchored(self, once: bool) -> JournalConfig | None:
        """With the id of the boot that is meant: in a part of the files an offset means another one."""
        config = self.config
        while config.boot is not None and len(config.boot) < 32:
            try:
                if found := await boot(config):
                    return config.model_copy(update={"boot": found})
            except (JournalError, OSError) as error:
                self._intake.degraded("journalctl", str(error))
                if once:
                    raise
            if once:
                return None
            await asyncio.sleep(_ABSENT)
        return config

    # What there is

    async def _look(self, config: JournalConfig) -> None:
        """Show each sequence its files, new ones and those that have gone among them."""
        async with self._looking:
            for reader in self._readers.values():
                reader.mark()
            listing = await asyncio.to_thread(self._catalogue.look)
            self._access(listing)
            for name in listing.sequences.keys() - self._readers.keys():
                since = {"cursor": ""} | ({} if self._since is None else {"since": self._since})
                self._readers[name] = self._reader(config, name, self._saved.pop(name, since))
            if listing.complete:
                for name in [name for name, state in self._saved.items() if "gone" not in state]:
                    self._readers[name] = self._reader(config, name, self._saved.pop(name))
                if self._since is not None:
                    await self._keep({"begun": True}, {name: reader.state for name, reader in self._readers.items()})
                    self._since = None
            for name, reader in self._readers.items():
                if name in listing.sequences or listing.complete:
                    reader.show(listing.sequences.get(name, ()))

    def _reader(self, config: JournalConfig, name: str, state: dict[str, Any]) -> SequenceReader:
        return SequenceReader(
            config,
            self._intake,
            name.partition(":")[2],
            f"{self._key}:{name}",
            state,
            slots=self._slots,
            fresh=lambda: self._look(config),
            report=lambda message: self._report(name, message),
        )

    def _report(self, name: str, message: str | None) -> None:
        if message is None:
            self._ailing.pop(name, None)
        else:
            self._ailing[name] = message
        self._intake.degraded("journalctl", next(iter(self._ailing.values()), None))

    def _access(self, listing: SequenceListing) -> None:
        if listing.refused == self._refused:
            return
        if self._refused is None and not (listing.refused or listing.sequences or _SOCKET.exists()):
            log.info("no journal on this host: nothing to read", source=self.config.name)
        self._refused = listing.refused
        first, more = next(iter(listing.refused), ""), len(listing.refused) - 1
        others = f" and {more:,} more" if more > 0 else ""
        message = f"may not read {first}{others}; see docs/operations.md for the group that may"
        self._intake.degraded("access", message if first else None)


def _cursor(name: str, number: int) -> str:
    return f"s={name.partition(':')[2]};i={number:x}"
