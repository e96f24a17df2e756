"""Secrets are planted; then everything that leaves the process is searched for them, for every sink and command."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import itertools
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import aiomqtt
import pytest
import typer

from detectors.fingerprint import fingerprint
from monitor.cli import COMMANDS, app
from monitor.github.hook import signature
from monitor.sources import SOURCES
from sinks import SINKS
from tests.acceptance.canary import WRAPS, Canary, Search, choose, generate, plant
from tests.acceptance.harness import KEY, Monitor, fingerprints, until
from tests.detectors import texts
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.github import FakeGitHub, commit
from tests.fakes.journal import Journal
from tests.fakes.mosquitto import broker, free_port
from tests.fakes.pagerduty import FakePagerDuty
from tests.fakes.server import FakeServer
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSmtp, certificate
from tests.fakes.webhook import FakeWebhook

ROOT = Path(__file__).parents[2]
# Prints synthetic secrets, which is what it is for.
LEFT_OUT = {"sample"}

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
        self.alertmanager, self.chat, self.github = FakeAlertmanager(), FakeServer(), FakeGitHub()
        self.ca, key = certificate(folder)
        self.smtp = FakeSmtp((self.ca, key))
        self.mqtt: list[bytes] = []
        self.syslog, self.http = free_port(), free_port()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            servers = (self.hook, self.slack, self.pager, self.alertmanager, self.chat, self.github, self.smtp)
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
        elif kind == "syslog":
            _, writer = await asyncio.open_connection("127.0.0.1", self.syslog)
            writer.writelines(f"<13>1 - web-1 app - - - {line}\n".encode() for line in lines)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        elif kind == "http":
            body = "\n".join(lines)
            async with aiohttp.ClientSession() as session:
                async with session.post(f"http://127.0.0.1:{self.http}/", data=body) as answer:
                    assert answer.status == 204
        elif kind == "mqtt":
            async with aiomqtt.Client("127.0.0.1", self.mqtt_port) as client:
                for line in lines:
                    await client.publish("logs/app", line, 1)

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
        text = CONFIG.format(github=self.github.url, names=quoted, **ports)
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


def leaves() -> Iterator[tuple[str, ...]]:
    """Every command there is, groups opened."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if not inner:
            yield path
        for name, child in (inner or {}).items():
            yield from below(child, (*path, name))

    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    for name in COMMANDS:
        yield from below(group.get_command(context, name), (name,))


Invocation = tuple[list[str], bytes]  # arguments, standard input


def invocations(canaries: list[Canary], incident: Callable[[], str]) -> dict[tuple[str, ...], list[Invocation]]:
    """How each command is called, so that it meets canaries wherever it can."""
    logs = "\n".join(canary.text for canary in canaries).encode()
    values = b"\n".join(value for canary in canaries for value in canary.secrets if b"\n" not in value)
    pat = next(canary for canary in canaries if canary.rule == "github-pat").text
    pattern = r"(?P<secret>\b[A-Za-z0-9_]{20,}\b)"
    machine = itertools.cycle(("json", "jsonl"))  # the same rows, by the same function

    def each(*arguments: str, stdin: bytes = b"") -> list[Invocation]:
        return [([*arguments, "--format", form], stdin) for form in ("text", next(machine))]

    return {
        ("run",): [(["run", "--once"], logs)],
        ("check",): each("check"),
        ("scan",): [
            *((["scan", "logs", "--format", form], b"") for form in ("text", "json", "jsonl", "sarif")),
            (["scan", "-"], logs),
            (["scan", "/dev/stdin"], logs),
        ],
        ("audit",): [(["audit", "logs", "--format", form], b"") for form in ("text", "json", "sarif", "markdown")],
        ("test-pattern",): [
            *each("test-pattern", pattern, "logs/app.log", "--no-cost"),
            *each("test-pattern", "--rule", "github-pat", "logs/app.log", "--no-cost"),
            *each("test-pattern", "--rule", "generic-password", "-", "--no-cost", stdin=logs),
            (["test-pattern", pattern, "-", "--emit", "toml", "--no-cost"], logs),
            (["test-pattern", pattern, "--text", pat, "--no-cost"], b""),
            (["test-pattern", "--rule", "jwt", "--entropy", "7.9", "-", "--no-cost", "--reveal"], logs),
        ],
        ("rules", "list"): each("rules", "list"),
        ("rules", "show"): each("rules", "show", "github-pat"),
        ("rules", "test"): [(["rules", "test", "--seeds", "1"], b"")],
        ("rules", "bench"): each("rules", "bench", "github-pat", "jwt", "--sample", "logs/app.log"),
        # Logs are no rules; what is said of them must not quote them.
        ("rules", "import", "gitleaks"): [(["rules", "import", "gitleaks", "logs/app.log"], b"")],
        ("rules", "import", "kingfisher"): [(["rules", "import", "kingfisher", "logs/rules.yml"], b"")],
        ("rules", "new"): [(["rules", "new", "acme", "api-key"], b"")],
        ("fingerprint",): [(["fingerprint"], values)],
        ("incidents", "list"): [
            *each("incidents", "list", "--limit", "1000"),
            (["incidents", "list", "--search", "github"], b""),
        ],
        ("incidents", "show"): [*each("incidents", "show", incident()), (["incidents", "show", "f" * 64], b"")],
        ("incidents", "ack"): [(["incidents", "ack", incident(), "--note", "looked at"], b"")],
        ("incidents", "resolve"): [(["incidents", "resolve", incident(), "--as", "revoked"], b"")],
        ("incidents", "reopen"): [(["incidents", "reopen", incident()], b"")],
        ("incidents", "silence"): [(["incidents", "silence", incident(), "--for", "0s", "-m", pat], b"")],
        ("access", "list"): each("access", "list"),
        ("access", "check"): each("access", "check"),
        ("access", "habits"): each("access", "habits"),
        ("access", "used"): each("access", "used", incident()),
        ("rotation", "due"): each("rotation", "due"),
        ("rotation", "plan"): each("rotation", "plan"),
        ("rotation", "start"): [(["rotation", "start", pat], b"")],
        ("rotation", "done"): [(["rotation", "done", pat], b"")],
        ("rotation", "departed"): [(["rotation", "departed", pat], b"")],
        ("silences", "add"): [
            (["silences", "add", "source=nobody", "--for", "1h", "-m", f"it was {pat}"], b""),
            (["silences", "add", f"path={pat}", "--for", "1h", "-m", "x"], b""),
        ],
        ("silences", "list"): each("silences", "list"),
        ("silences", "end"): [(["silences", "end", "ffff"], b"")],
        ("suppressions", "add"): [(["suppressions", "add", "f" * 64, "--for", "1h", "-m", f"it was {pat}"], b"")],
        ("suppressions", "list"): each("suppressions", "list"),
        ("suppressions", "export"): [(["suppressions", "export"], b"")],
        ("suppressions", "import"): [(["suppressions", "import", "-"], logs)],
        ("suppressions", "remove"): [(["suppressions", "remove", "ffff"], b"")],
        ("incidents", "merge"): [(["incidents", "merge", incident(), incident(), "-m", pat], b"")],
        ("incidents", "timeline"): each("incidents", "timeline", incident()),
        ("incidents", "report"): [
            (["incidents", "report", incident(), "--as", form], b"") for form in ("markdown", "html", "svg", "json")
        ],
        ("incidents", "verify"): each("incidents", "verify"),
        ("runbook", "list"): [*each("runbook", "list"), *each("runbook", "list", "--books")],
        ("runbook", "start"): [(["runbook", "start", incident()], b"")],
        ("runbook", "show"): [*each("runbook", "show", incident()), *each("runbook", "show", "aws-key")],
        ("runbook", "claim"): [(["runbook", "claim", incident(), "revoke"], b"")],
        ("runbook", "done"): [(["runbook", "done", incident(), "revoke", "--note", f"it was {pat}"], b"")],
        ("runbook", "skip"): [(["runbook", "skip", incident(), "notify", "--note", f"of {pat}"], b"")],
        ("runbook", "fail"): [(["runbook", "fail", incident(), "replace", "--note", pat], b"")],
        ("runbook", "reopen"): [(["runbook", "reopen", incident(), "revoke"], b"")],
        ("runbook", "run"): each("runbook", "run", incident(), "revoke"),
        ("runbook", "lint"): each("runbook", "lint", "logs/app.log"),
        ("verify",): [
            *each("verify", "--value-from", "-", "--rule", "github-pat", stdin=pat.encode()),
            *each("verify", "list"),
        ],
        ("action", "list"): each("action", "list"),
        ("action", "show"): each("action", "show", "f" * 12),
        ("action", "plan"): [*each("action", "plan", incident()), (["action", "plan", incident(), "none"], b"")],
        ("action", "approve"): [(["action", "approve", "f" * 12], b"")],
        ("action", "run"): [(["action", "run", "f" * 12, "--value-from", "-"], pat.encode())],
        ("inventory", "sync"): [(["inventory", "sync", "--format", "json"], b"")],
        ("inventory", "list"): [(["inventory", "list", "--format", "json"], b""), (["inventory", "list"], b"")],
        ("inventory", "show"): [(["inventory", "show", "env/KEY_0"], b"")],
        ("inventory", "doctor"): [(["inventory", "doctor"], b"")],
        ("inventory", "forget"): [(["inventory", "forget", "env/KEY_1"], b"")],
        ("drill",): each("drill", "nobody"),
        ("outbox", "list"): each("outbox", "list", "--state", "all"),
        ("outbox", "show"): each("outbox", "show", "f" * 32),
        ("outbox", "retry"): [(["outbox", "retry", "--sink", "console-json"], b"")],
        ("outbox", "discard"): [(["outbox", "discard", "f" * 32], b"")],
        ("init",): [(["init", "made.toml"], b"")],
        ("mask",): [(["mask"], logs), (["mask", "--report"], logs)],
        ("routes", "show"): each("routes", "show"),
        ("routes", "test"): each("routes", "test", "--incident", incident()),
        ("sources",): [*each("sources"), *each("sources", "--losses")],
        ("top",): each("top", "--once"),
        ("sinks", "list"): each("sinks", "list"),
        ("sinks", "test"): [(["sinks", "test", name.replace(" ", "-")], b"") for name in SINK_TABLES],
        ("github", "doctor"): each("github", "doctor", "--repositories"),
        ("github", "alerts"): each("github", "alerts"),
        ("github", "backfill"): [(["github", "backfill"], b"")],
        ("github", "write-back"): each("github", "write-back"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def search() -> Search:
    engine = texts.engine()
    chosen = choose(texts.rules(), 4)
    return Search(plant(engine, chosen, 1), plant(engine, chosen, 2))


def test_the_search_finds_a_value_however_it_is_written(search: Search) -> None:
    assert len({canary.rule for canary in search.canaries}) > 50
    fixed: list[str] = []
    for canary in search.canaries:
        for value, shown in canary.secrets.items():
            text = value.decode()
            for data in (
                *(b"x" + value, base64.b64encode(b"ab" + value), value.hex().encode(), quote(text).encode()),
                *(json.dumps({"x": text}).encode(), base64.urlsafe_b64encode(b"c" + value)),
            ):
                assert search.hits(b"before " + data + b" after"), f"{canary.rule}: not found in {data[:20]!r}…"
            if len(value) - len(shown) >= 28:
                middle = (len(value) + len(shown)) // 2  # the end may be a format's, as of a PEM
                if not search.hits(b"x" + value[middle - 7 : middle + 7] + b"x"):
                    fixed.append(canary.rule)
        assert search.hits(b" ".join(f"{shown.decode()}…".encode() for shown in canary.secrets.values())) == []
    assert len(fixed) <= 3, f"rules whose example is the same with every seed: {fixed}"


def test_every_sink_is_tried() -> None:
    assert {name.split()[0] for name in SINK_TABLES} == set(SINKS)


def test_every_source_is_tried() -> None:
    told = {"feed"}  # what it reads is public, and no log
    assert set(re.findall(r'(?m)^type = "(\w+)"', CONFIG)) - {"dotenv"} | told == set(SOURCES)


def test_every_command_is_tried(search: Search) -> None:
    assert set(invocations(search.canaries, str)) | {(name,) for name in LEFT_OUT} == set(leaves())


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_secret_leaves_the_process(tmp_path: Path, search: Search) -> None:
    canaries = search.canaries
    receivers = Receivers(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    filler = "2026-11-02T14:03:07Z INFO request done in 12 ms\n" * 40
    half = len(canaries) // 2
    # File names are secrets too: of a log that is followed, and of what GitHub found.
    paths = list(generate(7, 2, ["plain"]))
    names = [next(iter(canary.secrets)).decode() for canary in paths]
    search = Search([*canaries, *paths], [*search.twins, *generate(8, 20, ["plain"])])
    async with receivers.serving(), aiohttp.ClientSession() as session:
        monitor = Monitor(tmp_path, receivers.config(), receivers.environment())
        for number, canary in enumerate(canaries[:4], 1):
            value = next(iter(canary.secrets)).decode()
            receivers.github.add("acme/web", value, number=number, locations=[commit(f"keys/{names[0]}.txt")])
        owned = [value for canary in canaries[::2] for value in canary.secrets if b"'" not in value]
        (tmp_path / ".env").write_bytes(b"".join(b"KEY_%d='%b'\n" % pair for pair in enumerate(owned)))
        reading, writing = os.pipe()
        await monitor.start(stdin=reading)
        os.close(reading)
        with (logs / "app.log").open("a") as log, open(writing, "w") as pipe:
            for canary in canaries[:half]:
                log.write(f"{filler}{canary.text}\n{filler}")
            inside = secrets.choice(canaries[:half])
            (logs / f"{names[1]}.log").write_text(f"{filler}{inside.text}\n{filler}")
            log.flush()
            kinds = ("container", "journal", "cloudtrail", "syslog", "http", "mqtt")
            for number, kind in enumerate(kinds):
                await receivers.feed(kind, [canary.text for canary in canaries[half + number :: len(kinds) + 1]])
            for canary in canaries[half + len(kinds) :: len(kinds) + 1]:
                pipe.write(f"{filler}{canary.text}\n{filler}")
            pipe.flush()
            wanted = {fingerprint(KEY.encode(), value) for canary in canaries for value in canary.secrets}

            def missing() -> set[str]:
                return wanted - fingerprints(receivers.hook.payloads)

            await until(lambda: not missing(), 120, lambda: f"{len(missing())} of {len(wanted)} missing")

            def unnamed() -> list[str]:
                told = json.dumps(receivers.hook.payloads)
                return [name[:8] for name in names if name[:8] not in told]

            await until(lambda: not unnamed(), 30, lambda: f"no alert names the place {unnamed()}")
            (logs / "rules.yml").write_bytes((logs / "app.log").read_bytes())
            outputs = await http(monitor, session, canaries, receivers)
            one = next(incident["id"] for payload in receivers.hook.payloads for incident in payload["incidents"])
            for path, calls in invocations(canaries, lambda: one).items():
                for arguments, stdin in calls:
                    name = " ".join(arguments[:2])
                    code, output = await command(tmp_path, monitor, arguments, stdin)
                    assert code in (0, 1, 2, 78), f"{name}: exit code {code}: {output.decode()[-500:]}"
                    outputs[f"{len(outputs)} {name}"] = output
                if path == ("incidents", "resolve"):
                    # What the commands do reaches the sinks as well. Reopened before it is sent it would not be said.
                    await until(
                        lambda: any(payload["reason"] == "resolved" for payload in receivers.hook.payloads),
                        30,
                        lambda: "nobody was told that it is resolved",
                    )
        assert await monitor.terminate() == 0
        assert receivers.github.violations == []
    for name, payloads in receivers.received().items():
        assert payloads, f"{name} received nothing"
        outputs[name] = b"\n".join(payloads)
    outputs |= {"stdout": monitor.output.encode(), "stderr": monitor.errors.encode()}
    outputs |= {str(path.name): path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert "critical" in monitor.output.lower(), "the console sink said nothing"
    assert any(name.endswith(".db") for name in outputs)
    found = {name: hits for name, data in outputs.items() if (hits := search.hits(data))}
    assert not found, json.dumps(found, indent=1)


def printed(folder: Path, seed: int, count: int, wraps: Sequence[str]) -> dict[str, list[str]]:
    """What commands print about generated lines in a file whose name is a secret too: output → traces of secrets."""
    lines = list(generate(seed, count, wraps))
    name = next(generate(seed + 1, 1, ["plain"]))
    (value, *_) = name.secrets
    (folder / "logs").mkdir(exist_ok=True)
    path = folder / "logs" / f"{value.decode()}.log"
    path.write_text("".join(f"{canary.text}\n" for canary in lines))
    config = folder / "scan.toml"
    config.write_text('[monitor]\nstate_dir = "scan-state"\n[rules]\npacks = ["vcs/github"]\n')
    search = Search([*lines, name], [*generate(seed + 2, 20, list(WRAPS))])
    calls = [["scan", "logs", "--format", form] for form in ("text", "json", "jsonl", "sarif")]
    calls += [["scan", "logs", "--write-baseline", "known.json"]]
    calls += [["test-pattern", "--rule", "github-pat", f"logs/{path.name}", "--no-cost", "--format", form]
              for form in ("text", "json")]  # fmt: skip
    assert search.hits("".join(canary.text for canary in lines[:20]).encode()), "the search finds nothing at all"
    hits: dict[str, list[str]] = {}
    for arguments in calls:
        done = subprocess.run(
            [sys.executable, "-m", "monitor", *arguments, "--config", str(config)],
            cwd=folder, capture_output=True, check=False, timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr[-500:]
        output = done.stdout + done.stderr
        if arguments[0] == "test-pattern":
            output = output.replace(value, b"")  # it says which file it was told to read
        assert b"ghp_" in output or "--write-baseline" in arguments
        if found := search.hits(output):
            hits[" ".join([*arguments[:1], *arguments[2:]])] = found
    known = (folder / "known.json").read_bytes()
    assert b"fingerprint" in known
    if found := search.hits(known):
        hits["baseline"] = found
    path.unlink()
    return hits


def test_no_generated_line_is_printed(tmp_path: Path) -> None:
    assert not printed(tmp_path, 1, 150, ["plain", "json", "base64", "hex"])


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_no_generated_line_of_fifty_thousand_is_printed(tmp_path: Path) -> None:
    for batch in range(20):
        found = printed(tmp_path, 1000 + 10 * batch, 2500, list(WRAPS))
        assert not found, f"seed {1000 + 10 * batch}: {json.dumps(found, indent=1)[:4000]}"


async def http(
    monitor: Monitor, session: aiohttp.ClientSession, canaries: list[Canary], receivers: Receivers
) -> dict[str, bytes]:
    """Every answer of the daemon's own server, with headers; also to questions that quote a secret."""
    answers: dict[str, bytes] = {}

    async def get(path: str) -> str:
        async with session.get(f"{monitor.address}{path}") as answer:
            body = await answer.read()
            answers[f"GET {path[:24]} {len(answers)}"] = str(answer.headers).encode() + body
            return body.decode()

    for path in ("/metrics", "/status", "/healthz", "/readyz", "/", "/nothing"):
        await get(path)
    listing = await get("/incidents")
    ids = re.findall(r'href="/incidents/(\w+)"', listing)
    assert len(ids) >= len(canaries) // 2
    for name in ids:
        page = await get(f"/incidents/{name}")
        for book in set(re.findall(r'href="(/runbooks/[\w-]+)"', page)):
            await get(book)
    value = next(value for canary in canaries for value in canary.secrets if value.isalnum()).decode()
    # The answer may say what was asked, so only what is logged of these is searched, with the rest of stderr.
    for path in (f"/incidents/{value}", f"/runbooks/{value}", f"/{value}", f"/metrics?token={value}"):
        async with session.get(f"{monitor.address}{path}", headers={"Authorization": f"Bearer {value}"}) as answer:
            answers[f"asked {len(answers)}"] = await answer.read()
    body = json.dumps(
        {"action": "created", "alert": {"number": 1, "secret": value}, "repository": {"full_name": "acme/web"}}
    ).encode()
    for key in (b"hook secret of the test", b"wrong"):
        headers = {
            "X-Hub-Signature-256": f"sha256={signature(key, body)}",
            "X-GitHub-Event": "secret_scanning_alert",
            "X-GitHub-Delivery": secrets.token_hex(8),
        }
        async with session.post(f"{monitor.address}/hooks/github", data=body, headers=headers) as answer:
            answers[f"hook {len(answers)}"] = await answer.read()
    return answers


async def command(folder: Path, monitor: Monitor, arguments: list[str], stdin: bytes) -> tuple[int | None, bytes]:
    """Exit code, and standard output and standard error together. `run --once` gets a state of its own."""
    environment = {**monitor.environment, "MONITOR_CONFIG": str(monitor.config), "COLUMNS": "500"}
    if arguments[0] == "run":
        second = folder / "second.toml"
        text = monitor.config.read_text().replace('state_dir = "state"', 'state_dir = "state/second"')
        # Another session than that of the daemon, which would be thrown out.
        second.write_text(text.replace('topics = ["logs/#"]', 'topics = ["logs/#"]\nclient_id = "second"'))
        environment["MONITOR_CONFIG"] = str(second)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", *arguments),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin), 120)
    return process.returncode, output
