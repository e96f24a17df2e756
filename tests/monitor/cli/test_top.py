from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.fakes.forks import Forks
from tests.fakes.intake import until
from tests.fakes.ports import free_port
from tests.fakes.setup import Setup, incidents, running
from tests.fakes.webhook import FakeWebhook
from tests.monitor.cli.conftest import ROOT


async def top(site: Setup, *arguments: str) -> str:
    environment = Forks.environment() | {"HOME": str(site.root)}
    command = ("top", *arguments, "--config", str(site.config))
    done = await asyncio.to_thread(Forks.shared().run, *command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_it_asks_the_daemon_that_runs(site: Setup, hook: FakeWebhook) -> None:
    site.configure(listen=f"127.0.0.1:{free_port()}")
    daemon = site.daemon()
    async with running(daemon):
        value = site.plant(1)
        await until(lambda: incidents(hook))
        status = json.loads(await top(site, "--once", "--format", "json"))
    assert status["note"] is None
    assert status["daemon"]["phase"] == "watching"
    assert status["sources"][0]["bytes"] == site.log.stat().st_size
    assert [rule["matches"] for rule in status["rules"]] == [1]
    assert value not in str(status)


async def test_where_none_runs_the_database_says_what_it_knows(site: Setup, hook: FakeWebhook) -> None:
    site.configure(listen=f"127.0.0.1:{free_port()}")
    status = json.loads(await top(site, "--once", "--format", "jsonl"))
    assert status["daemon"] is None
    assert "there is no database" in status["store"]["degraded"]
    assert not (site.root / "state").exists(), "nothing is made by looking"
    async with running(site.daemon()):
        site.plant(1)
        await until(lambda: incidents(hook))
    with site.log.open("a") as log:
        log.write("unread")
    text = await top(site, "--once")
    assert "no daemon answers" in text
    assert re.search("app +file +- +6 B .* 1 file\n", text)
    assert "1 open incidents" in text
    assert "\x1b" not in text


@pytest.fixture
def screen(config: Path, tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    """The command in a terminal, where no daemon runs."""
    # A size in the environment counts for more than that of the terminal; a worker of the tests may have one.
    terminal = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "monitor", "top", "--interval", "30"],
        cwd=str(tmp_path),
        env={**terminal, "MONITOR_CONFIG": "config.toml", "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
        encoding="utf-8",
        timeout=300,
        dimensions=(24, 100),
    )
    yield child
    child.close(force=True)


@pytest.mark.parametrize(("way", "code"), [("q", 0), ("interrupt", 0), ("SIGTERM", 128 + 15)])
def test_a_terminal_is_as_it_was_however_it_ends(screen: pexpect.spawn[str], way: str, code: int) -> None:
    screen.expect("q ends")
    assert "\x1b[?1049h" in screen.before
    assert "WAITING" in screen.before
    assert not screen.getecho()
    screen.setwinsize(6, 40)
    for _ in range(3):  # the frame of before may be drawn once more
        screen.expect("q ends", timeout=300)  # drawn at once, not at the next look
        if "WAITING" not in screen.before:
            break
    assert "WAITING" not in screen.before, "what does not fit is left out"
    if way == "q":
        screen.send("q")
    elif way == "interrupt":
        screen.sendintr()
    else:
        screen.kill(signal.SIGTERM)
    screen.expect_exact("\x1b[?1049l")
    screen.expect(pexpect.EOF)
    screen.wait()
    assert screen.exitstatus == code, screen.before


def test_in_a_pipe_it_goes_on_until_its_reader_goes(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitor", "top", "--interval", "0.2", "--format", "jsonl"]
    env = {**os.environ, "MONITOR_CONFIG": "config.toml", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):
            assert json.loads(process.stdout.readline())["daemon"] is None
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""
