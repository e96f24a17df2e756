from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.fingerprint import fingerprint as print_of
from detectors.rules.template import expand
from monitor.config.config import load
from monitor.config.state import key
from monitor.store import Store
from tests.monitor.store.helpers import finding

Command = Callable[..., subprocess.CompletedProcess[str]]
VALUE = expand("ghp_{alnum:30}{crc32}", 31)


@pytest.fixture
def incident(tmp_path: Path) -> str:
    """A stored incident, whose secret lies in no log any more."""
    tool = tmp_path / "revoke"
    tool.write_text('#!/bin/sh\nread -r value; echo "took ${#value} characters of $1"\n')
    tool.chmod(0o755)
    (tmp_path / "config.toml").write_text(
        f'[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n'
        f'[[actions]]\nname = "ours"\ntype = "command"\ncommand = ["{tool}", "{{key_id}}"]\nrules = ["github-*"]\n'
        f'[[actions]]\nname = "other"\ntype = "command"\ncommand = ["{tool}"]\nrules = ["acme-*"]\n'
    )
    settings = load(tmp_path / "config.toml")

    async def fill() -> str:
        one = print_of(key(settings), VALUE.encode())
        async with await Store.open(settings.state_dir / "state.db", secret=key(settings)) as store:
            await store.commit([finding("a", fingerprint=one, runbook="github-token")])
        return one

    return asyncio.run(fill())


def test_from_plan_to_run_with_a_command_of_ones_own(monitor: Command, incident: str) -> None:
    shown = monitor("action", "plan", incident[:8])
    assert "ours: runs" in shown.stdout
    assert 'not configured: [[actions]] type = "github-revoke"' in shown.stdout
    assert "by hand: " in shown.stdout
    assert monitor("action", "list").stdout.startswith("nothing was planned")

    planned = json.loads(monitor("action", "plan", incident, "ours", "--part", "key_id=k1", "--format", "json").stdout)
    assert (planned["state"], planned["needed"], planned["parts"]) == ("planned", 1, {"key_id": "k1"})
    ref = planned["id"]
    assert "next         monitor action approve" in monitor("action", "show", ref[:8]).stdout
    assert monitor("action", "approve", ref).returncode == 0
    gone = monitor("action", "run", ref)
    assert (gone.returncode, "--value-from -" in gone.stderr) == (1, True)
    wrong = monitor("action", "run", ref, "--value-from", "-", stdin=expand("ghp_{alnum:30}{crc32}", 32))
    assert (wrong.returncode, "fingerprint is another" in wrong.stderr) == (1, True)
    shown = monitor("action", "run", ref, "--dry-run", "--value-from", "-", stdin=VALUE)
    assert (shown.returncode, "on standard input" in shown.stdout) == (0, True)

    done = monitor("action", "run", ref, "--value-from", "-", "--format", "json", stdin=VALUE)
    row = json.loads(done.stdout)
    assert (done.returncode, row["state"]) == (0, "accepted")
    assert row["outcome"] == "the command has ended well: took 40 characters of k1"
    again = monitor("action", "run", ref, "--value-from", "-", stdin=VALUE)
    assert (again.returncode, "runs once only" in again.stderr) == (1, True)
    assert [row["id"] for row in json.loads(monitor("action", "list", "--format", "json").stdout)] == [ref]
    assert json.loads(monitor("action", "list", "--incident", incident[:8], "--format", "json").stdout)
    assert VALUE not in done.stdout + again.stderr + shown.stdout


def test_what_cannot_be_done_is_said(monitor: Command, incident: str) -> None:
    cases = {
        ("plan", incident, "none"): "there is no action",
        ("plan", incident, "other"): "not for secrets of github-pat",
        ("approve", "zzz"): "no action",
        ("run", "zzz"): "no action",
        ("plan", "zzz"): "no incident",
    }
    for arguments, words in cases.items():
        answer = monitor("action", *arguments)
        assert answer.returncode in (1, 2), arguments
        assert words in answer.stderr, arguments
