from __future__ import annotations

import asyncio
import time

from monitor.github.limits import RequestBudget, shared


def quota(remaining: int, reset_in: float, limit: int = 5000) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(time.time() + reset_in)),
        "x-ratelimit-resource": "core",
    }


def test_background_work_leaves_a_tenth_to_others() -> None:
    budget = RequestBudget()
    budget.answered(200, quota(500, 600))
    assert budget.delay() == 0
    assert 590 < budget.delay(background=True) < 610
    budget.answered(200, quota(0, 600))
    assert 590 < budget.delay() < 610


def test_a_reset_in_the_past_or_far_ahead_does_not_stop_work_for_long() -> None:
    budget = RequestBudget()
    budget.answered(200, quota(0, -100))
    assert budget.delay() <= 1.0
    budget.answered(200, quota(0, 10_000_000))
    assert budget.delay() <= 3601


def test_more_than_900_points_a_minute_are_never_asked_for() -> None:
    budget = RequestBudget()
    spent = 0
    while budget.delay() == 0 and spent < 1000:
        budget._points -= 1
        spent += 1
    assert spent + 60 * 10 <= 900 + 10  # the burst, and a minute's refill


def test_refusals_back_off_further_each_time_and_forget_after_success() -> None:
    budget = RequestBudget()
    waits = [budget.refused({}) for _ in range(6)]
    assert 60 <= waits[0] <= 120  # GitHub asks for a minute at least
    assert 120 <= waits[1] <= 240
    assert 450 <= waits[5] <= 900
    budget.answered(200, {})
    assert budget.refused({}) <= 120


def test_a_refusal_of_search_leaves_the_rest_alone() -> None:
    budget = RequestBudget()
    headers = quota(0, 50, 9) | {"x-ratelimit-resource": "code_search"}
    budget.answered(403, headers, resource="code_search")
    budget.refused(headers, resource="code_search")
    assert budget.delay() == 0
    assert budget.delay(resource="code_search") > 40


async def test_no_more_than_eight_requests_are_in_flight() -> None:
    budget = RequestBudget()
    running = most = 0

    async def one() -> None:
        nonlocal running, most
        async with budget.request():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(one() for _ in range(40)))
    assert most == 8


def test_one_budget_a_token_and_server() -> None:
    one = shared("https://api.github.com", "digest")
    assert shared("https://api.github.com", "digest") is one
    assert shared("https://ghe.example.org/api/v3", "digest") is not one
