from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
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
    (tmp_path / "config.toml").write_text(
        '[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n'
        + "".join(
            f'[[actions]]\nname = "{name}"\ntype = "command"\ncommand = ["/bin/true"]\nrules = ["github-*"]\n'
            for name in ("ours", "other", "third")
        )
    )
    settings = load(tmp_path / "config.toml")
    one = print_of(key(settings), VALUE.encode())

    async def fill() -> None:
        async with await Store.open(settings.state_dir / "state.db", secret=key(settings)) as store:
            await store.commit([finding("a", fingerprint=one, runbook="github-token")])

    asyncio.run(fill())
    return one[:16]


def test_what_pages_refuse_of_an_incident_that_is_resolved_commands_refuse_as_well(
    monitor: Command, incident: str
) -> None:
    def ids(*arguments: str) -> str:
        return str(json.loads(monitor("action", *arguments, "--format", "json").stdout)["id"])

    planned, approved = ids("plan", incident, "ours"), ids("plan", incident, "other")
    assert monitor("action", "approve", approved).returncode == 0
    assert monitor("incidents", "resolve", incident, "--as", "false_positive").returncode == 0

    def refused(*arguments: str, stdin: str = "") -> str:
        answer = monitor(*arguments, stdin=stdin)
        assert (answer.returncode, answer.stdout) == (1, "")
        return answer.stderr

    before_actions = f"incident {incident} is resolved: reopen it before an action runs"
    cases: dict[Sequence[str], str] = {
        ("action", "plan", incident, "third"): before_actions,
        ("action", "approve", planned): before_actions,
        ("action", "run", approved, "--value-from", "-"): before_actions,
        ("incidents", "silence", incident, "--for", "1h"): "is resolved: there is nothing to silence",
        ("incidents", "resolve", incident, "--as", "revoked"): "is already resolved as false_positive (",
        ("incidents", "ack", incident): "is already resolved; reopen it first",
    }
    for arguments, why in cases.items():
        assert why in refused(*arguments, stdin=VALUE), arguments
    left = {row["id"]: row["state"] for row in json.loads(monitor("action", "list", "--format", "json").stdout)}
    assert left == {planned: "planned", approved: "approved"}
    history = json.loads(monitor("incidents", "show", incident, "--format", "json").stdout)["history"]
    assert history[-1]["action"] == "resolved"

    assert monitor("incidents", "reopen", incident).returncode == 0
    ran = monitor("action", "run", approved, "--value-from", "-", stdin=VALUE)
    assert (ran.returncode, "accepted" in ran.stdout) == (0, True)
