"""The real command with a GitHub, a log and a sink: one incident a secret, nothing missed, nothing doubled."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from detectors.rules.template import expand
from monitor.github.hook import signature
from tests.detectors import texts
from tests.fakes.forks import Forked, Forks
from tests.fakes.github import FakeGitHub, commit
from tests.fakes.webhook import FakeWebhook

ROOT = Path(__file__).parents[2]
DAY = 86_400.0
TEMPLATE = "ghp_{alnum:30}{crc32}"
HOOK_SECRET = "a hook's secret"


class Monitor:
    """`monitor run` in a folder of its own, as often as a test starts it."""

    def __init__(self, folder: Path, github: FakeGitHub, sink: FakeWebhook) -> None:
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error",
            "GITHUB_TOKEN": github.token, "SINK_URL": sink.url, "HOOK_SECRET": HOOK_SECRET,
        }  # fmt: skip
        self.process: Forked | None = None
        (folder / "logs").mkdir()
        self.log = folder / "logs" / "app.log"
        texts.lend(folder / "state" / "cache")

    def configure(self, base_url: str, more: str = "", interval: str = "1s") -> None:
        (self.folder / "config.toml").write_text(
            f"""
[monitor]
state_dir = "state"
[http]
listen = "127.0.0.1:0"
[rules]
packs = ["vcs/github"]
[[sources]]
name = "logs"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sources]]
name = "gh"
type = "github"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{base_url}"
interval = "{interval}"
webhook_secret = "env:HOOK_SECRET"
{more}
[[sinks]]
name = "hook"
type = "webhook"
url = "env:SINK_URL"
[[routes]]
sinks = ["hook"]
group_interval = "1s"
"""
        )

    async def start(self) -> None:
        with (self.folder / "stderr.log").open("ab") as errors:
            command = ("run", "--config", str(self.folder / "config.toml"))
            self.process = Forks.shared().start(*command, env=self.env, stdout=errors, stderr=errors)

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 120)

    async def command(self, *arguments: str) -> Any:
        run = functools.partial(Forks.shared().run, cwd=self.folder, env=self.env)
        done = await asyncio.to_thread(run, *arguments, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def incidents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.command("incidents", "list", "--state", "all", "--limit", "10000")
        return found

    def logged(self) -> list[dict[str, Any]]:
        lines = (self.folder / "stderr.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def hook(self, body: bytes, delivery: str) -> int:
        headers = {
            "X-Hub-Signature-256": f"sha256={signature(HOOK_SECRET.encode(), body)}",
            "X-GitHub-Event": "secret_scanning_alert",
            "X-GitHub-Delivery": delivery,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{await self.address()}/hooks/github", data=body, headers=headers) as answer,
        ):
            return answer.status

    async def told(self, body: bytes, delivery: str) -> None:
        """Again, while the database is too slow for an answer within a second."""
        while (status := await self.hook(body, delivery)) == 503:
            await asyncio.sleep(0.05)
        assert status == 202

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as session, session.get(f"{await self.address()}/metrics") as answer:
            return await answer.text()

    async def address(self) -> str:
        await eventually(lambda: any(entry["event"] == "ready" for entry in self.logged()))
        return str(next(entry["http"] for entry in reversed(self.logged()) if entry["event"] == "ready"))


async def eventually(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.05)


@pytest.fixture
async def github() -> AsyncIterator[FakeGitHub]:
    async with FakeGitHub() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
async def sink() -> AsyncIterator[FakeWebhook]:
    async with FakeWebhook() as fake:
        yield fake


@pytest.fixture
async def monitor(tmp_path: Path, github: FakeGitHub, sink: FakeWebhook) -> AsyncIterator[Monitor]:
    monitor = Monitor(tmp_path, github, sink)
    yield monitor
    if monitor.process is not None and monitor.process.returncode is None:
        await monitor.kill()


def announcement(action: str, number: int = 1) -> bytes:
    body = {"action": action, "alert": {"number": number}, "repository": {"full_name": "acme/web"}}
    return json.dumps(body).encode()


def reasons(sink: FakeWebhook) -> list[str]:
    """In order, each notification once: a kill may send one twice, with the same id."""
    return list({payload["id"]: payload["reason"] for payload in sink.payloads}.values())


@pytest.mark.parametrize("first", ["log", "github"])
async def test_one_incident_with_both_kinds_of_place(
    monitor: Monitor, github: FakeGitHub, sink: FakeWebhook, first: str
) -> None:
    secret = expand(TEMPLATE, first)
    monitor.configure(github.url)

    def in_log() -> None:
        with monitor.log.open("a") as file:
            file.write(f"2026-01-01 GET /api?token={secret} 200\n")

    def in_github() -> None:
        github.add("acme/web", secret, locations=[commit("conf/app.env", 3), commit("conf/old.env", 9)])

    (in_log if first == "log" else in_github)()
    await monitor.start()
    await eventually(lambda: len(sink.payloads) >= 1)
    (in_github if first == "log" else in_log)()
    await eventually(lambda: any(one["incidents"][0]["occurrences"] == 3 for one in sink.payloads if one["incidents"]))
    [incident] = await monitor.incidents()
    assert {(place["source"], Path(place["path"]).name, place["line"]) for place in incident["locations"]} == {
        ("logs", "app.log", 1), ("gh", "app.env", 3), ("gh", "old.env", 9)
    }  # fmt: skip
    assert incident["rule"] == "github-pat"
    assert incident["severity"] == "critical"
    assert {one["incidents"][0]["id"] for one in sink.payloads} == {incident["id"]}
    assert await monitor.stop() == 0
    everything = (monitor.folder / "stderr.log").read_bytes() + json.dumps(sink.payloads).encode()
    everything += b"".join(path.read_bytes() for path in (monitor.folder / "state").rglob("*") if path.is_file())
    assert secret.encode() not in everything


async def test_a_hook_arrives_at_once_and_a_secret_seen_after_it_was_revoked_is_an_alarm(
    monitor: Monitor, github: FakeGitHub, sink: FakeWebhook
) -> None:
    secret = expand(TEMPLATE, "hook")
    monitor.configure(github.url, interval="1h")
    await monitor.start()
    await monitor.address()
    await eventually(lambda: github.lists >= 2)
    alert = github.add("acme/web", secret)
    await monitor.told(announcement("created"), "one")
    await monitor.told(announcement("created"), "one")
    await eventually(lambda: reasons(sink) == ["new"])
    github.touch(alert, state="resolved", resolution="revoked", resolved=github.now())
    await monitor.told(announcement("resolved"), "two")
    await eventually(lambda: reasons(sink) == ["new", "resolved"])
    await asyncio.sleep(1.1)  # GitHub's times are whole seconds
    monitor.log.write_text(f"token={secret}\n")
    await eventually(lambda: reasons(sink) == ["new", "resolved", "reopened"])
    [incident] = await monitor.incidents()
    assert incident["state"] == "open"
    assert await monitor.stop() == 0


async def test_a_hook_that_was_answered_is_dealt_with_after_a_kill(
    monitor: Monitor, github: FakeGitHub, sink: FakeWebhook
) -> None:
    monitor.configure(github.url, interval="1h")
    await monitor.start()
    await monitor.address()
    await eventually(lambda: github.lists >= 2)
    github.add("acme/web", expand(TEMPLATE, "killed"))
    github.mangle = lambda kind, body: [] if kind == "org" else body  # polling shall not be what finds it
    assert await monitor.hook(b'{"alert": {"secret": "canary-in-a-hook"}}', "unusable") == 400
    counted = 'exposure_monitor_malformed_total{source="gh",what="hook payload"} 1.0'
    assert counted in (await monitor.metrics()).splitlines()
    await monitor.told(announcement("created"), "one")
    await monitor.kill()
    await monitor.start()
    await eventually(lambda: reasons(sink) == ["new"])
    assert len(await monitor.incidents()) == 1
    assert await monitor.stop() == 0
    assert "canary" not in (monitor.folder / "stderr.log").read_text()


async def test_closing_an_incident_as_revoked_closes_the_alert(
    monitor: Monitor, github: FakeGitHub, sink: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.add("acme/web", expand(TEMPLATE, "write"))
    monitor.configure(github.url, 'write_back = "on"')
    await monitor.start()
    await eventually(lambda: reasons(sink) == ["new"])
    [incident] = await monitor.incidents()
    await monitor.command("incidents", "resolve", incident["id"], "--as", "revoked")
    await eventually(lambda: github.alerts["acme/web", 1].resolution == "revoked")
    assert incident["id"] in (github.alerts["acme/web", 1].comment or "")
    assert await monitor.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("total", "kills"), [(1_250, 4), pytest.param(10_000, 20, marks=pytest.mark.campaign)])
async def test_a_backfill_survives_kills(
    monitor: Monitor, github: FakeGitHub, sink: FakeWebhook, total: int, kills: int
) -> None:
    for number in range(total):
        places = [commit(f"f{number}")] if number % 50 else [commit(f"f{number}"), commit(f"g{number}")]
        github.add(
            "acme/web", expand(TEMPLATE, number), age=30 * DAY + 60 * number, number=number + 1, locations=places
        )
    monitor.configure(github.url)
    for _ in range(kills):
        reached = github.lists
        await monitor.start()
        await eventually(lambda reached=reached: github.lists >= reached + 3)  # type: ignore[misc]
        await asyncio.sleep(0.05)
        await monitor.kill()
    await monitor.start()
    await eventually(lambda: "operational" in reasons(sink))
    github.add("acme/web", expand(TEMPLATE, "fresh"), number=total + 1)
    await eventually(lambda: "new" in reasons(sink))
    assert await monitor.stop() == 0
    assert reasons(sink) == ["operational", "new"]
    assert len(github.requests) < total / 2
    assert github.refused == 0

    incidents = await monitor.incidents()
    assert len(incidents) == min(total + 1, 10_000)  # the command's limit
    from monitor.store import Store

    async with await Store.open(monitor.folder / "state" / "state.db") as store:
        names = [f"127.0.0.1/acme/web#{number}" for number in range(1, total + 2)]
        known = await store.alerts.known(names)
        assert len(known) == total + 1
        assert len({one.incident for one in known.values()}) == total + 1
        assert await store.incidents.count() == total + 1
        assert sum([one.occurrences for one in await store.incidents.find(limit=10_000)]) >= total
