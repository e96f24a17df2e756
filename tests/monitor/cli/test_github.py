from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.config.config import load
from monitor.store import Store
from monitor.store.records import AlertBatch
from tests.fakes.github import FakeGitHub
from tests.monitor.store.test_alerts import alert, place

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
async def github():
    async with FakeGitHub() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def run(monitor: Command, tmp_path: Path, github: FakeGitHub) -> Callable[..., Any]:
    """The real command against the fake, which needs the event loop meanwhile."""

    def configure(more: str = "") -> None:
        (tmp_path / "config.toml").write_text(
            f"""
[monitor]
state_dir = "state"
[rules]
packs = ["vcs/github"]
[[sources]]
name = "gh"
type = "github"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{github.url}"
{more}
[[sinks]]
name = "screen"
type = "console"
"""
        )

    async def run(*arguments: str, more: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        configure(more)
        return await asyncio.to_thread(monitor, "github", *arguments, env={"GITHUB_TOKEN": FakeGitHub.token, **env})

    return run


def on(*names: str) -> dict[str, Any]:
    every = ("secret_scanning", "secret_scanning_push_protection", "secret_scanning_validity_checks")
    return {name: {"status": "enabled" if name in names else "disabled"} for name in every}


async def test_doctor_says_what_works_and_what_is_unknown(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.repos = {"acme/full": on("secret_scanning", "secret_scanning_push_protection"), "acme/hidden": {}}
    github.add("acme/full", "v")
    answer = await run("doctor")
    assert answer.returncode == 0, answer.stderr
    assert "ok      gh: log-in: token of octocat" in answer.stdout
    assert "ok      gh: scopes: repo, read:org" in answer.stdout
    assert "of 5000 left" in answer.stdout
    assert "ok      gh: alerts of org:acme: readable" in answer.stdout
    assert "2 repositories: secret_scanning on in 1, push_protection on in 1, validity_checks on in 0" in answer.stdout
    lines = {line.split()[0]: line.split()[1:] for line in answer.stdout.splitlines() if line.startswith("acme/")}
    assert lines["acme/hidden"] == ["unknown"] * 4
    assert lines["acme/full"] == ["on", "on", "off", "unknown"]
    rows = json.loads((await run("doctor", "--format", "json")).stdout)
    assert {row["kind"] for row in rows} == {"check", "repository"}


async def test_doctor_fails_when_something_is_missing(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.scopes = "gist"
    answer = await run("doctor", more='webhook_secret = "env:NO_SUCH_SECRET"')
    assert answer.returncode == 1
    assert "FAILED  gh: scopes: gist; needs security_events, or repo" in answer.stdout
    assert "FAILED  gh: webhook secret: environment variable NO_SUCH_SECRET is not set" in answer.stdout
    answer = await run("doctor", GITHUB_TOKEN="wrong")
    assert answer.returncode == 1
    assert "the token was refused" in answer.stdout
    assert "wrong" not in answer.stdout + answer.stderr


async def test_a_fine_grained_token_does_not_tell_its_permissions(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.scopes = None
    answer = await run("doctor")
    assert answer.returncode == 0
    assert "unknown gh: scopes" in answer.stdout


async def test_alerts_are_listed_with_filters_and_without_values(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.add("acme/web", "canary-a", age=100, validity="active")
    github.add("acme/web", "canary-b", age=50)
    github.add("acme/web", "canary-c", "rsa_private_key", age=10, publicly_leaked=True)
    github.add("acme/web", "canary-d", state="resolved", resolution="revoked", resolved=time.time())
    answer = await run("alerts", "--format", "json")
    rows = json.loads(answer.stdout)
    assert [row["number"] for row in rows] == [3, 2, 1]
    assert rows[2] | {"created": "", "updated": "", "url": ""} == {
        "id": "127.0.0.1/acme/web#1", "source": "gh", "repository": "acme/web", "number": 1,
        "secret_type": "github_personal_access_token", "name": "Github Personal Access Token", "state": "open",
        "resolution": None, "validity": "active", "publicly_leaked": False, "multi_repo": False, "created": "",
        "updated": "", "url": "", "incident": None,
    }  # fmt: skip
    assert "canary" not in answer.stdout + answer.stderr
    assert all(query.get("hide_secret") == "true" for _, path, query in github.requests if path.endswith("/alerts"))
    github.requests.clear()
    text = (await run("alerts", "--state", "all", "--type", "rsa_private_key")).stdout
    assert "acme/web#3" in text
    await run("alerts", "--validity", "active", "--public", "--multi-repo", "--state", "resolved")
    query = github.requests[-1][2]
    asked = {name: query[name] for name in ("validity", "is_publicly_leaked", "is_multi_repo", "state")}
    assert asked == {"validity": "active", "is_publicly_leaked": "true", "is_multi_repo": "true", "state": "resolved"}


async def test_no_more_alerts_are_listed_than_asked_for(github: FakeGitHub, run: Callable[..., Any]) -> None:
    for number in range(250):
        github.add("acme/web", f"v{number}", age=number)
    rows = json.loads((await run("alerts", "--limit", "150", "--format", "json")).stdout)
    assert len(rows) == 150


async def test_alerts_name_their_incident(github: FakeGitHub, run: Callable[..., Any], tmp_path: Path) -> None:
    github.add("acme/web", "v")
    await run("alerts")
    settings = load(tmp_path / "config.toml")
    settings.state_dir.mkdir(exist_ok=True)
    one = alert(id="127.0.0.1/acme/web#1", source="gh")
    async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
        await store.alerts.record(AlertBatch("gh", [one], [place(one)]))
        [incident] = await store.incidents.find()
    [row] = json.loads((await run("alerts", "--format", "json")).stdout)
    assert row["incident"] == incident.id


async def test_trouble_is_one_line(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.faults.append((404, {}, {"message": "Not Found"}))
    answer = await run("alerts")
    assert answer.returncode == 1
    assert answer.stderr == (
        "GET /orgs/acme/secret-scanning/alerts: 404 (not found: no such name, no access for this token, "
        "or secret scanning is off there)\n"
    )
    assert (await run("doctor", "--source", "other")).returncode == 2


async def test_backfill_reads_everything_and_can_be_repeated(
    github: FakeGitHub, run: Callable[..., Any], tmp_path: Path
) -> None:
    for number in range(1250):
        github.add("acme/web", f"canary-{number}", age=30 * 86_400.0 + 60 * number)
    github.add("acme/web", "canary-key", "rsa_private_key")
    for _ in range(2):
        answer = await run("backfill")
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.splitlines() == [
            "gh org:acme/default: 1,250 alerts read",
            "gh org:acme/generic: 1 alerts read",
        ]
        assert "gh org:acme/default: 1,000 alerts, back to 20" in answer.stderr
        assert "canary" not in answer.stdout + answer.stderr
    settings = load(tmp_path / "config.toml")
    async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
        assert await store.incidents.count() == 1251
        assert sorted(entry.reason for entry in await store.outbox.list()) == ["new", "operational"]


async def test_backfill_says_when_something_cannot_be_read(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.faults.append((404, {}, {"message": "Not Found"}))
    answer = await run("backfill")
    assert answer.returncode == 1
    assert "gh org:acme/default: 0 alerts read, not all" in answer.stdout
    assert "404" in answer.stderr


async def test_write_back_shows_what_it_would_do_and_does_it_when_told(
    github: FakeGitHub, run: Callable[..., Any], monitor: Command
) -> None:
    github.add("acme/web", "one")
    github.add("acme/web", "two")
    await run("backfill")
    assert (await run("write-back")).stdout == "nothing to write back\n"
    found = json.loads((await asyncio.to_thread(monitor, "incidents", "list", "--format", "json")).stdout)
    await asyncio.to_thread(monitor, "incidents", "resolve", *(one["id"] for one in found), "--as", "revoked")
    shown = await run("write-back")
    assert "would write: PATCH /repos/acme/web/secret-scanning/alerts/1: state=resolved" in shown.stdout
    assert github.writes == []
    done = await run("write-back", "--apply")
    assert done.returncode == 0, done.stderr
    assert {alert.resolution for alert in github.alerts.values()} == {"revoked"}
    assert (await run("write-back", "--apply")).stdout == "nothing to write back\n"
