from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectors.rules.template import expand
from monitor.config.config import load
from monitor.store import Store
from monitor.store.records import AlertBatch
from tests.fakes.github import FakeGitHub
from tests.monitor.cli.test_github import github, run
from tests.monitor.store.test_alerts import alert, place

__all__ = ["github", "run"]  # the fixtures
DAY = 86_400.0


async def test_those_that_wait_with_their_deadline_and_incident(
    github: FakeGitHub, run: Callable[..., Any], tmp_path: Path
) -> None:
    assert (await run("requests")).stdout == "no request waits\n"
    token = expand("ghp_{alnum:30}{crc32}", 6)
    github.reviews.add("bypass", "acme/web", 5 * DAY, path=f"config/{token}.env", comment="canary")
    github.reviews.add("dismissal", "acme/web", 2 * DAY, alert=1)
    settings = load(tmp_path / "config.toml")
    settings.state_dir.mkdir(exist_ok=True)
    one = alert(id="127.0.0.1/acme/web#1", source="gh")
    async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
        await store.alerts.record(AlertBatch("gh", [one], [place(one)]))
        [incident] = await store.incidents.find()
    answer = await run("requests", "--format", "json")
    rows = json.loads(answer.stdout)
    assert [(row["kind"], row["incident"], row["alert"]) for row in rows] == [
        ("dismissal", incident.id, 1),
        ("bypass", None, None),
    ]
    assert all(row["expires"] for row in rows)
    text = await run("requests")
    assert text.returncode == 0
    assert "#1 slack_api_token (false_positive)" in text.stdout
    assert "slack_api_token in config/ghp_" in text.stdout
    for said in (answer, text):
        assert token[8:] not in said.stdout + said.stderr
        assert "canary" not in said.stdout + said.stderr


async def test_a_listing_that_cannot_be_read_is_exit_code_1(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.reviews.off = {"acme"}
    assert (await run("requests")).returncode == 0
    github.reviews.off, github.reviews.refused = set(), {"acme"}
    answer = await run("requests")
    assert (answer.returncode, answer.stdout) == (1, "no request waits\n")
    assert answer.stderr.count("gh: GET /orgs/acme/") == 2


async def test_a_request_that_cannot_be_read_is_counted(github: FakeGitHub, run: Callable[..., Any]) -> None:
    github.mangle = lambda kind, body: [{"status": "open", "id": "x"}] if kind == "bypass" else body
    answer = await run("requests")
    assert (answer.returncode, answer.stdout) == (1, "no request waits\n")
    assert answer.stderr.startswith("gh: bypass-requests of org:acme: 1 could not be read")
