from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

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
