from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import literal, select
from sqlalchemy.exc import DBAPIError

from monitor.store import StoreError
from monitor.store.engines import engines, parse


@pytest.mark.parametrize("url", ["mysql://db.example.org/x", "sqlite:///:memory:", "nothing://x", "postgresql"])
def test_a_place_is_a_path_or_one_of_the_two(url: str) -> None:
    if "://" not in url:
        assert Path(str(parse(url).database)).is_absolute()
        return
    with pytest.raises(StoreError):
        parse(url)


def test_neither_connection_makes_the_file(tmp_path: Path) -> None:
    for engine in engines(parse(tmp_path / "state.db")):
        with pytest.raises(DBAPIError), engine.connect():
            pass
    assert not list(tmp_path.iterdir())


def test_a_statement_becomes_text_once_for_all_engines(tmp_path: Path) -> None:
    files = [tmp_path / "state.db", tmp_path / "other.db"]
    statement = select(literal(1).label("of_this_test"))
    found = []
    for file in files:
        file.touch()
        for engine in engines(parse(file)):
            with engine.connect() as connection:
                found.append(connection.execute(statement).context.cache_hit.name)
            engine.dispose()
    assert found == ["CACHE_MISS", "CACHE_HIT", "CACHE_HIT", "CACHE_HIT"]
    [sqlite, _], [postgres, _] = engines(parse(files[0])), engines(parse("postgresql://db.example.org/x"))
    assert sqlite.dialect != postgres.dialect
