"""How a database comes to the tables of today: made anew, or brought there step by step from an older form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, insert, inspect, select, text, update

from monitor.store.errors import StoreError
from monitor.store.schema import create, drill_runs, meta, metadata, partial, sessions, steps_open, tokens, users

__all__ = ["FIRST", "STEPS", "VERSION", "SchemaError", "known", "migrate", "usable"]

Step = Callable[[Connection], None]


def _accounts(connection: Connection) -> None:
    for table in (users, sessions):
        table.create(connection)


def _tokens(connection: Connection) -> None:
    tokens.create(connection)


def _lowered(connection: Connection) -> None:
    known = "'info', 'low', 'medium', 'high', 'critical'"
    check = f"CONSTRAINT severity_known CHECK (severity IN ({known}))"
    connection.execute(text(f"ALTER TABLE silence_rules ADD COLUMN severity TEXT {check}"))


def _open_steps(connection: Connection) -> None:
    partial(connection, steps_open).create(connection)


def _drill_runs(connection: Connection) -> None:
    drill_runs.create(connection)


def _steps_in_place(connection: Connection) -> None:
    steps_open.drop(connection)
    _open_steps(connection)


FIRST = 23  # the oldest form that is upgraded: no release made one before it
# To FIRST + 1, and so on. A change of the tables goes with a step here; tests/monitor/store/schema_23.sql starts there.
STEPS: Sequence[Step] = (_accounts, _tokens, _lowered, _open_steps, _drill_runs, _steps_in_place)
VERSION = FIRST + len(STEPS)


class SchemaError(StoreError):
    """The database cannot be used by this version. The message says what to do."""


def migrate(connection: Connection, steps: Sequence[Step] = STEPS, *, upgrades: bool = True) -> tuple[int | None, int]:
    """Create or upgrade the tables in the caller's transaction. Returns (version found or None, version now).

    Raises SchemaError. Without `upgrades` also for an older form: a monitor of that version may be at work on it, and
    could not be started again afterwards.
    """
    target = FIRST + len(steps)
    inspector = inspect(connection)
    # On PostgreSQL ours may lie in any schema of the path; new ones come into the first, and go before others there.
    stored = known(connection, target) if inspector.has_table("meta") else None
    if stored is None:
        if taken := sorted(metadata.tables.keys() & inspector.get_table_names(inspector.default_schema_name)):
            raise SchemaError(f"{', '.join(taken)}: somebody else's tables have these names; give it another database")
        create(connection)
        connection.execute(insert(meta), {"key": "schema", "value": str(target)})
        return None, target
    if stored < target and not upgrades:
        raise SchemaError(
            f"the database has schema version {stored}, and this program works with {target}: restart `monitor run`, "
            "which upgrades it, or use the commands of the version that runs"
        )
    for step in steps[stored - FIRST :]:
        step(connection)
    if stored < target:
        connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(target)))
    return stored, target


def known(connection: Connection, target: int = VERSION) -> int | None:
    """The version of the tables that are there; None: it does not say. Raises SchemaError where `usable` does."""
    stored = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
    if not stored or not stored.isdigit():
        return None
    usable(int(stored), target)
    return int(stored)


def usable(found: int, target: int = VERSION) -> None:
    """Raises SchemaError for the version of a newer program, and for one that is not upgraded any more."""
    if found > target:
        raise SchemaError(
            f"the database has schema version {found}, this program knows versions up to {target}; "
            "upgrade the program, or give it another database"
        )
    if found < FIRST:
        raise SchemaError(
            f"the database has schema version {found}, and this program upgrades from {FIRST} on: move it aside, or "
            "give it another database (monitor.database, monitor.state_dir)"
        )
