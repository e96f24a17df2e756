from __future__ import annotations

import pytest

from monitor.common.notification import State
from monitor.runbook.progress import reminder_due, reminds

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("many", "waiting", "made", "due"),
    [
        (False, None, NOW, NOW),
        (True, None, NOW, NOW + 5),
        (True, NOW, NOW - 3, NOW + 2),
        (True, NOW + 40, NOW - 20, NOW + 40),
        (False, NOW + 40, NOW - 1, NOW + 40),
    ],
)
def test_of_one_thing_at_once_and_of_many_together(many: bool, waiting: float | None, made: float, due: float) -> None:
    assert reminder_due(many, waiting, made, NOW) == due


@pytest.mark.parametrize(
    ("state", "named", "told"),
    [
        ("open", False, True),
        ("open", True, True),
        ("acknowledged", False, False),
        ("acknowledged", True, True),
        ("resolved", False, False),
        ("resolved", True, False),
    ],
)
def test_who_knows_of_it_is_reminded_until_somebody_has_taken_it(state: State, named: bool, told: bool) -> None:
    assert reminds(state, named=named) is told
