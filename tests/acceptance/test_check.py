"""`monitor check`: every mistake at once, each with its key path."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.detectors import texts
from tests.fakes.forks import Forks

ROOT = Path(__file__).parents[2]

MISTAKES = """\
[monitor]
state_dir = "state"
log_level = "loud"

[[sources]]
name = "services"
type = "file"
incldue = ["logs/*.log"]
include = ["logs/*.log"]

[[sinks]]
name = "chat"
type = "slack"
webhook_url = "VALUE"

[[sinks]]
name = "pager"
type = "pagerdut"
routing_key = "env:PAGER_KEY"

[[routes]]
matchers = ['severity="critical"']
sinks = ["pager", "char"]

[rules]
packs = ["vcs/github"]
"""
KEYS = {
    "monitor.log_level": 3,
    "sources[0].incldue": 8,
    "sinks[0].webhook_url": 14,
    "sinks[1].type": 18,
    "routes[0].sinks[1]": 23,
}


@pytest.fixture(autouse=True)
def started_before(tmp_path: Path) -> None:
    texts.lend(tmp_path / "state" / "cache")


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return Forks.shared().run(*arguments, cwd=folder, env=environment)


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(folder, "check", *arguments)


def test_five_mistakes_are_five_problems_with_their_key_paths(tmp_path: Path) -> None:
    literal = "https://hooks.slack.com/" + "services/T0/B0/" + "a1B2" * 6
    (tmp_path / "config.toml").write_text(MISTAKES.replace("VALUE", literal))
    answer = check(tmp_path)
    assert answer.returncode == 78
    *lines, last = answer.stdout.splitlines()
    assert last == "5 problems"
    assert len(lines) == 5
    for line, (key, number) in zip(lines, sorted(KEYS.items(), key=lambda item: item[1]), strict=True):
        assert line.startswith(f"{tmp_path}/config.toml:{number}: {key}: "), line
    assert "did you mean" in answer.stdout
    rows = json.loads(check(tmp_path, "--format", "json").stdout)
    assert {row["key"]: row["line"] for row in rows} == KEYS
    for shown in (answer.stdout, answer.stderr, json.dumps(rows)):
        assert literal not in shown
        assert "a1B2" not in shown
    # `run` refuses the same file for the same reasons.
    run = command(tmp_path, "run", "--once")
    assert run.returncode == 78
    assert all(key in run.stderr for key in KEYS)
    assert literal not in run.stderr


def test_mended_it_is_fine(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = MISTAKES.replace("loud", "info").replace('incldue = ["logs/*.log"]\n', "").replace("VALUE", "env:HOOK")
    (tmp_path / "config.toml").write_text(text.replace("pagerdut", "pagerduty").replace('"char"', '"chat"'))
    answer = check(tmp_path, "--no-environment")
    assert (answer.returncode, answer.stdout.splitlines()[-1]) == (0, "ok: 1 sources, 2 sinks"), answer.stdout
    answer = check(tmp_path)
    assert answer.returncode == 1, "the credentials are missing on this machine"
    assert "sinks[0].webhook_url" in answer.stdout
    assert "sinks[1].routing_key" in answer.stdout
