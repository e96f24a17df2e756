from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from monitor.config.config import load
from monitor.config.in_force import keep, last, where_it_was

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


def test_what_would_be_sent_started_or_read_is_not_kept(file: Path, tmp_path: Path) -> None:
    sends = 'name = "a"\ntype = "http"\nurl = "https://acme.test/x?k=orchid1"\nheaders = {"X-Key" = "orchid2"}\n'
    starts = 'name = "b"\ntype = "command"\ncommand = ["/bin/revoke", "--token", "orchid3"]\n'
    reads = 'name = "logs"\ntype = "file"\ninclude = ["/logs/orchid4.log"]\n'
    file.write_text(f"{TEXT}[[actions]]\n{sends}[[actions]]\n{starts}[[sources]]\n{reads}")
    keep(load(file), str)
    found = last(file)
    assert found is not None
    assert [(one.name, one.type, one.headers) for one in found.actions] == [("a", "http", {}), ("b", "command", {})]
    assert found.actions[1].command == ("/bin/revoke",)
    assert found.sources == ()
    assert "orchid" not in (tmp_path / "state/config.json").read_text()


def test_a_secret_that_somebody_wrote_elsewhere_is_masked(file: Path, tmp_path: Path) -> None:
    file.write_text(TEXT.replace('"nights"', '"nights-hunter2hunter2"'))
    keep(load(file), lambda text: text.replace("hunter2hunter2", "hunt"))
    assert last(file) is not None
    assert "hunter2hunter2" not in (tmp_path / "state/config.json").read_text()


def test_the_user_of_the_service_names_no_server_to_root(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs a command may read more than the service: its credentials go to no place that only that one names."""
    keep(load(file), str)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((0, 0, 0, 1, 7777, 0, 0, 0, 0, 0)))
    assert last(file) is not None
    file.write_text(TEXT.replace("[monitor]", '[monitor]\ndatabase = "env:DATABASE"'))
    keep(load(file), str)
    assert last(file) is None
    monkeypatch.setattr(os, "geteuid", lambda: 7777)
    assert last(file) is not None


def test_a_state_folder_of_another_place_is_not_taken(file: Path, tmp_path: Path) -> None:
    keep(load(file), str)
    kept = tmp_path / "state/config.json"
    kept.write_text(kept.read_text().replace('"state_dir":"state"', '"state_dir":"elsewhere"'))
    assert last(file) is None


def test_the_example_comes_back(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "config.example.toml"
    file = tmp_path / "config.toml"
    file.write_text(example.read_text())
    (tmp_path / "var/state").mkdir(parents=True)
    config = load(file)
    keep(config, str)
    found = last(file)
    assert found is not None
    assert (found.sinks, found.policy) == (config.sinks, config.policy)


def test_of_who_signs_in_their_names_are_kept_and_no_reference(file: Path, tmp_path: Path) -> None:
    file.write_text(
        TEXT + '[console]\nsign_in = true\n[console.people]\nada = { name = "ada.l" }\n'
        '[console.proxy]\nuser = "X-User"\nfrom = ["10.0.0.5"]\nsecret = "env:PROXY_SECRET"\n'
    )
    keep(load(file), str)
    assert "PROXY_SECRET" not in (tmp_path / "state/config.json").read_text()
    file.write_text(TEXT + "[[routes")
    kept = last(file)
    assert kept is not None
    assert kept.console.people["ada"].name == "ada.l"
    assert not kept.console.asks
