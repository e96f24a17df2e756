from __future__ import annotations

import stat
from pathlib import Path

import pytest

from monitor.config import load
from monitor.in_force import keep, last, where_it_was

TEXT = """
# what a comment says is not kept
[monitor]
state_dir = "state"

[[sinks]]
name = "screen"
type = "console"

[[routes]]
sinks = ["screen"]

[[mute_times]]
name = "nights"
times = ["22:00-06:00"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "default"))
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    (tmp_path / "state").mkdir()
    return path


def test_what_was_in_force_comes_back_whole_whatever_the_file_has_become(file: Path, tmp_path: Path) -> None:
    before = load(file)
    keep(before, str)
    for broken in (TEXT + "[[routes", TEXT + "[[routes]]\nsinks = []\n", "\xff" + TEXT):
        file.write_bytes(broken.encode("latin-1"))
        assert last(file) == before
    kept = tmp_path / "state/config.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "comment" not in kept.read_text()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["config.json"]


def test_of_another_file_or_where_nothing_is_kept_nothing_comes_back(file: Path, tmp_path: Path) -> None:
    assert last(file) is None
    keep(load(file), str)
    other = tmp_path / "other.toml"
    other.write_text(TEXT)
    assert last(other) is None
    for damaged in ("", "[]", "{}", '{"path": 1}', "\x00"):
        (tmp_path / "state/config.json").write_text(damaged)
        assert last(file) is None


def test_what_cannot_be_kept_is_not(file: Path, tmp_path: Path) -> None:
    config = load(file)
    (tmp_path / "state").rmdir()
    keep(config, str)
    assert last(file) is None


def test_a_database_is_looked_for_where_the_file_may_mean(file: Path, tmp_path: Path) -> None:
    assert where_it_was(file) is None
    (tmp_path / "state/state.db").touch()
    found = where_it_was(file)
    assert found is not None
    assert found.state_dir == tmp_path / "state"
    file.write_text(f'{TEXT}[monitor\ndatabase = "env:DB"\n')
    assert where_it_was(file) is None
    assert where_it_was(tmp_path / "gone.toml") is None


def test_a_secret_that_somebody_wrote_there_is_not_copied(file: Path, tmp_path: Path) -> None:
    action = 'name = "a"\ntype = "http"\nurl = "https://acme.test"\nheaders = {"X-Key" = "hunter2hunter2"}\n'
    file.write_text(f"{TEXT}[[actions]]\n{action}")
    keep(load(file), lambda text: text.replace("hunter2hunter2", "hunt…"))
    found = last(file)
    assert found is not None
    assert found.actions[0].headers == {"X-Key": "hunt…"}
    assert "hunter2hunter2" not in (tmp_path / "state/config.json").read_text()
