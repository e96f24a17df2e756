"""Every sink's other side, every source's way in, and the configuration that ties them to one monitor."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import aiomqtt

from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.github_actions import FakeActions
from tests.fakes.gitlab import TOKEN as GITLAB_TOKEN
from tests.fakes.gitlab import FakeGitLab
from tests.fakes.journal import Journal
from tests.fakes.mosquitto import broker
from tests.fakes.pagerduty import FakePagerDuty
from tests.fakes.ports import free_port
from tests.fakes.server import FakeServer
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSmtp, certificate
from tests.fakes.webhook import FakeWebhook

SINK_TABLES = {
    "console": "",
    "webhook": 'url = "env:HOOK_URL"\nsigning_secret = "env:HOOK_SECRET"',
    "slack": 'token = "env:SLACK_TOKEN"\nchannel = "#alerts"\napi_url = "{slack}"\napp_token = "env:SLACK_APP"\n'
    '[sinks.people]\nU0ADA = "ada"',
    "slack webhook": 'webhook_url = "env:SLACK_URL"',
    "pagerduty": 'routing_key = "env:PAGER_KEY"\nbase_url = "{pagerduty}"',
    "alertmanager": 'url = "{alertmanager}"',
    "email": 'host = "127.0.0.1"\nport = {smtp}\nca_file = "{ca}"\nsender = "a@example.org"\nto = ["b@example.org"]',
    "mqtt": 'host = "127.0.0.1"\nport = {mqtt}',
    "webhook discord": 'url = "env:CHAT_URL"\nformat = "discord"',
    "webhook teams": 'url = "env:CHAT_URL"\nformat = "teams"',
}
CONFIG = """
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sources]]
name = "pipe"
type = "stdin"
[[sources]]
name = "gh"
type = "github"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{github}"
webhook_secret = "env:GITHUB_HOOK_SECRET"
write_back = "dry-run"
[[sources]]
name = "jobs"
type = "gitlab-ci"
group = "acme"
token = "env:GITLAB_TOKEN"
base_url = "{gitlab}"
webhook_secret = "env:GITLAB_HOOK_SECRET"
interval = "1s"
start_at = "beginning"
[[sources]]
name = "ci"
type = "github-actions"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{github}"
start_at = "beginning"
interval = "1s"
[[sources]]
name = "journal"
type = "journal"
directory = "journal"
start_at = "beginning"
[[sources]]
name = "containers"
type = "container"
include = ["containers/*-json.log"]
[[sources]]
name = "net"
type = "syslog"
listen = ["tcp:127.0.0.1:{syslog}"]
[[sources]]
name = "pushed"
type = "http"
listen = "127.0.0.1:{http}"
[[sources]]
name = "bus"
type = "mqtt"
host = "127.0.0.1"
port = {mqtt}
topics = ["logs/#"]
[[inventory]]
name = "env"
type = "dotenv"
path = [".env"]
[[sources]]
name = "trail"
type = "cloudtrail"
path = ["trail"]
start_at = "beginning"
interval = "1s"
audit = "cloudtrail"
[runbook]
start_at = "low"
[[actions]]
name = "hand-over"
type = "command"
command = ["{folder}/hand-over"]
approvals = 0
automatic = ['severity=~".+"', 'rule=~".+"']
[[routes]]
sinks = [{names}]
burst = "1000/1m"
group_interval = "1s"
"""


class Receivers:
    """Every sink's other side; `received()` is all that came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hook_secret = "whsec_" + secrets.token_urlsafe(24).replace("-", "A").replace("_", "B")
        self.hook, self.slack, self.pager = FakeWebhook(self.hook_secret), FakeSlack(), FakePagerDuty()
        self.alertmanager, self.chat, self.github = FakeAlertmanager(), FakeServer(), FakeActions()
        self.gitlab = FakeGitLab()
        self.ca, key = certificate(folder)
        self.smtp = FakeSmtp((self.ca, key))
        self.mqtt: list[bytes] = []
        self.syslog, self.http = free_port(), free_port()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            servers = (
                self.hook,
                self.slack,
                self.pager,
                self.alertmanager,
                self.chat,
                self.github,
                self.gitlab,
                self.smtp,
            )
            for server in servers:
                await stack.enter_async_context(server)  # type: ignore[arg-type]
            self.mqtt_port = await stack.enter_async_context(broker(self.folder))
            client = await stack.enter_async_context(aiomqtt.Client("127.0.0.1", self.mqtt_port))
            await client.subscribe("#")
            listening = asyncio.create_task(self._listen(client))
            stack.callback(listening.cancel)
            yield

    async def feed(self, kind: str, lines: Sequence[str]) -> None:
        """Lines to the source of that type."""
        if kind == "container":
            (self.folder / "containers").mkdir()
            with (self.folder / "containers" / "a-json.log").open("w") as log:
                log.writelines(json.dumps({"log": f"{line}\n", "stream": "stdout"}) + "\n" for line in lines)
        elif kind == "journal":
            journal = Journal(self.folder / "journal")
            for line in lines:
                journal.write(line.encode())
            await journal.settle()
        elif kind == "cloudtrail":
            now = datetime.now(UTC)
            records = [
                {
                    "eventID": f"{number}",
                    "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "eventSource": "secretsmanager.amazonaws.com",
                    "eventName": "GetSecretValue",
                    "userAgent": line,
                    "requestParameters": {"secretId": line},
                }
                for number, line in enumerate(lines)
            ]
            whole = gzip.compress(json.dumps({"Records": records}).encode())
            (self.folder / "trail.new").write_bytes(whole)
            (self.folder / "trail").mkdir()
            name = f"123456789012_CloudTrail_eu-west-1_{now:%Y%m%dT%H%MZ}_AbCdEf.json.gz"
            (self.folder / "trail.new").rename(self.folder / "trail" / name)
        elif kind == "gitlab-ci":
            self.gitlab.ran(71, "".join(f"{line}\n" for line in lines).encode(), name=f"job {lines[0]}")
        elif kind == "github-actions":
            run = self.github.add_run("acme/web", name=lines[0])
            log = "".join(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.0000000Z} {line}\n" for line in lines)
            self.github.add_job(run, f"\ufeff{log}", name=lines[-1], steps=[(lines[-1], run.created)])
        elif kind == "syslog":
            _, writer = await asyncio.open_connection("127.0.0.1", self.syslog)
            writer.writelines(f"<13>1 - web-1 app - - - {line}\n".encode() for line in lines)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        elif kind == "http":
            body, status = "\n".join(lines), 503
            async with aiohttp.ClientSession() as session:
                while status == 503:  # the database is slow: whoever sends it does so again
                    async with session.post(f"http://127.0.0.1:{self.http}/", data=body) as answer:
                        status = answer.status
            assert status == 204
        elif kind == "mqtt":
            async with aiomqtt.Client("127.0.0.1", self.mqtt_port) as client:
                for line in lines:
                    await client.publish("logs/app", line, 1)

    def hand_over(self) -> Path:
        """A program that takes secrets back: what it and who runs it can be seen with by others lands in the folder
        returned, and it says what it was given."""
        seen = self.folder / "handed"
        seen.mkdir()
        shown = " ".join(f"/proc/{pid}/{name}" for pid in ("$$", "$PPID") for name in ("cmdline", "environ"))
        program = self.folder / "hand-over"
        program.write_text(f"#!/bin/sh\ncat {shown} > {seen}/$$\ncat\n")
        program.chmod(0o700)
        return seen

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if str(message.topic).startswith("logs/"):
                continue  # planted by us
            self.mqtt.append(str(message.topic).encode() + b"\n" + bytes(message.payload))  # type: ignore[arg-type]

    def config(self) -> str:
        places = {
            "slack": self.slack.api_url,
            "pagerduty": self.pager.url,
            "alertmanager": self.alertmanager.url,
            "smtp": self.smtp.port,
            "ca": self.ca,
            "mqtt": self.mqtt_port,
        }
        names = [name.replace(" ", "-") for name in SINK_TABLES]
        quoted = ", ".join(f'"{name}"' for name in names)
        ports = {"syslog": self.syslog, "http": self.http, "mqtt": self.mqtt_port}
        text = CONFIG.format(github=self.github.url, gitlab=self.gitlab.url, names=quoted, folder=self.folder, **ports)
        for name, (kind, table) in zip(names, SINK_TABLES.items(), strict=True):
            text += f'[[sinks]]\nname = "{name}"\ntype = "{kind.split()[0]}"\n{table.format(**places)}\n'
        return text

    def environment(self) -> dict[str, str]:
        return {
            "HOOK_URL": f"{self.hook.url}/hook",
            "HOOK_SECRET": self.hook_secret,
            "CHAT_URL": f"{self.chat.url}/chat",
            "SLACK_TOKEN": self.slack.token,
            "SLACK_APP": self.slack.app_token,
            "SLACK_URL": f"{self.slack.url}{self.slack.webhook}",
            "PAGER_KEY": "p" * 32,
            "GITHUB_TOKEN": self.github.token,
            "GITLAB_TOKEN": GITLAB_TOKEN,
            "GITLAB_HOOK_SECRET": "another hook secret of the test",
            "GITHUB_HOOK_SECRET": "hook secret of the test",
        }

    def received(self) -> dict[str, list[bytes]]:
        found = {
            name: [f"{r.method} {r.path} {dict(r.headers)}".encode() + r.body for r in server.requests]
            for name, server in (
                ("webhook", self.hook),
                ("slack", self.slack),
                ("pagerduty", self.pager),
                ("alertmanager", self.alertmanager),
                ("chat", self.chat),
            )
        }
        # As it was sent, and decoded: base64 or quoted-printable must not hide anything.
        mails = [m.message.as_bytes() + m.message.get_content().encode() for m in self.smtp.mails]
        return {**found, "email": mails, "mqtt": self.mqtt}
