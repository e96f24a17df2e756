from __future__ import annotations

import pytest

from monitor.common.notification import State
from monitor.runbook.reminding import PAUSE, Reminder, reminds, when

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("many", "waiting", "last", "made", "reminder"),
    [
        (False, None, None, NOW, Reminder("alone", NOW)),
        (True, None, None, NOW, Reminder("gathers", NOW + 5)),
        (True, NOW, None, NOW - 3, Reminder("joins", NOW + 2)),
        (True, NOW + 40, None, NOW - 20, Reminder("joins", NOW + 40)),
        (False, None, NOW - 20, NOW, Reminder("paused", NOW + 40)),
        (True, NOW + 40, NOW - 20, NOW - 1, Reminder("joins", NOW + 40)),
        (False, None, NOW - PAUSE, NOW, Reminder("alone", NOW)),
        (False, None, NOW + 1, NOW, Reminder("alone", NOW)),  # by a clock that was put back
    ],
)
def test_a_sink_is_reminded_once_a_minute_and_of_one_thing_at_once(
    many: bool, waiting: float | None, last: float | None, made: float, reminder: Reminder
) -> None:
    assert when(many, waiting, last, made, NOW) == reminder


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
