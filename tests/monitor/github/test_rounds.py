from __future__ import annotations

import pytest

from monitor.common.http import RemoteError
from monitor.github.auth import AuthError
from monitor.github.rounds import Rounds
from tests.fakes.alerts import MemoryIntake


@pytest.mark.parametrize("error", [RemoteError("it said no", retry=True), AuthError("it said no")])
async def test_a_failure_is_reported_and_its_end_too(intake: MemoryIntake, error: Exception) -> None:
    async def fail() -> None:
        raise error

    async def work() -> None:
        pass

    rounds = Rounds("gh", intake)
    assert await rounds.guarded("listing", fail) is error
    assert intake.problems == {"listing": "it said no"}
    assert await rounds.guarded("listing", work) is None
    assert intake.problems == {}


async def test_an_answer_nobody_foresaw_is_counted_and_not_quoted(intake: MemoryIntake) -> None:
    async def fail() -> None:
        raise KeyError("canary")

    await Rounds("gh", intake).guarded("listing", fail)
    assert intake.problems == {"listing": "internal error: KeyError"}
    assert intake.malformed_counts["answer"] == 1


async def test_a_wait_is_reported_until_it_is_over(intake: MemoryIntake) -> None:
    rounds = Rounds("gh", intake)
    rounds.waiting(0)
    assert intake.problems == {}
    rounds.waiting(61.4)
    assert intake.problems == {"rate limit": "waiting 61 s for GitHub's rate limit"}
    rounds.waiting(0)
    assert intake.problems == {}
