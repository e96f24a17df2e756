"""What is PostgreSQL's own: sessions that end when their process hangs, its clock, and the rights that we need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from monitor.store.schema import metadata

__all__ = ["ServerClock", "arguments", "begin", "lacking", "now", "prepare_reader", "prepare_writer"]

_LOCK = 0x6D6F6E69746F72  # advisory lock that makes writers take turns, as SQLite's do

# Seconds. A host that is stopped, or cut off, in the midst of a transaction holds the others up for so long; it begins
# its own anew afterwards. Less than a wait for a lock takes, so that the others do not report a pause that is over.
_IDLE = 5
_LOCK_TIMEOUT = "55P03"
_LOCKED = 10  # then the wait is reported, and begun anew
_ANSWER = 30  # for a read; what is written may be an upgrade of all tables
# A peer that is gone without a word: both ends notice within half a minute.
_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}

_SESSION = {
    "idle_in_transaction_session_timeout": f"{_IDLE}s",
    "lock_timeout": f"{_LOCKED}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25s",
}
# Whoever holds the turn and has sent nothing for so long in the midst of what is more than one statement, where the
# server's own limit does not count.
_HANGING = (
    "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "  # noqa: S608 # numbers
    "WHERE l.locktype = 'advisory' AND l.granted AND l.database = a.datid AND a.datname = current_database() "
    f"AND l.objsubid = 1 AND l.classid::bigint = {_LOCK >> 32} AND l.objid::bigint = {_LOCK & 0xFFFFFFFF} "
    f"AND a.wait_event = 'ClientRead' AND a.query_start < clock_timestamp() - interval '{_IDLE} s'"
)
_NOW = "extract(epoch FROM clock_timestamp())::float8"


def arguments(url: URL) -> dict[str, Any]:
    """For libpq; what the URL says itself is left to it."""
    wanted = {"connect_timeout": 5, "application_name": "exposure-monitor", "keepalives": 1, **_ALIVE}
    return {name: value for name, value in wanted.items() if name not in url.query}


def prepare_writer(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        _set(cursor, _SESSION)
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit = on")
    connection.commit()


def prepare_reader(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        _set(cursor, {**_SESSION, "statement_timeout": f"{_ANSWER}s"})
    connection.commit()


def _set(cursor: Any, settings: dict[str, str]) -> None:
    cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))


def begin(connection: Connection, *, durable: bool) -> float:
    """Wait for our turn. Returns the server's time of day then. Raises DBAPIError after ten seconds, having ended the
    session of whoever hangs in theirs."""
    if not durable:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    try:
        return float(connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK}), {_NOW}").one()[1])
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_TIMEOUT:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.rollback()
            driver.execute(_HANGING)
        raise


def now(connection: Connection) -> float:
    """The server's time of day."""
    return float(connection.exec_driver_sql(f"SELECT {_NOW}").scalar_one())


class ServerClock:
    """The server's time of day: between two of its answers it goes by a clock that nobody sets."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._wall, self._elapsed = wall, elapsed
        self._offset: float | None = None

    def set(self, now: float) -> None:
        self._offset = now - self._elapsed()

    def __call__(self) -> float:
        return self._wall() if self._offset is None else self._elapsed() + self._offset

    def ahead(self) -> float:
        """Seconds by which this host's clock is ahead of the server's."""
        return self._wall() - self()


def lacking(connection: Connection) -> str | None:
    """What the role lacks to make, use and upgrade our tables; None: nothing."""
    role, schema, creates, standby = connection.exec_driver_sql(
        "SELECT current_user, current_schema(), has_schema_privilege(current_schema(), 'CREATE'), pg_is_in_recovery()"
    ).one()
    if schema is None:
        return f"no schema of the search path of {role} exists"
    if standby:
        return None  # it takes no writes whoever asks; that is told when it is tried, and waited for
    wrong = _tables(connection, schema)
    if not creates:
        wrong.insert(0, f"it may not create tables in the schema {schema}")
    return f"the role {role} lacks rights: {'; '.join(wrong)}" if wrong else None


def _tables(connection: Connection, schema: str) -> list[str]:
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE")
    may = " AND ".join(f"has_table_privilege(c.oid, '{right}')" for right in rights)
    query = (
        f"SELECT c.relname, {may}, pg_has_role(c.relowner, 'USAGE') FROM pg_class c "  # noqa: S608 # our own names
        "WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace(quote_ident(%s)) ORDER BY c.relname"
    )
    found = [row for row in connection.exec_driver_sql(query, (schema,)) if row[0] in metadata.tables]
    unusable = [name for name, usable, _ in found if not usable]
    foreign = [name for name, usable, owns in found if usable and not owns]
    wrong = [f"it may not read and write {_some(unusable)}"] if unusable else []
    return [*wrong, f"it does not own {_some(foreign)}, and could not upgrade them"] if foreign else wrong


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more tables" if len(names) > 3 else "")
