from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from monitor.config.config import Config, parse
from monitor.config.locate import ConfigError
from monitor.config.state import NoRoomError, database, key, make_database, make_folder


def config_at(folder: Path, extra: str = "") -> Config:
    return parse(f"[monitor]\nstate_dir = 'state'\n{extra}", folder / "config.toml")


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    made = key(config)
    file = tmp_path / "state" / "fingerprint.key"
    assert len(made) == 64
    assert key(config) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert os.listdir(file.parent) == ["fingerprint.key"]


def test_a_database_is_made_for_its_owner_only_and_never_twice(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    make_database(config)
    file = Path(database(config))
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    file.write_bytes(b"what is there")
    make_database(config)
    assert file.read_bytes() == b"what is there"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"make the folder writable for this user, or set monitor\.state_dir"):
        make_database(config_at(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_makes_belongs_to_whoever_owns_the_folder(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    config.state_dir.mkdir(mode=0o700)
    os.chown(config.state_dir, 12_345, 12_346)
    key(config)
    make_database(config)
    made = {name: os.stat(config.state_dir / name) for name in ("fingerprint.key", "state.db")}
    assert {(one.st_uid, one.st_gid, stat.S_IMODE(one.st_mode)) for one in made.values()} == {(12_345, 12_346, 0o600)}


def test_many_first_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(key(config))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert os.listdir(tmp_path / "state") == ["fingerprint.key"]


def test_a_configured_key_is_used_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("0123456789abcdef0123456789abcdef\n")
    assert key(config_at(tmp_path, "fingerprint_key = 'file:k'")) == b"0123456789abcdef0123456789abcdef"
    assert not (tmp_path / "state").exists()


def test_a_key_that_cannot_be_used_is_an_error_and_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.fingerprint_key: .*No such file"):
        key(config_at(tmp_path, "fingerprint_key = 'file:none'"))
    (tmp_path / "short").write_text("short-value")
    with pytest.raises(ConfigError, match="shorter than 16 bytes") as caught:
        key(config_at(tmp_path, "fingerprint_key = 'file:short'"))
    assert "short-value" not in str(caught.value)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "fingerprint.key").touch()
    with pytest.raises(ConfigError, match="shorter than 16 bytes"):
        key(config_at(tmp_path))
    assert (tmp_path / "state" / "fingerprint.key").read_bytes() == b""


def test_the_state_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(config_at(tmp_path))
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(ConfigError, match=r"monitor\.state_dir: .*make the folder writable"):
        make_folder(config_at(tmp_path))
    with pytest.raises(ConfigError, match=r"monitor\.state_dir: .*make the folder writable"):
        key(config_at(tmp_path))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_is_no_mistake_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    config = config_at(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoRoomError, match=rf"fingerprint\.key: {os.strerror(number)}; see whether"):
            key(config)
        assert os.listdir(tmp_path / "state") == []
    assert len(key(config)) == 64
