"""The unit file, judged by systemd itself."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "exposure-monitor.service"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine, as an installation would have it."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/exposure-monitor/bin/monitor", sys.executable)
    path = tmp_path / UNIT.name
    path.write_text(text, encoding="utf-8")
    return path


def test_systemd_accepts_every_line(installed: Path) -> None:
    answer = subprocess.run(["systemd-analyze", "verify", installed], capture_output=True, text=True, check=False)
    about_us = [line for line in (answer.stdout + answer.stderr).splitlines() if installed.name in line]
    assert about_us == []


def test_the_sandbox_is_tight(installed: Path) -> None:
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", installed],
        capture_output=True,
        text=True,
        check=False,
    )
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)
    assert level is not None, answer.stderr
    assert float(level[1]) <= 2.0


def test_what_the_monitor_relies_on() -> None:
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert service["DynamicUser"] == "yes"
    assert service["StateDirectory"] == "exposure-monitor"
    assert service["SupplementaryGroups"].split() == ["adm", "systemd-journal"]
    assert service["LimitCORE"] == "0"
    assert service["MemorySwapMax"] == "0"
    assert int(service["WatchdogSec"]) > 0
    # SIGTERM drains for up to 10 s; systemd must not kill before.
    assert int(service["TimeoutStopSec"]) > 10
    assert service["RestartPreventExitStatus"] == "78"
    assert "LoadCredential" in service
