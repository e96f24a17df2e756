"""The store: an async face on the writer thread and on reads in threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.exc import SQLAlchemyError

from monitor.common.notification import Receipt, State
from monitor.common.severity import Severity
from monitor.incidents import Action, Incident
from monitor.model import Finding, HookDelivery, KnownAlert, Position, Resolution, WriteBack
from monitor.routing import Policy
from monitor.store import alerts, groups, ledger, outbox
from monitor.store.database import Database, Failure, Recovery, StoreError, classify, explain
from monitor.store.records import AlertBatch, AuditEntry, Commit, Leased, Notice, OutboxEntry, Stats
from monitor.store.rows import clean, incident_from, load_locations
from monitor.store.schema import audit, findings, incidents, positions, unsent
from monitor.store.schema import outbox as outbox_table
from monitor.store.writer import Writer

__all__ = ["Store"]

_T = TypeVar("_T")

_READ_PATIENCE = 10.0  # seconds a read waits for a database that is locked or away
_LONGEST_LIST = 10_000


@dataclass(slots=True)
class _Counters:
    findings: int = 0
    repeated: int = 0
    opened: int = 0


class Store:
    """Findings, incidents, positions and the outbox in SQLite or PostgreSQL. Open it with `await Store.open(…)`.

    Several processes may have the same database open: their writes take turns.
    """

    def __init__(self, database: Database, policy: Policy, clock: Callable[[], float]) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._counters = _Counters()
        self._degraded: str | None = None
        self._listeners: list[Callable[[], None]] = []
        self._degraded_listeners: list[Callable[[str | None], None]] = []
        self._recovery_listeners: list[Callable[[Recovery], None]] = []
        self._readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="store-reader")
        self.recovery: Recovery | None = None
        self._writer = Writer(
            database,
            self._ingest,
            clock=clock,
            on_degraded=lambda message: self._tell(self._set_degraded, message),
            on_recovery=lambda recovery: self._tell(self._set_recovery, recovery),
            on_news=lambda: self._tell(self._changed),
        )

    @classmethod
    async def open(
        cls,
        url: str | os.PathLike[str],
        policy: Policy | None = None,
        *,
        clock: Callable[[], float] = time.time,
        repairs: bool = True,
    ) -> Self:
        """Open or create. `url`: a path, or `postgresql+psycopg://…`. Raises StoreError.

        A damaged SQLite file is moved aside; `recovery` then says where to and what was carried over. Without
        `repairs` damage is a StoreError.
        """

        def prepare() -> tuple[Database, Recovery | None]:
            database = Database(url, repairs=repairs)
            return database, database.prepare()

        database, recovery = await asyncio.to_thread(prepare)
        store = cls(database, policy or Policy(), clock)
        store.recovery = recovery
        return store

    async def close(self, timeout: float = 5.0) -> None:
        """Write what waits, positions too, and close. Gives up on a database that cannot be written in time."""
        await asyncio.to_thread(self._writer.close, timeout)
        self._readers.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._database.dispose)

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

    @property
    def name(self) -> str:
        """The path, or the URL without its password."""
        return self._database.name

    @property
    def transactions(self) -> int:
        """How many of ours were committed; while it stays the same, only another process can have changed anything."""
        return self._writer.stats.transactions

    @property
    def policy(self) -> Policy:
        """Routes and silences; assign to reload. What was decided before stays decided."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be written at present; None: it can."""
        return self._degraded

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
        found: Sequence[Finding],
        moved: Sequence[Position] = (),
        *,
        notify: bool = True,
        notices: Sequence[Notice] = (),
    ) -> int:
        """Findings, who is told, and positions in one transaction; returns how many findings were new.

        Durable when it returns, if there are findings or notices; lone positions follow within a second. Waits while
        the database cannot be written. `notify` False opens incidents quietly.
        """
        commit = Commit(tuple(found), tuple(moved), notify, tuple(notices))
        return await asyncio.wrap_future(self._writer.commit(commit))

    async def flush(self) -> None:
        """Everything committed so far, positions too, is on disk."""
        await self._write(lambda connection, now: None, durable=True)

    async def transition(
        self, ref: str, action: Action, *, actor: str, resolution: Resolution | None = None, note: str = ""
    ) -> Incident:
        """`ref` as in `incident`. Raises LookupError and TransitionError."""
        known = await self.incident(ref)

        def run(connection: Connection, now: float) -> Incident:
            return ledger.apply_transition(
                connection,
                self._policy,
                known.id,
                action,
                actor=actor,
                resolution=resolution,
                note=note,
                now=now,
            )

        return await self._write(run, durable=True)

    async def notify(self, notice: Notice) -> list[str]:
        """Put a notice into the outbox; returns the ids of its notifications."""
        return await self._write(
            lambda connection, now: outbox.add_notice(connection, self._policy, notice, now), durable=True
        )

    # For sources of ready-made alerts

    async def record_alerts(self, batch: AlertBatch) -> int:
        """Alerts with their findings, positions and hooks in one transaction; returns how many findings were new."""
        return await self._write(
            lambda connection, now: alerts.apply_alerts(connection, self._policy, batch, now), durable=True
        )

    async def known_alerts(self, ids: Iterable[str]) -> dict[str, KnownAlert]:
        """Those of `ids` that were recorded."""
        wanted = list(ids)
        return await self._read(lambda connection: alerts.known(connection, wanted))

    async def enqueue_hook(self, delivery: HookDelivery) -> bool:
        """Keep a verified hook until its source has dealt with it; False: one of its id is known."""
        return await self._write(lambda connection, now: alerts.enqueue(connection, delivery, now), durable=True)

    async def due_hooks(self, source: str, limit: int = 50) -> list[HookDelivery]:
        """Hooks of `source` to deal with, oldest first."""
        return await self._read(lambda connection: alerts.due_hooks(connection, source, self._clock(), limit))

    async def postpone_hook(self, id_: str, seconds: float) -> None:
        """Try again in so many seconds."""
        await self._write(lambda connection, now: alerts.postpone(connection, id_, now + seconds))

    async def write_backs(self, source: str, limit: int = 50) -> list[WriteBack]:
        """Alerts open where they came from whose incident is resolved as revoked."""
        return await self._read(lambda connection: alerts.write_backs(connection, source, limit))

    # For delivery

    async def tick(self, *, flush: bool = False) -> None:
        """Put into the outbox what has become due; `flush`: also what is still held back for its group."""
        more = True
        while more:
            more = await self._write(
                lambda connection, now: groups.reconsider_due(connection, self._policy, now, flush=flush), durable=True
            )

    async def next_due(self) -> float | None:
        """When a group must be looked at again."""
        return await self._read(groups.next_due)

    async def waiting(self) -> Mapping[str, float]:
        """Sink → when it has something to send (seconds since the epoch)."""
        return await self._read(outbox.soonest)

    async def agenda(self) -> tuple[float | None, Mapping[str, float]]:
        """`next_due` and `waiting` in one read: it is asked for every second."""
        return await self._read(lambda connection: (groups.next_due(connection), outbox.soonest(connection)))

    async def unsent(self) -> int:
        """Notifications that are neither sent nor given up."""
        query = select(func.count()).where(unsent())
        return await self._read(lambda connection: connection.execute(query).scalar_one())

    async def lease(self, sink: str, owner: str, ttl: float) -> Leased | None:
        """The next notification for `sink`, ours for `ttl` seconds."""

        def run(connection: Connection, now: float) -> Leased | None:
            row = outbox.lease(connection, sink, owner, ttl, now)
            return None if row is None else outbox.render(connection, row)

        def give_back(job: Future[Leased | None]) -> None:
            leased = None if job.cancelled() or job.exception() else job.result()
            if leased:
                with contextlib.suppress(StoreError):  # closed: the next start sees whose it is
                    self._writer.call(
                        lambda connection, now: outbox.put_back(connection, leased.id, owner, error=None, next_at=now)
                    )

        job = self._writer.call(run)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # If it was being written, it is taken all the same: nobody else would send it until the lease runs out.
            job.add_done_callback(give_back)
            raise

    async def sent(self, id_: str, receipt: Receipt | None) -> None:
        await self._write(lambda connection, now: outbox.sent(connection, id_, receipt, now))

    async def put_back(self, id_: str, owner: str, *, error: str | None, delay: float = 0.0) -> None:
        """Try again after `delay` seconds. `error` None: it was not tried."""
        await self._write(
            lambda connection, now: outbox.put_back(connection, id_, owner, error=error, next_at=now + delay)
        )

    async def give_up(self, id_: str, error: str, fallback: str | None) -> str | None:
        """Dead letter; returns the id of the notification for the fallback, if there is one that has not refused it."""
        return await self._write(
            lambda connection, now: outbox.give_up(connection, id_, error, fallback, now), durable=True
        )

    async def requeue(self, id_: str) -> bool:
        """Try a dead letter again. False: there is none of this id."""
        return await self._write(lambda connection, now: outbox.requeue(connection, id_, now), durable=True)

    async def try_at_once(self, sink: str | None = None) -> None:
        """The sink works again, or (None: all of them) the clock was put back: nothing waits for it any longer."""
        await self._write(lambda connection, now: outbox.try_at_once(connection, now, sink=sink))

    async def adopt(self, owner: str, sinks: Collection[str]) -> tuple[int, int]:
        """At start and reload: take over leases of the dead, and what waits for sinks that are gone.

        The latter goes to the sinks that the routes name now. Returns both numbers. Every group that is still alive
        is looked at anew, because routes and silences may have changed.
        """

        def run(connection: Connection, now: float) -> tuple[int, int]:
            released = outbox.release_lost(connection, owner, now)
            outbox.try_at_once(connection, now, beyond=outbox.LONGEST_WAIT)  # from before the clock was put back
            orphans = outbox.abandon(connection, sinks, now)
            groups.rehome(connection, self._policy, orphans, now)
            groups.reconsider_later(connection, now)
            return released, len(orphans)

        return await self._write(run, durable=True)

    async def tidy(self) -> int:
        """Forget old rows of the outbox; returns how many."""
        return await self._write(outbox.tidy)

    # Reading

    async def positions(self, source: str) -> dict[str, Mapping[str, Any]]:
        """Key → state, with all that was committed up to now."""
        await self.flush()

        def run(connection: Connection) -> dict[str, Mapping[str, Any]]:
            query = select(positions.c.key, positions.c.state).where(positions.c.source == clean(source))
            return {json.loads(key): json.loads(state) for key, state in connection.execute(query)}

        return await self._read(run)

    async def incidents(
        self,
        *,
        states: Collection[State] = (),
        severities: Collection[Severity] = (),
        rules: Collection[str] = (),
        source: str | None = None,
        since: float | None = None,
        search: str | None = None,
        limit: int = 100,
        offset: int = 0,
        locations: bool = False,
    ) -> list[Incident]:
        """Last seen first. Empty filters take all; `since`: seen at or after; `search`: name, rule, path, preview."""
        query = _filtered(states=states, severities=severities, rules=rules, source=source, since=since, search=search)
        query = query.order_by(incidents.c.last_seen.desc(), incidents.c.id)
        query = query.limit(min(limit, _LONGEST_LIST)).offset(offset)

        def run(connection: Connection) -> list[Incident]:
            rows = list(connection.execute(query))
            places = load_locations(connection, [row.id for row in rows]) if locations else {}
            return [incident_from(row, places.get(row.id, ())) for row in rows]

        return await self._read(run)

    async def count(
        self,
        *,
        states: Collection[State] = (),
        severities: Collection[Severity] = (),
        rules: Collection[str] = (),
        source: str | None = None,
        since: float | None = None,
        search: str | None = None,
    ) -> int:
        """How many `incidents` there are with these filters."""
        query = select(func.count()).select_from(
            _filtered(
                states=states, severities=severities, rules=rules, source=source, since=since, search=search
            ).subquery()
        )
        return await self._read(lambda connection: connection.execute(query).scalar_one())

    async def incident(self, ref: str) -> Incident:
        """By id, fingerprint, or a start of either that fits only one; with locations. Raises LookupError."""
        ref = ref.strip()

        def run(connection: Connection) -> Incident:
            columns = incidents.c
            exact = select(incidents).where((columns.id == ref) | (columns.fingerprint == ref))
            rows = list(connection.execute(exact))
            if not rows and ref:
                either = columns.id.startswith(ref, autoescape=True) | columns.fingerprint.startswith(
                    ref, autoescape=True
                )
                rows = list(connection.execute(select(incidents).where(either).limit(9)))
            if not rows:
                raise LookupError(f"there is no incident {ref!r}; `monitor incidents list` shows them")
            if len(rows) > 1:
                ids = [row.id for row in rows]
                fitting = f"{', '.join(ids[:8])}{' and more' if len(ids) > 8 else ''}"
                raise LookupError(f"{ref!r} fits several incidents; give more of the id: {fitting}")
            row = rows[0]
            return incident_from(row, load_locations(connection, [row.id]).get(row.id, ()))

        return await self._read(run)

    async def history(self, ref: str) -> list[AuditEntry]:
        """Every change of state of an incident, oldest first. Raises LookupError."""
        known = await self.incident(ref)
        query = select(audit).where(audit.c.incident == known.id).order_by(audit.c.seq)

        def run(connection: Connection) -> list[AuditEntry]:
            return [
                AuditEntry(
                    at=row.at,
                    actor=row.actor,
                    incident=row.incident,
                    action=row.action,
                    was=row.was,
                    state=row.state,
                    resolution=row.resolution,
                    severity=row.severity,
                    note=row.note,
                )
                for row in connection.execute(query)
            ]

        return await self._read(run)

    async def outbox(self, *, states: Collection[str] = (), limit: int = 100) -> list[OutboxEntry]:
        """Notifications, newest first."""
        query = select(outbox_table)
        if states:
            query = query.where(outbox_table.c.state.in_(list(states)))
        query = query.order_by(outbox_table.c.seq.desc()).limit(min(limit, _LONGEST_LIST))

        def run(connection: Connection) -> list[OutboxEntry]:
            return [
                OutboxEntry(
                    id=row.id,
                    sink=row.sink,
                    reason=row.reason,
                    state=row.state,
                    incidents=tuple(json.loads(row.incidents)),
                    title=row.title,
                    created_at=row.created_at,
                    next_at=row.next_at,
                    attempts=row.attempts,
                    error=row.error,
                    finished_at=row.finished_at,
                )
                for row in connection.execute(query)
            ]

        return await self._read(run)

    async def stats(self) -> Stats:
        """Numbers for metrics."""

        def run(connection: Connection) -> tuple[dict[Any, int], dict[Any, int], float | None, int]:
            cases = select(incidents.c.state, incidents.c.severity, func.count()).group_by(
                incidents.c.state, incidents.c.severity
            )
            kept = outbox_table.c.state.in_(("pending", "leased", "dead"))
            boxes = (
                select(outbox_table.c.sink, outbox_table.c.state, func.count())
                .where(kept)
                .group_by(outbox_table.c.sink, outbox_table.c.state)
            )
            oldest = select(func.min(outbox_table.c.created_at)).where(unsent())
            if self._database.postgres:
                size = int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar() or 0)
            else:
                size = self._database.size()
            return (
                {(state, severity): number for state, severity, number in connection.execute(cases)},
                {(sink, state): number for sink, state, number in connection.execute(boxes)},
                connection.execute(oldest).scalar(),
                size,
            )

        by_state, by_sink, oldest, size = await self._read(run)
        return Stats(
            incidents=by_state,
            outbox=by_sink,
            oldest_unsent=oldest,
            size=size,
            findings=self._counters.findings,
            repeated=self._counters.repeated,
            opened=self._counters.opened,
            transactions=self._writer.stats.transactions,
            commits=self._writer.stats.commits,
            write_seconds=self._writer.stats.seconds,
            retries=self._writer.stats.retries,
            degraded=self._degraded,
        )

    # Inside

    def _ingest(
        self, connection: Connection, commits: Sequence[Commit], late: Sequence[Position], now: float
    ) -> list[int]:
        done = ledger.apply_commits(connection, self._policy, commits, late, now)
        # A transaction that is rolled back and repeated counts twice: these are for rates, the truth is in the tables.
        self._counters.findings += sum(done.new)
        self._counters.repeated += done.repeated
        self._counters.opened += done.opened
        return done.new

    async def _write(self, run: Callable[[Connection, float], _T], *, durable: bool = False) -> _T:
        return await asyncio.wrap_future(self._writer.call(run, durable=durable))

    async def _read(self, run: Callable[[Connection], _T]) -> _T:
        """In a thread, on a connection that cannot write. Waits a while for a lock or a server that restarts."""

        def once() -> _T:
            with self._database.reader.connect() as connection:
                return run(connection)

        deadline = self._loop.time() + _READ_PATIENCE
        delay, repaired = 0.05, False
        while True:
            generation = self._database.generation
            try:
                return await self._loop.run_in_executor(self._readers, once)
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


def _filtered(
    *,
    states: Collection[State],
    severities: Collection[Severity],
    rules: Collection[str],
    source: str | None,
    since: float | None,
    search: str | None,
) -> Select[Any]:
    columns = incidents.c
    query = select(incidents)
    if states:
        query = query.where(columns.state.in_(list(states)))
    if severities:
        query = query.where(columns.severity.in_(list(severities)))
    if rules:
        query = query.where(columns.rule.in_(list(rules)))
    if since is not None:
        query = query.where(columns.last_seen >= since)
    if source is not None:
        query = query.where(columns.id.in_(select(findings.c.incident).where(findings.c.source == source)))
    if search:
        somewhere = select(findings.c.incident).where(findings.c.path.icontains(search, autoescape=True))
        query = query.where(
            columns.name.icontains(search, autoescape=True)
            | columns.rule.icontains(search, autoescape=True)
            | columns.masked.icontains(search, autoescape=True)
            | columns.id.in_(somewhere)
        )
    return query
