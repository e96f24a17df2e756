from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from monitor.store import Store, StoreError
from monitor.store.database import Database
from monitor.store.schema import VERSION, SchemaError, metadata, migrate


def empty(url: str) -> Database:
    database = Database(url)
    if database.path is not None:
        database.path.touch()
    return database


def test_created_once(url: str) -> None:
    database = empty(url)
    with database.transaction(durable=True) as connection:
        assert migrate(connection) == (None, VERSION)
        assert migrate(connection) == (VERSION, VERSION)
        assert set(metadata.tables) <= set(inspect(connection).get_table_names())
    database.dispose()


def test_the_indexes_of_what_waits_hold_nothing_else(url: str) -> None:
    database = empty(url)
    with database.transaction(durable=True) as connection:
        migrate(connection)
        found = {str(index["name"]): index for index in inspect(connection).get_indexes("outbox")}
    database.dispose()
    for name in ("outbox_unsent", "outbox_next"):
        options = found[name]["dialect_options"]
        assert "pending" in str(options[f"{database.url.get_backend_name()}_where"])


def test_upgraded_step_by_step_in_one_transaction(url: str) -> None:
    def second(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE positions ADD COLUMN extra TEXT"))

    def third(connection: Connection) -> None:
        connection.execute(text("UPDATE positions SET extra = 'moved'"))
        if fail:
            raise RuntimeError("power cut")

    steps = {VERSION + 1: second, VERSION + 2: third}
    database = empty(url)
    with database.transaction(durable=True) as connection:
        migrate(connection)
        connection.execute(text("INSERT INTO positions VALUES ('s', 'k', '{}')"))
    fail = True
    with pytest.raises(RuntimeError), database.transaction(durable=True) as connection:
        migrate(connection, steps, VERSION + 2)
    with database.transaction(durable=True) as connection:
        assert migrate(connection) == (VERSION, VERSION)
    fail = False
    with database.transaction(durable=True) as connection:
        assert migrate(connection, steps, VERSION + 2) == (VERSION, VERSION + 2)
        assert connection.execute(text("SELECT extra FROM positions")).scalar() == "moved"
        with pytest.raises(SchemaError, match="upgrade the program"):
            migrate(connection)
    database.dispose()


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await (await Store.open(path)).close()
    database = Database(path)
    with database.transaction(durable=True) as connection:
        connection.execute(text("UPDATE meta SET value = '99'"))
    database.dispose()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema version 99"):
        await Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE incidents SET severity = 'enormous'",
        "UPDATE incidents SET state = 'resolved'",
        "UPDATE incidents SET resolution = 'revoked'",
        "UPDATE incidents SET occurrences = 0",
        "UPDATE outbox SET state = 'leased'",
        "UPDATE outbox SET state = 'sent'",
        "UPDATE outbox SET state = 'lost'",
        "DELETE FROM groups",  # fine: takes its members along
    ],
)
async def test_impossible_states_are_refused(url: str, statement: str) -> None:
    from sqlalchemy.exc import IntegrityError

    from monitor.routing import Policy
    from tests.monitor.store.helpers import finding

    async with await Store.open(url, Policy(sinks=("chat",))) as store:
        await store.commit([finding("a")])
    database = Database(url)
    try:
        if statement.startswith("DELETE"):
            with database.transaction(durable=True) as connection:
                connection.execute(text(statement))
                assert connection.execute(text("SELECT count(*) FROM members")).scalar() == 0
        else:
            with pytest.raises(IntegrityError), database.transaction(durable=True) as connection:
                connection.execute(text(statement))
    finally:
        database.dispose()
