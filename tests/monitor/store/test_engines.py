from __future__ import annotations

from pathlib import Path

import pytest
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
