"""1Password as a service account: what its program is asked, what it is given, and what its errors are taken for."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.clients.client import ServiceError
from monitor.inventory.managers import op
from monitor.inventory.managers.onepassword import OnePasswordConfig, OnePasswordManager
from tests.fakes.vendor import CANARY, diagnosis, everything

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TOKEN = "ops" + f"_{CANARY}-token"
STUB = """#!/bin/sh
cd "{folder}" || exit 9
echo "$*" >> asked
env > environment
cat /proc/$PPID/environ > outer
given=$OP_SERVICE_ACCOUNT_TOKEN
[ "$given" = "{token}" ] || {{ echo "[ERROR] (401) Unauthorized $given" >&2; exit 1; }}
[ ! -f trouble ] || {{ cat trouble >&2; exit 1; }}
cat "answers/$*" 2>/dev/null || {{ echo "[ERROR] \\"$4\\" isn't an item, {canary}" >&2; exit 1; }}
"""


def field(label: str, value: str | None, kind: str = "CONCEALED", **more: Any) -> dict[str, Any]:
    return {"id": label, "label": label, "type": kind, **({} if value is None else {"value": value}), **more}


ITEM = {
    "id": "i1",
    "title": "database",
    "version": 4,
    "tags": ["critical"],
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-02-01T00:00:00Z",
    "fields": [
        field("username", "app", "STRING", purpose="USERNAME"),
        field("password", f"{CANARY}-one", purpose="PASSWORD"),
        field("password", f"{CANARY}-two", section={"id": "s", "label": "replica"}),
        field("one-time", "otpauth://totp/x", "OTP", totp="123456"),
        field("private key", f"{CANARY}-pem", "SSHKEY", ssh_formats={"openssh": {"value": "-"}}),
        field("unset", None),
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the program, and what it answers to which arguments."""
    (tmp_path / "answers").mkdir()
    program = tmp_path / "op"
    program.write_text(STUB.format(folder=tmp_path, token=TOKEN, canary=CANARY))
    program.chmod(0o755)
    (tmp_path / "token").write_text(TOKEN)
    answer(tmp_path, "vault list", [{"id": "v1", "name": "production"}, {"id": "v2", "name": "stage"}])
    answer(tmp_path, "item list --vault v1", [{"id": "i1", "title": "database"}, {"id": "i2", "title": "hidden"}])
    answer(tmp_path, "item list --vault v2", [])
    answer(tmp_path, "item get i1 --vault v1 --reveal", ITEM)
    return tmp_path


def answer(folder: Path, arguments: str, what: object) -> None:
    (folder / "answers" / f"{arguments} --format json").write_text(json.dumps(what))


def manager(folder: Path, **keys: Any) -> OnePasswordManager:
    given = {"name": "vaults", "type": "onepassword", "token": f"file:{folder / 'token'}", "program": folder / "op"}
    return OnePasswordManager(OnePasswordConfig.model_validate({**given, **keys}))


async def test_concealed_fields_and_what_the_program_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OP_CONNECT_HOST", "OP_CONNECT_TOKEN", "OP_SESSION", "SECRET_OF_OURS"):
        monkeypatch.setenv(name, CANARY)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    found = await everything(manager(folder, vaults=["production"]))
    assert {held.name: held.value for held in found} == {
        "production/database.password": f"{CANARY}-one".encode(),
        "production/database.replica.password": f"{CANARY}-two".encode(),
        "production/database.one-time": b"otpauth://totp/x",
        "production/database.private key": f"{CANARY}-pem".encode(),
        "production/hidden": None,
    }
    first = found[0]
    assert (first.version, first.tags) == ("", ("critical",))
    assert first.rotated is not None
    assert first.created is not None
    assert first.rotated - first.created == 31 * 86_400

    asked = (folder / "asked").read_text().splitlines()
    assert sorted(asked) == [
        "item get i1 --vault v1 --reveal --format json",
        "item get i2 --vault v1 --reveal --format json",
        "item list --vault v1 --format json",
        "vault list --format json",
    ]
    given = dict(line.split("=", 1) for line in (folder / "environment").read_text().splitlines() if "=" in line)
    shells = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert given.keys() - shells == {
        "PATH", "LANG", "HOME", "OP_CONFIG_DIR", "OP_CACHE", "OP_BIOMETRIC_UNLOCK_ENABLED", "OP_ISO_TIMESTAMPS",
        "OP_SERVICE_ACCOUNT_TOKEN", "HTTPS_PROXY",
    }  # fmt: skip
    assert given["OP_CACHE"] == "false"
    outer = (folder / "outer").read_bytes()
    assert (b"OP_CACHE" in outer, CANARY.encode() in outer) == (True, False)  # of the shell that started it
    assert not Path(given["OP_CONFIG_DIR"]).exists()  # it is gone with the manager


async def test_the_doctor(folder: Path) -> None:
    assert await diagnosis(manager(folder, vaults=["production"])) == []
    [much] = await diagnosis(manager(folder))
    assert much.startswith("the token reads 2 vaults, all of them")
    answer(folder, "vault list", [])
    assert await diagnosis(manager(folder)) == ["the token may read no vault: grant it one"]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("[ERROR] 2026/11/26 rate limit exceeded for CANARY", "raise `interval`, or name fewer vaults"),
        ("[ERROR] failed to authenticate: dial tcp: lookup CANARY: no such host", "check the network, or HTTPS_PROXY"),
        ("[ERROR] CANARY (401) Unauthorized", "the token was refused"),
        ("[ERROR] (403) Forbidden (Firewall Rule): CANARY was blocked", "firewall does not let this host in"),
        ("[ERROR] open /CANARY/config: permission denied", "exit code 1: run it by hand with this token to see why"),
        ("[ERROR] (403) Forbidden: CANARY", "there is none, or the account may not read it"),
        ("[ERROR] unknown flag: --reveal CANARY", "install 2.30 or later"),
        ("CANARY", "exit code 1: run it by hand with this token to see why"),
    ],
)
async def test_what_it_says_is_taken_for_what_it_means_and_never_repeated(folder: Path, said: str, meant: str) -> None:
    (folder / "trouble").write_text(said.replace("CANARY", CANARY))
    with pytest.raises(ServiceError) as caught:
        await everything(manager(folder))
    assert meant in str(caught.value)
    assert str(caught.value).startswith("inventory vaults: vaults: ")
    assert CANARY not in repr(caught.value)


@pytest.mark.parametrize("said", ["write /op/config: permission denied", "op-helper: executable file not found"])
async def test_an_item_is_refused_by_the_server_alone(folder: Path, said: str) -> None:
    for wrong, refused in ((f"[ERROR] {said}", False), ("[ERROR] (403) Forbidden", True), ("[ERROR] (404) x", True)):
        script = f"echo '{wrong}' >&2; exit 1"
        (folder / "op").write_text(f'#!/bin/sh\n[ "$2" = list ] || {{ {script}; }}\ncat "{folder}/answers/$*"\n')
        if refused:
            found = await everything(manager(folder))
            assert {held.name: held.value for held in found} == {"production/database": None, "production/hidden": None}
        else:
            with pytest.raises(ServiceError, match="ended with exit code 1"):
                await everything(manager(folder))


async def test_what_is_wrong_before_it_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def problem(**keys: Any) -> str:
        with pytest.raises(ServiceError) as caught:
            await everything(manager(folder, **keys))
        assert CANARY not in str(caught.value)
        return str(caught.value)

    monkeypatch.setenv("PATH", str(folder / "answers"))
    assert "install 1Password's CLI (2.30 or later), or name it in `program`" in await problem(program=None)
    monkeypatch.setenv("PATH", str(folder))
    assert len(await everything(manager(folder, program=None))) == 5
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", ".")
    assert len(await everything(manager(folder, program=None))) == 5
    assert "no such file" in await problem(program=folder / "gone")
    (folder / "op").chmod(0o777)
    assert "can be written to by others" in await problem()
    (folder / "op").chmod(0o755)
    (folder / "answers" / "vault list --format json").write_text(f"not {CANARY}")
    assert "is not JSON" in await problem()
    (folder / "token").write_text(f"{CANARY}-of-connect")
    assert "none of a service account: those begin with ops_" in await problem()


def zombies() -> set[str]:
    """Ended processes that we are to take in."""
    states = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            states[path.parent.name] = path.read_text().rpartition(")")[2].split()[:2]
    return {pid for pid, state in states.items() if state == ["Z", str(os.getpid())]}


async def test_it_leaves_no_process_to_be_taken_in(folder: Path) -> None:
    """Where nobody does that, as beside a process 1 of a container, they would become ever more."""
    libc, before = ctypes.CDLL(None), zombies()
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        await everything(manager(folder))
        assert not zombies() - before
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


async def test_one_that_hangs_is_ended_with_all_that_it_has_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "op").write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {folder}/child\nwait\n")
    task = asyncio.create_task(everything(manager(folder)))
    while not (folder / "child").exists() or not (folder / "child").read_text().endswith("\n"):
        await asyncio.sleep(0.01)
    child = int((folder / "child").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with contextlib.suppress(FileNotFoundError):  # gone; or a zombie, where nobody takes in orphans
        while "(zombie)" not in Path(f"/proc/{child}/status").read_text():
            await asyncio.sleep(0.01)
    monkeypatch.setattr(op, "_SECONDS", 0.05)
    with pytest.raises(ServiceError, match="`op` gave no answer within"):
        await everything(manager(folder))


async def test_of_what_it_says_no_more_is_kept_than_an_answer_may_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(op, "LARGEST", 1 << 20)
    (folder / "op").write_text("#!/bin/sh\nhead -c 1048577 /dev/zero\n")
    with pytest.raises(ServiceError, match="what `op` printed is larger than 1 MiB"):
        await everything(manager(folder))
    (folder / "op").write_text(f"#!/bin/sh\nprintf '%1048576s' '{json.dumps([{'id': 'v1'}])}'\n")
    assert "the token may read no vault" not in await diagnosis(manager(folder))
    (folder / "op").write_text("#!/bin/sh\n{ head -c 100000000 /dev/zero; echo '(401) Unauthorized'; } >&2\nexit 1\n")
    with pytest.raises(ServiceError, match="the token was refused"):
        await everything(manager(folder))


def test_one_way_only(folder: Path) -> None:
    with pytest.raises(ValidationError, match="which has no server"):
        manager(folder, server="https://connect.example.org")
    with pytest.raises(ValidationError, match="ca_file is for a Connect server"):
        manager(folder, ca_file=folder / "ca.pem")
