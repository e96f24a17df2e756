"""The writer thread: everything that waits goes into one transaction (group commit); trouble is waited out."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from monitor.common.backoff import backoff
from monitor.domain.model import Position
from monitor.store.commit_counter import ForgottenError
from monitor.store.database import Database
from monitor.store.errors import Failure, Recovery, StoreError, classify, explain
from monitor.store.memory import Memory
from monitor.store.records import Commit
from monitor.store.rows import upsert
from monitor.store.schema import batches
from monitor.store.sealing import settle
from monitor.store.transaction import Counts, Transaction

__all__ = ["Ingest", "Writer", "WriterStats"]

log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_LOOK = 0.5  # seconds between looks at whether the file is still there
_CHECKPOINT = 30.0  # seconds
_FLUSH_AFTER = 1.0  # seconds a lone position may wait; losing it only means reading again
_MARK = upsert(batches, ("writer", "token", "at"), on=("writer",), changing=("token", "at"))
_RETRY_FIRST, _RETRY_LONGEST = 0.05, 5.0  # seconds


# Applies commits in one go; returns the number of new findings of each.
Ingest = Callable[[Transaction, Sequence[Commit], Sequence[Position]], list[int]]


@dataclass(slots=True)
class WriterStats:
    """Counters since start."""

    transactions: int = 0
    commits: int = 0
    retries: int = 0
    counts: Counts = field(default_factory=Counts)


@dataclass(slots=True)
class _Job:
    run: Commit | Callable[[Transaction], Any]
    durable: bool
    future: Future[Any] = field(default_factory=Future)


_Outcome = tuple[_Job, Any, BaseException | None]
_Outcomes = list[_Outcome]


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction, over all attempts. `outcomes`: of its jobs, once it is committed; `unsure`: the
    same where nobody knows yet whether it was. `written`: it is, and lies where the next start looks."""

    jobs: list[_Job]
    positions: list[Position]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    outcomes: _Outcomes | None = None
    unsure: _Outcomes | None = None
    announced: bool = False
    counts: Counts = field(default_factory=Counts)
    written: bool = False


class _DamagedError(Exception):
    """Asks the writer to replace the database: a reader has met damage."""


class Writer:
    """Owns the only connection that writes. Thread-safe; results come as concurrent futures."""

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        *,
        begin: Callable[[Connection], Transaction],
        on_degraded: Callable[[str | None], None],
        on_recovery: Callable[[Recovery], None],
        on_change: Callable[[], None],
    ) -> None:
        """`begin` makes what a transaction carries. All callbacks run in the writer thread; `on_degraded(None)`: it
        writes again."""
        self.stats = WriterStats()
        self._database, self._ingest, self._begin = database, ingest, begin
        self._on_degraded, self._on_recovery, self._on_change = on_degraded, on_recovery, on_change
        self._name = uuid.uuid4().hex
        self._condition = threading.Condition()
        self._jobs: list[_Job] = []
        self._positions: dict[tuple[str, str], Position] = {}
        self._positions_since: float | None = None
        self._closing = False
        self._abandon = threading.Event()
        self._degraded: str | None = None
        self._attempt_since: float | None = None
        self._memory = Memory()  # of what a server may forget
        self._checkpointed, self._written = time.monotonic(), False
        # Daemonic: a disk that hangs must not keep the process from its second signal.
        self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stalled(self) -> float:
        """Seconds for which the writer has been at one attempt: a disk that hangs gives no error. Trouble that is
        reported and waited out (`on_degraded`) does not count."""
        since = self._attempt_since
        return 0.0 if since is None else time.monotonic() - since

    def commit(self, commit: Commit) -> Future[int]:
        """Resolves once the findings are durable, at once when there are none: such positions are written later."""
        if not commit.findings and not commit.notices and not commit.readings:
            future: Future[int] = Future()
            with self._condition:
                self._refuse_when_closed()
                for position in commit.positions:
                    # Last one wins, also in the order of the dict.
                    self._positions.pop((position.source, position.key), None)
                    self._positions[position.source, position.key] = position
                if self._positions and self._positions_since is None:
                    self._positions_since = time.monotonic()
                    self._condition.notify()
            future.set_result(0)
            return future
        job = _Job(commit, durable=True)
        with self._condition:
            self._refuse_when_closed()
            for position in commit.positions:
                self._positions.pop((position.source, position.key), None)
            self._jobs.append(job)
            self._condition.notify()
        return job.future

    def call(self, run: Callable[[Transaction], _T], *, durable: bool = False) -> Future[_T]:
        """Run `run` in the next transaction, after everything that waits. It may run again."""
        job = _Job(run, durable)
        with self._condition:
            self._refuse_when_closed()
            self._jobs.append(job)
            self._condition.notify()
        return job.future

    def report_damage(self, reason: str, generation: int) -> Future[None]:
        """A reader has met damage in the file of that `Database.generation`: replace it, unless that was done since."""

        def run(tx: Transaction) -> None:
            if self._database.generation == generation:
                raise _DamagedError(reason)

        return self.call(run)

    def close(self, timeout: float) -> bool:
        """Write what waits and stop. False when the database could not take it in time; the rest then fails."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._abandon.set()
            self._thread.join(2.0)
        return not self._abandon.is_set()

    def _refuse_when_closed(self) -> None:
        if self._closing and threading.current_thread() is not self._thread:
            raise StoreError(f"{self._database.name}: the store is closed")

    def _loop(self) -> None:
        while True:
            batch = self._take()
            if batch is None:
                break
            if not (batch.jobs or batch.positions or self._database.replaced() or self._database.forgets()):
                self._checkpoint()
                continue
            self._write(batch)
            self._written = True
            if time.monotonic() - self._checkpointed > _CHECKPOINT:
                self._checkpoint()
        if self._database.postgres and not self._abandon.is_set():
            try:
                with self._database.transaction(durable=False) as connection:
                    connection.execute(delete(batches).where(batches.c.writer == self._name))
            except (SQLAlchemyError, ForgottenError) as error:
                log.debug("could not remove the writer's mark", error=explain(error))

    def _take(self) -> _Batch | None:
        """Wait for work. Positions travel with whatever is written next, so that their order is kept."""
        with self._condition:
            while not self._jobs:
                wait = None
                if self._positions_since is not None:
                    wait = self._positions_since + _FLUSH_AFTER - time.monotonic()
                    if wait <= 0 or self._closing:
                        break
                elif self._closing:
                    return None
                if not self._condition.wait(min(wait or _LOOK, _LOOK)):
                    break  # what is gone is noticed at once, not with the next finding
            jobs, self._jobs = self._jobs, []
            positions, self._positions = list(self._positions.values()), {}
            self._positions_since = None
        # A caller that has gone (cancelled) does not want it any more; nothing of it has happened yet.
        return _Batch([job for job in jobs if job.future.set_running_or_notify_cancel()], positions)

    def _write(self, batch: _Batch) -> None:
        failures = 0
        while not batch.written:
            self._attempt_since = time.monotonic()
            try:
                problem = self._attempt(batch)
            except Exception as error:  # noqa: BLE001 - a boundary: a mistake must not end the thread all wait for
                self._fail(batch.jobs, error)
                return
            finally:
                self._attempt_since = None
            if problem is None:
                continue
            failures += 1
            self.stats.retries += 1
            self._set_degraded(problem)
            self._database.forget_connections()
            if self._abandon.wait(backoff(failures, _RETRY_FIRST, _RETRY_LONGEST)):
                closed = f"{self._database.name}: closed while it could not be written: {problem}"
                self._fail(batch.jobs, StoreError(closed))
                return
        self._report(batch)

    def _attempt(self, batch: _Batch) -> str | None:
        """Returns what is wrong, where waiting or trying again may mend it; raises what they do not mend."""
        try:
            self._commit(batch)
        except ForgottenError as error:
            batch.outcomes = batch.unsure = None
            lost, problem = self._remembered(error)
            batch.jobs = [*lost, *batch.jobs]
            return problem
        except _DamagedError as error:
            return self._replace(str(error))
        except StoreError as error:  # the place is unusable for now: the folder is gone, or a newer version's file
            return str(error)
        except (SQLAlchemyError, OSError) as error:
            kind = classify(error) if isinstance(error, SQLAlchemyError) else Failure.RETRY
            if kind is Failure.FATAL or (kind is Failure.CORRUPT and not self._database.repairs):
                raise StoreError(f"{self._database.name}: {explain(error)}") from None
            return self._replace(explain(error)) if kind is Failure.CORRUPT else explain(error)
        except Exception:
            log.exception("a transaction failed for a reason that waiting does not mend")
            raise
        return None

    def _commit(self, batch: _Batch) -> None:
        """Unless an earlier attempt has."""
        if not self._stay_at_the_path():
            batch.outcomes = None
        if batch.outcomes is None and batch.unsure is not None and self._delivered(batch.token):
            batch.outcomes = batch.unsure
        if batch.outcomes is None:
            batch.unsure = None
            durable = any(job.durable for job in batch.jobs)
            with self._database.transaction(durable=durable) as connection:
                tx = self._begin(connection)
                applied = self._apply(tx, batch.jobs, batch.positions)
                settle(tx)
                batch.announced, batch.counts = tx.announced, tx.counts
                if self._database.postgres:
                    tx.connection.execute(_MARK, {"writer": self._name, "token": batch.token, "at": tx.now})
                    batch.unsure = applied  # from here on a lost answer leaves it open whether it was committed
            batch.outcomes = applied
            if tx.heads is not None:
                tx.heads.note(tx.learned, durable=durable)
        # Removed in the midst of it? Nobody hears that it is stored before it lies where the next start looks.
        if self._stay_at_the_path():
            self._set_degraded(None)
            batch.written = True
        else:
            batch.outcomes = None

    def _report(self, batch: _Batch) -> None:
        commits = [job.run for job in batch.jobs if isinstance(job.run, Commit)]
        self.stats.transactions += 1
        self.stats.commits += len(commits)
        self.stats.counts.add(batch.counts)
        if self._database.postgres and self._database.number is not None:
            self._memory.add(self._database.number, commits, batch.positions)
        if batch.announced:
            # Before the futures: whoever continues after a commit finds delivery already on its way.
            self._on_change()
        for job, result, failure in batch.outcomes or ():
            if failure is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(failure)

    def _stay_at_the_path(self) -> bool:
        """Write the file anew where it was removed. False: the one that lies there now has nothing of ours."""
        if not self._database.replaced():
            return True
        recovery = self._database.reopen()
        self._on_recovery(recovery)
        return recovery.kind == "removed"

    def _apply(self, tx: Transaction, jobs: list[_Job], positions: list[Position]) -> _Outcomes:
        """Each call in a savepoint of its own, commits together: a mistake in one leaves the others alone."""
        commits = [(job, job.run) for job in jobs if isinstance(job.run, Commit)]
        outcomes = self._apply_commits(tx, commits, positions) if commits or positions else []
        return [*outcomes, *(self._guarded(tx, job) for job in jobs if not isinstance(job.run, Commit))]

    def _apply_commits(
        self, tx: Transaction, commits: Sequence[tuple[_Job, Commit]], late: list[Position]
    ) -> _Outcomes:
        try:
            with tx.attempt():
                counts = self._ingest(tx, [commit for _, commit in commits], late)
            return [(job, count, None) for (job, _), count in zip(commits, counts, strict=True)]
        except Exception as error:  # a boundary: one caller's mistake is not another's
            if not _belongs_to_caller(error):
                raise
        # Rare: one of them is at fault. One by one, so that only its own caller hears of it.
        outcomes = [self._guarded(tx, job) for job, _ in commits]
        self._ingest(tx, (), late)
        return outcomes

    def _guarded(self, tx: Transaction, job: _Job) -> _Outcome:
        tx.changed()  # by the job before, or its end
        try:
            with tx.attempt():
                run = job.run
                return job, self._ingest(tx, [run], ())[0] if isinstance(run, Commit) else run(tx), None
        except Exception as error:  # a boundary: the caller gets it
            if not _belongs_to_caller(error):
                raise
            return job, None, error

    def _delivered(self, token: str) -> bool:
        with self._database.transaction(durable=False) as connection:
            stored = connection.execute(select(batches.c.token).where(batches.c.writer == self._name)).scalar()
        return stored == token

    def _remembered(self, forgotten: ForgottenError) -> tuple[list[_Job], str | None]:
        """Go on with what the server still knows. Returns what is to be written again, and what is still wrong."""
        try:
            recovery = self._database.go_on(forgotten)
        except (StoreError, SQLAlchemyError, OSError) as error:
            return [], explain(error) if isinstance(error, SQLAlchemyError) else str(error)
        commits, complete = self._memory.since(forgotten.known)
        if complete:
            self._database.history.remembered()
        self._on_recovery(replace(recovery, complete=complete))
        return [_Job(commit, durable=True) for commit in commits], None

    def _replace(self, reason: str) -> str | None:
        """Start a new database in place of a damaged one. Returns what is still wrong."""
        try:
            self._on_recovery(self._database.recover(reason))
        except (StoreError, SQLAlchemyError, OSError) as error:
            return explain(error) if isinstance(error, SQLAlchemyError) else str(error)
        return None

    def _checkpoint(self) -> None:
        """When idle, and every half minute: what a damaged log takes along is only what came since."""
        if self._degraded is None and self._written:
            self._checkpointed, self._written = time.monotonic(), False
            try:
                self._written = self._database.shrink()  # once a second while there is more and nothing else to do
                self._database.checkpoint()
            except (SQLAlchemyError, sqlite3.Error) as error:
                log.debug("the log could not be moved into the database", reason=explain(error))

    def _set_degraded(self, message: str | None) -> None:
        if message == self._degraded:
            return
        if message is None:
            log.info("the state database can be written again", database=self._database.name)
        else:
            log.error(
                "the state database cannot be written; waiting, nothing is lost",
                database=self._database.name,
                reason=message,
            )
        self._degraded = message
        self._on_degraded(message)

    def _fail(self, jobs: Iterable[_Job], error: BaseException) -> None:
        for job in jobs:
            job.future.set_exception(error)
        if not self._abandon.is_set():
            return
        with self._condition:
            waiting, self._jobs = self._jobs, []
            self._positions, self._positions_since = {}, None
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)


def _belongs_to_caller(error: Exception) -> bool:
    """A refused transition or a wrong value, as opposed to trouble of the database that concerns everybody."""
    if isinstance(error, _DamagedError):
        return False
    return not isinstance(error, DBAPIError) or classify(error) is Failure.FATAL
