"""A rotation played whole against a real OpenBao: from due to closed, with its evidence; and a departure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forks import Forks
from tests.fakes.openbao import OpenBao, openbao
from tests.fakes.shell import in_process

ROOT = Path(__file__).parents[2]
ISSUER = ("--old-from", "-", "--rule", "vault-legacy-token")

CONFIG = """
[monitor]
state_dir = "state"
[http]
listen = ""
[rules]
packs = ["secrets/vault"]
[[sources]]
name = "audit"
type = "file"
include = ["{audit}"]
start_at = "beginning"
audit = "vault"
[[sinks]]
name = "screen"
type = "console"
[[inventory]]
name = "bao"
type = "vault"
server = "{url}"
token = "file:root"
tags = ["critical"]
owner = "platform"
environment = "production"
[[access]]
name = "people"
principals = ["token-anna"]
secrets = ["secret/billing"]
[verify]
providers = ["vault"]
private = ["vault"]
[verify.servers]
vault = "{url}"
"""


class Shell:
    """`monitor` in a folder, with the configuration there."""

    def __init__(self, folder: Path, bao: OpenBao) -> None:
        self.folder = folder
        (folder / "root").write_text(bao.root)
        (folder / "root").chmod(0o600)
        (folder / "config.toml").write_text(CONFIG.format(url=bao.url, audit=bao.audit))
        self.run_once()  # makes the database

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            done = in_process(self.folder, patch)(*arguments, "--format", "json", stdin=stdin)
        assert done.returncode == code, done.stdout[-1000:] + done.stderr[-2000:]
        return json.loads(done.stdout) if done.stdout else done.stderr

    def run_once(self) -> None:
        config = str(self.folder / "config.toml")
        done = Forks.shared().run("run", "--once", "--config", config, cwd=self.folder, env=os.environ)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture(scope="module")
def monitor(bao: OpenBao, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("monitor"), bao)


def test_a_rotation_is_closed_once_the_value_is_another_and_the_issuer_refuses_the_old_one(
    bao: OpenBao, monitor: Shell
) -> None:
    old, new = bao.token(), bao.token()
    bao.call("POST", "secret/data/app", {"data": {"TOKEN": old}})
    monitor("inventory", "sync")
    [begun] = monitor("rotation", "start", "bao/secret/app.TOKEN", "--note", "their incident")
    assert begun["next"] == "new"
    nothing = monitor("rotation", "done", "secret/app.TOKEN", code=1)
    assert [lack.partition(":")[0] for lack in nothing["lacks"]] == [
        "bao still gives the same value",
        "nothing shows that the old value is refused",
    ]

    bao.call("POST", "secret/data/app", {"data": {"TOKEN": new}})
    assert "another one" in monitor("rotation", "done", "secret/app.TOKEN", "--old-from", "-", stdin=new, code=2)
    half = monitor("rotation", "done", "secret/app.TOKEN", *ISSUER, stdin=old, code=1)
    assert half["steps"]["new"] == "done"
    assert half["steps"]["remove"] == "open"
    assert len(half["lacks"]) == 1  # the issuer still takes it

    bao.call("POST", "auth/token/revoke", {"token": old})
    closed = monitor("rotation", "done", "secret/app.TOKEN", *ISSUER, "--note", "no trouble", stdin=old)
    assert set(closed["steps"].values()) == {"done"}
    assert "refuses the old value" in closed["removed"]
    assert closed["evidence"] == "issuer"
    incident = monitor("incidents", "show", begun["incident"])
    assert (incident["state"], incident["resolution"]) == ("resolved", "revoked")
    notes = {event["step"]: event["note"] for event in incident["history"] if event["action"] == "step_done"}
    assert "fingerprint at bao has changed, version 2" in notes["verify"]
    assert "refuses the old value" in notes["remove"]
    kept = (monitor.folder / "state/state.db").read_bytes()
    assert old.encode() not in kept
    assert new.encode() not in kept


def test_a_version_that_its_manager_destroyed_is_no_word_of_the_issuer(bao: OpenBao, monitor: Shell) -> None:
    for _ in range(2):
        bao.call("POST", "secret/data/vendor", {"data": {"KEY": bao.token()}})
        monitor("inventory", "sync")
        if _ == 0:
            [begun] = monitor("rotation", "start", "bao/secret/vendor.KEY")
    bao.call("PUT", "secret/destroy/vendor", {"versions": [1]})
    closed = monitor("rotation", "done", "secret/vendor.KEY")
    assert (closed["evidence"], closed["lacks"]) == ("manager", [])
    incident = monitor("incidents", "show", begun["incident"])
    said = "bao gives version 1 no more; nobody asked the issuer about the old value"
    notes = [event["note"] for event in incident["history"] if event["action"] in ("resolved", "step_done")]
    assert sum(said in note for note in notes) == 2
    assert any(note.startswith("no evidence") for note in notes)  # that every consumer has the new one


def test_who_leaves_has_what_they_read_rotated(bao: OpenBao, monitor: Shell) -> None:
    for name in ("app", "billing", "other"):
        bao.call("POST", f"secret/data/{name}", {"data": {"KEY": f"value-{name}-7d0f1xq93"}})
    bao.call("PUT", "sys/policies/acl/all", {"policy": 'path "secret/data/*" { capabilities = ["read"] }'})
    token = bao.call("POST", "auth/token/create", {"policies": ["all"], "display_name": "anna"})["auth"]["client_token"]
    bao.call("GET", "secret/data/app", token=token)
    monitor("inventory", "sync")
    monitor.run_once()

    looked = monitor("rotation", "departed", "anna", "--look")
    assert [row["secret"] for row in looked] == ["secret/app", "secret/billing.KEY"]
    assert all(row["rotations"] == [] for row in looked)
    opened = {row["secret"]: row for row in monitor("rotation", "departed", "anna", "--note", "last day in March")}
    assert opened["secret/app"]["why"] == ["token-anna read it"]
    assert opened["secret/app"]["inventory"] == ["bao/secret/app.KEY"]
    assert opened["secret/billing.KEY"]["why"] == ['[[access]] "people" permits them']
    rotations = [id_ for row in opened.values() for id_ in row["rotations"]]
    assert len(rotations) == 2
    found = {one["id"]: one["labels"]["secret"] for one in monitor("incidents", "list")}
    assert {found[id_] for id_ in rotations} == {"secret/app.KEY", "secret/billing.KEY"}
    assert monitor("rotation", "departed", "joanna") == []
