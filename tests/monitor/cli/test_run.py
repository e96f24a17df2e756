from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.cli.run import _demo, _near
from monitor.config.config import load
from tests.fakes.forks import Forks
from tests.fakes.refused import refused

Command = Callable[..., subprocess.CompletedProcess[str]]
REFUSED = refused()
ROOT = Path(__file__).parents[3]


def with_console_only(config: Path) -> Path:
    """Without the webhook, whose URL is not set here."""
    config.write_text(config.read_text().split('[[sinks]]\nname = "hook"')[0])
    (config.parent / "logs").mkdir(exist_ok=True)
    return config


@contextmanager
def running(config: Path, *arguments: str, forked: bool = True) -> Iterator[subprocess.Popen[str]]:
    """`monitor run`, as a process of its own or one that hands signals on to it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "monitor"]
    if forked:
        Forks.shared().shim(shim := config.parent / "monitor", environment)
        command = [str(shim)]
    process = subprocess.Popen(
        [*command, "run", "--config", str(config), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate() if forked else process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"{pattern} not in: {seen}")


def test_once_reads_to_the_end_alerts_and_exits(monitor: Command, config: Path) -> None:
    with_console_only(config)
    sample = monitor("sample", "github-pat").stdout.strip()
    (config.parent / "logs" / "app.log").write_text(f"first\nlogin with {sample} failed\n")
    answer = monitor("run", "--once")
    assert answer.returncode == 0, answer.stderr
    assert "GitHub personal access token" in answer.stdout
    assert f"{config.parent}/logs/app.log:2" in answer.stdout
    (row,) = json.loads(monitor("incidents", "list", "--format", "json").stdout)
    assert row["fingerprint"] == monitor("fingerprint", stdin=sample).stdout.strip()
    assert sample not in answer.stdout + answer.stderr
    # Again: nothing new, so nothing is said.
    assert monitor("run", "--once").stdout == ""


def test_once_leaves_the_port_to_a_daemon(monitor: Command, config: Path) -> None:
    with_console_only(config)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        answer = monitor("run", "--once")
    assert answer.returncode == 0, answer.stderr


def test_the_intro_says_what_is_watched_and_the_command_it_names_works(monitor: Command, config: Path) -> None:
    with_console_only(config)
    with running(config, "--intro", forked=False) as process:
        address = until(process, r"health, metrics and incidents: (http://\S+)")[1]
        command = until(process, r"to see an alert: monitor (sample \S+) >> (\S+)")
        with urllib.request.urlopen(f"{address}/readyz") as answer:
            assert json.load(answer)["status"] == "ok"
        with open(config.parent / command[2], "a") as log:
            log.write(monitor(*command[1].split()).stdout)
        assert process.stdout is not None
        assert "CRITICAL" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_a_pipe_gets_no_intro(config: Path) -> None:
    with_console_only(config)
    with running(config) as process:
        until(process, '"event": "ready"')
        process.terminate()
        _, rest = process.communicate(timeout=300)
        assert "to see an alert" not in rest
        assert process.returncode == 0


def test_what_keeps_it_from_starting_is_78_and_one_line_each(monitor: Command, config: Path) -> None:
    with_console_only(config)
    text = config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        answer = monitor("run")
    assert answer.returncode == 78
    assert "http.listen" in answer.stderr
    assert "Traceback" not in answer.stderr
    config.write_text(text.replace('packs = ["vcs/github"]', 'packs = ["nothing"]\ndisable = ["nobody"]'))
    answer = monitor("run", "--once")
    assert answer.returncode == 78
    assert "no pack is called 'nothing'" in answer.stderr


def test_a_second_signal_ends_at_once(monitor: Command, config: Path) -> None:
    """The sink's server takes the alert and never answers, so the first signal waits for it."""
    with_console_only(config)
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        port = hangs.getsockname()[1]
        config.write_text(
            config.read_text() + f'\n[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/"\n'
        )
        with running(config) as process:
            until(process, '"event": "ready"')
            sample = monitor("sample", "github-pat")
            (config.parent / "logs" / "app.log").write_text(sample.stdout)
            connection, _ = hangs.accept()
            process.send_signal(signal.SIGTERM)
            until(process, '"event": "stopping"')
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) != 0
            connection.close()


def test_an_end_by_the_watchdog_says_where_it_hung(config: Path) -> None:
    with running(with_console_only(config), forked=False) as process:
        until(process, '"event": "ready"')
        process.send_signal(signal.SIGABRT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said
    assert re.search(r'File "\S+/monitor/cli/run.py", line \d+ in run', said)


def test_the_demo_is_a_file_this_user_may_write(config: Path, tmp_path: Path) -> None:
    assert _demo(load(config)) is None  # the folder does not exist
    (tmp_path / "logs").mkdir()
    demo = _demo(load(config))
    assert demo is not None
    assert demo.startswith("monitor sample github-pat >> ")
    assert demo.endswith("logs/demo.log")


def test_paths_are_as_short_as_they_can_be_typed(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        assert _near(f"{tmp_path}/var/log/x") == "var/log/x"
        assert _near("/srv/x") == "/srv/x"
        assert _near("monitor") == "monitor"
    finally:
        os.chdir(here)


@pytest.mark.skipif(REFUSED is None, reason="root may read everything")
def test_logs_that_may_not_be_read_are_told_together_with_the_remedy(monitor: Command, config: Path) -> None:
    with_console_only(config)
    for number in range(300):
        log = config.parent / "logs" / f"app-{number}.log"
        log.write_text("x\n")
        log.chmod(0)
    answer = monitor("run", "--once", before=REFUSED or ())
    assert answer.returncode == 0, answer.stderr
    lines = [line for line in answer.stderr.splitlines() if "cannot be read" in line]
    assert len(lines) < 10  # one, where a second is enough to find them all
    assert sum(1 + int(more) for more in re.findall(r" and (\d+) more", "\n".join(lines))) == 300
    assert all("setfacl -m u:" in line for line in lines)
