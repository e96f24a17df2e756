"""Carries over what can still be read of a damaged SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from monitor.store.errors import Failure, classify
from monitor.store.schema import metadata
from monitor.store.upgrades import usable

__all__ = ["carry_over"]


def carry_over(damaged: Path, fresh: Path) -> tuple[dict[str, int], bool]:
    """Row by row, up to the first damaged page of each table, and back from its end.

    Returns the rows of each table, and whether every table could be read. Raises sqlite3.Error and DBAPIError when the
    new file cannot be written, and SchemaError for an old one of a version that is not used: then it holds nothing.
    """
    carried: dict[str, int] = {}
    complete = True
    with contextlib.ExitStack() as stack:
        try:
            # Read-write, because what is still in its log must be read too.
            old = stack.enter_context(contextlib.closing(sqlite3.connect(damaged, timeout=1, isolation_level=None)))
            version = old.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        except sqlite3.Error as error:
            if classify(error) is Failure.RETRY:  # no room for what goes with its log
                raise
            return carried, False
        if version is None or not str(version[0]).isdigit():
            return carried, False
        usable(int(version[0]))
        new = stack.enter_context(contextlib.closing(sqlite3.connect(fresh, timeout=5, isolation_level=None)))
        new.execute("PRAGMA foreign_keys = OFF")
        new.execute("BEGIN IMMEDIATE")
        for table in metadata.sorted_tables:
            if table.name == "batches":
                continue
            present = {row[1] for row in old.execute(f'PRAGMA table_info("{table.name}")')}
            common = [column.name for column in table.columns if column.name in present]  # of an older version
            if not common:
                continue
            count, whole = _carry(old, new, table.name, common)
            complete = complete and whole
            if table.name != "meta":  # which keeps its own version, and is nobody's record
                carried[table.name] = count
        _drop_orphans(new)
        new.execute("COMMIT")
    return carried, complete


def _drop_orphans(new: sqlite3.Connection) -> None:
    """What belongs to a row that could not be read: whoever works through it would stumble over it again and again."""
    for table in metadata.sorted_tables:  # parents come first
        for key in table.foreign_keys:
            parent, column = key.column.table.name, key.column.name
            new.execute(
                f'DELETE FROM "{table.name}" WHERE "{key.parent.name}" NOT IN (SELECT "{column}" FROM "{parent}")'  # noqa: S608
            )


def _carry(old: sqlite3.Connection, new: sqlite3.Connection, table: str, names: list[str]) -> tuple[int, bool]:
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" for _ in names)
    put = f'INSERT OR IGNORE INTO "{table}" ({columns}) VALUES ({marks})'  # noqa: S608 # our own names
    count, whole = 0, True
    for order in ("ASC", "DESC"):
        try:
            for row in old.execute(f'SELECT {columns} FROM "{table}" ORDER BY rowid {order}'):  # noqa: S608
                try:
                    count += new.execute(put, row).rowcount
                except sqlite3.Error as error:
                    # A damaged value fails a CHECK and is ignored like a repeat; that there is no room is no such.
                    if classify(error) is Failure.RETRY:
                        raise DBAPIError(put, None, error) from None
            break
        except sqlite3.Error:
            whole = False
    return count, whole
