from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli import kit
from monitor.cli.kit import emit, emit_list, fields, said, spoken, table, tracked

ROOT = Path(__file__).parents[3]


def test_emit_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"a": 1}, {"a": "ü"}]
    emit(iter(rows), "jsonl", lambda rows: [])
    emit(iter(rows), "json", lambda rows: [])
    emit(iter(rows), "text", lambda rows: [f"{len(rows)} rows"])
    out = capsys.readouterr().out
    assert out.startswith('{"a":1}\n{"a":"ü"}\n[')
    assert out.endswith("]\n2 rows\n")


def test_a_table_in_a_pipe_is_never_cut_and_shows_no_control_characters() -> None:
    lines = list(table(("name", "severity", "path"), [["a", "high", "x" * 300], ["bb", "low", "evil\x1b[2J\n"]]))
    assert lines[0] == "NAME  SEVERITY  PATH"
    assert lines[1] == "a     high      " + "x" * 300
    assert lines[2] == "bb    low       evil\\x1b[2J\\n"


def on_terminal(code: str, **env: str) -> str:
    """What a Python text prints when standard output is a terminal of 40 columns."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", code],
        stdout=theirs,
        check=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "40", "TERM": "xterm", **env},
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    return shown


TABLE = (
    "from monitor.cli.kit import table\nfor line in table(('severity', 'path'), [['critical', 'x' * 99]]): print(line)"
)


def test_a_terminal_gets_colours_and_a_fitting_table() -> None:
    shown = on_terminal(TABLE)
    assert "\x1b[31mcritical" in shown
    assert "x" * 29 + "…" in shown
    assert "x" * 30 not in shown


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colours_gets_none(env: dict[str, str]) -> None:
    assert "\x1b" not in on_terminal(TABLE, **env)


def test_moments_are_told_in_one_form() -> None:
    assert spoken("2026-11-02T13:58:12Z") == spoken("2026-11-02T13:58:12.250Z") == "2026-11-02 13:58:12 UTC"
    assert (spoken(None), spoken(None, "never")) == ("-", "never")


def test_no_command_makes_up_its_own_form_of_a_moment() -> None:
    """Rows are for scripts and have `stamp`, people read `moment`; days alone are days."""
    own = re.compile(r"strftime|%H:%M")
    found = [path.name for path in sorted((ROOT / "monitor" / "cli").glob("*.py")) if own.search(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((None, "-"), ("", "-"), ([], "-"), (True, "yes"), (False, "-"), (1234, "1,234"), (["a", 2000], "a, 2,000")),
        *(("2026-11-02T13:58:12.250Z", "2026-11-02 13:58:12 UTC"), ("2026-11-02", "2026-11-02")),
    ],
)
def test_a_value_is_said_in_one_way(value: object, words: str) -> None:
    assert said(value) == words


ROWS = [{"id": f"{number}" * 16, "state": "open", "by": None, "why": "because " * 9} for number in range(4)]
COLUMNS = ("id", ("state", lambda row: row["state"].upper()), "by", ("reason", "why"))


def test_a_list_says_what_there_is_and_how_many_more(capsys: pytest.CaptureFixture[str]) -> None:
    emit_list(ROWS, "text", COLUMNS, nothing="none", limit=2, notes=["a note"])
    head, first, _, more, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "STATE", "BY", "REASON"]
    assert first.split()[:4] == ["0" * 16, "OPEN", "-", "because"]
    assert (more, note) == ("and 2 more; --limit shows them", "a note")
    emit_list(ROWS[:1], "text", COLUMNS, nothing="none", total=1001)
    assert capsys.readouterr().out.endswith("and 1,000 more; --limit shows them\n")
    emit_list([], "text", COLUMNS, nothing="none")
    assert capsys.readouterr().out == "none\n"


def test_scripts_get_the_rows_of_a_list_whole_and_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    emit_list(ROWS, "jsonl", COLUMNS, nothing="none", limit=1, notes=["a note"], row=lambda one: {"id": one["id"]})
    assert capsys.readouterr().out == '{"id":"0000000000000000"}\n'
    emit_list([], "json", COLUMNS, nothing="none")
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("room", "shown", "widths"),
    [
        (200, ["id", "made", "by", "why"], [16, 23, 30, 72]),  # everything, and a line's end beyond it
        (150, ["id", "made", "by", "why"], [16, 23, 30, 72]),
        (100, ["id", "made", "by", "why"], [16, 23, 30, 25]),  # the last one is cut
        (80, ["id", "by", "why"], [16, 30, 30]),  # one is left out
        (60, ["id", "by", "why"], [16, 20, 20]),  # the widest are cut, an id never
        (20, ["id", "by", "why"], [16, 16, 8]),  # nothing makes sense there
    ],
)
def test_columns_fit_the_terminal(
    room: int, shown: list[str], widths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(room))
    monkeypatch.setenv("NO_COLOR", "1")
    row = ["1" * 16, "2026-11-02 13:58:12 UTC", "b" * 30, "w" * 72]
    head, line = table(("id", "made", "by", "why"), [row], ("made",))
    assert head.lower().split() == shown
    assert [len(part) for part in re.split(r"(?<=\S)  (?=\S)", line)] == widths
    assert len(line) <= max(room, 44)


def test_fields_are_those_that_say_something() -> None:
    assert list(fields({"id": "a", "by": None, "tags": ["x", "y"]})) == ["id           a", "tags         x, y"]
    assert list(fields({"id": "a", "by": "b"}, "by")) == ["by           b"]


def test_who_waits_at_a_terminal_sees_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has no bar
    many = list(range(60))
    assert list(tracked(many, "counting")) == many
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(kit.sys.stderr, "isatty", lambda: True, raising=False)
    assert list(tracked([1, 2], "counting")) == [1, 2]
    assert capsys.readouterr() == ("", "")
    assert list(tracked(many, "counting")) == many
    out, err = capsys.readouterr()
    assert (out, "counting" in err, "100%" in err) == ("", True, True)


def test_no_command_makes_a_list_by_hand() -> None:
    """`emit_list` does; `table` alone is for one that stands among other text."""
    among = {"github.py", "routes.py", "rule_history.py", "sources.py", "top_page.py"}
    folder = ROOT / "monitor" / "cli"
    calls = {path.name for path in folder.glob("*.py") if re.search(r"\btable\(", path.read_text(encoding="utf-8"))}
    assert calls - {"kit.py"} == among
