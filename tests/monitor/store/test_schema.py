from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Float, event, inspect, select, text

from monitor.model import Position
from monitor.store import Store, StoreError
from monitor.store.database import Database
from monitor.store.schema import MIGRATIONS, VERSION, SchemaError, incidents, metadata, migrate, unresolved
from tests.monitor.store.helpers import finding, fingerprint

_SCHEMA_1 = Path(__file__).with_name("schema_1.sql").read_text()


@pytest.fixture
def url(empty_url: str) -> str:
    """Of a database without tables: they are what is tested here."""
    return empty_url


def empty(url: str) -> Database:
    database = Database(url)
    if database.path is not None:
        database.path.touch()
    return database


def first_version(url: str) -> None:
    """A database as version 1 of the schema made it, with one incident and two positions."""
    database = empty(url)
    number, serial = ("BIGINT", "BIGSERIAL") if database.postgres else ("INTEGER", "INTEGER")
    seen = fingerprint("old")
    with database.transaction(durable=True) as connection:
        for statement in _SCHEMA_1.replace("{serial}", serial).replace("{number}", number).split(";\n"):
            connection.exec_driver_sql(statement)
        for statement in (
            f"INSERT INTO incidents VALUES ('old', '{seen}', 'r', 'n', 'high', 'high', 'open', NULL, 'm', 1, 2, 1, 0, "
            "NULL, NULL, NULL, '{}', 1)",
            "INSERT INTO findings VALUES (1, 'f', 'old', 'r', 's', '/old', 'g', 0, NULL, 2, NULL, NULL)",
            """INSERT INTO positions VALUES ('s', '"a"', '{"offset": 1}'), ('s', '"b"', '{"offset": 2}')""",
        ):
            connection.exec_driver_sql(statement)
    database.dispose()


def shape(connection: Connection) -> Mapping[str, Any]:
    """Columns, keys and indexes of every table, in no order."""
    seen = inspect(connection)
    return {
        name: (
            {
                (
                    column["name"],
                    "DOUBLE" if isinstance(column["type"], Float) else str(column["type"]),
                    column["nullable"],
                    column["default"] is None,
                )
                for column in seen.get_columns(name)
            },
            seen.get_pk_constraint(name)["constrained_columns"],
            {(index["name"], *index["column_names"]) for index in seen.get_indexes(name)},
        )
        for name in seen.get_table_names()
    }


async def test_the_first_version_becomes_the_present_one_with_all_it_holds(url: str) -> None:
    first_version(url)
    async with await Store.open(url, node="here") as store:
        assert await store.positions.of("s") == {"a": {"offset": 1}, "b": {"offset": 2}}
        [known] = await store.incidents.find(locations=True)
        assert [place.path for place in known.locations] == ["/old"]
        await store.commit([finding("old", 7)], [Position("s", "b", None)])
        assert (await store.incidents.get("old")).occurrences == 2
        assert await store.positions.of("s") == {"a": {"offset": 1}}

    database = Database(url)
    with database.transaction(durable=True) as connection:
        upgraded = shape(connection)
        metadata.drop_all(connection)
        assert migrate(connection) == (None, VERSION)
        assert upgraded == shape(connection)
    database.dispose()


def test_what_an_older_version_told_is_led_by_host_and_service_as_what_is_new(url: str) -> None:
    first_version(url)
    database = Database(url)
    columns = '(seq, id, incident, rule, source, path, generation, "offset", time, node, service)'
    seen = f"INSERT INTO findings {columns} VALUES "
    with database.transaction(durable=True) as connection:
        assert migrate(connection, MIGRATIONS, 16) == (1, 16)
        for statement in (
            "CREATE TEMPORARY TABLE other AS SELECT * FROM incidents",
            "UPDATE other SET id = 'none', fingerprint = 'none'",
            "INSERT INTO incidents SELECT * FROM other",
            "DROP TABLE other",
            seen + "(11, '1', 'old', 'r', 's', '/here', 'g', 0, 3, 'web-1', 'shop')",
            seen + "(12, '2', 'old', 'r', 's', '/here', 'g', 9, 3, 'web-2', NULL)",
            seen + "(13, '3', 'old', 'r', 's', '/there', 'g', 0, 3, 'web-3', 'mail')",
            "INSERT INTO groups (id, sink, key, route, kind, created_at, hold_until) "
            "VALUES (1, 'a', 'k', '', 'digest', 1, 1), (2, 'b', 'k', '', 'digest', 1, 1)",
            "INSERT INTO members (\"group\", incident, source, path) VALUES (1, 'old', 's', '/here'), "
            "(2, 'old', 's', '/forgotten'), (1, 'none', 's', '/here')",
        ):
            connection.exec_driver_sql(statement)
        assert migrate(connection) == (16, VERSION)
        query = text('SELECT "group", incident, path, host, service FROM members ORDER BY "group", incident DESC')
        assert list(map(tuple, connection.execute(query))) == [
            (1, "old", "/here", "web-2", ""),  # both of one finding
            (1, "none", "/here", "", ""),  # nothing is known of where it was
            (2, "old", "/forgotten", "web-3", "mail"),
        ]
    database.dispose()


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
        found = {
            str(index["name"]): str(index["dialect_options"].get(f"{database.url.get_backend_name()}_where"))
            for table in ("outbox", "incidents")
            for index in inspect(connection).get_indexes(table)
        }
    database.dispose()
    assert "pending" in found["outbox_unsent"]
    assert "pending" in found["outbox_next"]
    assert "resolved" in found["incidents_standing"]


def test_what_is_unresolved_is_found_by_its_index(tmp_path: Path) -> None:
    database = empty(f"sqlite:///{tmp_path / 'state.db'}")
    query = select(incidents.c.id).where(unresolved(), incidents.c.severity == "critical")
    with database.transaction(durable=True) as connection:
        migrate(connection)
        ran: list[tuple[str, Any]] = []
        event.listen(connection, "before_cursor_execute", lambda *args: ran.append((args[2], args[3])))
        connection.execute(query.order_by(incidents.c.last_seen.desc()))
        statement, values = ran[0]
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    database.dispose()
    assert plan == ["SEARCH incidents USING INDEX incidents_standing (severity=?)"]


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
        connection.execute(text("INSERT INTO positions VALUES ('', 's', 'k', '{}')"))
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
    with pytest.raises(StoreError, match="schema version 99") as refused:
        await Store.open(path)
    still_open = [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link).startswith(str(path))]
    assert still_open == [], refused  # which keeps alive what the garbage collector would close
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


async def test_who_only_looks_upgrades_nothing_under_a_monitor_that_is_at_work(url: str) -> None:
    first_version(url)
    with pytest.raises(StoreError, match="schema version 1, and this program works"):
        await Store.open(url, repairs=False)
    async with await Store.open(url):
        pass
    async with await Store.open(url, repairs=False) as store:
        assert (await store.incidents.get("old")).state == "open"
