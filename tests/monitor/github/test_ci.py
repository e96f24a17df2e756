"""Logs of jobs against a GitHub that checks what it is asked, and a storage that takes no log-in of ours."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.github.ci import ActionsLogsConfig, GitHubActionsSource
from monitor.intake import rounds
from monitor.sources import joblog
from tests.fakes.github_actions import ActionsIntake, FakeActions
from tests.fakes.intake import running, until
from tests.fakes.peer import Way

DAY = 86_400.0
BASE = {"name": "ci", "type": "github-actions", "org": "acme", "token": "env:FAKE_GITHUB_TOKEN"}


@asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    async with FakeActions() as actions:

        async def feed(lines: Sequence[str]) -> None:
            run = actions.add_run("acme/web", name=lines[0])
            log = "".join(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.0000000Z} {line}\n" for line in lines)
            actions.add_job(run, f"\ufeff{log}", name=lines[-1], steps=[(lines[-1], run.created)])

        keys = {"org": "acme", "token": "env:ACTIONS_TOKEN", "base_url": actions.url}
        more = {"start_at": "beginning", "interval": "1s"}
        yield Way(keys | more, feed, {"ACTIONS_TOKEN": actions.token})
        assert actions.violations == []


@pytest.fixture
def intake() -> ActionsIntake:
    return ActionsIntake()


def make(actions: FakeActions, intake: ActionsIntake, **more: Any) -> GitHubActionsSource:
    if not more.keys() & {"start_at", "since"}:
        more["start_at"] = "beginning"
    config = ActionsLogsConfig.model_validate(BASE | {"base_url": actions.url} | more)
    source = GitHubActionsSource(config, intake, b"k" * 32)
    source.client.first_retry = 0.001
    return source


async def once(actions: FakeActions, intake: ActionsIntake, **more: Any) -> None:
    await make(actions, intake, **more).run(once=True)
    await intake.record((), ())
    await until(lambda: not intake._waiting)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"org": ()}, "give at least one of org and repo"),
        ({"token": None}, "give one of token and app"),
        ({"since": "30d", "start_at": "end"}, "give one of since and start_at"),
        ({"start_at": "now"}, "'end' or 'beginning'"),
        ({"since": "0s"}, "greater than 0"),
        ({"base_url": "http://ghe.example.org/api/v3"}, "insecure = true"),
        ({"enterprise": "big"}, "Extra inputs"),
    ],
)
def test_mistakes_in_the_configuration_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ActionsLogsConfig.model_validate(BASE | changes)
    assert message in str(caught.value)


async def test_each_log_is_read_once_and_says_where_it_is(actions: FakeActions, intake: ActionsIntake) -> None:
    run = actions.add_run()
    actions.add_job(run, "<1>")
    actions.add_job(run, "<2>", name="test / unit")
    actions.add_job(run, b"", conclusion="skipped", runner=0)
    actions.add_job(actions.add_run("acme/api"), "<3>")
    actions.add_job(actions.add_run("other/x"), "<4>")
    for _ in range(2):
        await once(actions, intake)
    assert intake.marks == [1, 2, 3]
    assert {seen.path for seen in intake.found.values()} == {
        "acme/web:actions/CI/build", "acme/web:actions/CI/test / unit", "acme/api:actions/CI/build"
    }  # fmt: skip
    assert {key for key, _, _ in intake.found} == {
        f"127.0.0.1/{name}" for name in ("acme/web/1000/1/1", "acme/web/1000/1/2", "acme/api/1001/1/4")
    }
    assert (sum(actions.read.values()), intake.lost, intake.problems) == (3, [], {})
    other_host = ActionsIntake()
    await once(actions, other_host)
    assert other_host.found.keys() == intake.found.keys()  # on a database that both share they are there once


async def test_what_ended_before_the_first_start_is_passed_over(actions: FakeActions, intake: ActionsIntake) -> None:
    run = actions.add_run(age=100, status="in_progress")
    actions.add_job(run, "<1>", age=50)
    going_on = actions.add_job(run, "<2>", age=None)
    await once(actions, intake, start_at="end")
    assert intake.marks == []
    actions.skew = 3.0  # times of jobs are whole seconds
    actions.end(going_on)
    actions.add_job(actions.add_run("acme/new"), "<3>")
    intake.saved["repositories"] = {"at": 0.0}  # a while later, when repositories are looked for again
    await once(actions, intake, start_at="end")
    assert intake.marks == [2, 3]
    intake = ActionsIntake()
    await once(actions, intake, since="40s")
    assert intake.marks == [2, 3]


async def test_one_that_is_renamed_is_read_from_the_last_look_on(actions: FakeActions, intake: ActionsIntake) -> None:
    run = actions.add_run("acme/old", age=9000)
    await once(actions, intake, start_at="end")
    looked = intake.saved["repository:acme/old"]
    at = looked["mark"] - 3000
    intake.saved["repository:acme/old"] = {**looked, "since": at, "mark": at, "swept": at}
    intake.saved["repositories"] = {"at": looked["mark"] - 700}
    actions.repos["acme/renamed"] = actions.repos.pop("acme/old")
    run.repo = "acme/renamed"
    actions.add_job(run, "<1>", age=2000)
    run.updated = actions.now() - 2000
    await once(actions, intake, start_at="end")
    assert intake.marks == [1]


async def test_a_first_start_goes_by_githubs_clock(actions: FakeActions, intake: ActionsIntake) -> None:
    actions.skew = -3600.0
    await once(actions, intake, start_at="end", org=(), repo="Acme/Web")
    actions.skew += 3.0
    actions.add_job(actions.add_run(), "<1>")
    await once(actions, intake, start_at="end", org=(), repo="Acme/Web")
    assert intake.marks == [1]


async def test_a_run_that_goes_on_is_remembered_however_many_come_after(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    run = actions.add_run(age=3000, status="in_progress")
    actions.add_job(run, "<1>", age=2000)
    await once(actions, intake)
    for number in range(120):
        actions.add_job(actions.add_run(age=900 - number), "", conclusion="skipped")
    await once(actions, intake)
    actions.add_job(run, "<2>")
    await once(actions, intake)
    actions.add_job(run, "<3>")
    actions.over(run)
    await once(actions, intake)
    assert intake.marks == [1, 2, 3]
    [row] = [state for key, state in intake.saved.items() if key == "repository:acme/web"]
    assert row["open"] == []


async def test_what_is_run_again_is_found_within_a_day(actions: FakeActions, intake: ActionsIntake) -> None:
    old = actions.add_run(age=20 * DAY)
    actions.add_job(old, "<1>", age=20 * DAY)
    for number in range(130):
        actions.add_run(age=2 * DAY + number)
    await once(actions, intake)
    actions.again(old)
    actions.add_job(old, "<2>")
    actions.over(old)
    await once(actions, intake)
    assert intake.marks == [1]
    row = dict(intake.saved["repository:acme/web"])
    intake.saved["repository:acme/web"] = row | {"swept": row["swept"] - DAY - 60, "since": 0.0}
    await once(actions, intake)
    assert intake.marks == [1, 2]
    assert actions.read == {1: 1, 2: 1}
    assert sorted(key for key in intake.saved if key.startswith("job:")) == ["job:acme/web/1000/2/2"]


async def test_runs_that_come_and_go_while_pages_are_read_hide_no_other(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    for number in range(220):
        run = actions.add_run(age=1000 + number // 2)
        if number % 10 == 0:
            actions.add_job(run, f"<{number}>")
    empty = [run.id for run in actions.runs.values() if run.id % 10]

    def moved(listing: int) -> None:
        for number in empty[:15]:
            del actions.runs[number]
        del empty[:15]
        for _ in range(5):
            actions.add_run(id=9000 + len(actions.runs))

    actions.on_runs = moved
    await once(actions, intake)
    assert intake.marks == list(range(0, 220, 10))


async def test_a_search_of_githubs_has_an_end_and_the_walk_does_not(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    actions.most_found = 120
    for number in range(240):
        actions.add_run(age=1000 + number // 110)  # more than a page in one second
    actions.add_job(actions.add_run(age=2000), "<1>")
    await once(actions, intake)
    assert intake.marks == [1]


async def test_a_hook_is_enough_and_a_missed_one_loses_nothing(actions: FakeActions, intake: ActionsIntake) -> None:
    source = make(actions, intake, interval="1h", start_at="end", webhook_secret="env:HOOK_SECRET")
    async with running(source):
        await until(lambda: "repository:acme/web" in intake.saved or actions.listings or not actions.repos)
        run = actions.add_run(status="in_progress")
        job = actions.add_job(run, "<1>")
        intake.announce(job)
        intake.announce(job)
        await until(lambda: len(intake.handled) == 2)
    assert (intake.marks, actions.read) == ([1], {1: 1})
    actions.skew = 3.0
    actions.add_job(run, "<2>")
    intake.saved["repositories"] = {"at": 0.0}
    await once(actions, intake, start_at="end")
    assert (intake.marks, actions.read) == ([1, 2], {1: 1, 2: 1})


async def test_an_unchanged_repository_costs_nothing_of_the_quota(actions: FakeActions, intake: ActionsIntake) -> None:
    for number in range(20):
        actions.add_job(actions.add_run(f"acme/r{number}", age=100), f"<{number}>")
    source = make(actions, intake)
    await source._restore()
    await source._list()
    for _ in range(2):
        for one in source._watched.values():
            await one.look(source._now())
    before = actions.remaining
    for one in source._watched.values():
        await one.look(source._now())
    assert (actions.remaining, actions.not_modified) == (before, 40)
    for one in source._watched.values():
        await source._turn(one)
        await source._turn(one)  # and one that runs nothing is not asked each time
    assert actions.not_modified == 60
    await source._storage.close()
    await source.client.close()
    assert intake.marks == list(range(20))


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {"Retry-After": "0"}),
        (429, {"Retry-After": "0"}),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}),
        (502, {}),
    ],
)
async def test_a_limit_is_waited_for(
    actions: FakeActions, intake: ActionsIntake, status: int, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.github.limits.FIRST_BACKOFF", 0.01)
    actions.add_job(actions.add_run(), "<1>")
    actions.faults.extend([(status, headers, {"message": "You have exceeded a secondary rate limit."})])
    source = make(actions, intake)
    (await source.client.budget()).backoff = 0.01
    await source.run(once=True)
    assert (intake.marks, intake.problems) == ([1], {})


# --- what becomes of a log


async def test_answers_that_make_no_sense_are_counted_and_end_nothing(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    run = actions.add_run()
    actions.add_job(run, "<1>")
    odd = [None, 7, {}, {"id": True, "created_at": "x"}, {"id": -1, "created_at": "2026-01-01T00:00:00Z"}]

    def mangle(kind: str, body: Any) -> Any:
        if kind == "runs":
            body["workflow_runs"] = [*odd, *body["workflow_runs"]]
        if kind == "jobs":
            body["jobs"] = [*odd[:2], {"status": "completed"}, *body["jobs"]]
        return body

    actions.mangle = mangle
    await once(actions, intake)
    assert intake.marks == [1]
    assert intake.refused == {"workflow_runs": 5, "jobs": 3}
    actions.mangle = lambda kind, body: [] if kind == "runs" else body
    await once(actions, intake)
    assert "no list of workflow_runs" in intake.problems["acme/web"]


# --- kills


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_any_moment_nothing_is_missed_and_nothing_is_there_twice(
    actions: FakeActions, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblog, "BLOCK", 512)
    monkeypatch.setattr(rounds, "WORK_PAUSE", 0.01)
    rng, intake = random.Random(seed), ActionsIntake()
    actions.chunk, marks = 300, 0
    jobs = []
    for number in range(6):
        run = actions.add_run(f"acme/r{number % 3}", age=100 + number)
        for _ in range(rng.randrange(1, 4)):
            count = rng.choice([0, 1, 40, 120])
            text = "".join(f"2026-11-30T16:00:00.0Z <{marks + one}> {'x' * 20}\n" for one in range(count))
            marks += count
            jobs.append((actions.add_job(run, text), run.repo))
    for job, repo in rng.sample(jobs, 3):
        intake.announce(job, repo)
    for _ in range(5):
        intake.left = rng.randrange(12)
        source = make(actions, intake, interval="1s")
        actions.faults_of_storage.extend(rng.choice([[], ["short"], [503]]))
        task = asyncio.create_task(source.run(once=False))
        await until(
            lambda task=task: intake.hurry() or intake.dead.is_set() or len(intake.marks) == marks or task.done()
        )  # type: ignore[misc]
        task.cancel()
        await asyncio.wait([task])
        intake.revive()
        intake.hurry()
    actions.faults_of_storage.clear()
    for _ in range(2):
        intake.hurry()
        await once(actions, intake)
    assert intake.marks == list(range(marks))
    assert len(intake.found) == marks
    assert intake.lost == []
