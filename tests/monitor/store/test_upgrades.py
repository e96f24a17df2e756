from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Float, inspect, text

from monitor import runbook
from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store, StoreError, database, reach
from monitor.store.database import Database
from monitor.store.schema import create, metadata
from monitor.store.upgrades import FIRST, STEPS, VERSION, SchemaError, known, migrate, usable
from tests.fakes.forks import Forks
from tests.monitor.store.helpers import OLDEST_SECRET, Clock, empty, finding, fingerprint, oldest

ROOT = Path(__file__).parents[3]


def shape(connection: Connection) -> Mapping[str, Any]:
    """Columns, keys, checks and indexes of every table, in no order."""
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
            {check["name"] for check in seen.get_check_constraints(name)},
            {(*key["constrained_columns"], key["referred_table"]) for key in seen.get_foreign_keys(name)},
        )
        for name in seen.get_table_names()
    }


def content(url: str, tables: Mapping[str, Sequence[str]] | None = None) -> dict[str, dict[str, Any]]:
    """Columns of each table that has rows, and those rows as they are written."""
    base = Database(url)
    with base.reader.connect() as connection:
        if tables is None:
            seen = inspect(connection)
            tables = {name: [column["name"] for column in seen.get_columns(name)] for name in seen.get_table_names()}
        found = {}
        for name, columns in tables.items():
            names = ", ".join(f'"{column}"' for column in columns)
            query = text(f'SELECT {names} FROM "{name}"')
            found[name] = {"columns": columns, "rows": sorted(map(repr, map(tuple, connection.execute(query))))}
    base.dispose()
    return found


def version(url: str) -> int | None:
    base = Database(url)
    with base.reader.connect() as connection:
        stored = connection.execute(text("SELECT value FROM meta WHERE key = 'schema'")).scalar()
    base.dispose()
    return None if stored is None else int(stored)


def say(url: str, number: int) -> None:
    """Its version, from now on."""
    base = Database(url)
    with base.transaction(durable=True) as connection:
        connection.execute(text(f"UPDATE meta SET value = '{number}' WHERE key = 'schema'"))
    base.dispose()


async def test_a_database_of_the_oldest_version_opens_with_every_row_and_is_worked_on(
    empty_url: str, clock: Clock, tmp_path: Path
) -> None:
    oldest(empty_url)
    before = content(empty_url)
    assert [name for name, found in before.items() if not found["rows"]] == []
    procedure, policy = Procedure("high", book=runbook.load), Policy(sinks=("chat",))
    settings: dict[str, Any] = {"clock": clock, "procedure": procedure, "secret": OLDEST_SECRET, "node": "one"}
    (tmp_path / "host").mkdir()
    async with await Store.open(empty_url, policy, folder=tmp_path / "host", **settings) as store:
        await store.claim()
        verdict = await store.trail.verify()
        assert (verdict.problems, verdict.taken) == ((), 0)
        after = content(empty_url, {name: found["columns"] for name, found in before.items()})
        kept, left = before.pop("meta"), after.pop("meta")
        assert after == before
        assert {row for row in kept["rows"] if not row.startswith(("('schema'", "('commits"))} <= set(left["rows"])

        assert await store.positions.of("services") == {"/var/log/app.log": {"offset": 7}}
        was = await store.incidents.get(fingerprint("a"))
        await store.commit([finding("a", 99)], [Position("services", "/var/log/app.log", {"offset": 100})])
        now = await store.incidents.get(fingerprint("a"))
        assert (now.occurrences, now.state) == (was.occurrences + 1, "acknowledged")
        await store.incidents.transition("old", "ack", actor="ada")
        await store.silences.add(["rule=github-pat"], 60, actor="ada", reason="noise", severity="low")
        assert (await store.trail.verify()).problems == ()
    assert version(empty_url) == VERSION


def test_the_oldest_version_becomes_what_is_made_today(empty_url: str) -> None:
    """Fails where a change of the tables goes without a step."""
    oldest(empty_url)
    base = Database(empty_url)
    with base.transaction(durable=True) as connection:
        assert migrate(connection) == (FIRST, VERSION)
        upgraded = shape(connection)
        metadata.drop_all(connection)
        create(connection)
        assert upgraded == shape(connection)
    base.dispose()


def test_created_once(empty_url: str) -> None:
    base = empty(empty_url)
    with base.transaction(durable=True) as connection:
        assert migrate(connection) == (None, VERSION)
        assert known(connection) == VERSION
        assert migrate(connection) == (VERSION, VERSION)
        assert set(metadata.tables) <= set(inspect(connection).get_table_names())
    base.dispose()


def test_upgraded_step_by_step_in_one_transaction(empty_url: str) -> None:
    def first(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE positions ADD COLUMN extra TEXT"))

    def second(connection: Connection) -> None:
        connection.execute(text("UPDATE positions SET extra = 'moved'"))
        if fail:
            raise RuntimeError("power cut")

    oldest(empty_url)
    base = Database(empty_url)
    fail = True
    with pytest.raises(RuntimeError), base.transaction(durable=True) as connection:
        migrate(connection, (first, second))
    with base.transaction(durable=True) as connection:
        assert migrate(connection, ()) == (FIRST, FIRST)
        assert migrate(connection, (first,)) == (FIRST, FIRST + 1)
    fail = False
    with base.transaction(durable=True) as connection:
        assert migrate(connection, (first, second)) == (FIRST + 1, FIRST + 2)
        assert set(connection.execute(text("SELECT extra FROM positions")).scalars()) == {"moved"}
        with pytest.raises(SchemaError, match="upgrade the program"):
            migrate(connection, ())
    base.dispose()


CHILD = """
import os, signal, sys
from sqlalchemy import event, text
from monitor.store.database import Database
from monitor.store.upgrades import migrate

database = Database(sys.argv[1])

@event.listens_for(database.writer, "after_cursor_execute")
def at_the_last_statement(connection, cursor, statement, *rest):
    if statement.startswith("UPDATE meta"):
        os.kill(os.getpid(), signal.SIGKILL)

def step(connection):
    connection.execute(text("ALTER TABLE positions ADD COLUMN extra TEXT"))
    connection.execute(text("UPDATE positions SET extra = 'moved'"))
    connection.execute(text("DELETE FROM silences"))

with database.transaction(durable=True) as connection:
    migrate(connection, (step,))
"""


async def test_killed_within_an_upgrade_it_is_as_it_was(empty_url: str, forks: Forks) -> None:
    oldest(empty_url)
    before = content(empty_url)
    done = await asyncio.to_thread(forks.python, CHILD, empty_url)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert content(empty_url) == before
    async with await Store.open(empty_url, node="one") as store:
        assert (await store.incidents.get("old")).state == "open"


async def test_a_database_with_tables_of_somebody_else_is_left_alone(empty_url: str) -> None:
    base = empty(empty_url)
    with base.transaction(durable=True) as connection:
        connection.exec_driver_sql("CREATE TABLE incidents (theirs INTEGER)")
    base.dispose()
    with pytest.raises(StoreError, match=r"incidents: somebody else's tables .* another database"):
        await Store.open(empty_url)
    base = empty(empty_url)
    with base.transaction(durable=True) as connection:
        assert inspect(connection).get_table_names() == ["incidents"]
    base.dispose()


async def test_tables_of_somebody_else_in_another_schema_are_no_hindrance(empty_postgres_url: str) -> None:
    base = empty(empty_postgres_url)
    with base.transaction(durable=True) as connection:
        connection.exec_driver_sql("CREATE TABLE users (theirs INTEGER)")
        connection.exec_driver_sql("CREATE SCHEMA AUTHORIZATION CURRENT_USER")
    base.dispose()
    async with await Store.open(empty_postgres_url, node="one") as store:
        assert await store.users.find("ana") is None
    base = empty(empty_postgres_url)
    with base.transaction(durable=True) as connection:
        assert inspect(connection).get_table_names("public") == ["users"]
    base.dispose()


async def test_a_schema_of_the_roles_own_that_comes_later_hides_nothing(empty_postgres_url: str) -> None:
    """It goes before "public" in the path of PostgreSQL."""
    async with await Store.open(empty_postgres_url, node="one") as store:
        await store.commit([finding("one")])
    base = empty(empty_postgres_url)
    with base.transaction(durable=True) as connection:
        connection.exec_driver_sql("CREATE SCHEMA AUTHORIZATION CURRENT_USER")
    base.dispose()
    async with await Store.open(empty_postgres_url, node="one") as store:
        assert await store.incidents.count() == 1


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await (await Store.open(path)).close()
    say(str(path), 99)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema version 99") as refused:
        await Store.open(path)
    still_open = [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link).startswith(str(path))]
    assert still_open == [], refused  # which keeps alive what the garbage collector would close
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [1, FIRST - 1])
async def test_one_that_is_older_than_any_that_is_upgraded_is_left_alone(empty_url: str, number: int) -> None:
    oldest(empty_url)
    say(empty_url, number)
    before = content(empty_url)
    wanted = f"schema version {number}, and this program upgrades from {FIRST} on: move it aside, or"
    for repairs in (True, False):
        with pytest.raises(StoreError, match=wanted):
            await Store.open(empty_url, repairs=repairs)
    with pytest.raises(StoreError, match=wanted):
        reach(empty_url if "://" in empty_url else Path(empty_url), OLDEST_SECRET)
    assert content(empty_url) == before


def test_what_can_be_used() -> None:
    usable(FIRST)
    usable(VERSION)
    usable(FIRST + 1, FIRST + 2)
    for wrong in (FIRST - 1, VERSION + 1):
        with pytest.raises(SchemaError, match=f"schema version {wrong}"):
            usable(wrong)


async def test_who_only_looks_upgrades_nothing_under_a_monitor_that_is_at_work(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(connection: Connection) -> None:
        connection.execute(text("DELETE FROM silences"))

    def with_a_step(connection: Connection, *, upgrades: bool) -> tuple[int | None, int]:
        return migrate(connection, (*STEPS, step), upgrades=upgrades)

    oldest(empty_url)
    monkeypatch.setattr(database, "migrate", with_a_step)
    with pytest.raises(StoreError, match=f"schema version {FIRST}, and this program works with {VERSION + 1}: restart"):
        await Store.open(empty_url, repairs=False)
    assert version(empty_url) == FIRST
    async with await Store.open(empty_url):
        assert version(empty_url) == VERSION + 1
    async with await Store.open(empty_url, repairs=False) as store:
        assert (await store.incidents.get("old")).state == "open"
        assert (await store.silences.list())[1] == []
