from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from monitor.store import StoreError, reach
from monitor.store.database import Database
from monitor.store.schema import meta


def test_an_empty_server_and_a_file_that_is_not_there_are_well(empty_url: str) -> None:
    reach(empty_url if "://" in empty_url else Path(empty_url), b"k" * 32)
    assert "://" in empty_url or not Path(empty_url).exists()


def test_tables_of_a_newer_program_are_told_before_the_start(url: str) -> None:
    database = Database(url)
    database.prepare()
    with database.transaction(durable=True) as connection:
        connection.execute(update(meta).where(meta.c.key == "schema").values(value="999"))
    database.dispose()
    with pytest.raises(StoreError, match="schema version 999"):
        reach(url, b"k" * 32)


def test_without_a_login_nobody_is_asked() -> None:
    reach("postgresql+psycopg://monitor@127.0.0.1:1/none", login=False)


def test_a_file_that_is_no_database_is_left_to_the_start(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    reach(tmp_path / "state.db", b"k" * 32)
