from __future__ import annotations

from typing import get_args

import pytest

from monitor.common.notification import Reason
from monitor.routing.budget import ALARMS, PACED, PAUSE, Waiting, next_of, opens, shares

NOW = 1_800_000_000.0
TOGETHER = set(PACED)
CLOSING = {"acknowledged", "resolved"}


@pytest.mark.parametrize("reason", get_args(Reason))
def test_what_is_told_of_many_shares_and_an_alarm_of_its_own_does_not(reason: Reason) -> None:
    for key in ("fold:ab", "digest:ab", "bundle:ab"):
        assert shares(reason, key, pager=False) is (reason in TOGETHER)
        assert shares(reason, key, pager=True) is (reason in TOGETHER - CLOSING), "what closes a page waits for nothing"
    for key in ("incident:ab", "group:ab"):
        assert shares(reason, key, pager=False) is (reason in {"digest", "overdue", "repeat"})
    assert not shares(reason, "fold:ab", pager=False) or reason not in ALARMS


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        ([], NOW),
        ([NOW - PAUSE - 30], NOW - 30),
        ([NOW - 50, NOW - 20], NOW + 40),
        ([NOW], NOW + PAUSE),
        ([NOW + 3600], NOW),  # by a clock that was put back
    ],
)
def test_a_minute_after_the_one_before(sent: list[float], at: float) -> None:
    assert opens(sent, PAUSE, NOW) == at


@pytest.mark.parametrize(
    ("waiting", "last", "first"),
    [
        (["overdue", "digest"], None, "digest"),
        (["overdue", "digest"], "overdue", "digest"),
        (["overdue", "digest"], "digest", "overdue"),
        (["digest"], "digest", "digest"),
        (["repeat", "acknowledged", "overdue"], "digest", "acknowledged"),
        (["repeat", "digest"], "digest", "repeat"),
    ],
)
def test_what_is_new_goes_first_and_holds_up_nothing_for_ever(
    waiting: list[Reason], last: Reason | None, first: Reason
) -> None:
    rows = [Waiting(str(number), reason, NOW + number) for number, reason in enumerate(waiting)]
    assert next_of(rows, last).reason == first
