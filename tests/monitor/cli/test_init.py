from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect

from monitor.config.config import load
from tests.detectors import texts
from tests.monitor.cli.conftest import ROOT

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_configuration_is_the_example_and_ready_to_run(monitor: Command, tmp_path: Path) -> None:
    texts.lend(tmp_path / "deep/var/state/cache")
    answer = monitor("init", "deep/config.toml")
    assert answer.returncode == 0
    assert "deep/config.toml is made" in answer.stderr
    made = tmp_path / "deep/config.toml"
    assert made.read_text() == (ROOT / "config.example.toml").read_text()
    assert monitor("check", "--no-environment", "--config", str(made)).returncode == 0


def test_what_is_there_is_kept(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    answer = monitor("init")
    assert answer.returncode == 2
    assert "is there already" in answer.stderr
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


def test_how_people_reach_it_is_written_or_asked_for(monitor: Command, tmp_path: Path) -> None:
    assert "no alert has a link" in monitor("init", "without.toml").stderr
    answer = monitor("init", "with.toml", "--base-url", "https://monitor.acme.example/")
    assert (answer.returncode, "no alert has a link" in answer.stderr) == (0, False)
    assert load(tmp_path / "with.toml").http.base_url == "https://monitor.acme.example"
    wrong = monitor("init", "wrong.toml", "--base-url", "https://ada:password@monitor.acme.example")
    assert (wrong.returncode, (tmp_path / "wrong.toml").exists()) == (2, False)
    assert "must not carry a user name or password" in wrong.stderr
    assert monitor("init", "--install", "--base-url", "https://x.example").returncode == 2
    code = "from monitor.__main__ import main; main()"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    arguments = ["-c", code, "init", str(tmp_path / "asked.toml")]
    child = pexpect.spawn(sys.executable, arguments, env=env, encoding="utf-8", timeout=300)  # type: ignore[arg-type]
    child.expect("How do people reach its pages")
    child.sendline("https://monitor.acme.example")
    child.expect(pexpect.EOF)
    child.close()
    assert load(tmp_path / "asked.toml").http.base_url == "https://monitor.acme.example"
