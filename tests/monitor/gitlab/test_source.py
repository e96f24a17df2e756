from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pydantic import ValidationError

from monitor.common.inbound import HookDelivery
from monitor.gitlab import source as module
from monitor.gitlab.client import GoneError
from monitor.gitlab.source import GitLabConfig, GitLabSource
from monitor.intake import rounds
from tests.fakes.gitlab import TOKEN, FakeGitLab
from tests.fakes.intake import FakeIntake, MortalIntake, running, until
from tests.fakes.peer import Way
from tests.fakes.server import FAULTS, Fault


@asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    async with FakeGitLab() as gitlab:

        async def feed(lines: Sequence[str]) -> None:
            gitlab.ran(71, "".join(f"{line}\n" for line in lines).encode(), name=f"job {lines[0]}")

        keys = {"group": "acme", "token": "env:GITLAB_TOKEN", "base_url": gitlab.url, "interval": "1s"}
        more = {"webhook_secret": "env:GITLAB_HOOK_SECRET", "start_at": "beginning"}
        yield Way(keys | more, feed, {"GITLAB_TOKEN": TOKEN, "GITLAB_HOOK_SECRET": "a hook secret of this test"})


class Queue:
    """Hooks that wait, as the store has them."""

    def __init__(self) -> None:
        self.waiting: dict[str, HookDelivery] = {}
        self.later: list[float] = []

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        return list(self.waiting.values())

    async def postpone(self, delivery: str, seconds: float) -> None:
        self.later.append(seconds)
        del self.waiting[delivery]

    async def record_alerts(self, *_: object, handled: Iterable[str] = (), **__: object) -> int:
        for one in handled:
            del self.waiting[one]
        return 0


class Intake(Queue, FakeIntake):
    def __init__(self) -> None:
        FakeIntake.__init__(self)
        Queue.__init__(self)


@pytest.fixture
async def gitlab(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGitLab]:
    monkeypatch.setenv("GITLAB_TOKEN", TOKEN)
    async with FakeGitLab() as server:
        yield server
        for source in _MADE:
            await source._gitlab.close()
        _MADE.clear()


_MADE: list[GitLabSource] = []


def made(gitlab: FakeGitLab, intake: FakeIntake, **settings: Any) -> GitLabSource:
    given = {"project": "acme/web", "base_url": gitlab.address, "start_at": "beginning", **settings}
    config = GitLabConfig.model_validate({"name": "ci", "type": "gitlab-ci", "token": "env:GITLAB_TOKEN", **given})
    found = GitLabSource(config, intake, b"k" * 32)  # type: ignore[arg-type]
    found._gitlab._client.first_retry = 0.001
    _MADE.append(found)
    return found


async def look(gitlab: FakeGitLab, intake: FakeIntake, **settings: Any) -> None:
    await made(gitlab, intake, **settings).run(once=True)


async def test_each_log_is_read_once_with_what_is_known_of_its_job(gitlab: FakeGitLab) -> None:
    intake, seen = Intake(), []
    scan = intake.scan

    async def noted(blocks: Any, positions: Any) -> int:
        return await scan((seen.append(block) or block for block in blocks), positions)

    intake.scan = noted  # type: ignore[method-assign]
    gitlab.root = "/sub/gitlab"
    gitlab.ran(71, b"section_start:1796000000:step_script[collapsed=true]\r\x1b[0K$ make\n<1>\n")
    await look(gitlab, intake)
    assert (intake.marks, intake.problems, intake.lost) == ([1], {}, [])
    (block,) = seen
    assert (block.path, block.url) == ("acme/web:jobs/test/unit tests", "https://gitlab.example/acme/web/-/jobs/71")
    assert block.generation == f"{gitlab.address.removeprefix('http://')}/7/71"
    assert dict(block.attributes) == {
        "service": "acme/web", "repository": "acme/web", "job": "unit tests", "stage": "test", "pipeline": "1",
        "commit": "c" * 40, "branch": "main", "actor": "ann", "project_id": "7", "job_id": "71",
    }  # fmt: skip
    assert block.attributes_at(60) == {"step": "step_script"}
    source = made(gitlab, intake)
    await source.run(once=True)
    await look(gitlab, intake)
    assert gitlab.logs() == [71]
    gitlab.ran(72, b"<2>", name="unit tests")  # the same job tried again has another id
    gitlab.ran(60, b"<3>", status="failed")  # played by hand long after it was made
    gitlab.ran(73, b"<4>", pipeline=2, child=True)
    gitlab.ran(74, b"<5>", pipeline=2, status="running").ended = None
    await look(gitlab, intake)
    assert intake.marks == [1, 2, 3, 4]
    assert GitLabSource.where(intake.saved).text == "4 jobs of late"


async def test_an_idle_project_costs_two_requests_a_round(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.projects |= {8: "acme/inner/api", 9: "other/x"}
    gitlab.ran(71, b"<1>")
    gitlab.ran(81, b"<2>", pipeline=5, project=8)
    gitlab.ran(91, b"<3>", pipeline=6, project=9)
    source = made(gitlab, intake, project=(), group="acme")
    await source.look()
    assert intake.marks == [1, 2]
    before = len(gitlab.requests)
    await source.look()
    assert len(gitlab.requests) - before == 1 + 2 * 2


async def test_what_ended_before_the_first_start_is_left_alone(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.ran(70, b"<1>").ended = time.time() - 5
    await look(gitlab, intake, start_at="end")
    gitlab.now = time.time() + 1
    gitlab.ran(71, b"<2>")
    await look(gitlab, intake, start_at="end")
    assert intake.marks == [2]


async def test_one_that_is_new_in_a_group_is_read_from_its_first_job_on(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.now -= 60
    gitlab.ran(70, b"<1>")
    await look(gitlab, intake, start_at="end", project=(), group="acme")
    gitlab.projects |= {8: "acme/new", 9: "other/named"}
    gitlab.ran(81, b"<2>", pipeline=2, project=8)
    gitlab.ran(91, b"<3>", pipeline=3, project=9)
    await look(gitlab, intake, start_at="end", project="other/named", group="acme")
    assert intake.marks == [2]


async def test_a_log_is_not_given_up_while_its_project_is_not_shown(gitlab: FakeGitLab) -> None:
    intake = Intake()
    job = gitlab.ran(71, None)
    source = made(gitlab, intake)
    one, source._gitlab.one = (
        source._gitlab.one,
        AsyncMock(side_effect=[{"id": 7, "path_with_namespace": "acme/web"}, GoneError("404")]),
    )  # type: ignore[method-assign]
    await source.look()
    assert (intake.lost, intake.problems) == ([], {"jobs": "404"})
    source._gitlab.one, job.log = one, b"<1>"  # type: ignore[method-assign]
    await source.look()
    assert (intake.marks, intake.lost, intake.problems) == ([1], [], {})


async def test_pages_that_shift_while_they_are_read_lose_none(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.size = 2
    for job in range(1, 8):
        gitlab.ran(job, b"<%d>" % job, pipeline=job)
    source = made(gitlab, intake)
    pages = source._gitlab.pages

    async def shifting(what: str, path: str, **parameters: str) -> AsyncIterator[list[dict[str, Any]]]:
        async for rows in pages(what, path, **parameters):
            yield rows
            if path.endswith("/pipelines") and len(gitlab.jobs) < 12:
                job = 10 + len(gitlab.jobs)
                gitlab.ran(job, b"<%d>" % job, pipeline=job)

    source._gitlab.pages = shifting  # type: ignore[method-assign]
    await source.look()
    await source.look()
    assert intake.marks == sorted(gitlab.jobs)


async def test_one_that_is_deleted_while_pages_are_read_hides_no_other(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.size = 2
    for job in range(1, 6):
        gitlab.ran(job, b"<%d>" % job, pipeline=job)
    source = made(gitlab, intake)
    pages = source._gitlab.pages

    async def shrinking(what: str, path: str, **parameters: str) -> AsyncIterator[list[dict[str, Any]]]:
        async for rows in pages(what, path, **parameters):
            yield rows
            if path.endswith("/pipelines"):
                gitlab.pipelines.pop(5, None)

    source._gitlab.pages = shrinking  # type: ignore[method-assign]
    await source.look()
    assert intake.marks == [1, 2, 3, 4, 5]


async def test_a_pipeline_of_the_future_hides_none_of_the_present(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.ran(71, b"<1>")
    gitlab.pipelines[1]["updated"] = gitlab.now + 10 * 365 * 86_400
    source = made(gitlab, intake)
    await source.look()
    gitlab.ran(72, b"<2>", pipeline=2)
    await source.look()
    assert intake.marks == [1, 2]


async def test_what_is_gone_is_entered_as_lost_and_not_asked_for_again(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.ran(71, None)
    gitlab.ran(72, b"", erased=True)
    gitlab.ran(73, b"<3>")
    for _ in range(2):
        await look(gitlab, intake)
    assert sorted(reason for reason, _, _ in intake.lost) == ["erased", "expired"]
    assert (intake.marks, gitlab.logs()) == ([3], [73, 71])


async def test_a_job_that_was_cancelled_may_write_for_a_moment(gitlab: FakeGitLab) -> None:
    intake = Intake()
    source = made(gitlab, intake)
    job = gitlab.ran(71, b"<1>", status="canceled")
    await source.look()
    assert gitlab.logs() == []
    assert job.ended is not None
    job.ended -= 90
    await source.look()
    assert intake.marks == [1]


@pytest.mark.parametrize(
    ("name", "status"), [("429", ""), ("503", ""), ("cut", "the log of"), ("redirect", "HTTP 307"), ("401", "HTTP 401")]
)
async def test_a_log_that_fails_is_read_another_time_and_the_others_are(
    gitlab: FakeGitLab, name: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = Intake()
    one = gitlab.ran(71, b"<1>\n<2>")
    gitlab.ran(70, b"<3>")
    one.faults = [
        Fault(cut=True)
        if name == "cut"
        else Fault(FAULTS[name].status, headers={"Retry-After": "0.01", "Location": "http://127.0.0.1:9/"})
    ]
    source = made(gitlab, intake)
    await source.look()
    assert intake.marks == ([3] if status else [1, 2, 3])
    assert status in intake.problems.get("jobs", "")
    assert ("jobs" in intake.problems) == bool(status)
    await source.look()
    assert (intake.marks, len(intake.found), intake.problems) == ([1, 2, 3], 3, {})
    one.log = b"<1>\n<2>\n<9>"
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    bad = gitlab.ran(72, b"<4>")
    bad.faults = [Fault(403)] * 4
    for _ in range(2):
        await source.look()
        assert (intake.lost, "HTTP 403" in intake.problems["jobs"]) == ([], True)  # none can be read
    gitlab.ran(69, b"<5>")
    await source.look()
    await source.look()
    assert [reason for reason, _, _ in intake.lost] == ["unreadable"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_the_server_says_the_source_goes_on_and_shows_none_of_it(
    gitlab: FakeGitLab, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    intake = Intake()
    gitlab.ran(71, b"<1>")
    source = made(gitlab, intake)
    source._gitlab._client.patience = 0.0
    gitlab.always = FAULTS[fault]
    await source.look()
    said = str(intake.problems) + "".join(capsys.readouterr())
    assert set(intake.problems) == {"jobs"}
    assert TOKEN not in said
    assert "PRIVATE-TOKEN" not in said
    gitlab.always = None
    await source.look()
    assert (intake.marks, intake.problems) == ([1], {})


@pytest.mark.parametrize(
    "rows", [{"x": 1}, [1], [{"id": True}], [{"id": 1}], [{"id": 1, "updated_at": "soon"}], [{"updated_at": 7}]]
)
async def test_answers_that_are_not_as_documented_lose_nothing(gitlab: FakeGitLab, rows: Any) -> None:
    import json

    intake = Intake()
    gitlab.ran(71, b"<1>")
    source = made(gitlab, intake)
    gitlab.faults.extend([None, Fault(200, body=json.dumps(rows))])
    await source.look()
    assert intake.problems or intake.refused
    await source.look()
    assert intake.marks == [1]


async def test_a_next_page_elsewhere_gets_no_token(gitlab: FakeGitLab) -> None:
    intake = Intake()
    link = {"Link": '<http://127.0.0.1:9/api/v4/x>; rel="next"'}
    gitlab.faults.extend([None, Fault(200, body="[]", headers=link)])
    await look(gitlab, intake)
    assert "its next page is on another server" in intake.problems["jobs"]


async def test_a_hook_brings_its_job_at_once(gitlab: FakeGitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "HOOK_PAUSE", 0.01)
    intake = Intake()
    gitlab.projects[9] = "other/x"
    source = made(gitlab, intake, webhook_secret="env:GITLAB_TOKEN")
    async with running(source):
        await until(lambda: ("jobs", None) in intake.told)  # it has looked once
        pipelines = [one.path for one in gitlab.requests if "pipelines" in one.path]
        gitlab.ran(71, b"<1>")
        gitlab.ran(91, b"<2>", pipeline=9, project=9)
        for project, job in ((7, 71), (9, 91), (7, 999)):
            intake.waiting[f"hook:{job}"] = HookDelivery(f"hook:{job}", "ci", "build", str(project), job)
        await until(lambda: not intake.waiting)
        assert intake.marks == [1]
        assert [one.path for one in gitlab.requests if "pipelines" in one.path] == pipelines
        gitlab.ran(72, b"<3>").faults = [Fault(401)]
        gitlab.ran(73, b"<4>", status="canceled")
        for job in (72, 73):
            intake.waiting[f"hook:{job}"] = HookDelivery(f"hook:{job}", "ci", "build", "7", job)
        await until(lambda: len(intake.later) == 2)
        assert intake.later[1] == 60
        assert "HTTP 401" in intake.problems["job 72 of project 7"]
    await look(gitlab, intake)
    assert intake.marks == [1, 3]  # what was cancelled just now is for the next look


async def test_a_hook_that_we_fail_on_holds_up_no_other(gitlab: FakeGitLab) -> None:
    intake = Intake()
    source = made(gitlab, intake)
    for job in (70, 71):
        intake.waiting[f"hook:{job}"] = HookDelivery(f"hook:{job}", "ci", "build", "7", job)
    source._announced = AsyncMock(side_effect=[ValueError("odd"), True])  # type: ignore[method-assign]
    await source._answer_hooks()
    assert intake.problems == {"job 70 of project 7": "internal error: ValueError"}
    assert (intake.waiting, len(intake.later)) == ({}, 1)


@pytest.mark.parametrize("left", range(8))
async def test_killed_at_any_commit_nothing_is_missed_and_nothing_is_there_twice(gitlab: FakeGitLab, left: int) -> None:
    class Mortal(Queue, MortalIntake):
        def __init__(self) -> None:
            MortalIntake.__init__(self, 0.0)
            Queue.__init__(self)

    intake = Mortal()
    intake.left = left
    for job in range(1, 6):
        gitlab.ran(job, b"<%d>\n<%d>" % (job, job + 100), pipeline=job % 2 + 1)
    task = asyncio.create_task(made(gitlab, intake).look())
    await until(lambda: intake.dead.is_set() or task.done())
    task.cancel()
    await asyncio.wait([task])
    intake.revive()
    await look(gitlab, intake)
    await until(lambda: len([key for key in intake.saved if key.startswith("job:")]) == 5)
    assert intake.marks == sorted([*range(1, 6), *range(101, 106)])
    assert len(intake.found) == 10


async def test_what_no_look_asks_for_any_more_is_forgotten(gitlab: FakeGitLab) -> None:
    intake = Intake()
    gitlab.projects[8] = "acme/idle"
    gitlab.ran(71, b"<1>").ended = gitlab.now - 20 * 86_400
    gitlab.ran(72, b"<2>")
    source = made(gitlab, intake, group="acme")
    await source.look()
    assert sorted(key for key in intake.saved if key.startswith("job:")) == ["job:7/72"]
    gitlab.ran(73, b"<3>")
    await source.look()
    assert (intake.marks, gitlab.logs().count(71)) == ([1, 2, 3], 1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"project": ()}, "give at least one of group and project"),
        ({"project": "a b"}, "project"),
        ({"base_url": "http://gitlab.example.org"}, "unencrypted"),
        ({"base_url": "https://user@gitlab.example.org"}, "base_url"),
        ({"token": "glpat"}, "token"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], says: str) -> None:
    whole = {"name": "ci", "type": "gitlab-ci", "token": "env:T", "project": "acme/web", **settings}
    with pytest.raises(ValidationError, match=says):
        GitLabConfig.model_validate(whole)


def test_which_projects_are_followed() -> None:
    whole = {"name": "ci", "type": "gitlab-ci", "token": "env:T", "project": "a/b", "group": ["acme/x"]}
    config = GitLabConfig.model_validate(whole)
    followed = [
        path for path in ("A/b", "acme/x/y", "Acme/X/y/z", "acme/xy/z", "acme/x", "a/b/c") if config.follows(path)
    ]
    assert followed == ["A/b", "acme/x/y", "Acme/X/y/z"]
    assert config.server == "gitlab.com"
