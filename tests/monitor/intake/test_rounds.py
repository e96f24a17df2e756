from __future__ import annotations

import time

import pytest

from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.github.auth import AuthError
from monitor.intake.rounds import Rounds, later
from tests.fakes.alerts import MemoryIntake


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.mark.parametrize("error", [RemoteError("it said no", retry=True), AuthError("it said no")])
async def test_a_failure_is_reported_and_its_end_too(intake: MemoryIntake, error: Exception) -> None:
    async def fail() -> None:
        raise error

    async def work() -> None:
        pass

    rounds = Rounds("gh", intake, "GitHub", (RemoteError, AuthError))
    assert await rounds.guarded("listing", fail) is error
    assert intake.problems == {"listing": "it said no"}
    assert await rounds.guarded("listing", work) is None
    assert intake.problems == {}


async def test_an_answer_nobody_foresaw_is_counted_and_not_quoted(intake: MemoryIntake) -> None:
    async def fail() -> None:
        raise KeyError("canary")

    await Rounds("gh", intake, "GitHub", (RemoteError, AuthError)).guarded("listing", fail)
    assert intake.problems == {"listing": "internal error: KeyError"}
    assert intake.malformed_counts["answer"] == 1


async def test_a_wait_is_reported_until_it_is_over(intake: MemoryIntake) -> None:
    rounds = Rounds("gh", intake, "GitHub", (RemoteError, AuthError))
    rounds.waiting(0)
    assert intake.problems == {}
    rounds.waiting(61.4)
    assert intake.problems == {"rate limit": "waiting 61 s for GitHub's rate limit"}
    rounds.waiting(0)
    assert intake.problems == {}


async def test_a_delivery_that_fails_waits_and_holds_up_no_other(intake: MemoryIntake) -> None:
    async def work(delivery: HookDelivery) -> None:
        if delivery.number == 1:
            raise ValueError("odd")

    rounds = Rounds("gh", intake, "GitHub", (RemoteError, AuthError))
    for number in (1, 2):
        delivery = HookDelivery(f"hook:{number}", "gh", "build", "a/b", number, attempts=1)
        intake.queue[delivery.id] = delivery
        await rounds.deal("hooks", delivery, work)
    assert [one.attempts for one in intake.queue.values()] == [2, 1]
    assert 290 < intake.queue["hook:1"].due - time.time() <= 600


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 300), (1, 600), (5, 9600), (8, 76_800), (9, 86_400), (500, 86_400)]
)
def test_what_fails_is_tried_ever_later(attempts: int, seconds: float) -> None:
    assert seconds / 2 <= later(attempts) <= seconds
