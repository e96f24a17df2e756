from __future__ import annotations

import time
from typing import Any

import pytest
from githubkit_schemas.v2026_03_10 import models

from monitor.common.http import RemoteError
from monitor.github.client import GitHubClient
from monitor.github.exposure import Exposure
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub, fill, iso


@pytest.fixture
def exposure(client: GitHubClient, intake: MemoryIntake):
    return Exposure("github", client, intake, b"k" * 32, ["acme"])


async def test_markers_in_others_code_are_found(github: FakeGitHub, intake: MemoryIntake, exposure: Exposure) -> None:
    for number in range(130):
        github.code.append({"marker": "db.acme.internal", "repo": f"someone/r{number}", "path": "conf/app.yml"})
    github.code.append({"marker": "db.acme.internal", "repo": "Acme/own", "path": "x"})
    github.code.append({"marker": "other", "repo": "someone/x", "path": "x"})
    await exposure.search(["db.acme.internal"])
    assert len(intake.findings) == 130
    one = next(iter(intake.findings.values()))
    assert (one.rule, one.masked, one.severity) == ("github-public-marker", "db.acme.internal", "medium")
    assert one.path == "someone/r0:conf/app.yml"
    assert len({finding.fingerprint for finding in intake.findings.values()}) == 1
    await exposure.search(["db.acme.internal"])
    assert len(intake.findings) == 130
    assert github.requests[0][2]["q"] == '"db.acme.internal" -org:acme'


async def test_a_marker_that_is_a_secret_is_never_searched_for(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure
) -> None:
    intake.identifies = lambda text: [None] if b"secret" in text else []  # type: ignore[list-item]
    with pytest.raises(RemoteError, match="looks like a secret") as caught:
        await exposure.search(["a-secret-value", "db.acme.internal"])
    assert [query["q"] for _, _, query in github.requests] == ['"db.acme.internal" -org:acme']
    assert "a-secret-value" not in str(caught.value)


async def test_a_marker_that_github_refuses_does_not_hold_up_the_others(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure
) -> None:
    github.code.append({"marker": "db.acme.internal", "repo": "someone/x", "path": "conf/app.yml"})
    github.faults.append((422, {}, {"message": "Validation Failed"}))
    with pytest.raises(RemoteError, match="422"):
        await exposure.search(["refused", "db.acme.internal"])
    assert len(intake.findings) == 1


@pytest.mark.parametrize("status", [404, 451])
async def test_a_gist_that_cannot_be_read_does_not_hold_up_the_others(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure, status: int
) -> None:
    github.members = ["alice"]
    for name in ("abc1", "abc2"):
        github.gists[name] = {"owner": "alice", "files": {"notes.txt": name}, "updated": time.time() - 60}

    def withhold(kind: str, body: Any) -> Any:
        if kind == "gists":
            github.faults.append((status, {}, {"message": "withheld"}))
        return body

    github.mangle = withhold
    await exposure.gists()
    assert intake.blocks == [("gist alice/abc2: notes.txt", b"abc2")]
    github.mangle = None
    github.requests.clear()
    await exposure.gists()
    assert not any(path.startswith("/gists/") for _, path, _ in github.requests)


async def test_a_text_that_the_engine_fails_on_is_told_and_holds_up_no_other(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure
) -> None:
    github.members, intake.broken = ["alice"], b"hostile"
    for name, text in (("abc1", "hostile text"), ("abc2", "some text")):
        github.gists[name] = {"owner": "alice", "files": {"notes.txt": text}, "updated": time.time() - 60}
    github.events = [event(2, "IssuesEvent", "acme/x", {"a": "hostile"}), event(1, "WatchEvent", "acme/x", {"a": "b"})]
    await exposure.gists()
    await exposure.events()
    assert [path for path, _ in intake.blocks] == ["gist alice/abc2: notes.txt", "acme/x: WatchEvent 1"]
    assert [(reason, path) for reason, _, path in intake.lost] == [
        ("unscannable", "gist alice/abc1: notes.txt"),
        ("unscannable", "acme/x: IssuesEvent 2"),
    ]
    assert set(intake.saved) == {"gists:acme", "events:acme"}


async def test_public_gists_are_read_with_the_rules_once(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure
) -> None:
    github.members = ["alice", "bob"]
    now = time.time()
    github.gists["abc1"] = {"owner": "alice", "files": {"notes.txt": "some text", "b": "more"}, "updated": now - 60}
    github.gists["abc2"] = {"owner": "bob", "files": {"old": "old"}, "updated": now - 30 * 86_400}
    await exposure.gists()
    assert sorted(intake.blocks) == [("gist alice/abc1: b", b"more"), ("gist alice/abc1: notes.txt", b"some text")]
    await exposure.gists()
    assert len(intake.blocks) == 2
    github.gists["abc1"]["updated"] = now
    await exposure.gists()
    assert len(intake.blocks) == 4

    # A clock that stood ahead for a while: what came meanwhile is read when it is right again.
    intake.saved["gists:acme"] = {**intake.saved["gists:acme"], "read": now + 400 * 86_400}
    github.gists["abc3"] = {"owner": "bob", "files": {"new": "new"}, "updated": now}
    await exposure.gists()
    assert len(intake.blocks) == 5


def event(number: int, kind: str, repo: str, payload: dict[str, Any]) -> dict[str, Any]:
    actor = fill(models.Actor, login="alice")
    body = fill(models.Event, id=str(number), type=kind, actor=actor, repo={"id": 1, "name": repo, "url": "https://x"})
    return body | {"payload": payload, "public": True, "created_at": iso(time.time())}


async def test_public_events_are_read_once_and_a_repository_made_public_is_told(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure
) -> None:
    github.events = [
        event(2, "PublicEvent", "acme/secret-plans", {}),
        event(1, "WatchEvent", "acme/x", {"action": "a"}),
    ]
    await exposure.events()
    [finding] = intake.findings.values()
    assert (finding.rule, finding.path) == ("github-made-public", "acme/secret-plans")
    assert [path for path, _ in intake.blocks] == ["acme/secret-plans: PublicEvent 2", "acme/x: WatchEvent 1"]
    assert finding.url == intake.links["acme/secret-plans: PublicEvent 2"] == f"{github.url}/acme/secret-plans"
    await exposure.events()  # within X-Poll-Interval
    assert len(github.requests) == 1
    exposure._not_before.clear()
    await exposure.events()
    assert github.not_modified == 1
    github.events.insert(0, event(3, "WatchEvent", "acme/x", {"action": "b"}))
    exposure._not_before.clear()
    await exposure.events()
    assert len(intake.blocks) == 3


@pytest.mark.parametrize("what", [None, [], {}, {"items": 5}, {"items": [None, {"path": 1}, {"repository": {}}]}, "x"])
async def test_answers_that_make_no_sense_are_counted(
    github: FakeGitHub, intake: MemoryIntake, exposure: Exposure, what: Any
) -> None:
    github.code.append({"marker": "marker", "repo": "a/b", "path": "c"})
    github.members, github.events = ["alice"], [event(1, "WatchEvent", "acme/x", {"action": "a"})]
    github.mangle = lambda kind, body: what
    await exposure.search(["marker"])
    await exposure.gists()
    await exposure.events()
    assert intake.findings == {}
    assert intake.malformed_counts.total() >= 1 or what == {"items": []}
