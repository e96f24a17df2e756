from __future__ import annotations

from pathlib import Path

from monitor.config.lines import lines, lines_of


def test_a_key_that_is_no_path_has_no_line() -> None:
    assert lines_of("[a]\nb = 1\n", ["a.b", "a.b.literal['x','y']", "a.b[0]"]) == {"a.b": 2, "a.b[0]": 2}


def test_the_line_of_a_table_and_of_a_key_in_it(tmp_path: Path) -> None:
    text = "[[routes]]\nsinks = ['a']\n[[routes]]\n  sinks = ['b']\n[a.b]\n"
    assert lines_of(text, ["routes[1].sinks[0]", "routes[0].mute", "a.b.c", "other"]) == {
        "routes[1].sinks[0]": 4,
        "routes[0].mute": 1,
        "a.b.c": 5,
    }
    path = tmp_path / "config.toml"
    assert lines(path, ["a"]) == lines(None, ["a"]) == {}
    path.write_text("a = 1")
    assert lines(path, ["a"]) == {"a": 1}
