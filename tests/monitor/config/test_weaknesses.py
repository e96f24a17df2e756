from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.common.credential import Credential
from monitor.config.config import Config
from monitor.config.state import KEY_FILE
from monitor.config.tables import HttpConfig, MonitorConfig
from monitor.config.weaknesses import weaknesses
from monitor.sources.syslog_config import SyslogConfig

KEY = "0123456789abcdef" * 2


def told(tmp_path: Path, listen: str = "127.0.0.1:0", key: str | None = None) -> dict[str, str]:
    monitor = MonitorConfig(state_dir=tmp_path / "state", fingerprint_key=Credential(key) if key else None)
    return dict(weaknesses(Config(monitor=monitor, http=HttpConfig(listen=listen))))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / KEY_FILE).write_text(KEY)
    (folder / KEY_FILE).chmod(0o600)
    return folder


def test_what_is_closed_is_not_told(tmp_path: Path, state: Path) -> None:
    assert told(tmp_path) == {}
    assert told(tmp_path, listen="[::1]:1") == told(tmp_path, listen="localhost:1") == told(tmp_path, listen="") == {}


def test_before_the_first_start_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert told(tmp_path) == {}
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("listen", ["0.0.0.0:9321", "[::]:9321", "192.0.2.1:80", "monitor.example.org:80"])
def test_pages_that_others_reach(tmp_path: Path, state: Path, listen: str) -> None:
    assert "without a log-in" in told(tmp_path, listen=listen)["http.listen"]


@pytest.mark.parametrize(
    ("keys", "open_"),
    [
        ({"listen": ["udp:0.0.0.0:514"]}, True),
        ({"listen": ["udp:0.0.0.0:514"], "allow": ["10.0.0.0/8"]}, False),
        ({"listen": ["udp:127.0.0.1:514", "tcp:[::1]:514", "unix:/run/log"]}, False),
    ],
)
def test_syslog_that_anybody_may_send_to(tmp_path: Path, keys: dict[str, Any], open_: bool) -> None:
    source = SyslogConfig.model_validate({"name": "net", "type": "syslog", **keys})
    config = Config(monitor=MonitorConfig(state_dir=tmp_path / "state"), sources=(source,))
    found = dict(weaknesses(config))
    assert ("set allow" in found.get("sources[0].listen", "")) == open_


@pytest.mark.parametrize(
    ("mode", "words"), [(0o755, "read"), (0o777, "read and written"), (0o770, "written"), (0o701, "entered")]
)
def test_a_state_folder_that_others_may_use(tmp_path: Path, state: Path, mode: int, words: str) -> None:
    state.chmod(mode)
    assert f"may be {words} by others" in told(tmp_path)["monitor.state_dir"]
    state.chmod(0o750)
    assert told(tmp_path) == {}


def test_a_key_file_that_others_may_read(tmp_path: Path, state: Path) -> None:
    (state / KEY_FILE).chmod(0o640)
    assert f"{KEY_FILE} may be read by others" in told(tmp_path)["monitor.state_dir"]
    own = tmp_path / "key"
    own.write_text(KEY)
    own.chmod(0o604)
    assert "may be read by others" in told(tmp_path, key=f"file:{own}")["monitor.fingerprint_key"]


def test_a_key_of_repeated_letters(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state / KEY_FILE).write_text("a" * 64)
    assert "can be guessed" in told(tmp_path)["monitor.state_dir"]
    monkeypatch.setenv("THE_KEY", "abcabcabcabcabcabcabcabc")
    assert "can be guessed" in told(tmp_path, key="env:THE_KEY")["monitor.fingerprint_key"]
    monkeypatch.setenv("THE_KEY", KEY)
    assert told(tmp_path, key="env:THE_KEY") == {}
