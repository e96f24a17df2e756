from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import structlog

from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.domain.model import WriteBack
from monitor.github import writeback
from monitor.github.client import GitHubClient
from monitor.github.poll import AlertStream, Poller
from monitor.github.writeback import Mode, WriteBacks, plan
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub

ORG = AlertStream("org:acme", "default")


@pytest.fixture
def poller(client: GitHubClient, intake: MemoryIntake):
    return Poller(
        source="github", client=client, intake=intake, key=b"k" * 32, host="github.com", generic_types=(),
        quiet_after=1e9, sweep=1e9, assign=True,
    )  # fmt: skip


def writer(poller: Poller, intake: MemoryIntake, mode: Mode, assignee: str | None = None) -> WriteBacks:
    return WriteBacks(poller.client, intake, poller, mode, assignee)


def test_the_plan_names_repository_path_and_body() -> None:
    repo, path, body = plan(WriteBack("ghe.example.org/acme/web#12", "00ff"))
    assert (repo, path) == ("acme/web", "/repos/acme/web/secret-scanning/alerts/12")
    assert body["state"] == "resolved"
    assert body["resolution"] == "revoked"
    assert "00ff" in body["resolution_comment"]


async def test_alerts_are_resolved_with_a_comment_one_a_second(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    for number in range(3):
        github.add("acme/web", f"v{number}")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack(name, f"incident-{number}") for number, name in enumerate(intake.alerts)]
    await writer(poller, intake, "on").resolve()
    assert {alert.state for alert in github.alerts.values()} == {"resolved"}
    assert {alert.resolution for alert in github.alerts.values()} == {"revoked"}
    assert all("incident-" in (alert.comment or "") for alert in github.alerts.values())
    assert all(later[0] - earlier[0] >= 1.0 for earlier, later in pairwise(github.writes))
    # What GitHub answered is recorded: nothing is written twice.
    assert {alert.state for alert in intake.alerts.values()} == {"resolved"}
    await writer(poller, intake, "on").resolve()
    assert len(github.writes) == 3


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "v")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack("github.com/acme/web#1", "i-1")]
    writes = writer(poller, intake, "dry-run", "octocat")
    with structlog.testing.capture_logs() as logs:
        await writes.resolve()
        await writes.resolve()
        await writes.assign(HookDelivery("assign:x", "github", "assign", "acme/web", 1))
    said = [entry for entry in logs if entry["event"] == "would write to GitHub"]
    assert [entry["request"] for entry in said] == ["PATCH /repos/acme/web/secret-scanning/alerts/1"] * 2
    assert "resolution=revoked" in said[0]["body"]
    assert "assignee=octocat" in said[1]["body"]
    assert github.writes == []


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_a_refusal_is_told_once_and_not_repeated(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, status: int
) -> None:
    github.add("acme/web", "v")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack("github.com/acme/web#1", "i-1")]
    writes = writer(poller, intake, "on")
    github.faults.append((status, {}, {"message": "delegated dismissal"}))
    count = len(github.requests)
    with structlog.testing.capture_logs() as logs:
        await writes.resolve()
        await writes.resolve()
    assert len(github.requests) == count + 1
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert github.alerts["acme/web", 1].state == "open"


async def test_what_is_settled_does_not_stand_in_front_of_the_rest(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    for number in range(5):
        github.add("acme/web", f"v{number}")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack(name, "i-1") for name in sorted(intake.alerts)]
    writes = writer(poller, intake, "dry-run")
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await writes.resolve(2)
    assert len({entry["request"] for entry in logs}) == 5


async def test_one_that_always_fails_holds_up_nothing_behind_it_and_waits(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        github.add("acme/web", f"v{number}")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack(name, "i-1") for name in sorted(intake.alerts)]
    poller.client.attempts = 1
    writes = writer(poller, intake, "on")
    github.faults.append((502, {}, {}))
    with pytest.raises(RemoteError, match="alerts/1: 502"):
        await writes.resolve()
    assert [github.alerts["acme/web", number].state for number in (1, 2, 3)] == ["open", "resolved", "resolved"]

    with pytest.raises(RemoteError, match="alerts/1: 502"):
        await writes.resolve()
    assert len(github.writes) == 2, "it is told, and not tried in every round"

    monkeypatch.setattr(writeback, "_FIRST", 0.0)
    writes = writer(poller, intake, "on")
    github.faults.append((502, {}, {}))
    with pytest.raises(RemoteError, match="alerts/1: 502"):
        await writes.resolve()
    await writes.resolve()
    assert github.alerts["acme/web", 1].state == "resolved"
    await writes.resolve()


async def test_an_answer_that_cannot_be_used_holds_up_nothing_and_is_not_written_in_every_round(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        github.add("acme/web", f"v{number}")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack(name, "i-1") for name in sorted(intake.alerts)]
    take, calls = poller.take_one, iter(range(9))

    async def stumbles(*given: Any, **more: Any) -> None:
        if next(calls) == 0:
            raise KeyError("quotes what it was given")
        await take(*given, **more)

    monkeypatch.setattr(poller, "take_one", stumbles)
    writes = writer(poller, intake, "on")
    for _ in range(2):
        with pytest.raises(RemoteError, match="alerts/1: internal error: KeyError"):
            await writes.resolve()
    assert len(github.writes) == 2
    assert intake.alerts["github.com/acme/web#2"].state == "resolved"


async def test_where_github_is_away_not_every_alert_is_tried(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    for number in range(5):
        github.add("acme/web", f"v{number}")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack(name, "i-1") for name in sorted(intake.alerts)]
    poller.client.attempts = 1
    github.faults.extend([(502, {}, {})] * 5)
    with pytest.raises(RemoteError, match="so it is with 3 alerts"):
        await writer(poller, intake, "on").resolve()
    assert len(github.faults) == 2


async def test_a_token_that_is_refused_is_the_trouble_of_all(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "v")
    await poller.poll(ORG, [ORG])
    intake.writes = [WriteBack(name, "i-1") for name in intake.alerts]
    writes = writer(poller, intake, "on")
    github.faults.extend([(401, {}, {})] * 2)
    with pytest.raises(RemoteError, match="401"):
        await writes.resolve()
    await writes.resolve()
    assert len(github.writes) == 1


async def test_nobody_is_unassigned_when_the_setting_is_gone(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    intake.queue["assign:x"] = HookDelivery("assign:x", "github", "assign", "acme/web", 1)
    await writer(poller, intake, "on").assign(intake.queue["assign:x"])
    assert (github.requests, intake.queue) == ([], {})


async def test_new_alerts_are_assigned(github: FakeGitHub, intake: MemoryIntake, poller: Poller) -> None:
    github.add("acme/web", "v")
    await poller.poll(ORG, [ORG])
    [task] = intake.queue.values()
    assert task.event == "assign"
    await writer(poller, intake, "on", "octocat").assign(task)
    assert github.alerts["acme/web", 1].assignee == "octocat"
    assert intake.queue == {}
    await poller.poll(ORG, [ORG])
    assert intake.queue == {}
