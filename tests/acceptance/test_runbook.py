"""A whole incident, from the log to the report, with SIGKILLs of the daemon and of commands at random points: no step,
message, page or action is lost or doubled, and an action that cannot be known is told as such and not repeated."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sinks.pagerduty.inbound import signature as pagerduty_signature
from tests.acceptance.case import Case, announced, buttons, command, text
from tests.acceptance.harness import Monitor, until
from tests.fakes.github import FakeGitHub
from tests.fakes.moto import Aws, Way, aws
from tests.fakes.pagerduty import FakePagerDuty, announcement
from tests.fakes.slack import FakeSlack
from tests.fakes.webhook import FakeWebhook

CONFIG = """
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sources]]
name = "gh"
type = "github"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{github}"
interval = "1s"
write_back = "on"
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
channel = "C0ALERTS"
api_url = "{slack}"
signing_secret = "env:SLACK_HOOK"
people = {{ U0BOB = "bob", U0EVE = "eve" }}
[[routes]]
sinks = ["hook", "pager", "chat"]
group_interval = "1s"
[runbook]
folder = "books"
[[escalation]]
sinks = ["hook"]
[[escalation]]
after = "1s"
sinks = ["pager"]
severity = "critical"
[verify]
providers = ["aws"]
private = ["aws"]
servers = {{ aws = "{cloud}" }}
[[actions]]
name = "revoke-key"
type = "aws-key-delete"
server = "{cloud}"
private = true
credential = "file:admin"
approvals = 2
"""
BOOK = """
title = "AWS access key"
first_step = "Deactivate it."
where = "IAM"
[[step]]
id = "replace"
within = "2s"
[[step]]
id = "deploy"
verify = { shows = "unseen", quiet = "2s" }
"""
SECRETS = {"PD_HOOK": "p" * 32, "PD_FORMER": "f" * 32, "SLACK_TOKEN": "token-of-the-bot", "SLACK_HOOK": "s" * 32}
RULE = "aws-secret-access-key"
MAY = ["iam:GetAccessKeyLastUsed", "iam:UpdateAccessKey", "iam:DeleteAccessKey"]
OVER = ("completed", "failed", "unknown")  # states of an action after which nothing happens by itself


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws(tmp_path_factory.mktemp("moto")) as server:
        yield server


class Play:
    """One incident with its monitor and all that is around it. `stage` plays it."""

    def __init__(self, folder: Path, cloud: Aws, seed: int, kills: int) -> None:
        self.folder, self.cloud, self.seed, self.kills = folder, cloud, seed, kills
        self.rng = random.Random(seed)
        self.user = f"leaky-{seed}-{kills}"
        self.old, self.new = cloud.user(self.user, "sts:GetCallerIdentity"), cloud.key(self.user)
        self.admin = cloud.user(f"admin-{seed}-{kills}", MAY)
        self.case, self.log, self.killed = Case(folder, RULE), folder / "logs" / "app.log", 0
        self.hook, self.pager, self.slack = FakeWebhook(), FakePagerDuty(), FakeSlack()
        self.github, self.way = FakeGitHub(), Way(cloud)
        self.way.lose = int(kills > 3 and self.rng.random() < 0.3)

    async def run(self) -> dict[str, int]:
        """Returns what happened."""
        for name in ("logs", "books"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "books" / "aws-key.toml").write_text(BOOK)
        (self.folder / "admin").write_text(":".join(self.admin))
        async with contextlib.AsyncExitStack() as stack:
            for server in (self.hook, self.pager, self.slack, self.github, self.way):
                await stack.enter_async_context(server)  # type: ignore[arg-type]
            places = {"pager": self.pager.url, "slack": self.slack.api_url, "cloud": self.way.url}
            environment = {"HOOK_URL": self.hook.url, "PD_KEY": "k" * 32, "GITHUB_TOKEN": self.github.token, **SECRETS}
            config = CONFIG.format(github=self.github.url, **places)
            self.monitor = Monitor(self.folder, config, environment)
            stack.push_async_callback(self.monitor.kill)
            await self.monitor.start()
            await self._alarm()
            await self._acknowledged()
            await self._overdue()
            lost = await self._revoked()
            await self._replaced()
            await self._resolved()
            await self._seen_again()
            await self._finished()
            assert await self.monitor.terminate() == 0
            await self._judge()
        told = {
            "payloads": len(self.hook.payloads),
            "events": len(self.pager.events),
            "roots": len(self.slack.messages),
        }
        return {"kills": self.killed, "unknown": lost, **told}

    # The play, scene by scene. What is not sent yet is said by the next message, so each is waited for before the next
    # thing happens.

    async def _alarm(self) -> None:
        """The secret is logged, and found by GitHub as well."""
        self.log.write_text(f"INFO env aws_access_key_id={self.old[0]} aws_secret_access_key={self.old[1]}\n")
        await self.perhaps_killed()
        await self.shown("the run", lambda: self.case.has("run_started"))
        await self.shown("the alert", lambda: self.said("new"))
        self.page, self.overdue = (("k" * 32, f"{kind}:{self.case.id}") for kind in ("incident", "overdue"))
        await self.shown("the first page", lambda: self.pager.state.get(self.page) == "triggered")
        await self.shown("the first message", lambda: buttons(self.slack, "ack"))
        self.alert = self.github.add("acme/web", self.old[1], "aws_secret_access_key")
        await self.perhaps_killed()
        known = f"SELECT 1 FROM alerts WHERE incident = '{self.case.id}'"
        await self.shown("GitHub's alert", lambda: self.case.rows(known))

    async def _acknowledged(self) -> None:
        """In PagerDuty, and shown in Slack."""
        at = datetime.now(UTC).isoformat()
        for number, event in enumerate(("incident.acknowledged", "incident.annotated")):
            body = announcement(event, self.page[1], id_=f"E{number}", at=at, content=f"mine, not {self.old[1]}")
            headers = {"X-PagerDuty-Signature": pagerduty_signature(SECRETS["PD_FORMER"].encode(), body)}
            await announced(self.monitor, "pagerduty", lambda body=body, headers=headers: (body, headers))  # type: ignore[misc]
            await self.perhaps_killed()
            if not number:
                await self.shown("the place of the page", lambda: self.case.has("acknowledged"))
        await self.shown("the acknowledgement", lambda: self.said("acknowledged"))
        seen = lambda: buttons(self.slack, "claim") and not buttons(self.slack, "ack")  # noqa: E731
        await self.shown("the acknowledgement in Slack", seen)
        await self.shown("the note", lambda: self.case.has("noted"))
        assert ("ada",) in self.case.rows("SELECT actor FROM audit WHERE action = 'acknowledged'")

    async def _overdue(self) -> None:
        """One deadline is missed, and climbs the ladder to the pager; then somebody has the step."""
        await self.shown("overdue", lambda: self.case.has("step_overdue:replace", 2))
        # Acknowledged by now where the incident was only after the page had left.
        await self.shown("the page", lambda: self.overdue in self.pager.state)
        await self.shown("the reminder", lambda: self.said("overdue"))  # one that waits goes with what it is about
        await self.perhaps_killed()
        await self.press("U0BOB", "claim:replace", lambda: self.case.has("step_claimed:replace"))
        assert ("bob",) in self.case.rows("SELECT actor FROM audit WHERE action = 'step_claimed'")

    async def _revoked(self) -> int:
        """By an action that two people approve; the probe sees it. Returns how often it could not be known."""
        await self.do("runbook", "run", self.case.id, "revoke", reached=self.case.actions)
        lost = 0
        while True:
            number = len(self.case.actions())
            action = self.case.actions()[-1][0]
            enough = lambda count: any(f"approved, {count} of 2 ({action})" in one for one in self.case.acted())  # noqa: E731, B023
            await self.do("action", "approve", action, reached=lambda: enough(1))  # noqa: B023
            await self.press("U0BOB", "run:revoke-key", lambda: enough(2))  # noqa: B023
            await self.shown("what became of it", lambda: self.case.actions()[-1][1] in OVER)
            state = self.case.actions()[-1][1]
            if state == "completed":
                break
            assert state == "unknown", self.case.acted()
            lost += 1
            await self.shown("that nobody knows", lambda: "`revoke-key` unknown" in str(self.slack.messages))
            assert len(self.case.actions()) == number, "it was repeated by itself"
            before = self.case.trail().count("verified")
            await self.do("verify", self.case.id, reached=lambda: self.case.has("verified", before + 1))  # noqa: B023
            if self.case.actions()[-1][1] == "completed":
                break
            planned = lambda: len(self.case.actions()) > number  # noqa: E731, B023
            await self.do("action", "plan", self.case.id, "revoke-key", reached=planned)
        await self.shown("that the issuer refuses it", lambda: self.case.has("step_done:revoke"))
        await self.shown("that it is done", lambda: "`revoke-key` completed" in str(self.slack.messages))
        return lost

    async def _replaced(self) -> None:
        """The new secret works; it is deployed, as no log shows the old one any more."""
        new = ("--replacement", "--value-from", "-", "--part", f"access_key_id={self.new[0]}")
        done = lambda: self.case.has("step_done:replace")  # noqa: E731
        await self.do("verify", self.case.id, *new, reached=done, stdin=self.new[1])
        await self.shown("the page's end", lambda: self.pager.state.get(self.overdue) == "resolved")
        self.reload()
        await self.shown("silence", lambda: self.case.has("step_done:deploy"))

    async def _resolved(self) -> None:
        """In Slack: PagerDuty, Slack and GitHub hear of it."""
        await self.press("U0BOB", "resolve:revoked", lambda: self.case.has("resolved"))
        await self.shown("the first end", lambda: self.said("resolved"))
        await self.shown("the first end at the pager", lambda: self.pager.state.get(self.page) == "resolved")
        await self.shown("the first end in Slack", lambda: not buttons(self.slack, "resolve"))
        await self.shown("the end at GitHub", lambda: self.alert.state == "resolved")
        assert self.alert.resolution == "revoked"

    async def _seen_again(self) -> None:
        with self.log.open("a") as file:
            file.write(f"ERROR still used: aws_access_key_id={self.old[0]} aws_secret_access_key={self.old[1]}\n")
        await self.perhaps_killed()
        opened = lambda: all(self.case.has(f"step_reopened:{step}") for step in ("revoke", "deploy"))  # noqa: E731
        await self.shown("the alarm", opened)
        await self.shown("the alarm at the hook", lambda: self.said("reopened"))
        await self.shown("the alarm at the pager", lambda: self.pager.state.get(self.page) == "triggered")
        await self.shown("the alarm in Slack", lambda: buttons(self.slack, "ack"))

    async def _finished(self) -> None:
        """The issuer still refuses it, the log is silent again, and people do the rest, in Slack and at a prompt."""
        await self.do("verify", self.case.id, reached=lambda: self.case.has("step_done:revoke", 2))
        self.reload()
        await self.shown("silence again", lambda: self.case.has("step_done:deploy", 2))
        note = ("--note", f"nobody is concerned by {self.old[1]}.")
        await self.do(
            "runbook", "skip", self.case.id, "notify", *note, reached=lambda: self.case.has("step_skipped:notify")
        )
        for step in ("audit", "actions"):
            await self.press("U0EVE", f"done:{step}", lambda: self.case.has(f"step_done:{step}"))  # noqa: B023
        for step in ("document", "review", "prevent"):
            done = lambda: self.case.has(f"step_done:{step}")  # noqa: E731, B023
            await self.do("runbook", "done", self.case.id, step, "--note", f"did {step}", reached=done)
        resolved = lambda: self.case.has("resolved", 2)  # noqa: E731
        await self.do("incidents", "resolve", self.case.id, "--as", "revoked", reached=resolved)
        await self.shown("the end at the pager", lambda: self.pager.state.get(self.page) == "resolved")
        await self.shown("the end at the hook", lambda: self.hook.payloads[-1]["reason"] == "resolved")
        left = lambda: any(buttons(self.slack, one) for one in ("ack", "claim", "resolve"))  # noqa: E731
        await self.shown("the end in Slack", lambda: not left())

    # What people and fate do

    async def perhaps_killed(self) -> None:
        if self.killed < self.kills and self.rng.random() < 0.8:
            await asyncio.sleep(self.rng.random())
            await self.monitor.kill()
            self.killed += 1
            await self.monitor.start(wait=False)

    def reload(self) -> None:
        """The configuration is read again; then all deadlines are looked at, also those that another process set."""
        assert self.monitor.process is not None
        if self.monitor.process.returncode is None and self.monitor.up:  # before, the signal would end it
            self.monitor.process.send_signal(signal.SIGHUP)

    async def shown(self, what: str, condition: Callable[[], object]) -> None:
        def missing() -> str:
            acted = "\n".join(self.case.acted())
            return f"seed {self.seed}: {what}: {self.case.trail()}\n{acted}\n{self.monitor.errors[-3000:]}"

        await until(condition, 240, missing)

    def said(self, reason: str) -> bool:
        return any(one["reason"] == reason for one in self.hook.payloads)

    async def do(self, *arguments: str, reached: Callable[[], object], stdin: str = "") -> None:
        """At a prompt."""
        await command(self.monitor, self.rng, *arguments, reached=lambda: bool(reached()), stdin=stdin)
        await self.perhaps_killed()

    async def press(self, user: str, action: str, reached: Callable[[], object]) -> None:
        """In Slack, which sends it twice."""
        await self.shown(f"the button {action}", lambda: buttons(self.slack, action))
        pressed = self.slack.press(user, action, root=buttons(self.slack, action)[-1])
        await self._heard(pressed)
        windows = [place for place, one in enumerate(self.slack.views) if f":{action}:" in one["private_metadata"]]
        if windows:  # else it was too late to open one
            await self._heard(self.slack.submit(user, f"did {action.removeprefix('done:')}", windows[-1]))
        await self.shown(f"{action} by {user}", reached)

    async def _heard(self, payload: dict[str, Any]) -> None:
        await announced(
            self.monitor, "slack", lambda: self.slack.over_http(payload, SECRETS["SLACK_HOOK"], time.time())
        )
        await self.perhaps_killed()

    # What must hold at the end

    async def _judge(self) -> None:
        self._steps()
        self._messages()
        self._actions()
        papers = [await text(self.monitor, "incidents", *one) for one in (["report", self.case.id], ["verify"])]
        assert all(word in papers[0] for word in ("did review", "overdue", "Regulator", "reported (new)", "revoke-key"))
        assert "whole" in papers[1]
        assert all(re.search(rf"\b{name}\b", papers[0]) for name in ("ada", "bob", "eve"))
        everywhere = f"{papers}{self.monitor.errors}{self.monitor.output}{self.slack.messages}{self.slack.replies}"
        everywhere += f"{self.slack.whispers}{self.pager.events}{self.hook.payloads}{self.github.writes}"
        for secret in (self.old[1], self.new[1], self.admin[1]):
            assert secret not in everywhere

    def _steps(self) -> None:
        """Each thing that happened is there once."""
        counted = Counter(one for one in self.case.trail() if one not in ("verified", "acted"))
        twice = {"step_done:deploy", "step_done:revoke", "resolved", "step_overdue:replace"}
        unlike = {what: times for what, times in counted.items() if times != 1}
        assert unlike == dict.fromkeys(twice, 2), f"seed {self.seed}: {unlike}"
        steps = ("revoke", "replace", "deploy", "audit", "actions", "document", "review", "prevent")
        assert {what for what in counted if what.startswith("step_done")} == {f"step_done:{name}" for name in steps}
        assert counted["run_ended"] == 1

    def _messages(self) -> None:
        """Each message has one id, and nothing that was told is told under another."""
        ids: dict[str, set[str]] = {}
        for payload in self.hook.payloads:
            ids.setdefault(payload["reason"], set()).add(payload["id"])
        once = ("new", "acknowledged", "reopened", "overdue")
        assert {reason: len(ids[reason]) for reason in once} == dict.fromkeys(once, 1), f"seed {self.seed}"
        assert len(ids["resolved"]) == 2
        assert self.hook.problems == []
        assert self.github.violations == []
        keys = {event["dedup_key"] for event in self.pager.events}
        assert keys == {self.page[1], self.overdue[1]}
        assert set(self.pager.state.values()) == {"resolved"}
        assert len(self.slack.messages) == 1
        told = Counter(one["metadata"]["event_payload"]["id"] for one in self.slack.replies)
        assert set(told.values()) == {1}, "a reply was told twice"
        assert [body["state"] for _, _, body in self.github.writes[:1]] == ["resolved"]
        assert len(self.github.writes) <= 1 + self.killed

    def _actions(self) -> None:
        """Each was sent once, and its key is gone."""
        acted = self.case.acted()
        for action, state in self.case.actions():
            mine = [one for one in acted if f"({action})" in one]
            assert sum(" begun " in one for one in mine) == 1, mine
            assert state in ("completed", "unknown")
        for name in ("UpdateAccessKey", "DeleteAccessKey"):
            assert 1 <= self.way.asked.count((name, self.old[0])) <= len(self.case.actions()), self.way.asked
        assert {key for _, key in self.way.asked} == {self.old[0]}
        assert self.cloud.keys(self.user) == {self.new[0]: "Active"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_whole_incident_over_kills_loses_and_doubles_nothing(tmp_path: Path, cloud: Aws) -> None:
    done = await Play(tmp_path, cloud, 7, kills=3).run()
    assert done["kills"] == 3


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(2000, 2050))
async def test_campaign(tmp_path: Path, cloud: Aws, seed: int, record_property: Callable[[str, object], None]) -> None:
    for name, value in (await Play(tmp_path, cloud, seed, kills=10).run()).items():
        record_property(name, value)
