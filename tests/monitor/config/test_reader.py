from __future__ import annotations

from pathlib import Path

import pytest

from monitor.common.problems import Problem
from monitor.common.table import Table
from monitor.config.config import parse
from monitor.config.locate import ConfigError
from monitor.config.reader import TableReader


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("config.toml"))
    return caught.value.problems


class Row(Table):
    size: int = 1


def test_what_is_right_is_read_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    reader = TableReader(
        {"one": {"size": 2}, "none": 1, "rows": [{"size": 3}, {"size": "x"}, 4], "other": {}}, tmp_path
    )
    assert reader.table("one", Row).size == 2
    assert reader.table("absent", Row) == reader.table("none", Row) == Row()
    assert reader.tables("rows", Row) == (Row(size=3),)
    reader.unknown({"one": 1, "none": 1, "rows": 1, "others": 1})
    assert reader.problems == [
        Problem("none", "must be a table: [none]"),
        Problem("rows[1].size", "must be a whole number"),
        Problem("rows[2]", "must be a table: write [[rows]], one for each"),
        Problem("other", 'unknown table; did you mean "others"?'),
    ]


def test_tables_that_there_are_not_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"table{number}" for number in range(8)]
    reader = TableReader({name: {} for name in names}, tmp_path)
    reader.unknown({"rows": 1})
    assert [problem.key for problem in reader.problems] == names


@pytest.mark.parametrize(
    ("table", "who"),
    [
        ("[[actions]]\nname = 'revoke'\ntype = 'http'", 'action "revoke": '),
        ("[[mute_times]]\nname = 'night'\ntimes = ['x']", 'mute time "night": '),
        ("[[access]]\nname = 'deploy'\nwho = 'ada'", 'access "deploy": '),
    ],
)
def test_whatever_has_a_name_is_told_by_it(table: str, who: str) -> None:
    found = problems(table)
    assert found
    assert all(problem.message.startswith(who) for problem in found)


def test_a_name_is_used_once() -> None:
    text = "[[sinks]]\nname = 'a'\ntype = 'console'\n" * 2
    assert problems(text) == [Problem("sinks[1].name", '"a" is already the name of sinks[0]; names must be unique')]
