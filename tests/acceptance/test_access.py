"""Audit records through the whole monitor: a real OpenBao, a kill in the midst, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from monitor.config.config import load
from monitor.site import open_store
from monitor.store import Store
from tests.detectors import texts
from tests.fakes.audit import anomalies, lines, month
from tests.fakes.forks import Forks
from tests.fakes.openbao import OpenBao, openbao

_T = TypeVar("_T")
ROOT = Path(__file__).parents[2]

CONFIG = """
[monitor]
state_dir = "state"
[http]
listen = ""
[[sources]]
name = "vault"
type = "file"
include = ["{audit}"]
start_at = "beginning"
audit = "vault"
quiet = "100ms"
[[sinks]]
name = "screen"
type = "console"
[[access]]
name = "gateway"
principals = ["approle:gateway", "token"]
secrets = ["secret/supabase"]
[[access]]
name = "frontend"
principals = ["*-web"]
secrets = ["*"]
never = true
"""


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture(autouse=True)
def compiled(tmp_path: Path) -> None:
    texts.lend(tmp_path / "state" / "cache")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def run(folder: Path, *arguments: str) -> str:
    done = Forks.shared().run(*arguments, "--config", str(folder / "config.toml"), cwd=folder, env=environment())
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def stored(folder: Path, read: Callable[[Store], Any]) -> Any:
    async def ask() -> Any:
        async with await open_store(load(folder / "config.toml"), repairs=False) as store:
            return await read(store)

    return asyncio.run(ask())


def kept(database: Path) -> int:
    """Rows of readings, while the monitor runs."""
    if not database.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM reads").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # not made yet


def test_openbao_tells_who_read_what_and_who_was_refused(bao: OpenBao, tmp_path: Path) -> None:
    bao.call("POST", "secret/data/supabase", {"data": {"SERVICE_KEY": "one value of many words"}})
    bao.call("PUT", "sys/policies/acl/reader", {"policy": 'path "secret/data/supabase" { capabilities = ["read"] }'})
    token = bao.call("POST", "auth/token/create", {"policies": ["reader"], "display_name": "web"})["auth"][
        "client_token"
    ]
    bao.call("GET", "secret/data/supabase", token=token)
    bao.call("GET", "secret/data/supabase")
    for number in range(5):
        with pytest.raises(urllib.error.HTTPError) as refused:
            bao.call("GET", f"secret/data/guess-{number}", token=token)
        refused.value.close()
    (tmp_path / "config.toml").write_text(CONFIG.format(audit=bao.audit))

    run(tmp_path, "run", "--once")
    uses = stored(tmp_path, lambda store: store.access.uses())
    assert {(one.secret, one.principal, one.outcome, one.names) for one in uses if "guess" not in one.secret} == {
        ("secret/supabase", "token-web", "read", ("SERVICE_KEY",)),
        ("secret/supabase", "token", "read", ("SERVICE_KEY",)),
    }
    assert sum(one.outcome == "denied" for one in uses) == 5
    found = stored(tmp_path, lambda store: store.incidents.find())
    assert {(one.rule, one.severity) for one in found} == {("access-policy", "critical"), ("access-denied", "medium")}

    hashed = bao.call("POST", "sys/audit-hash/file", {"input": "one value of many words"})["data"]["hash"]
    [policy] = [one for one in found if one.rule == "access-policy"]
    stripped = replace(policy, labels={})
    assert stored(tmp_path, lambda store: store.access.names(stripped)) == []
    assert stored(tmp_path, lambda store: store.access.names(stripped, [hashed])) == ["secret/supabase"]
    assert b"one value of many words" not in (tmp_path / "state/state.db").read_bytes()


def test_a_month_with_an_anomaly_of_each_kind_is_read_once_whatever_is_killed(tmp_path: Path) -> None:
    odd = [one for kind in anomalies().values() for one in kind]
    asked = sorted([*month(1), *odd], key=lambda one: one.at)
    audit = tmp_path / "audit.log"
    (tmp_path / "config.toml").write_text(CONFIG.format(audit=audit).replace("secret/supabase", "secret/gateway"))
    text = list(lines(asked, "m"))
    audit.write_text("\n".join(text[: len(text) // 2]) + "\n")
    command = ("run", "--config", str(tmp_path / "config.toml"))
    with (tmp_path / "log").open("wb") as log:
        process = Forks.shared().start(*command, env=environment(), stdout=log, stderr=log)
    try:
        with audit.open("a") as file:
            for start in range(len(text) // 2, len(text), 2000):
                file.write("\n".join(text[start : start + 2000]) + "\n")
        while not kept(tmp_path / "state/state.db"):
            assert process.returncode is None, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.01)
    finally:
        process.kill()
        while process.returncode is None:
            time.sleep(0.01)

    with audit.open("a") as file:
        file.write("\n".join(text[-200:]) + "\n")  # written twice
    run(tmp_path, "run", "--once")
    uses = stored(tmp_path, lambda store: store.access.uses(limit=10_000))
    assert sum(one.times for one in uses) == len(asked)
    found = stored(tmp_path, lambda store: store.incidents.find())
    kinds = {f"access-{kind}": {one.who for one in some} for kind, some in anomalies().items()}
    assert {(one.rule, one.labels["principal"]) for one in found} == {
        (rule, who) for rule, whos in kinds.items() for who in whos
    } | {("access-policy", "ldap-anna")}
