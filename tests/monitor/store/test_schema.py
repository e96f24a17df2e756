from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, inspect, select, text
from sqlalchemy.exc import IntegrityError

from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.database import Database
from monitor.store.schema import create, incidents, metadata, unresolved
from tests.monitor.store.helpers import empty, finding


def test_what_is_made_is_all_of_it(empty_url: str) -> None:
    database = empty(empty_url)
    with database.transaction(durable=True) as connection:
        create(connection)
        assert set(metadata.tables) == set(inspect(connection).get_table_names())
    database.dispose()


def test_the_indexes_of_what_waits_hold_nothing_else(url: str) -> None:
    database = Database(url)
    with database.reader.connect() as connection:
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
        create(connection)
        ran: list[tuple[str, Any]] = []
        event.listen(connection, "before_cursor_execute", lambda *args: ran.append((args[2], args[3])))
        connection.execute(query.order_by(incidents.c.last_seen.desc()))
        statement, values = ran[0]
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    database.dispose()
    assert plan == ["SEARCH incidents USING INDEX incidents_standing (severity=?)"]


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
