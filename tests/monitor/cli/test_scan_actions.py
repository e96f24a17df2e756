"""`monitor scan --actions` in this process, against a GitHub and a storage that check what they are asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from detectors.rules.template import expand
from monitor.github.auth import AuthError
from monitor.github.listing import RunListing
from tests.fakes.github_actions import FakeActions
from tests.fakes.shell import in_process

DAY = 86_400.0
Answer = subprocess.CompletedProcess[str]
Scan = Callable[..., asyncio.Future[Answer]]
pytestmark = pytest.mark.usefixtures("config")


def token(n: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", n)


@pytest.fixture
async def actions(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeActions]:
    monkeypatch.setenv("GITHUB_TOKEN", FakeActions.token)
    async with FakeActions() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actions: FakeActions
) -> Callable[..., asyncio.Future[Answer]]:
    monitor = in_process(tmp_path, monkeypatch)

    def run(*arguments: str) -> asyncio.Future[Answer]:
        given = ("scan", "--actions", "acme/web", "--base-url", actions.url, *arguments)
        return asyncio.ensure_future(asyncio.to_thread(monitor, *given))

    return run


def log(*values: str) -> str:
    lines = [
        "2026-11-30T16:00:00.0000000Z ##[group]Run make deploy",
        *(f"2026-11-30T16:00:01.0Z t={v}" for v in values),
    ]
    return "\ufeff" + "".join(f"{line}\n" for line in lines)


async def test_a_token_that_is_gone_meanwhile_ends_it_with_a_reason(
    scan: Scan, actions: FakeActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        actions.add_job(actions.add_run(), log(token(number)))
    monkeypatch.setattr(RunListing, "log", Mock(side_effect=AuthError("env:GITHUB_TOKEN is not set")))
    answer = await scan()
    assert (answer.returncode, answer.stderr.count("env:GITHUB_TOKEN is not set")) == (2, 1)


async def test_what_logs_show_in_every_form(scan: Scan, actions: FakeActions) -> None:
    run = actions.add_run()
    actions.add_job(run, log(token(1)), name="deploy")
    actions.add_job(run, log("***"), name="test")
    actions.add_job(run, None, name="lint", conclusion="skipped")
    actions.add_job(actions.add_run(age=40 * DAY), log(token(2)), age=40 * DAY)
    old = actions.add_run(age=20 * DAY)
    actions.add_job(old, log(token(3)), age=20 * DAY)
    actions.again(old)
    actions.add_job(old, log(token(4)))
    actions.over(old)
    output = ""
    for form in ("text", "json", "sarif"):
        answer = await scan("--format", form)
        output += answer.stdout + answer.stderr
        assert answer.returncode == 1
    assert "3 findings in 4 logs" in output
    assert not [n for n in range(1, 5) if token(n)[8:20] in output]

    answer = await scan("--since", "1d", "-f", "jsonl")
    first, second = sorted(map(json.loads, answer.stdout.splitlines()), key=lambda row: row["path"])
    assert (second["path"], second["line"], second["column"]) == ("acme/web:actions/CI/deploy", 2, 26)
    assert second["labels"] | {
        "workflow": "CI", "job": "deploy", "run": "1000", "attempt": "1", "step": "Run make deploy", "actor": "hubot",
        "commit": "c" * 40, "branch": "main",
    } == second["labels"]  # fmt: skip
    assert (first["labels"]["run"], first["labels"]["attempt"]) == ("1002", "2")


async def test_what_is_gone_or_cannot_be_read_is_counted_and_is_exit_code_2(scan: Scan, actions: FakeActions) -> None:
    run = actions.add_run()
    for name in ("a", "b", "c"):
        actions.add_job(run, log("none"), name=name)
    actions.expired |= {1, 2}
    actions.faults_of_storage.append(503)
    answer = await scan()
    assert answer.returncode == 2
    assert "acme/web:actions/CI/c: its storage answered 503" in answer.stderr
    assert "2 logs are gone (retention over, or deleted)" in answer.stderr
    actions.expired.clear()
    answer = await scan("--since", "1h")
    assert (answer.returncode, answer.stderr) == (0, "0 findings in 3 logs\n")


async def test_without_the_right_it_says_so_once(
    scan: Scan, actions: FakeActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = actions.add_run()
    for _ in range(9):
        actions.add_job(run, log("none"))
    actions.on_runs = lambda number: setattr(actions, "token", "another")
    answer = await scan()
    assert answer.returncode == 2
    assert answer.stderr.count("the token was refused") == 1
    monkeypatch.delenv("GITHUB_TOKEN")
    answer = await scan()
    assert answer.returncode == 2
    assert "GITHUB_TOKEN is not set" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scan", "--since", "3d", "."), "--since goes with --actions"),
        (("scan", "--token", "env:X", "."), "--token goes with --actions"),
        (("scan", "--actions", "acme/web", "--accept", "a:1"), "--accept is for files and commits"),
        (("scan", "--actions", "acme", "--since", "3d"), "--actions: write OWNER/REPO"),
        (("scan", "--actions", "acme/web", "."), "--actions goes alone"),
        (("scan", "--actions", "acme/web", "--staged"), "--actions goes alone"),
        (("scan", "--actions", "acme/web", "--gitignore"), "--gitignore is for files, not for --actions"),
        (("scan", "--actions", "acme/web", "--since", "soon"), "--since: must be a duration"),
        (("scan", "--actions", "acme/web", "--token", "canary"), "--token: must be a reference"),
        (("scan", "--actions", "acme/web", "--base-url", "http://ghe.example.org"), "--base-url: the token"),
    ],
)
def test_what_makes_no_sense_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    answer = in_process(tmp_path, monkeypatch)(*arguments)
    assert answer.returncode == 2
    assert said in " ".join(answer.stderr.split())
    assert "canary" not in answer.stderr
