from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config.locate import ConfigError, find


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
