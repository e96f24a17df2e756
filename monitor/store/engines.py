"""Connections: what is set in each, of SQLite and of PostgreSQL."""

from __future__ import annotations

import functools
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool
from sqlalchemy.util import LRUCache

from monitor.store import postgres
from monitor.store.errors import DriverError, StoreError

__all__ = ["engines", "parse", "wrapped"]

_BUSY_TIMEOUT = 1.0  # seconds inside SQLite; the writer waits on beyond that, and says so

# Statements as text, for all engines of this process. To make it is most of what a statement costs the first time.
_COMPILED: LRUCache[Any, Any] = LRUCache(1000)


class _Alike:
    """A dialect that is one with another of its kind where both make the same text of a statement."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._traits() == other._traits()

    def __hash__(self) -> int:
        return hash(type(self))

    def _traits(self) -> tuple[object, ...]:
        """What it learns of a server at its first connection."""
        names = ("server_version_info", "default_schema_name", "max_identifier_length", "_backslash_escapes")
        return tuple(getattr(self, name, None) for name in names)


@functools.cache
def _alike(dialect: Any) -> Any:
    return type(dialect.__name__, (dialect, _Alike), {"supports_statement_cache": True})  # which is not inherited


def _engine(url: URL, **options: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, execution_options={"compiled_cache": _COMPILED}, **options)
    kind: Any = type(engine.dialect)
    engine.dialect.__class__ = _alike(kind)  # the keys of what is compiled hold it
    return engine


def engines(url: URL) -> tuple[Engine, Engine]:
    """One to write, one to read."""
    return _postgres(url) if url.get_backend_name() == "postgresql" else _sqlite(url)


def _postgres(url: URL) -> tuple[Engine, Engine]:
    options: dict[str, Any] = {"connect_args": postgres.arguments(url), "use_native_hstore": False}
    writer = _engine(url, pool_size=1, max_overflow=1, **options)
    event.listen(writer, "connect", postgres.prepare_writer)
    reader = _engine(url, pool_size=2, max_overflow=4, pool_pre_ping=True, **options)
    event.listen(reader, "connect", postgres.prepare_reader)
    return writer, reader


def _sqlite(url: URL) -> tuple[Engine, Engine]:
    settings: dict[str, Any] = {"timeout": _BUSY_TIMEOUT, "check_same_thread": False, "isolation_level": None}
    # Neither creates the file: an empty one in place of one that was removed would look like a lost store.
    place = f"{Path(url.database or '').as_uri()}?mode=rw"
    writer = _engine(
        url,
        pool_size=1,
        max_overflow=1,
        creator=lambda: sqlite3.connect(place, uri=True, **settings),
    )
    event.listen(writer, "connect", _configure_sqlite)
    event.listen(writer, "begin", _begin_sqlite)
    reader = _engine(
        url,
        poolclass=NullPool,  # opening takes a fifth of a millisecond, and none is left behind open
        creator=lambda: sqlite3.connect(place, uri=True, **settings),
    )
    event.listen(reader, "connect", lambda connection, record: connection.execute("PRAGMA query_only = ON"))
    # Python's sqlite3 begins nothing by itself here: one snapshot for all statements of a read.
    event.listen(reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return writer, reader


def wrapped(error: Exception) -> Exception:
    """Outside SQLAlchemy's own execution an error of SQLite is not wrapped."""
    return DBAPIError(None, None, error) if isinstance(error, sqlite3.Error) else error


def parse(url: str | os.PathLike[str]) -> URL:
    """A path is one of SQLite. Raises StoreError."""
    given = os.fspath(url)
    if "://" not in given:
        return URL.create("sqlite+pysqlite", database=os.path.abspath(given))
    try:
        parsed = make_url(given)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        raise StoreError("not a database URL; use a path, sqlite:///PATH or postgresql+psycopg://…") from None
    if backend == "postgresql":
        try:
            import psycopg  # noqa: F401 - whether it, and the library it needs, are there
        except ImportError:
            raise DriverError('PostgreSQL needs psycopg: pip install "exposure-monitor[postgresql]"') from None
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreError("the database must be a file of SQLite (a path) or PostgreSQL (postgresql+psycopg://…)")
    return parsed.set(drivername="sqlite+pysqlite", database=os.path.abspath(parsed.database))


def _configure_sqlite(connection: Any, record: Any) -> None:
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        # Before all else: it takes effect in an empty file only, and in another it would write each time.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")


def _begin_sqlite(connection: Connection) -> None:
    durable = connection.get_execution_options().get("durable", True)
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        driver.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise wrapped(error) from None
