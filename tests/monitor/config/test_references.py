from __future__ import annotations

from pathlib import Path

import pytest

from monitor.common.problems import Problem
from monitor.config.config import parse
from monitor.config.locate import ConfigError

CONSOLE = "[[sinks]]\nname = 'a'\ntype = 'console'\n"


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("config.toml"))
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("[[sinks]]\nname = 'a'\ntype = 'console'\nfallback = 'a'", "sinks[0].fallback", "itself"),
        ("[[sinks]]\nname = 'a'\ntype = 'console'\nfallback = 'b'", "sinks[0].fallback", "known sinks: a"),
        ("[[routes]]\nsinks = ['a']", "routes[0].sinks[0]", "there are no [[sinks]]"),
        (
            CONSOLE + "[[routes]]\nsinks = ['a']\nmute = ['nigth']\n[[mute_times]]\nname = 'night'\ndays = ['sat']",
            "routes[0].mute[0]",
            'no mute time is named "nigth"; did you mean "night"?; there are night',
        ),
        (
            CONSOLE + "[[routes]]\nsinks = ['a']\nmute = ['all']\n[[mute_times]]\nname = 'all'",
            "routes[0].mute",
            "leaves no moment of the week, so nothing of this route would ever be told",
        ),
    ],
)
def test_what_is_named_elsewhere_is_there(text: str, key: str, part: str) -> None:
    (problem,) = problems(text)
    assert problem.key == key
    assert part in problem.message


def test_a_broken_sink_is_still_known_to_routes() -> None:
    text = "[[sinks]]\nname = 'a'\ntype = 'console'\ncolor = 1\n[[routes]]\nsinks = ['a']\n"
    assert [problem.key for problem in problems(text)] == ["sinks[0].color"]
