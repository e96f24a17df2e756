"""Logs of jobs that cannot be read for now, are gone, or lead astray: none holds up another or is given up too soon."""

from __future__ import annotations

import time
from unittest.mock import AsyncMock

import pytest

from monitor.github import ci
from monitor.sources import joblog
from monitor.store import StoreError
from tests.fakes.github_actions import ActionsIntake, FakeActions
from tests.monitor.github.test_ci import make, once


@pytest.fixture
def intake() -> ActionsIntake:
    return ActionsIntake()


@pytest.mark.parametrize(
    "faults", [[403], [404, 403], [503], ["short"], ["loop"] * 9], ids=lambda faults: str(faults[0])
)
async def test_a_log_that_cannot_be_read_holds_up_no_other_and_is_read_later(
    actions: FakeActions, intake: ActionsIntake, faults: list[int | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblog, "BLOCK", 64)
    run = actions.add_run()
    text = "".join(f"<{number}>\n" for number in range(200))
    actions.add_job(run, text)
    actions.add_job(run, "<900>")
    actions.faults_of_storage.extend(faults)
    await once(actions, intake)
    assert 900 in intake.marks or faults[0] == "loop"
    actions.faults_of_storage.clear()
    intake.hurry()
    await once(actions, intake)
    assert intake.marks == [*range(200), 900]
    assert (len(intake.found), intake.lost, actions.read[1]) == (201, [], 1)


async def test_an_address_is_good_for_a_minute_and_another_is_asked_for(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    actions.add_job(actions.add_run(), "<1>")
    late = iter([100.0, 300.0])

    def location(address: str) -> str:
        actions.clock = next(late, actions.clock)
        return address

    actions.location = location
    await once(actions, intake)
    assert (intake.marks, intake.queue) == ([1], {})
    assert sum(path.endswith("/logs") for _, path, _ in actions.requests) == 3


async def test_a_log_that_is_gone_is_entered_and_asked_for_no_more(actions: FakeActions, intake: ActionsIntake) -> None:
    run = actions.add_run(age=5000)
    expired, deleted = actions.add_job(run, "<1>", age=4000), actions.add_job(run, None, name="test", age=4000)
    fresh = actions.add_job(run, None, name="late")
    actions.add_job(run, None, name="never ran", conclusion="cancelled", runner=0)
    actions.expired.add(expired.id)
    for _ in range(2):
        await once(actions, intake)
    assert sorted(intake.lost) == [
        ("deleted", 1, "acme/web:actions/CI/test"),
        ("expired", 1, "acme/web:actions/CI/build"),
    ]
    assert not intake.problems
    fresh.log = b"<3>"  # it was on its way
    intake.hurry()
    await once(actions, intake)
    assert (intake.marks, len(intake.lost), deleted.log) == ([3], 2, None)


async def test_a_job_that_is_not_shown_any_more_is_given_up_only_where_its_repository_is(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    run = actions.add_run()
    late, gone = actions.add_job(run, None), actions.add_job(run, None)
    source = make(actions, intake, org=(), repo="acme/web")
    await source.run(once=True)  # their logs are on their way
    actions.hidden |= {"acme/web", "acme/not-ours"}
    intake.announce(actions.add_job(actions.add_run("acme/not-ours")), "acme/not-ours")
    for _ in range(ci.TRIES + 2):
        intake.hurry()
        await source._answer_hooks()
    assert (intake.lost, intake.handled) == ([], {"hook:2"})
    actions.hidden.clear()
    late.log = b"<1>"
    del actions.jobs[gone.id]
    intake.announce(gone)
    for _ in range(3):
        intake.hurry()
        await source._answer_hooks()
    assert (intake.marks, intake.lost, intake.problems) == ([1], [("deleted", 1, "acme/web")], {})
    assert (intake.queue.keys(), source._postponed) == (intake.handled, set())
    await source._storage.close()
    await source.client.close()


async def test_a_log_that_is_not_shown_is_not_given_up_once_its_repository_is_not_either(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    job = actions.add_job(actions.add_run(age=5000), None, age=4000)
    source = make(actions, intake, org=(), repo="acme/web")
    source._listing.shows = AsyncMock(return_value=False)  # type: ignore[method-assign]
    await source.run(once=True)
    assert (intake.lost, "no access" in intake.problems["acme/web"]) == ([], True)
    job.log = b"<1>"
    await once(actions, intake)
    assert (intake.marks, intake.lost) == ([1], [])


async def test_one_that_is_on_its_way_when_its_hook_comes_is_no_trouble(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    job = actions.add_job(actions.add_run(), None)
    intake.announce(job)
    source = make(actions, intake, start_at="end", org=(), repo="acme/other")
    await source._answer_hooks()
    assert (intake.problems, intake.handled, intake.queue["hook:0"].attempts) == ({}, set(), 1)
    assert intake.queue["hook:0"].due < time.time() + ci.SOON + 1
    job.log = b"<1>"
    intake.hurry()
    await source._answer_hooks()
    assert (intake.marks, intake.handled) == ([1], {"hook:0"})
    await source._storage.close()
    await source.client.close()


async def test_what_could_not_be_put_off_is_read_at_the_next_look(actions: FakeActions, intake: ActionsIntake) -> None:
    actions.add_job(actions.add_run(), "<1>")
    actions.faults_of_storage.append(503)
    source = make(actions, intake)
    stored, intake.record_alerts = intake.record_alerts, AsyncMock(side_effect=StoreError("full"))  # type: ignore[method-assign]
    await source._restore()
    await source._list()
    for one in source._watched.values():
        await source._turn(one)
    assert "StoreError" in intake.problems["acme/web"]
    intake.record_alerts = stored  # type: ignore[method-assign]
    for one in source._watched.values():
        await source._turn(one)
    assert (intake.marks, intake.problems, intake.queue) == ([1], {}, {})
    await source._storage.close()
    await source.client.close()


async def test_one_that_never_can_be_read_is_given_up_after_a_day_while_others_can(
    actions: FakeActions, intake: ActionsIntake
) -> None:
    actions.add_job(actions.add_run(), "<1>")
    actions.faults_of_storage.extend([503] * 99)
    source = make(actions, intake)
    await source.run(once=True)
    for _ in range(ci.TRIES + 2):
        intake.hurry()
        await source._answer_hooks()
    assert intake.lost == []  # none can be read: that is not about this one
    actions.faults_of_storage.clear()
    intake.announce(actions.add_job(actions.add_run("acme/web"), "<2>"))
    await source._answer_hooks()
    actions.faults_of_storage.append(503)
    intake.hurry()
    await source._answer_hooks()
    assert intake.marks == [2]
    assert intake.lost == [("unreadable", 1, "acme/web:actions/CI/build")]
    assert intake.queue.keys() == intake.handled
    await source._storage.close()
    await source.client.close()


async def test_without_the_right_nothing_is_given_up(actions: FakeActions, intake: ActionsIntake) -> None:
    actions.add_job(actions.add_run(), "<1>")

    def refuse(number: int) -> None:
        actions.token = "another"

    actions.on_runs = refuse
    await once(actions, intake)
    assert "the token was refused" in intake.problems["acme/web"]
    assert (intake.lost, intake.queue) == ([], {})
    actions.on_runs, actions.token = None, FakeActions.token
    await once(actions, intake)
    assert intake.marks == [1]


@pytest.mark.parametrize(
    "where",
    [
        "http://169.254.169.254/latest",
        "http://0.0.0.0/log",
        "ftp://127.0.0.1/log",
        "http://user:pw@127.0.0.1/log",
        "//",
        "http://[::1/",
    ],
)
async def test_an_address_that_leads_astray_is_not_asked(
    actions: FakeActions, intake: ActionsIntake, where: str
) -> None:
    actions.add_job(actions.add_run(), "<1>")
    actions.location = lambda address: where
    await once(actions, intake)
    assert (intake.marks, len(intake.queue), intake.lost) == ([], 1, [])


async def test_a_body_without_an_end_is_cut(
    actions: FakeActions, intake: ActionsIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblog, "LARGEST", 1 << 20)
    run = actions.add_run()
    actions.add_job(run, "x")
    actions.add_job(run, "<2>")
    actions.faults_of_storage.append("endless")
    await once(actions, intake)
    assert (intake.marks, intake.lost) == ([2], [("too_large", 0, "acme/web:actions/CI/build")])
    assert intake.scanned < 3 << 20
