"""A whole incident, from the log to the report, with SIGKILLs of the daemon and of commands at random points: no step,
message or page is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from sinks.pagerduty.inbound import signature as pagerduty_signature
from tests.acceptance.harness import Monitor, Planter, until
from tests.fakes.pagerduty import FakePagerDuty, announcement
from tests.fakes.slack import FakeSlack
from tests.fakes.webhook import FakeWebhook

CONFIG = """
[rules]
packs = ["vcs/github"]
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[sinks]]
name = "pager"
type = "pagerduty"
routing_key = "env:PD_KEY"
base_url = "{pager}"
webhook_secret = ["env:PD_HOOK", "env:PD_FORMER"]
people = {{ PLH1HKV = "ada" }}
[[sinks]]
name = "chat"
type = "slack"
token = "env:SLACK_TOKEN"
channel = "#alerts"
api_url = "{slack}"
signing_secret = "env:SLACK_HOOK"
people = {{ U0BOB = "bob" }}
[runbook]
folder = "books"
[[escalation]]
sinks = ["hook"]
[[escalation]]
after = "1s"
sinks = ["pager"]
severity = "critical"
"""
BOOK = """
title = "GitHub token"
first_step = "Revoke it."
where = "GitHub"
[[step]]
id = "replace"
within = "2s"
"""
SECRETS = {"PD_HOOK": "p" * 32, "PD_FORMER": "f" * 32, "SLACK_TOKEN": "token-of-the-bot", "SLACK_HOOK": "s" * 32}
REST = ("audit", "actions", "document", "review", "prevent")


class Case:
    """The one incident, seen from outside as any other program would."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "state.db"

    def rows(self, query: str) -> list[tuple[str, ...]]:
        if not self.path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as database:
            try:
                return list(database.execute(query))
            except sqlite3.OperationalError:
                return []  # the schema is not there yet

    @property
    def id(self) -> str:
        return self.rows("SELECT id FROM incidents")[0][0]

    def trail(self) -> list[str]:
        found = self.rows("SELECT action, step FROM audit ORDER BY seq")
        return [f"{action}:{step}" if step else action for action, step in found]

    def has(self, entry: str, times: int = 1) -> bool:
        return self.trail().count(entry) >= times


async def announced(monitor: Monitor, name: str, request: Callable[[], tuple[bytes, dict[str, str]]]) -> None:
    """To the door, as its vendor does: again, until it is kept. And once more, as vendors do, too."""
    kept = 0
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while kept < 2:
            body, headers = request()
            try:
                async with session.post(f"{monitor.address}/hooks/{name}", data=body, headers=headers) as answer:
                    assert answer.status in (200, 202, 503), await answer.text()
                    kept += answer.status != 503
            except (aiohttp.ClientError, OSError, IndexError):  # it is down
                await asyncio.sleep(0.05)


async def command(monitor: Monitor, rng: random.Random, *arguments: str, reached: Callable[[], bool]) -> None:
    """Run it as somebody would whose shell may die: again, until the database shows what was asked for."""
    for _ in range(20):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", *arguments, "--config", str(monitor.config)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=monitor.environment,
        )
        if rng.random() < 0.3:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), rng.random() * 2)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        _, errors = await process.communicate()
        if reached():
            return
        assert process.returncode in (0, 1, -signal.SIGKILL), errors.decode()
    raise AssertionError(f"{arguments}: {errors.decode()}")


async def trial(folder: Path, seed: int, kills: int) -> dict[str, int]:
    """One seeded run; returns what happened."""
    rng, planter = random.Random(seed), Planter(seed)
    secret = planter.secret()
    (folder / "logs").mkdir(parents=True)
    (folder / "books").mkdir()
    (folder / "books" / "github-token.toml").write_text(BOOK)
    log, case, killed = folder / "logs" / "app.log", Case(folder), 0

    async with FakeWebhook() as hook, FakePagerDuty() as pager, FakeSlack() as slack:
        environment = {"HOOK_URL": hook.url, "PD_KEY": "k" * 32, **SECRETS}
        monitor = Monitor(folder, CONFIG.format(pager=pager.url, slack=slack.api_url), environment)
        await monitor.start()

        async def perhaps_killed() -> None:
            nonlocal killed
            if killed < kills and rng.random() < 0.7:
                await asyncio.sleep(rng.random() * 0.5)
                await monitor.kill()
                killed += 1
                await monitor.start(wait=False)

        async def shown(what: str, condition: Callable[[], bool]) -> None:
            await until(condition, 90, lambda: f"seed {seed}: {what}: {case.trail()}\n{monitor.errors[-1500:]}")

        async def step(verb: str, name: str, *more: str) -> None:
            word = {"claim": "step_claimed", "done": "step_done", "skip": "step_skipped"}[verb]
            before = case.trail().count(f"{word}:{name}")
            reached = lambda: case.has(f"{word}:{name}", before + 1)  # noqa: E731
            await command(monitor, rng, "runbook", verb, case.id, name, *more, reached=reached)
            await perhaps_killed()

        log.write_text(f"INFO login with {secret}\n")
        await perhaps_killed()
        await shown("the run", lambda: case.has("run_started"))
        # What is not sent yet is said by the next message, so each is waited for before the next thing happens.
        said = lambda reason: any(one["reason"] == reason for one in hook.payloads)  # noqa: E731
        await shown("the alert", lambda: said("new"))
        incident = ("k" * 32, f"incident:{case.id}")
        await shown("the first page", lambda: pager.state.get(incident) == "triggered")
        await shown("the first message", lambda: buttons(slack, "ack"))

        # Acknowledged at PagerDuty, shown in Slack.
        at = datetime.now(UTC).isoformat()
        for number, event in enumerate(("incident.acknowledged", "incident.annotated")):
            body = announcement(event, incident[1], id_=f"E{number}", at=at, content=f"mine, not {secret}")
            headers = {"X-PagerDuty-Signature": pagerduty_signature(SECRETS["PD_FORMER"].encode(), body)}
            await announced(monitor, "pagerduty", lambda body=body, headers=headers: (body, headers))  # type: ignore[misc]
            await perhaps_killed()
            if not number:
                await shown("the place of the page", lambda: case.has("acknowledged"))
        await shown("the acknowledgement", lambda: said("acknowledged"))
        await shown("the acknowledgement in Slack", lambda: buttons(slack, "claim") and not buttons(slack, "ack"))
        await shown("the note", lambda: case.has("noted"))
        assert ("ada",) in case.rows("SELECT actor FROM audit WHERE action = 'acknowledged'")

        # One deadline is missed, and climbs the ladder to the pager.
        await shown("overdue", lambda: case.has("step_overdue:replace", 2))
        overdue = ("k" * 32, f"overdue:{case.id}")
        await shown("the page", lambda: pager.state.get(overdue) == "triggered")
        await perhaps_killed()
        # The step is claimed in Slack, by a press that arrives twice.
        await shown("the button", lambda: buttons(slack, "claim:replace"))
        press = slack.press("U0BOB", "claim:replace", root=buttons(slack, "claim:replace")[-1])
        signed = lambda: slack.over_http(press, SECRETS["SLACK_HOOK"], time.time())  # noqa: E731
        await announced(monitor, "slack", signed)
        await perhaps_killed()
        await shown("the claim", lambda: case.has("step_claimed:replace"))
        assert ("bob",) in case.rows("SELECT actor FROM audit WHERE action = 'step_claimed'")
        for name in ("replace", "deploy", "revoke"):
            await step("done", name, "--note", f"did {name}")
        await shown("the page's end", lambda: pager.state.get(overdue) == "resolved")

        resolved = lambda: case.has("resolved")  # noqa: E731
        await command(monitor, rng, "incidents", "resolve", case.id, "--as", "revoked", reached=resolved)
        await perhaps_killed()
        await shown("the first end", lambda: said("resolved"))
        with log.open("a") as file:
            file.write(f"ERROR still used: {secret}\n")
        await shown("the alarm", lambda: case.has("step_reopened:revoke") and case.has("step_reopened:deploy"))
        await shown("the alarm at the hook", lambda: said("reopened"))
        for name in ("deploy", "revoke", *REST):
            await step("done", name, "--note", "again")
        await step("skip", "notify", "--note", "nobody is concerned")
        await command(
            monitor, rng, "incidents", "resolve", case.id, "--as", "revoked", reached=lambda: case.has("resolved", 2)
        )
        await shown("the end at the pager", lambda: pager.state.get(incident) == "resolved")
        await shown("the end at the hook", lambda: hook.payloads[-1]["reason"] == "resolved")
        await shown("the end in Slack", lambda: not any(buttons(slack, one) for one in ("ack", "claim", "resolve")))
        await monitor.terminate()
        check_whole(case, hook, seed)
        papers = await asyncio.gather(*(text(monitor, "incidents", *one) for one in (["report", case.id], ["verify"])))
        assert all(word in papers[0] for word in ("did revoke", "overdue", "Regulator", "told (new)"))
        assert "whole" in papers[1]
        assert all(re.search(rf"\b{name}\b", papers[0]) for name in ("ada", "bob"))
        everywhere = f"{papers}{monitor.errors}{monitor.output}{slack.messages}{slack.replies}{pager.events}"
        assert secret not in everywhere
    return {"kills": killed, "payloads": len(hook.payloads), "events": len(pager.events)}


def buttons(slack: FakeSlack, action: str) -> list[str]:
    """Messages (their ts) with a button whose id begins so."""
    return [
        ts
        for (_, ts), content in slack.messages.items()
        for block in content.get("blocks", ())
        if block["type"] == "actions" and any(one["action_id"].startswith(action) for one in block["elements"])
    ]


def check_whole(case: Case, hook: FakeWebhook, seed: int) -> None:
    """Each thing that happened is there once, and each message has one id."""
    counted = Counter(case.trail())
    again = {"step_done:deploy", "step_done:revoke", "resolved", "step_overdue:replace"}
    assert {what: times for what, times in counted.items() if times != 1} == dict.fromkeys(again, 2), f"seed {seed}"
    assert {what for what in counted if what.startswith("step_done")} == {
        f"step_done:{name}" for name in ("revoke", "replace", "deploy", *REST)
    }
    assert counted["run_ended"] == 1
    ids: dict[str, set[str]] = {}
    for payload in hook.payloads:
        ids.setdefault(payload["reason"], set()).add(payload["id"])
    assert {reason: len(ids[reason]) for reason in ("new", "acknowledged", "reopened", "overdue")} == {
        "new": 1,
        "acknowledged": 1,
        "reopened": 1,
        "overdue": 1,
    }, f"seed {seed}"
    assert len(ids["resolved"]) == 2
    assert hook.problems == []


async def text(monitor: Monitor, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", *arguments, "--config", str(monitor.config)),
        stdout=asyncio.subprocess.PIPE,
        env=monitor.environment,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_whole_incident_over_kills_loses_and_doubles_nothing(tmp_path: Path) -> None:
    done = await trial(tmp_path, 7, kills=3)
    assert done["kills"] == 3


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2000, 2050))
async def test_campaign(tmp_path: Path, seed: int, record_property: Callable[[str, object], None]) -> None:
    for name, value in (await trial(tmp_path, seed, kills=10)).items():
        record_property(name, value)
