from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from monitor.store.database import Database
from monitor.store.errors import Failure, classify, explain


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("database or disk is full", Failure.RETRY),
        ("database is locked", Failure.RETRY),
        ("database disk image is malformed", Failure.CORRUPT),
        ("no such table: unheard", Failure.FATAL),
    ],
)
def test_kinds_of_trouble(tmp_path: Path, error: str, kind: Failure) -> None:
    path = tmp_path / "x.db"
    database = Database(path)
    database.prepare()
    holder = sqlite3.connect(path, isolation_level=None)

    def provoke() -> None:
        with database.transaction(durable=True) as connection:
            if "full" in error:
                connection.exec_driver_sql("PRAGMA max_page_count = 1")
                for number in range(2_000):
                    connection.exec_driver_sql(f"INSERT INTO meta VALUES ('{number}', 'x')")
            connection.exec_driver_sql("SELECT * FROM unheard" if "unheard" in error else "SELECT * FROM incidents")
            connection.exec_driver_sql("INSERT INTO meta VALUES ('k', 'v')")

    try:
        if "locked" in error:
            holder.execute("BEGIN IMMEDIATE")
        elif "malformed" in error:
            database.dispose()
            holder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xff" * (path.stat().st_size - 4096))
        with pytest.raises(DBAPIError) as caught:
            provoke()
        assert error in explain(caught.value)
        assert classify(caught.value) is kind
    finally:
        holder.close()
        database.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://monitor:hidden@db.example.org/monitor",
        "postgresql+psycopg://db.example.org/monitor?password=hidden&sslmode=require",
        "postgresql://db.example.org/monitor?user=a&sslpassword=hidden",
    ],
)
def test_a_message_names_the_database_without_a_password(url: str) -> None:
    name = Database(url).name
    assert "db.example.org/monitor" in name
    assert "hidden" not in name
