"""The store: opens the rooms, and gives them the writer thread and reads in threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from monitor.access.judge import Rules
from monitor.access.reading import Reading
from monitor.common.backoff import backoff
from monitor.common.steady import SteadyClock
from monitor.domain.model import Finding, Position
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store.access import Access
from monitor.store.actions import Actions
from monitor.store.alerts import Alerts
from monitor.store.bulk import BulkRequests
from monitor.store.canaries import Canaries
from monitor.store.cases import CaseRepository
from monitor.store.checklist import Checklist
from monitor.store.database import Database
from monitor.store.drills import Drills, last_drill, last_success
from monitor.store.errors import AwayError, Failure, Recovery, StoreError, classify, explain
from monitor.store.figures import FiguresRepository
from monitor.store.findings import record
from monitor.store.groups import Groups
from monitor.store.heads import Heads
from monitor.store.hooks import Hooks
from monitor.store.incidents import Incidents
from monitor.store.inventory import Inventory
from monitor.store.merges import Merges
from monitor.store.noise import NoiseRepository
from monitor.store.outbox import Outbox
from monitor.store.positions import Positions
from monitor.store.records import Commit, Notice, StoreStats
from monitor.store.requests import RequestRepository
from monitor.store.retention import RetentionRepository
from monitor.store.rows import clean
from monitor.store.runs import Runs
from monitor.store.schema import incidents, outbox, unsent
from monitor.store.sealing import begin
from monitor.store.sessions import Sessions
from monitor.store.silences import Silences
from monitor.store.suppressions import Suppressions
from monitor.store.tokens import ApiTokens
from monitor.store.trail import Trail
from monitor.store.transaction import Cached, Transaction
from monitor.store.undelivered import Undelivered
from monitor.store.users import Users
from monitor.store.verdicts import Verdicts
from monitor.store.writer import Writer

__all__ = ["Store"]

_T = TypeVar("_T")

_AWAY_FIRST, _AWAY_LONGEST = 0.5, 10.0  # seconds between looks for a server that is away
_READ_PATIENCE = 10.0  # seconds a read waits for a database that is locked or away


class Store:
    """Findings, incidents, positions and the outbox in SQLite or PostgreSQL. Open it with `await Store.open(…)`.

    `node`: what tells this host from others that share the database; `secret`: what the trail is sealed with; `heads`:
    what this host knows of the ends of histories, None: it stores nothing of it. Several processes may have the same
    database open: their writes take turns.
    """

    def __init__(
        self,
        database: Database,
        policy: Policy,
        *,
        procedure: Procedure,
        clock: Callable[[], float],
        node: str,
        secret: bytes,
        access_rules: Rules,
        heads: Heads | None = None,
    ) -> None:
        self._database, self.heads = database, heads
        self.node, self.secret = node, secret
        # Assign to reload. What was decided before stays decided.
        self.policy, self.procedure, self.access_rules = policy, procedure, access_rules
        self._clock, self._loop = clock, asyncio.get_running_loop()
        self._degraded: str | None = None
        self._listeners: list[Callable[[], None]] = []
        self._degraded_listeners: list[Callable[[str | None], None]] = []
        self._recovery_listeners: list[Callable[[Recovery], None]] = []
        self._readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="store-reader")
        self._reading: set[Future[Any]] = set()
        self.recovery: Recovery | None = None
        self.incidents = Incidents(self)
        self.alerts = Alerts(self)
        self.hooks = Hooks(self)
        self.groups = Groups(self)
        self.outbox = Outbox(self)
        self.undelivered = Undelivered(self)
        self.figures = FiguresRepository(self)
        self.noise = NoiseRepository(self)
        self.checklist = Checklist(self)
        self.positions = Positions(self)
        self.retention = RetentionRepository(self)
        self.runs = Runs(self)
        self.canaries = Canaries(self)
        self.drills = Drills(self)
        self.silences = Silences(self)
        self.merges = Merges(self)
        self.suppressions = Suppressions(self)
        self.trail = Trail(self)
        self.verdicts = Verdicts(self)
        self.actions = Actions(self)
        self.requests = RequestRepository(self)
        self.cases = CaseRepository(self)
        self.bulk = BulkRequests(self)
        self.access = Access(self)
        self.inventory = Inventory(self)
        self.users = Users(self)
        self.sessions = Sessions(self)
        self.tokens = ApiTokens(self)
        self._writer = Writer(
            database,
            record,
            begin=self._begin,
            on_degraded=lambda message: self._tell(self._set_degraded, message),
            on_recovery=lambda recovery: self._tell(self._set_recovery, recovery),
            on_change=lambda: self._tell(self._changed),
        )

    @classmethod
    async def open(
        cls,
        url: str | os.PathLike[str],
        policy: Policy | None = None,
        *,
        procedure: Procedure | None = None,
        node: str | None = None,
        secret: bytes = b"",
        access_rules: Rules | None = None,
        clock: Callable[[], float] | None = None,
        repairs: bool = True,
        waiting: Callable[[str], None] | None = None,
        folder: Path | None = None,
    ) -> Self:
        """Open or create. `url`: a path, or `postgresql+psycopg://…`. Raises StoreError.

        `node`: what tells this host from others that share the database (None: its name). `secret`: what the trail is
        sealed with; without one it shows accidents, but no forgery.
        A damaged SQLite file is moved aside; `recovery` then says where to and what was carried over. Without
        `repairs` damage, or an older form, is a StoreError. With `waiting`, a server that is away is waited for, and
        `waiting` told why before each pause; a refused login is an error all the same. `folder`: of this host, where
        it is kept how far a server had come, so that one that forgets is noticed, and where histories end; without one
        that lies beside an SQLite file.
        """
        node = node or socket.gethostname()

        def prepare() -> tuple[Database, Recovery | None]:
            database = Database(url, repairs=repairs, node=clean(node), folder=folder)
            try:
                return database, database.prepare()
            except BaseException:
                database.dispose()
                raise

        failures = 0
        while True:
            try:
                database, recovery = await asyncio.to_thread(prepare)
                break
            except AwayError as error:
                if waiting is None:
                    raise
                waiting(str(error))
                failures += 1
                await asyncio.sleep(backoff(failures, _AWAY_FIRST, _AWAY_LONGEST))
        place = folder / "heads" if folder else database.path and database.path.with_name(f"{database.path.name}-heads")
        store = cls(
            database,
            policy or Policy(),
            procedure=procedure or Procedure(),
            clock=clock or (SteadyClock(database.clock) if database.postgres else SteadyClock()),
            node=node,
            secret=secret,
            access_rules=access_rules or Rules(),
            heads=Heads(place, create=repairs) if place else None,
        )
        store.recovery = recovery
        return store

    async def claim(self) -> None:
        """See that the database is of our fingerprint key; the first that comes is its own. Raises StoreError."""
        await asyncio.to_thread(self._database.claim, self.secret)
        if self._database.repairs:
            await self.trail.ready()

    async def close(self, timeout: float = 5.0) -> None:
        """Write what waits, positions too, and close. Gives up on a database that cannot be written or read in time."""
        await asyncio.to_thread(self._writer.close, timeout)
        self._readers.shutdown(wait=False, cancel_futures=True)
        # What nobody waits for any more may still read: the connection it makes is to be closed as well.
        await asyncio.to_thread(wait, set(self._reading), timeout)
        await asyncio.to_thread(self._database.dispose)
        if self.heads is not None:
            self.heads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def alive(self) -> bool:
        """Whether the thread that writes is there; without it only a restart helps."""
        return self._writer.alive

    def stalled(self) -> float:
        """Seconds for which one write has given neither a result nor an error: the disk hangs."""
        return self._writer.stalled()

    @property
    def name(self) -> str:
        """The path, or the URL without its password."""
        return self._database.name

    @property
    def transactions(self) -> int:
        """How many of ours were committed; while it stays the same, only another process can have changed anything."""
        return self._writer.stats.transactions

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be written at present; None: it can."""
        return self._degraded

    @property
    def ahead(self) -> float:
        """Seconds by which this host's clock is ahead of the database server's; 0 for SQLite."""
        return self._database.clock.ahead() if self._database.postgres else 0.0

    def stale(self, source: str) -> bool:
        """Whether it has its positions from before the database forgot, so that nobody takes them from it any more."""
        return self._database.history.stale(source)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop after each of our transactions that gives delivery something to do."""
        self._listeners.append(listener)

    def on_degraded(self, listener: Callable[[str | None], None]) -> None:
        """Call `listener` in the event loop with the reason when writing stops, and with None when it goes on."""
        self._degraded_listeners.append(listener)

    def on_recovery(self, listener: Callable[[Recovery], None]) -> None:
        """Call `listener` in the event loop when damage was met and a new database was started."""
        self._recovery_listeners.append(listener)

    # Writing

    async def commit(
        self,
        findings: Sequence[Finding],
        moved: Sequence[Position] = (),
        *,
        notify: bool = True,
        notices: Sequence[Notice] = (),
        readings: Sequence[Reading] = (),
        source: str = "",
    ) -> int:
        """Findings, who is told, and positions in one transaction; returns how many findings were new.

        `readings`: of audit records, from `source`. Durable when it returns, if there are findings, notices or
        readings; lone positions follow within a second. Waits while the database cannot be written. `notify` False
        opens incidents quietly.
        """
        commit = Commit(tuple(findings), tuple(moved), notify, tuple(notices), tuple(readings), source)
        return await asyncio.wrap_future(self._writer.commit(commit))

    async def flush(self) -> None:
        """Everything committed so far, positions too, is on disk."""
        await self.write(lambda tx: None, durable=True)

    async def stats(self) -> StoreStats:
        """Numbers for metrics."""

        def run(connection: Connection) -> StoreStats:
            cases = select(incidents.c.state, incidents.c.severity, func.count()).group_by(
                incidents.c.state, incidents.c.severity
            )
            kept = outbox.c.state.in_(("pending", "leased", "dead"))
            boxes = (
                select(outbox.c.sink, outbox.c.state, func.count()).where(kept).group_by(outbox.c.sink, outbox.c.state)
            )
            oldest = select(func.min(outbox.c.created_at)).where(unsent())
            if self._database.postgres:
                size = int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar() or 0)
            else:
                size = self._database.size()
            drill, counted = last_drill(connection), self._writer.stats
            return StoreStats(
                incidents={(state, severity): number for state, severity, number in connection.execute(cases)},
                outbox={(sink, state): number for sink, state, number in connection.execute(boxes)},
                oldest_unsent=connection.execute(oldest).scalar(),
                size=size,
                findings=counted.counts.findings.copy(),
                repeated=counted.counts.repeated,
                suppressed=counted.counts.suppressed,
                opened=counted.counts.opened,
                drill_hops=None if drill is None else drill.hops,
                drilled=last_success(connection),
                transactions=counted.transactions,
                commits=counted.commits,
                retries=counted.retries,
                degraded=self._degraded,
            )

        return await self.read(run)

    # Inside

    def _begin(self, connection: Connection) -> Transaction:
        tx = Transaction(
            connection,
            self.policy,
            self._clock(),
            self.node,
            self.procedure,
            self.secret,
            self.access_rules,
            history=self._database.history,
            heads=self.heads,
        )
        begin(tx)
        return tx

    # For the repositories (monitor.store.transaction.StoreSession)

    def submit(self, run: Callable[[Transaction], _T], *, durable: bool = False) -> Future[_T]:
        return self._writer.call(run, durable=durable)

    async def write(self, run: Callable[[Transaction], _T], *, durable: bool = False) -> _T:
        return await asyncio.wrap_future(self.submit(run, durable=durable))

    def now(self) -> float:
        return self._clock()

    async def read(self, run: Callable[[Connection], _T], kept: Cached[_T] | None = None) -> _T:

        def once() -> _T:
            version = None if kept is None else self._database.version()
            if kept is not None and version is not None and version == kept.version:
                return cast("_T", kept.value)
            with self._database.reader.connect() as connection:
                value = run(connection)
            if kept is not None:
                kept.version, kept.value = version, value
            return value

        deadline = self._loop.time() + _READ_PATIENCE
        delay, repaired = 0.05, False
        while True:
            generation = self._database.generation
            try:
                reading = self._readers.submit(once)
                self._reading.add(reading)
                reading.add_done_callback(self._reading.discard)
                return await asyncio.wrap_future(reading)
            except SQLAlchemyError as error:
                kind = classify(error)
                reason = explain(error)
            if self._database.exchanging or self._database.generation != generation:
                kind = Failure.RETRY  # what it met was between two files
            if kind is Failure.CORRUPT and not repaired and self._database.repairs:
                repaired = True
                await asyncio.wrap_future(self._writer.report_damage(reason, generation))
            elif kind is not Failure.RETRY or self._loop.time() > deadline:
                raise StoreError(f"{self.name}: {reason}")
            else:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 1.0)

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        # The loop may be gone while the writer still finishes.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def _set_degraded(self, message: str | None) -> None:
        self._degraded = message
        for listener in self._degraded_listeners:
            listener(message)

    def _set_recovery(self, recovery: Recovery) -> None:
        self.recovery = recovery
        for listener in self._recovery_listeners:
            listener(recovery)
