from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from monitor.config.locate import ConfigError, default_state_dir, find


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    monkeypatch.setattr("monitor.config.locate.SYSTEM_PATH", tmp_path / "etc.toml")
    with pytest.raises(ConfigError, match="no configuration found"):
        find()
    (tmp_path / "etc.toml").touch()
    assert find() == tmp_path / "etc.toml"
    (tmp_path / "config.toml").touch()
    assert find() == Path("config.toml")
    monkeypatch.setenv("MONITOR_CONFIG", "elsewhere.toml")
    assert find() == Path("elsewhere.toml")
    assert find(Path("given.toml")) == Path("given.toml")


def test_a_folder_that_this_user_may_not_enter_holds_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody else's home is the current folder: `sudo -u exposure-monitor monitor …`."""
    monkeypatch.setattr("monitor.config.locate.SYSTEM_PATH", system := Path("/etc/passwd"))
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    (closed := tmp_path / "closed").mkdir()
    monkeypatch.chdir(closed)
    closed.chmod(0o000)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(PermissionError):
            os.stat("config.toml")
        assert find() == system
    finally:
        os.seteuid(user)
        closed.chmod(0o700)


def test_a_user_without_a_home_has_no_state_in_the_folder_where_a_command_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(number: int) -> NoReturn:
        raise KeyError(number)

    for name in ("HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    assert default_state_dir().is_relative_to(pwd.getpwuid(os.getuid()).pw_dir)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert default_state_dir() == Path("/nonexistent/.local/state/exposure-monitor")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert default_state_dir() == Path("/var/lib/a")
