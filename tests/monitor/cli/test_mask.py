from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.cli import mask
from monitor.common.problems import Problem
from monitor.config.config import Config
from monitor.config.locate import ConfigError
from monitor.intake.protocol import ScanError
from monitor.scanning.scanner import Scanner
from tests.fakes.delivery import finding
from tests.fakes.shell import in_process

ROOT = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_stream_is_masked_and_counted(monitor: Command, config: Path) -> None:
    secret = monitor("sample", "github-pat").stdout.strip()
    answer = monitor("mask", stdin=f"first\ntoken {secret}\nlast")
    assert answer.returncode == 0
    first, second, last = answer.stdout.split("\n")
    assert (first, last) == ("first", "last")
    assert second.startswith("token [github-pat:")
    assert "1 secret masked (github-pat 1)" in answer.stderr
    assert secret not in answer.stdout + answer.stderr
    assert monitor("mask", "--quiet", "--min-severity", "critical", stdin="plain\n").stderr == ""


def test_files_are_masked_and_a_scan_finds_nothing_afterwards(monitor: Command, config: Path, tmp_path: Path) -> None:
    secrets = monitor("sample", "github-pat", "-n", "3").stdout.split()
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"msg": f"token={secret}"}) + "\n" for secret in secrets))
    assert monitor("scan", str(path)).returncode == 1
    assert monitor("mask", "--in-place", str(path)).returncode == 0
    assert monitor("scan", str(path)).returncode == 0
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3

    answer = monitor("mask", "--in-place", "missing")
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (1, "missing: No such file or directory")
    assert monitor("mask", "log.jsonl").returncode == 2


def test_what_is_found_is_reported_as_an_incident(monitor: Command, config: Path) -> None:
    assert monitor("mask", "--report", stdin="plain\n").returncode == 1  # before there is a state
    assert monitor("run", "--once").returncode == 0
    secret = monitor("sample", "github-pat").stdout.strip()
    assert monitor("mask", "--report", stdin=f"token {secret}\n").returncode == 0
    (incident,) = json.loads(monitor("incidents", "list", "--format", "json").stdout)
    assert incident["rule"] == "github-pat"
    assert incident["fingerprint"] == monitor("fingerprint", stdin=secret).stdout.strip()


def test_what_cannot_be_looked_at_for_the_record_is_counted_and_masked_all_the_same(
    monitor: Command, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert monitor("run", "--once").returncode == 0
    secret = monitor("sample", "github-pat").stdout.strip()
    (tmp_path / "log").write_text(f"token {secret}\n")

    async def failing(*_: object) -> None:
        raise ScanError("the engine failed", 0, 0)

    monkeypatch.setattr(Scanner, "scan", failing)
    answer = in_process(tmp_path, monkeypatch)("mask", "--report", "--in-place", "log")
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (1, "1 findings are not recorded")
    assert secret not in (tmp_path / "log").read_text()


def started(tmp_path: Path, *options: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "monitor", "mask", *options, "--config", str(tmp_path / "config.toml")],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_lines_flow_while_the_stream_goes_on_and_a_signal_ends_it(config: Path, tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a line\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"a line\n"  # before the input has ended
        process.stdin.write(b"held to the end")
        process.stdin.flush()
        time.sleep(0.1)  # so that it has been read when the signal comes; either way it must come out
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() in (b"held to the end", b"")
        assert process.wait() == 128 + signal.SIGTERM


def test_it_ends_as_filters_do_when_its_reader_has_gone(config: Path, tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"x\n" * 100)
        process.stdin.close()
        assert process.wait() == 141
        assert b"Traceback" not in process.stderr.read()


@pytest.fixture
def hung_up() -> Iterator[None]:
    """SIGHUP as it is for a command of a terminal, also where tests run behind nohup, which passes it on ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hung_up")
def test_what_waits_in_the_pipe_when_a_signal_comes_goes_out(config: Path, tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a line\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"a line\n"
        process.send_signal(signal.SIGSTOP)
        process.stdin.write(b"said at its end\n" * 4000)  # as much as a pipe holds
        process.stdin.flush()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == b"said at its end\n" * 4000
        assert process.wait() == 128 + signal.SIGHUP


def test_a_reader_that_shares_a_pipe_that_does_not_wait_gets_all(config: Path, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with started(tmp_path, stdout=theirs) as process:
        os.close(theirs)
        assert process.stdin is not None
        writer = threading.Thread(target=process.communicate, args=(b"a line of a log\n" * 20_000,))
        writer.start()
        got = b""
        while len(got) < 1 << 16:  # more does not fit, so that it has to wait
            time.sleep(0.05)
            got += os.read(ours, 1 << 14)
        while piece := os.read(ours, 1 << 20):
            got += piece
        writer.join()
        os.close(ours)
        assert (got, process.returncode) == (b"a line of a log\n" * 20_000, 0)


def test_a_database_that_cannot_be_written_holds_nothing_up_and_is_said(
    monitor: Command, config: Path, tmp_path: Path
) -> None:
    assert monitor("run", "--once").returncode == 0
    secrets = monitor("sample", "github-pat", "-n", "2").stdout.split()
    with started(tmp_path, "--report") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"begins\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"begins\n"
        (tmp_path / "state").rename(tmp_path / "away")
        for secret in secrets:
            process.stdin.write(f"token {secret}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().startswith(b"token [github-pat:")
        out, err = process.communicate(b"ends\n")
    assert (out, process.returncode) == (b"ends\n", 1)
    assert b"there is no database" in err
    assert b"2 findings are not recorded" in err


def test_what_could_not_be_recorded_for_whatever_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as the file with the address of the database, which is gone."""

    def broken(*_: object) -> None:
        raise ConfigError(None, [Problem("monitor.database", "cannot be read")])

    monkeypatch.setattr(mask, "with_store", broken)
    records = mask._Records(Config())
    records.add([finding("a")])
    records.look()
    assert not records.close()
    said = capsys.readouterr().err
    assert "monitor.database: cannot be read" in said
    assert "1 findings are not recorded" in said


def test_another_name_of_a_file_keeps_the_old_text_and_that_is_said(
    monitor: Command, config: Path, tmp_path: Path
) -> None:
    secret = monitor("sample", "github-pat").stdout.strip()
    (tmp_path / "a").write_text(f"token {secret}\n")
    os.link(tmp_path / "a", tmp_path / "b")
    os.mkfifo(tmp_path / "pipe")
    answer = monitor("mask", "--in-place", "a", "pipe")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[:2] == [
        "a: has another name, which keeps the old text (hard links)",
        "pipe: not a regular file",
    ]
