"""Connections to SQLite or PostgreSQL: durability, kinds of failure, and a damaged file kept aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.store import key_check, postgres
from monitor.store.commit_counter import CommitCounter, ForgottenError, NumberFile
from monitor.store.engines import engines, parse, wrapped
from monitor.store.errors import (
    NO_ROOM,
    AwayError,
    Failure,
    Recovery,
    StoreError,
    classify,
    explain,
    refusal,
)
from monitor.store.postgres import ServerClock
from monitor.store.repair import carry_over
from monitor.store.transaction import RollbackHistory
from monitor.store.upgrades import SchemaError, migrate

__all__ = ["Database"]

log = structlog.get_logger(__name__)

# For tests: called after each transaction, to end the process between any two of them.
after_commit: Callable[[], None] | None = None

_COUNT = (
    "INSERT INTO meta VALUES ('commits', '1') "
    "ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1 RETURNING value"
)
_SPARE, _SHRINK = 1_024, 256  # pages: free ones that are left alone, and those given back at a time
_MAKE_ROOM = "see whether its disk is full or failing, or another process holds it"
_LOOK = 2.0  # seconds between looks whether an idle server has forgotten


class Database:
    """The two engines: one connection to write, a few to read. Every call blocks; use it from threads."""

    def __init__(
        self, url: str | os.PathLike[str], *, repairs: bool = True, node: str = "", folder: Path | None = None
    ) -> None:
        """`url`: a path (SQLite), or an SQLAlchemy URL of SQLite or PostgreSQL. Raises StoreError.

        `repairs`: a damaged file is replaced, and an older form upgraded; otherwise that is an error, for who only
        looks at it. `node`, `folder`: whose transactions are counted in PostgreSQL, and where the number is kept
        beside it (None: in memory).
        """
        self.url = parse(url)
        self.repairs = repairs
        self._node, self._folder = node, folder
        self.postgres = self.url.get_backend_name() == "postgresql"
        self.path = None if self.postgres else Path(self.url.database or "")
        self.writer, self.reader = engines(self.url)
        self._identity = (0, 0, 0)  # device, inode, inode of its log
        self._keeper: sqlite3.Connection | None = None  # holds the file, so that it can be written anew if removed
        self._asking = threading.Lock()  # closing a connection under a statement of another thread ends the process
        self._number_file: NumberFile | None = None
        self._counter: CommitCounter | None = None
        self._looked = time.monotonic()
        self.clock = ServerClock()
        self.history = RollbackHistory()
        self.number: int | None = None  # of the last transaction, as it is counted
        self._behind = 0  # transactions that the count beside the database knows and it does not
        self.generation = 0  # how often the file was replaced by another
        self.exchanging = False  # that happens now: a reader may meet neither the old file nor the new one

    @property
    def name(self) -> str:
        """For messages: the path, or the URL without its password, which may also stand among its parameters."""
        return str(self.path) if self.path else self.url.set(query={}).render_as_string(hide_password=True)

    def prepare(self) -> Recovery | None:
        """Create, check and upgrade. A damaged SQLite file is moved aside and a new one started. Raises StoreError."""
        recovery = None
        try:
            try:
                self._prepare()
            except DBAPIError as error:
                if classify(error) is not Failure.CORRUPT:
                    raise
                recovery = self.recover(explain(error))
        except DBAPIError as error:
            raise self.unusable(error) from None
        except SchemaError as error:
            raise StoreError(f"{self.name}: {error}") from None
        except OSError as error:
            if error.errno in NO_ROOM:
                raise AwayError(f"{self.name}: {error.strerror}; {_MAKE_ROOM}") from None
            raise StoreError(
                f"{self.name}: {error.strerror or type(error).__name__}; "
                "the folder must exist and be writable for this user (monitor.state_dir)"
            ) from None
        if self.repairs and self._counter is not None and self._behind:
            return self._forgotten(ForgottenError(self._counter.number - self._behind, self._counter.number))
        if self.repairs and self._number_file is not None and self._behind:
            self._number_file.set(self._count())
            if recovery is None:
                reason = "its log was damaged or removed, or an older copy was put in its place"
                log.error("the state database has lost transactions", database=self.name, lost=self._behind)
                recovery = Recovery("shortened", self._place, reason, lost=self._behind)
        return recovery

    def claim(self, secret: bytes) -> None:
        """For this fingerprint key, which only who repairs may set. Raises StoreError for another one."""
        try:
            with self.reader.connect() as connection:
                known = not secret or key_check.compare(connection, self.name, secret)
            if not known and self.repairs:
                with self._turn(durable=True) as connection:
                    key_check.claim(connection, self.name, secret)
        except DBAPIError as error:
            raise self.unusable(error) from None

    def forgets(self) -> bool:
        """Whether PostgreSQL knows less than it did: a copy that lagged behind took over, or a backup was restored.
        For who is idle; others hear it from their next transaction. Looks every few seconds at most."""
        if self._counter is None or time.monotonic() < self._looked + _LOOK:
            return False
        self._looked = time.monotonic()
        try:
            with self.reader.connect() as connection:
                self.clock.set(postgres.now(connection))
                return self._counter.stored(connection) < self._counter.number
        except DBAPIError:
            return False  # the next transaction tells

    def go_on(self, forgotten: ForgottenError) -> Recovery:
        """With what PostgreSQL still knows, which may be of an older form. Raises StoreError and DBAPIError."""
        before, self._counter = self._counter, None
        try:
            self._prepare()
        finally:
            if self._counter is None:
                self._counter = before  # the next try is told again
        if before is not None and self._counter is not None and before is not self._counter:
            self._counter.number = max(before.number, self._counter.number)  # of another database, perhaps
            before.close()
        return self._forgotten(forgotten)

    def _forgotten(self, forgotten: ForgottenError) -> Recovery:
        assert self._counter is not None
        with self._turn(durable=True) as connection:
            number = self._counter.go_on(connection, forgotten.known)
        self._counter.reached(number)
        self.history.number += 1
        log.error("the state database has lost transactions", database=self.name, lost=forgotten.lost)
        reason = "a copy that lagged behind has taken over, or a backup was restored"
        return Recovery("forgotten", self.name, reason, lost=forgotten.lost, known=forgotten.known)

    def replaced(self) -> bool:
        """Whether the SQLite file was removed or exchanged under us: we would go on writing into nowhere."""
        if self.path is None:
            return False
        try:
            return self._look() != self._identity
        except FileNotFoundError:
            return True
        except OSError:
            return False  # the next transaction tells

    def reopen(self) -> Recovery:
        """Write what was removed anew; go on with the file that lies at the path, if somebody put one there."""
        reason = "the file was removed or replaced while it was open"
        log.error("the state database was removed or replaced while it was open", database=self.name)
        with self._exchange():
            rescued = self._is_void() and self._rescue()
            self.dispose()
            self.writer, self.reader = engines(self.url)
            found = self.prepare()
            if rescued:
                return Recovery("removed", self._place, "the file was removed while it was open", complete=True)
            return found or Recovery("replaced", self._place, reason)

    def recover(self, reason: str) -> Recovery:
        """Move a damaged SQLite file aside, start a new one, carry over what can still be read.

        Raises StoreError, DBAPIError and OSError when no new one can be made, or this program cannot use the version of
        the old one: everything is then where it was.
        """
        if not self.repairs:
            raise StoreError(
                f"{self.name}: damaged ({reason}); `monitor run` moves it aside and goes on with what can still be read"
            )
        if self.path is None:
            raise StoreError(f"{self.name}: the server reports damaged data ({reason}); restore it from a backup")
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{aside.name.split('~')[0]}~{number}")
        with self._exchange():
            self.dispose()
            self._move(self.path, aside)
            try:
                self.writer, self.reader = engines(self.url)
                self._prepare()
                carried, complete = carry_over(aside, self.path)
                if self._number_file is not None:  # of the old one: the next start would take what is missing for lost
                    self._number_file.set(self._count())
            except (DBAPIError, sqlite3.Error, OSError, SchemaError) as error:
                # The disk is full, say. What is left of the old one is worth more than an empty new one.
                self.dispose()
                self._move(aside, self.path)
                raise wrapped(error) from None
        log.error(
            "the state database was damaged; it was moved aside and a new one was started",
            database=str(self.path),
            moved_to=str(aside),
            reason=reason,
            carried=carried,
            complete=complete,
        )
        return Recovery("damaged", aside, reason, carried, complete)

    @contextlib.contextmanager
    def transaction(self, *, durable: bool) -> Iterator[Connection]:
        """A write transaction that excludes all other writers, of this and other processes.

        `durable`: on disk when it ends. Otherwise it survives the end of the process, but perhaps not of the machine.
        """
        with self._turn(durable=durable) as connection:
            number = None if self._counter is None else self._counter.next(connection)
            yield connection
            if self._number_file is not None:
                number = int(connection.exec_driver_sql(_COUNT).scalar_one())
        if number is not None and durable:
            for counter in (self._counter, self._number_file):
                if counter is not None:
                    counter.reached(number)
        self.number = number
        if after_commit is not None:
            after_commit()

    @contextlib.contextmanager
    def _turn(self, *, durable: bool) -> Iterator[Connection]:
        with self.writer.connect() as connection:
            connection = connection.execution_options(durable=durable)  # noqa: PLW2901
            with connection.begin():
                if self.postgres:
                    self.clock.set(postgres.begin(connection, durable=durable))
                yield connection

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        """With its log, which belongs to this file and would damage any other."""
        for suffix in ("", "-wal", "-shm"):
            try:
                os.replace(f"{source}{suffix}", f"{target}{suffix}")
            except FileNotFoundError:
                Path(f"{target}{suffix}").unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of an SQLite database with its log; 0 for PostgreSQL."""
        total = 0
        for suffix in ("", "-wal") if self.path else ():
            with contextlib.suppress(OSError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return total

    def version(self) -> tuple[int, int] | None:
        """Another with each transaction that anybody commits, by a look at shared memory; None: it cannot be told."""
        with self._asking, contextlib.suppress(sqlite3.Error):
            if self._keeper is not None:
                # Through the connection that does nothing: opening one to look takes a hundred times as long.
                return self.generation, self._keeper.execute("PRAGMA data_version").fetchone()[0]
        return None

    def checkpoint(self) -> None:
        """Move the log into the file: what a damaged log can take along is only what came since."""
        if self.path is not None:
            with self.writer.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def shrink(self) -> bool:
        """Give a little of the room that deleted rows have left back to the disk. Returns whether there is more.

        A tenth of the file stays free for what comes next. PostgreSQL sees to it by itself.
        """
        if self.path is None:
            return False
        with self.writer.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            free, pages = (driver.execute(f"PRAGMA {what}").fetchone()[0] for what in ("freelist_count", "page_count"))
            if free <= max(_SPARE, pages // 10):
                return False
            driver.executescript(f"PRAGMA incremental_vacuum({_SHRINK})")  # `execute` would stop after one page
            return bool(driver.execute("PRAGMA freelist_count").fetchone()[0] < free)

    def dispose(self) -> None:
        self.writer.dispose()
        self.reader.dispose()
        with self._asking:
            if self._keeper is not None:
                self._keeper.close()
                self._keeper = None
        for counter in (self._number_file, self._counter):
            if counter is not None:
                counter.close()
        self._number_file = self._counter = None

    @property
    def _place(self) -> Path:
        assert self.path is not None
        return self.path

    def _look(self) -> tuple[int, int, int]:
        return *self._look_at_file(), os.stat(f"{self.path}-wal").st_ino

    def _count(self) -> int:
        with self.reader.connect() as connection:
            return int(connection.exec_driver_sql("SELECT value FROM meta WHERE key = 'commits'").scalar() or 0)

    def _is_void(self) -> bool:
        """Whether there is nothing at the path that somebody could have meant to put there."""
        if not self._place.exists() or self._look_at_file() == self._identity[:2]:
            return True
        with contextlib.suppress(FileNotFoundError):
            if os.stat(f"{self.path}-wal").st_ino == self._identity[2]:
                # The log of the old file: SQLite would play it over the new one.
                for suffix in ("-wal", "-shm"):
                    os.unlink(f"{self.path}{suffix}")
        try:
            with contextlib.closing(sqlite3.connect(f"{self._place.as_uri()}?mode=ro", uri=True, timeout=1)) as there:
                rows = "SELECT EXISTS (SELECT 1 FROM incidents) + EXISTS (SELECT 1 FROM positions)"
                return not there.execute(rows).fetchone()[0]
        except sqlite3.Error:
            return self._place.stat().st_size == 0

    def _look_at_file(self) -> tuple[int, int]:
        status = self._place.stat()
        return status.st_dev, status.st_ino

    def _rescue(self) -> bool:
        """Write the file that we still have open to its path again. False: we have none. Raises StoreError."""
        if self._keeper is None:
            return False
        anew = self._place.with_name(f"{self._place.name}.anew")
        try:
            anew.unlink(missing_ok=True)
            os.close(os.open(anew, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL, 0o600))
            with contextlib.closing(sqlite3.connect(anew)) as copy:
                self._keeper.backup(copy)
            for suffix in ("-wal", "-shm"):  # of what is gone, and would be taken for that of the new file
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            os.replace(anew, self._place)
        except (OSError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) else explain(error)
            raise StoreError(
                f"{self.name}: removed while it was open, and it cannot be written anew ({why}); "
                "the folder must exist and be writable for this user (monitor.state_dir)"
            ) from None
        return True

    def forget_connections(self) -> None:
        """After a failure: the next transaction opens a fresh connection."""
        self.writer.dispose()

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[None]:
        self.exchanging = True
        try:
            yield
        finally:
            self.generation += 1
            self.exchanging = False

    def _prepare(self) -> None:
        if self.path is not None:
            # Before SQLite creates it with the umask's mode; its -wal and -shm take over the mode of the file.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._check()
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.transaction(durable=True) as connection:
                    if self.postgres and (lacking := postgres.lacking(connection)):
                        raise StoreError(f"{self.name}: {lacking}; docs/postgresql.md says what it needs")
                    before, now = migrate(connection, upgrades=self.repairs)
                break
            except DBAPIError as error:
                # Another process starts, or holds the lock, at this moment.
                if classify(error) is not Failure.RETRY or self.postgres or time.monotonic() > deadline:
                    raise
                if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF not in (
                    sqlite3.SQLITE_BUSY,
                    sqlite3.SQLITE_LOCKED,
                ):
                    raise
                time.sleep(0.05)
        if self.path is not None:
            self._hold()
        else:
            self._count_on()
        if before is not None and before != now:
            log.info("the state database was upgraded", database=self.name, was=before, now=now)

    def _hold(self) -> None:
        number_file = NumberFile(self._place.with_name(f"{self._place.name}-mark"), create=self.repairs)
        self._behind = max(0, number_file.read() - self._count())
        if self._behind and not self.repairs:
            number_file.close()  # who only looks leaves the difference for `monitor run` to see
        else:
            self._number_file = number_file
        # A connection that does nothing keeps the file and its log open, whatever becomes of their names.
        place = f"{self._place.as_uri()}?mode=rw"
        try:
            self._keeper = sqlite3.connect(place, uri=True, check_same_thread=False, isolation_level=None)
            self._keeper.execute("SELECT count(*) FROM meta").fetchone()
        except sqlite3.Error as error:
            raise wrapped(error) from None
        self._identity = self._look()

    def _count_on(self) -> None:
        with self._turn(durable=True) as connection:
            counter = CommitCounter(connection, self._node, self._folder, create=self.repairs)
            stored = counter.stored(connection)
        self._behind = max(0, counter.number - stored)
        if self._behind and not self.repairs:
            counter.close()  # who only looks leaves the difference for `monitor run` to see
        else:
            self._counter = counter

    def _check(self) -> None:
        assert self.path is not None
        # A full check reads the whole file: half a second for 250 MB. Beyond that damage is found when it is met.
        if not 0 < self.path.stat().st_size <= 64 << 20:
            return
        with self.reader.connect() as connection:
            result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if result != "ok":
            problem = sqlite3.DatabaseError(str(result))
            problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise DBAPIError("PRAGMA quick_check", None, problem)

    def unusable(self, error: DBAPIError) -> StoreError:
        if self.postgres:
            refused = refusal(error.orig)
            if refused is None and classify(error) is Failure.RETRY:
                return AwayError(
                    f"{self.name}: the server cannot be reached or is starting ({explain(error)}); "
                    "check that the server runs and listens there"
                )
            return StoreError(
                f"{self.name}: {refused or explain(error)}; "
                "check that the server runs, the database exists and the role may use it"
            )
        # Where we may write, it is the disk that cannot be written, or another process that writes for long.
        if (
            classify(error) is Failure.RETRY
            and os.access(self._place, os.W_OK)
            and os.access(self._place.parent, os.W_OK)
        ):
            return AwayError(f"{self.name}: {explain(error)}; {_MAKE_ROOM}")
        return StoreError(f"{self.name}: {explain(error)}; the file and its folder must be writable for this user")
