"""A plugin of pytest: which statements PostgreSQL executes for tests of `sqlite_alone.txt` only.

Of a test that is on that list `make test` needs no run on PostgreSQL as long as there are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

_NUMBER = re.compile(r"_\d+(?=\)s|$)")
_LIST = re.compile(r"%\(\w+\)s(?:::\w+)?(?:, %\(\w+\)s(?:::\w+)?)*")  # of any length
_campaign: dict[str, str] = {}  # statement → a test that executes it
_always: set[str] = set()
_now: set[str] = set()


@event.listens_for(Engine, "before_cursor_execute")
def _executed(connection: Any, cursor: object, statement: str, *_: object) -> None:
    if connection.dialect.name == "postgresql":
        _now.add(_LIST.sub("?", _NUMBER.sub("", statement)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _now.clear()
    yield
    if item.get_closest_marker("campaign"):
        _campaign.update(dict.fromkeys(_now, item.nodeid))
    else:
        _always.update(_now)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for statement in _campaign.keys() - _always:
        terminalreporter.write_line(f"only {_campaign[statement]}: {' '.join(statement.split())}")
    terminalreporter.write_line(f"PostgreSQL executed {len(_always | _campaign.keys()):,} statements")
