from __future__ import annotations

import gc
import json
import os
import pwd
import time
from pathlib import Path

import pytest
import typer

from monitor.cli import common
from monitor.cli.common import json_text, read_config, started
from monitor.config.locate import ConfigError
from tests.monitor.cli.conftest import Command

ROOT = Path(__file__).parents[3]


def test_a_configuration_is_optional_only_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    monkeypatch.setattr("monitor.config.locate.SYSTEM_PATH", tmp_path / "none.toml")
    assert read_config(None, rules_only=True).path is None
    with pytest.raises(ConfigError, match="no configuration found"):
        read_config(None)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "absent.toml", rules_only=True)
    monkeypatch.setenv("MONITOR_CONFIG", "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(None, rules_only=True)


def test_a_configuration_of_another_program_is_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("title = 'a site'\n[params]\n")
    with pytest.raises(ConfigError, match="--config /dev/null"):
        read_config(None)
    with pytest.raises(ConfigError, match="unknown table") as caught:
        read_config(tmp_path / "config.toml", rules_only=True)
    assert "another program" not in str(caught.value)


def test_once_started_garbage_is_looked_for_in_what_is_new() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    new: list[object] = [[]]
    try:
        gc.set_threshold(500_000, 20, 100)
        started()
        assert gc.get_threshold()[0] == 50_000
        assert gc.get_freeze_count() > frozen
        assert not any(one is new for one in gc.get_objects())
    finally:
        gc.set_threshold(*before)


def test_entering_the_folder_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "config.toml").touch()
    monkeypatch.chdir(tmp_path)
    config = read_config(Path("etc/config.toml"), enter=True)
    assert Path.cwd() == folder
    assert config.path == folder / "config.toml"


def test_fail_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        common.fail("no", 2)
    assert caught.value.exit_code == 2
    assert capsys.readouterr() == ("", "no\n")


def test_the_first_check_that_holds_ends_a_command_and_none_lets_it_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    common.usage((False, "one"), ([], "two"))
    common.fail_if(None, "three")
    with pytest.raises(typer.Exit) as caught:
        common.usage((False, "one"), (["odd"], "two"), (True, "three"))
    assert (caught.value.exit_code, capsys.readouterr().err) == (2, "two\n")
    with pytest.raises(typer.Exit) as caught:
        common.fail_if("wrong")
    assert (caught.value.exit_code, capsys.readouterr().err) == (1, "")


def test_json_shows_no_control_or_direction_characters() -> None:
    text = "a\x7f\x9b31m\u202e\u2066\u200b\ufeff\U000e0041é漢"
    shown = json_text({"path": text}, indent=True)
    assert json.loads(shown) == {"path": text}
    assert shown.replace("\n", "").isprintable()
    assert "é漢" in shown
    assert "\\udb40\\udc41" in shown


def test_what_lies_in_the_scanned_folder_configures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    monkeypatch.setattr("monitor.config.locate.SYSTEM_PATH", tmp_path / "none.toml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("[rules]\npacks = []\n[monitor]\nstate_dir = 'elsewhere'\n")
    settings = read_config(None, rules_only=True)
    assert settings.path is None
    assert settings.rules.packs == ("default",)
    assert read_config(Path("config.toml"), rules_only=True).rules.packs == ()


def test_a_configuration_found_here_is_named_and_must_be_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    folder = tmp_path / "here"
    folder.mkdir(mode=0o755)
    monkeypatch.chdir(folder)
    path = folder / "config.toml"
    path.write_text("[monitor]\n")
    path.chmod(0o644)
    assert read_config(None).path == path
    assert capsys.readouterr().err == f"configuration: {path}\n"
    for place, mode in ((path, 0o646), (folder, 0o757)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.raises(ConfigError, match="others can write"):
            read_config(None)
        assert read_config(path).path == path  # named: it is meant
        place.chmod(before)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if path.stat().st_uid != 0:
        with pytest.raises(ConfigError, match="another user"):
            read_config(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_configuration_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("[monitor]\n")
    os.chown(tmp_path / "config.toml", 12345, 12345)
    with pytest.raises(ConfigError, match="another user"):
        read_config(None)


@pytest.mark.parametrize(
    ("text", "message"), [("1 fortnight", "--for must be a duration"), ("999999w", "--for must be 36500d at most")]
)
def test_what_is_no_length_of_time_ends_the_command(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        common.lasting("--for", text)
    assert (ended.value.exit_code, message in capsys.readouterr().err) == (2, True)


def test_a_moment_so_long_ago() -> None:
    assert common.since_when("--since", None) is None
    assert (common.since_when("--since", "1h") or 0) == pytest.approx(time.time() - 3600, abs=60)


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        ("access list", ()),
        ("access habits", ()),
        ("access check", ("access",)),
        ("rotation due", ("rotation", "inventory")),
        ("rotation plan", ("rotation", "inventory")),
        ("inventory list", ()),
        ("inventory doctor", ("inventory",)),
        ("routes show", ("routes", "silences")),
        ("routes test severity=low", ("routes", "silences")),
        ("sinks list", ("sinks",)),
        ("sources", ("sources",)),
    ],
)
def test_a_command_reads_the_parts_that_it_goes_by(
    monitor: Command, config: Path, command: str, needs: tuple[str, ...]
) -> None:
    (config.parent / "state").mkdir(exist_ok=True)
    text, kinds = config.read_text(), {"sinks": "webhook", "sources": "file", "inventory": "dotenv"}
    for name in ("sinks", "sources", "inventory", "access", "rotation", "routes", "silences"):
        head = "[rotation]" if name == "rotation" else f'[[{name}]]\ntype = "{kinds.get(name, "")}"'
        config.write_text(f'{text}\n{head}\nname = "wrong"\nx = 1\n')
        answer = monitor(*command.split())
        assert (answer.returncode == 78) == (name in needs), (name, answer.stderr)
        assert name in needs or "note: this goes by what is right in the configuration; " in answer.stderr


def test_behind_sudo_acts_who_called_it_where_that_can_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    users = {0: "root", 997: "exposure-monitor", 1000: "bob"}
    monkeypatch.setattr(pwd, "getpwuid", lambda number: pwd.struct_passwd((users[number], "x", number, 0, "", "", "")))
    acted = {}
    for number in (*users, 4242):  # the last has no account
        monkeypatch.setattr(os, "getuid", lambda number=number: number)
        monkeypatch.setenv("SUDO_USER", "alice")
        acted[number] = common.person()
    assert acted == {0: "alice", 997: "alice", 1000: "bob", 4242: "4242"}
    users[1000] = "Bob"
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert common.person() == "bob"
    monkeypatch.setattr(os, "getuid", lambda: 997)
    monkeypatch.delenv("SUDO_USER")
    assert common.person() == "exposure-monitor"


def test_an_account_without_a_plain_name_acts_under_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "mar\u212a")
    with pytest.raises(typer.Exit) as ended:
        common.person()
    assert ended.value.exit_code == 78
    assert "[console.people]" in capsys.readouterr().err


def test_who_acts_goes_by_the_name_that_the_configuration_gives_them(monitor: Command, config: Path) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    with config.open("a") as file:
        file.write(f'[console.people]\n{me} = {{ name = "ada.l" }}\n')
    assert monitor("users", "add", "bob", stdin="correct horse battery").returncode == 0
    [entry] = json.loads(monitor("users", "list", "--history", "--format", "json").stdout)
    assert entry["by"] == "ada.l"
