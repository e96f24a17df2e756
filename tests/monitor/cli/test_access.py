from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.access.reading import Reading
from monitor.config.config import load
from monitor.site import open_store
from tests.fakes.shell import in_process
from tests.monitor.cli.conftest import Command
from tests.monitor.store.helpers import finding

HASHED = "hmac-sha256:" + "ab" * 32
NOW = time.time()


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def audited(config: Path) -> Path:
    """Three readings of two secrets, and an incident."""
    with config.open("a") as file:
        file.write('[[access]]\nname = "db"\nprincipals = ["app"]\nsecrets = ["prod/*"]\n')

    async def fill() -> None:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        async with await open_store(settings) as store:
            seen = finding("leaked", time=NOW - 3600, logged_at=NOW - 7200)
            readings = [
                Reading("1", NOW - 600, "prod/db", "app", address="10.0.0.1", marks=(HASHED,)),
                Reading("2", NOW - 60_000, "prod/db", "app", address="10.0.0.1"),
                Reading("3", NOW - 500, "dev/db", "web", "denied"),
            ]
            await store.commit([seen], readings=readings, source="vault")

    asyncio.run(fill())
    return config


def rows(monitor: Command, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    answer = monitor("access", *arguments, "--format", "json")
    assert answer.returncode == code, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def test_who_read_what_is_listed_and_narrowed(monitor: Command, audited: Path) -> None:
    assert [(row["secret"], row["outcome"]) for row in rows(monitor, "list")] == [
        ("dev/db", "denied"),
        ("prod/db", "read"),
        ("prod/db", "read"),
    ]
    assert len(rows(monitor, "list", "--since", "1h", "--secret", "prod/db")) == 1
    assert rows(monitor, "list", "--principal", "nobody") == []
    assert "10.0.0.1" in monitor("access", "list").stdout
    assert monitor("access", "list", "--since", "soon").returncode == 2
    assert monitor("access", "list", "--principal", "x").stdout == "nobody, as far as audit records were read\n"


def test_what_is_usual(monitor: Command, audited: Path) -> None:
    [row] = rows(monitor, "habits")
    assert (row["secret"], row["principal"], row["readings"], row["networks"]) == ("prod/db", "app", 2, ["10.0.0.0/24"])
    assert "prod/db" in monitor("access", "habits").stdout


def test_policies_are_tried_against_what_was_read(monitor: Command, audited: Path) -> None:
    [row] = rows(monitor, "check")
    assert (row["wrong"], row["reason"]) == (False, '[[access]] "db"')
    assert monitor("access", "check", "--since", "1s").stdout == "nobody, as far as audit records were read\n"
    audited.write_text(audited.read_text().replace('principals = ["app"]', 'principals = ["other"]'))
    [row] = rows(monitor, "check", code=1)
    assert (row["wrong"], row["reason"]) == (True, '[[access]] "db" permits other only')
    assert "WRONG" in monitor("access", "check").stdout
    audited.write_text(audited.read_text().replace('secrets = ["prod/*"]', 'secrets = ["other"]'))
    assert rows(monitor, "check")[0]["reason"] == "no [[access]] covers it"


def test_who_used_a_leaked_secret_since_it_leaked(monitor: Command, audited: Path) -> None:
    [incident] = json.loads(monitor("incidents", "list", "--format", "json").stdout)
    answer = monitor("access", "used", incident["id"])
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "--secret or --mark" in answer.stderr
    assert "no audit record" in monitor("access", "used", incident["id"], "--mark", "hmac-sha256:00").stderr

    [used] = rows(monitor, "used", incident["id"][:8], "--mark", HASHED)
    assert (used["principal"], used["address"]) == ("app", "10.0.0.1")
    assert len(rows(monitor, "used", incident["id"])) == 1  # it is kept
    timeline = json.loads(monitor("incidents", "timeline", incident["id"], "--format", "json").stdout)
    assert [(row["who"], row["what"]) for row in timeline if row["who"] == "app"] == [("app", "read prod/db")]
    report = monitor("incidents", "report", incident["id"]).stdout
    assert "## Who used it since it was exposed" in report
    assert len(rows(monitor, "used", incident["id"], "--secret", "dev/db")) == 2


def test_before_anything_was_read(monitor: Command, config: Path) -> None:
    assert rows(monitor, "list") == rows(monitor, "habits") == []
    assert monitor("access", "habits").stdout == "no audit record was read yet\n"
