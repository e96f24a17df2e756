from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from monitor.common.httpd import serve
from tests.fakes.forks import Forks
from tests.fakes.peer import table
from tests.fakes.ports import free_port
from tests.fakes.recipes import FakeJira, recipe
from tests.fakes.setup import Setup, running
from tests.fakes.webhook import FakeWebhook
from tests.monitor.cli.conftest import ROOT

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_list(monitor: Command, config: Path) -> None:
    rows = json.loads(monitor("sinks", "list", "--format", "json").stdout)
    assert rows == [
        {"name": "screen", "type": "console", "fallback": None},
        {"name": "hook", "type": "webhook", "fallback": "screen"},
    ]
    assert "hook    webhook  screen" in monitor("sinks", "list").stdout
    config.write_text("")
    answer = monitor("sinks", "list")
    assert (answer.returncode, answer.stdout.startswith("no sinks: ")) == (0, True)
    assert monitor("sinks", "list", "--format", "json").stdout == "[]\n"


def test_the_console_gets_a_test(monitor: Command, config: Path) -> None:
    answer = monitor("sinks", "test", "screen")
    assert answer.returncode == 0, answer.stderr
    assert "monitor sinks test screen" in answer.stdout
    assert answer.stdout.rstrip().endswith("screen: accepted")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (400, 1), (503, 1)])
async def test_a_webhook_gets_a_test_and_its_answer_decides(
    monitor: Command, config: Path, status: int, code: int
) -> None:
    received: list[dict[str, object]] = []

    async def hook(request: web.Request) -> web.Response:
        received.append(json.loads(await request.read()))
        return web.Response(status=status)

    app = web.Application()
    app.add_routes([web.post("/secret-path", hook)])
    async with serve(app, "127.0.0.1", 0) as url:
        answer = await asyncio.to_thread(
            monitor, "sinks", "test", "hook", "--format", "json", env={"HOOK_URL": f"{url}/secret-path"}
        )
    assert answer.returncode == code, answer.stderr
    row = json.loads(answer.stdout)
    assert row["ok"] is (code == 0)
    assert (str(status) in (row["problem"] or "")) is (code != 0)
    assert [payload["reason"] for payload in received] == ["test"]
    assert "secret-path" not in answer.stdout + answer.stderr
    assert "where it could be asked" in row["daemon"]


def test_what_cannot_be_tested(monitor: Command, config: Path) -> None:
    answer = monitor("sinks", "test", "hook")
    assert answer.returncode == 1
    assert "HOOK_URL is not set" in answer.stdout
    answer = monitor("sinks", "test", "nobody")
    assert answer.returncode == 2
    assert "sinks: screen, hook" in answer.stderr


async def test_a_test_opens_a_ticket_and_names_it(monitor: Command, config: Path) -> None:
    async with FakeJira("the credential") as jira:
        config.write_text(table("sinks", "jira", "webhook", recipe("Jira", jira.url, "env:JIRA_LOGIN")))
        for login, said in ((jira.proof, "jira: accepted, as SEC-1"), ("wrong", "jira: HTTP 401 Unauthorized: ")):
            answer = await asyncio.to_thread(monitor, "sinks", "test", "jira", env={"JIRA_LOGIN": login})
            assert answer.stdout.startswith(said), answer.stderr
    [issue] = jira.issues.values()
    assert issue["summary"] == "Test of the exposure monitor"


async def test_it_asks_the_daemon_that_runs_whether_it_could_send(site: Setup, hook: FakeWebhook) -> None:
    def sink(name: str) -> str:
        return f'[[sinks]]\nname = "{name}"\ntype = "webhook"\nurl = "env:OUR_HOOK"\n'

    listen = f"127.0.0.1:{free_port()}"
    site.configure(sink("ours"), listen=listen)

    async def tested(name: str) -> tuple[int, str]:
        environment = Forks.environment() | {"HOME": str(site.root), "OUR_HOOK": site.url.read_text().strip()}
        command = ("sinks", "test", name, "--config", str(site.config))
        done = await asyncio.to_thread(Forks.shared().run, *command, cwd=ROOT, env=environment)
        return done.returncode, done.stdout

    async with running(site.daemon()):
        assert await tested("hook") == (0, "hook: accepted\n")
        site.configure(sink("ours") + sink("new"), listen=listen)
        for name, said in (("ours", "OUR_HOOK is not set"), ("new", "has no sink 'new': reload it")):
            code, out = await tested(name)
            assert (code, out.splitlines()[0]) == (1, f"{name}: accepted")
            assert said in out
