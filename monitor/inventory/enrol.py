"""The inventory in the daemon: entries are read on their schedule, and what they hold is found from then on.

Each entry is read by a process of its own (`child`), which hands over fingerprints and anchors, and ends. What a
manager gave before and gives no more is still found until the monitor ends; anchors are nowhere but in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from detectors.match.exact import Anchor, Exact
from monitor.common.backoff import backoff
from monitor.common.tasks import cancel
from monitor.inventory.held import Known
from monitor.inventory.managers.base import ManagerConfig
from monitor.inventory.query import ask
from monitor.inventory.wrong_environment import shared
from monitor.scanning.scanner import Scanner
from monitor.store import Store, StoreError

__all__ = ["Enrolment"]

log = structlog.get_logger(__name__)

_LOOK = 5.0  # seconds between looks whether an entry is due, or was read by a command
_AT_ONCE = 4  # entries that are begun, each read by a process …
_TURN = 10.0  # … until it ends, or for so many seconds
_RETRY_FIRST, _RETRY_LONGEST = 2.0, 60.0


@dataclass(slots=True)
class _Entry:
    """What is known of an entry. `read`: monotonic, when it was last tried; `at`: when it was last read by anybody, by
    the store's clock; `asked`: fingerprints of values that others have read, for which it was read again."""

    config: ManagerConfig
    anchors: dict[str, Anchor] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    read: float | None = None
    at: float = 0.0
    failures: int = 0

    def due(self, now: float) -> bool:
        again = backoff(self.failures, _RETRY_FIRST, _RETRY_LONGEST) if self.failures else self.config.interval
        return self.read is None or now - self.read >= min(self.config.interval, again)


class EnrolmentTables(Protocol):
    """What is taken of the configuration: the entries, and from where their references count."""

    @property
    def inventory(self) -> Sequence[ManagerConfig]: ...
    @property
    def path(self) -> Path | None: ...


class ReportTrouble(Protocol):
    def __call__(self, title: str, text: str, *, key: str) -> object: ...


class Enrolment:
    """`begin`, then `run` until cancelled; `end` in any case."""

    def __init__(
        self,
        store: Store,
        scanner: Scanner,
        known: dict[str, Known],
        tables: Callable[[], EnrolmentTables],
        *,
        tell: ReportTrouble,
        over: Callable[[str, str], None],
    ) -> None:
        """`known`: how far each entry is known, written here and shown elsewhere. `tables`: those in force. `tell`,
        `over`: of trouble, under a key, and that it is over."""
        self._store, self._scanner, self._known = store, scanner, known
        self._tables, self._tell, self._over = tables, tell, over
        self._entries: dict[str, _Entry] = {}
        self._found: frozenset[str] = frozenset()  # fingerprints of what is looked for
        self._changes = self._taken = 0  # how often what is known has changed, and of these what is looked for
        self._readings: dict[str, asyncio.Task[None]] = {}  # under way, by entry
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._taking = asyncio.Lock()

    async def begin(self, seconds: float) -> None:
        """Look once, and wait so many seconds for what is read then; it goes on."""
        self._readings[""] = asyncio.create_task(self._look())
        deadline = time.monotonic() + seconds
        while self._readings and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(self._readings.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._settle()
        if self._readings:
            log.warning("the inventory is not read yet; reading goes on, and logs are read without the rest meanwhile")

    async def end(self) -> None:
        await asyncio.gather(*map(cancel, self._readings.values()))
        self._readings.clear()

    def again(self, name: str) -> None:
        """Read this entry at the next look: it holds something new."""
        if entry := self._entries.get(name):
            entry.read = None

    async def run(self) -> None:
        while True:
            self._settle()
            if "" not in self._readings:
                await self._look()
            await asyncio.sleep(_LOOK)

    def _settle(self) -> None:
        for name in [name for name, task in self._readings.items() if task.done()]:
            del self._readings[name]

    async def _look(self) -> None:
        await self._guarded(self._round())

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreError as error:  # the database reports its trouble itself
            log.debug("the inventory waits for the state database", reason=str(error))
        except Exception as error:  # noqa: BLE001 - a supervision boundary: no process to be had, no memory
            text = f"{type(error).__name__}. What was known before is still looked for; it is tried again."
            self._tell("The inventory could not be read", text, key="inventory")

    async def _round(self) -> None:
        wanted = {entry.name: entry for entry in self._tables().inventory}
        if not wanted and not self._entries:
            return
        for name in self._entries.keys() - wanted.keys():
            del self._entries[name]
            await self._give_up(name)
            self._known.pop(name, None)
            self._changes += 1
            self._over(f"inventory {name}", "It is not configured any more.")
        syncs = await self._store.inventory.syncs()
        for name, config in wanted.items():
            known = self._entries.get(name)
            if known is None or known.config != config:
                await self._give_up(name)
                known = self._entries[name] = _Entry(config, known.anchors if known else {})
                before = self._known.get(name)
                self._known[name] = Known(before.at if before else time.time(), config.stale_after)
            if name in self._readings:
                continue
            elsewhere = name in syncs and syncs[name].at > known.at  # a command, or another host, has read it since
            if known.due(time.monotonic()):
                self._start(known)
            elif elsewhere and not known.failures:
                known.at = syncs[name].at
                self._changes += 1  # who owns what may have changed
                if await self._has_changes(known):
                    self._start(known)
        if self._taken != self._changes:
            await self._take_over()

    async def _has_changes(self, entry: _Entry) -> bool:
        """Whether there is a value that was not given to us. It is asked for once: two hosts that read because the
        other one has would never end."""
        fresh = await self._store.inventory.current(entry.config.name) - entry.anchors.keys() - entry.asked
        entry.asked |= fresh
        return bool(fresh)

    async def _give_up(self, name: str) -> None:
        """A reading of what is configured otherwise by now."""
        if (task := self._readings.pop(name, None)) is not None:
            await cancel(task)

    def _start(self, entry: _Entry) -> None:
        name = entry.config.name
        self._readings[name] = asyncio.create_task(self._guarded(self._read_in_turn(entry)), name=f"inventory {name}")

    async def _read_in_turn(self, entry: _Entry) -> None:
        """A few begin at once; one that does not come to its end soon keeps no other from its turn."""
        async with self._few:
            reading = asyncio.create_task(self._read(entry))
            try:
                await asyncio.wait([reading], timeout=_TURN)
            except asyncio.CancelledError:
                await cancel(reading)
                raise
        try:
            await reading
        except asyncio.CancelledError:
            await cancel(reading)
            raise
        await self._take_over()

    async def _read(self, entry: _Entry) -> None:
        name = entry.config.name
        began = time.monotonic()
        path = self._tables().path
        assert path is not None  # a configuration with an inventory was read from a file
        found, anchors, error = await ask(entry.config, path.parent, self._scanner.key, self._scanner.redact)
        difference = await self._store.inventory.save(name, found, whole=not error, error=error)
        entry.at, entry.read = (await self._store.inventory.syncs())[name].at, time.monotonic()
        entry.anchors |= anchors
        self._changes += 1
        entry.failures = entry.failures + 1 if error else 0  # what is in doubt is looked at again on its schedule
        if error := error or difference.doubt:
            text = f"{error}. What was known before is still looked for; it is tried again."
            self._tell(f"The inventory {name} could not be read", text, key=f"inventory {name}")
            return
        self._known[name] = Known(time.time(), entry.config.stale_after)
        self._over(f"inventory {name}", "It was read to its end.")
        if difference.added or difference.changed or difference.gone:
            counts = {name: getattr(difference, name) for name in ("added", "changed", "gone", "returned")}
            seconds = round(time.monotonic() - began, 1)
            log.info("inventory read", entry=name, refused=difference.refused, seconds=seconds, **counts)

    async def _take_over(self) -> None:
        """Look for what is known now."""
        async with self._taking:
            await self._exchange()

    async def _exchange(self) -> None:
        scanner, changes = self._scanner, self._changes
        anchors = dict(pair for entry in self._entries.values() for pair in entry.anchors.items())
        owners = await self._store.inventory.owners()
        exact = scanner.engine.exact
        if frozenset(anchors) != self._found:
            exact = await asyncio.to_thread(Exact, list(anchors.values()), scanner.key) if anchors else None
            log.info("own secrets are looked for", values=len(anchors))
        scanner.enrol(exact, owners)
        self._found, self._taken = frozenset(anchors), changes
        if both := shared(owners, scanner.key, time.time()):
            await self._store.commit(both)
