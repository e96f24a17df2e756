"""Folders of credentials, as systemd has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.clients.client import ServiceError
from monitor.inventory.managers.systemd import SystemdConfig, SystemdManager
from tests.fakes.vendor import CANARY, diagnosis, everything


def manager(*folders: Path) -> SystemdManager:
    given = {"name": "credentials", "type": "systemd", "path": [str(folder) for folder in folders]}
    return SystemdManager(SystemdConfig.model_validate(given))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "credstore"
    folder.mkdir()
    for name, value in (("key", b"one\n"), ("bytes", b"\x00\xff\n\n"), ("empty", b""), ("json", b'{"a": "x"}\n')):
        (folder / name).write_bytes(value)
        (folder / name).chmod(0o600)
    (folder / "folder").mkdir()
    os.utime(folder / "key", (1_700_000_000, 1_700_000_000))
    return folder


async def test_what_lies_in_a_folder(store: Path) -> None:
    found = {held.name: held for held in await everything(manager(store))}
    assert {name: held.value for name, held in found.items()} == {
        "key": b"one", "bytes": b"\x00\xff\n", "empty": b"", "json.a": b"x",
    }  # fmt: skip
    assert found["key"].rotated == 1_700_000_000.0


async def test_of_encrypted_ones_only_the_names(store: Path, tmp_path: Path) -> None:
    sealed = tmp_path / "credstore.encrypted"
    sealed.mkdir()
    (sealed / "key").write_bytes(b"Whxqht+dQJax1aZeCGLxm")
    found = {held.name: held for held in await everything(manager(store, sealed, tmp_path / "missing"))}
    assert found[f"{store}/key"].value == b"one"
    assert found[f"{sealed}/key"].value is None
    assert found[f"{sealed}/key"].tags == ("encrypted",)


async def test_what_cannot_be_read_is_no_empty_folder(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"inventory credentials: .*/missing: no such folder: check `path`"):
        await everything(manager(tmp_path / "missing"))
    with pytest.raises(ServiceError, match="Not a directory"):
        await everything(manager(store / "key"))
    (store / "large").write_bytes(CANARY.encode() * 100_000)
    with pytest.raises(ServiceError, match="large: larger than 1 MiB") as caught:
        await everything(manager(store))
    assert CANARY not in str(caught.value)
    (store / "large").unlink()
    (store / "loop").symlink_to("loop")
    with pytest.raises(ServiceError, match="symbolic links"):
        await everything(manager(store))


async def test_the_doctor(store: Path, tmp_path: Path) -> None:
    assert await diagnosis(manager(store)) == []
    (store / "key").chmod(0o644)
    assert await diagnosis(manager(store)) == [f"{store}/key can be read by every user: chmod 600"]
    (problem,) = await diagnosis(manager(tmp_path / "missing"))
    assert "no such folder" in problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_a_file_that_may_not_be_read(store: Path) -> None:
    (store / "key").chmod(0)
    with pytest.raises(ServiceError, match="key: Permission denied"):
        await everything(manager(store))
    (problem,) = await diagnosis(manager(store))
    assert "key cannot be read" in problem


def test_where_systemd_keeps_them() -> None:
    config = SystemdConfig.model_validate({"name": "c", "type": "systemd"})
    assert config.path == (Path("/etc/credstore"), Path("/etc/credstore.encrypted"))
