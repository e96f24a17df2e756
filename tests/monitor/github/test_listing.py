from __future__ import annotations

import pytest

from monitor.clients.storage import StorageError
from monitor.common.http import RemoteError
from monitor.github.listing import FRESH, Look, RunListing
from tests.fakes.github_actions import FakeActions

REPO = "acme/web"


async def test_jobs_of_all_attempts_and_all_pages(actions: FakeActions, listing: RunListing) -> None:
    run = actions.add_run()
    for _ in range(130):
        actions.add_job(run)
    actions.again(run)
    actions.add_job(run)
    actions.add_job(run, age=None)
    of = await listing.run(REPO, run.id)
    assert of is not None
    jobs, goes_on = await Look(listing, REPO).jobs(of)
    assert (len(jobs), goes_on) == (131, True)


async def test_a_look_that_was_not_settled_is_answered_again(actions: FakeActions, listing: RunListing) -> None:
    run = actions.add_run(status="in_progress")
    actions.add_job(run)
    of = await listing.run(REPO, run.id)
    assert of is not None

    async def look(settle: bool) -> tuple[int, int]:
        look = Look(listing, REPO)
        runs = [len(page) async for page in look.runs(0.0, again=True)]
        jobs, _ = await look.jobs(of)
        if settle:
            look.settled()
        return sum(runs), len(jobs)

    assert [await look(settle) for settle in (False, True, True)] == [(1, 1), (1, 1), (0, 0)]
    actions.add_job(run)
    assert await look(True) == (0, 2)


async def test_what_is_gone_is_none_and_what_goes_on_is_for_later(actions: FakeActions, listing: RunListing) -> None:
    job = actions.add_job(actions.add_run(), age=None)
    assert await listing.run(REPO, 99) is None
    assert await listing.shows(REPO)
    actions.hidden.add(REPO)
    assert not await listing.shows(REPO)
    actions.hidden.clear()
    with pytest.raises(RemoteError, match="has not ended yet") as caught:
        await listing.job(REPO, job.id)
    assert caught.value.retry


async def test_addresses_are_asked_for_a_few_times_and_errors_say_what_to_do(
    actions: FakeActions, listing: RunListing
) -> None:
    actions.add_job(actions.add_run(), "<1>")
    ended = await listing.job(REPO, 1)
    assert ended is not None
    actions.faults_of_storage.extend([403] * FRESH)
    with pytest.raises(StorageError) as caught:
        async with listing.log(ended):
            raise AssertionError
    assert caught.value.status == 403
    assert sum(path.endswith("/logs") for _, path, _ in actions.requests) == FRESH
    for status, said in ((403, "the Actions permission, to read"), (410, "its retention is over")):
        actions.faults.append((status, {}, {"message": "no"}))
        with pytest.raises(RemoteError, match=said):
            async with listing.log(ended):
                raise AssertionError
