from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.rules.template import expand
from tests.detectors import texts
from tests.fakes.shell import in_process
from tests.monitor.cli.conftest import Command

ONE, TWO, THREE = (expand("{alnum:30}", number) for number in (21, 22, 23))
CHECK = ("inventory", "check", "--names", ".env.example", "--environment", "production")


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    texts.lend(tmp_path / "state" / "cache")
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    entry = '[[inventory]]\nname = "{0}"\ntype = "dotenv"\npath = ["{0}.env"]\nenvironment = "{0}"\n'
    text = '[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n'
    (tmp_path / "config.toml").write_text(text + entry.format("production") + entry.format("staging"))
    (tmp_path / "production.env").write_text(f"API_KEY={ONE}\nDB_PASSWORD={TWO}\nPORT=3000\n")
    (tmp_path / "staging.env").write_text(f"API_KEY={THREE}\nDB_PASSWORD={expand('{alnum:30}', 24)}\nPORT=3000\n")
    (tmp_path / ".env.example").write_text("API_KEY=change-me\nDB_PASSWORD=\nPORT=3000\n#OPTIONAL=\n")
    return tmp_path


def test_all_is_set_without_a_database_and_nothing_is_left_behind(monitor: Command, place: Path) -> None:
    answer = monitor(*CHECK)
    assert (answer.returncode, answer.stdout) == (0, "production: 3 of 3 names are set\n"), answer.stderr
    assert not (place / "state" / "state.db").exists()
    assert not (place / "state" / "fingerprint.key").exists()


def test_each_name_that_is_wrong_has_its_line(monitor: Command, place: Path) -> None:
    (place / ".env.example").write_text("API_KEY=\nDB_PASSWORD=\nPORT=\nGONE=\nJWT_SECRET=\nOWN=\n")
    (place / "production.env").write_text(f"API_KEY={THREE}\nDB_PASSWORD=\nPORT=1\nJWT_SECRET=change-me\nOWN={ONE}\n")
    answer = monitor(*CHECK)
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "shared      API_KEY (production/API_KEY): has the value of staging/API_KEY of staging",
        "empty       DB_PASSWORD (production/DB_PASSWORD): its value is empty",
        "missing     GONE: no manager of this environment has it",
        "placeholder JWT_SECRET (production/JWT_SECRET): its value is a placeholder",
        "production: 2 of 6 names are set, 1 shared, 1 empty, 1 missing, 1 placeholder",
    ]
    rows = [json.loads(line) for line in monitor(*CHECK, "--format", "jsonl").stdout.splitlines()]
    assert [row["state"] for row in rows] == ["shared", "empty", "set", "missing", "placeholder", "set"]
    assert rows[0]["where"] == ["production/API_KEY"]
    without = monitor(*CHECK, "--except", "[AGJ]*", "--except", "DB_*", "--format", "json")
    assert (without.returncode, [row["name"] for row in json.loads(without.stdout)]) == (0, ["PORT", "OWN"])
    for value in (ONE, THREE):
        assert value[:8] not in answer.stdout + answer.stderr


def test_what_cannot_be_asked_is_exit_code_2_and_no_name_is_called_missing(monitor: Command, place: Path) -> None:
    (place / "staging.env").unlink()
    answer = monitor(*CHECK)
    assert answer.returncode == 2
    assert answer.stdout.splitlines()[0].startswith("could not be read: inventory staging: ")
    assert answer.stdout.splitlines()[1] == "production: 3 of 3 names are set"
    assert monitor("inventory", "check", "production", *CHECK[2:]).returncode == 0
    (place / "production.env").unlink()
    rows = json.loads(monitor(*CHECK, "--format", "json").stdout)
    assert [row["state"] for row in rows] == ["unknown"] * 5


def test_what_was_stored_last(monitor: Command, place: Path) -> None:
    answer = monitor(*CHECK, "--stored")
    assert (answer.returncode, "there is no database" in answer.stderr) == (2, True)
    assert monitor("inventory", "sync").returncode == 0
    (place / "production.env").write_text("")
    assert monitor(*CHECK, "--stored").stdout == "production: 3 of 3 names are set\n"
    (place / "production.env").unlink()
    assert monitor("inventory", "sync").returncode == 1
    assert monitor(*CHECK, "--stored").returncode == 2


def test_values_that_are_not_given_are_listed_and_strict_wants_them(monitor: Command, place: Path) -> None:
    text = (place / "config.toml").read_text()
    (place / "config.toml").write_text(text.replace("[[inventory]]", "[[inventory]]\nexclude = ['API_KEY']", 1))
    answer = monitor(*CHECK)
    assert (answer.returncode, answer.stdout.splitlines()) == (0, [
        "unread      API_KEY (production/API_KEY): its value was not compared: excluded by the configuration",
        "production: 2 of 3 names are set, 1 unread",
    ])  # fmt: skip
    assert monitor(*CHECK, "--strict").returncode == 2


@pytest.mark.parametrize(
    ("names", "environment", "said"),
    [
        ("A=1\n= 2\n", "production", ".env.example: line 2 is neither"),
        ("# nothing\n", "production", "names nothing that could be checked"),
        ("A=1\n", "prodution", "no [[inventory]] is of the environment 'prodution'; there are production, staging"),
        (None, "production", "No such file"),
    ],
)
def test_mistakes_are_told(names: str | None, environment: str, said: str, monitor: Command, place: Path) -> None:
    if names is None:
        (place / ".env.example").unlink()
    else:
        (place / ".env.example").write_text(names)
    answer = monitor(*CHECK[:-1], environment)
    assert (answer.returncode, said in answer.stderr) == (2, True), answer.stderr
    token = expand("ghp_{alnum:30}{crc32}", 3)
    (place / ".env.example").write_text(f"A=1\n{token}\n")  # a list of values in place of one of names
    gone = monitor("inventory", "check", "--names", f"{token}.env", *CHECK[4:])
    assert (gone.returncode, gone.stderr.endswith(".env: No such file or directory\n")) == (2, True), gone.stderr
    for answer in (gone, monitor(*CHECK[:-1], token), monitor(*CHECK), monitor(*CHECK, "--format", "json")):
        assert token[8:] not in answer.stdout + answer.stderr
