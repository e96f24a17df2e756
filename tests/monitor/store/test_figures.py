from __future__ import annotations

import pytest

from monitor import runbook
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.figures import Took, took
from tests.monitor.store.helpers import Clock, finding, fingerprint

DAY = 86_400.0


def test_half_and_nine_of_ten_within_a_window() -> None:
    rows = [(100 * DAY - number * DAY, 60.0 * number) for number in range(1, 21)]
    found = took(rows, 100 * DAY)
    assert found[7] == Took(7, 240.0, 420.0)
    assert found[30] == found[90] == Took(20, 600.0, 1080.0)
    assert took([(0.0, 5.0)], 100 * DAY) == {7: None, 30: None, 90: None}
    assert took([(99 * DAY, -5.0)], 100 * DAY)[7] == Took(1, 0.0, 0.0), "another clock may be ahead"


async def act(store: Store, name: str, *actions: str, resolution: str | None = None) -> None:
    for action in actions:
        how = {"resolution": resolution} if action == "resolve" else {}
        await store.incidents.transition(fingerprint(name), action, actor="ada", **how)  # type: ignore[arg-type]


async def test_what_is_open_late_and_how_long_answers_took(store: Store, clock: Clock) -> None:
    assert not (await store.figures.all()).standing
    store.procedure = Procedure("high", book=runbook.load)
    began = clock.now
    names = "abcde"
    await store.commit([finding(name, number, time=began, runbook="github-token") for number, name in enumerate(names)])
    clock.now += 600
    await act(store, "a", "ack")
    await act(store, "b", "ack")
    clock.now += 3000
    await act(store, "a", "resolve", resolution="revoked")
    await act(store, "c", "resolve", resolution="false_positive")
    clock.now = began + 7200

    found = await store.figures.all()
    severity = (await store.incidents.find())[0].severity
    assert found.standing == {(severity, "open"): 2, (severity, "acknowledged"): 1}
    assert [when for *_, when in found.unacknowledged] == [began, began]
    assert found.late_steps > len({(step.incident, step.step) for step in found.late}) == 10
    assert {step.incident for step in found.late} <= {
        one.id for one in await store.incidents.find(states=["open", "acknowledged"])
    }
    assert all(step.deadline < clock.now for step in found.late)
    assert found.took["acknowledge"][7] == Took(2, 600.0, 600.0)
    assert found.took["revoke"][7] == Took(1, 3600.0, 3600.0)
    assert found.took["close"][90] == Took(2, 3600.0, 3600.0)
    # One was revoked after an hour, one was none; three are exposed for two hours so far.
    assert found.exposed == pytest.approx({7: 7.0, 30: 7.0, 90: 7.0})

    clock.now = began + 8 * DAY
    later = await store.figures.all()
    assert later.took["acknowledge"] == {7: None, 30: Took(2, 600.0, 600.0), 90: Took(2, 600.0, 600.0)}
    assert later.exposed[7] == pytest.approx(3 * 7 * 24), "what was before the window does not count in it"


async def test_drills_are_none_of_it(store: Store, clock: Clock) -> None:
    await store.drills.plan([fingerprint("a")], pages=False)
    await store.commit([finding("a"), finding("b", 1)])
    assert sum((await store.figures.all()).standing.values()) == 1
