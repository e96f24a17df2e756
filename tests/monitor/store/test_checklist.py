from __future__ import annotations

import pytest

from monitor import runbook
from monitor.runbook.progress import Procedure
from monitor.store import Store
from tests.monitor.store.helpers import Clock, finding, fingerprint


async def test_what_is_left_of_all_runbooks_the_first_due_first(store: Store, clock: Clock) -> None:
    assert await store.checklist.page() == (0, [])
    store.procedure = Procedure("high", book=runbook.load)
    await store.commit([finding(name, n, time=clock.now, runbook="github-token") for n, name in enumerate("abc")])
    await store.incidents.transition(fingerprint("c"), "resolve", actor="ada", resolution="false_positive")
    one = (await store.incidents.get(fingerprint("a"))).id
    total, first = await store.checklist.page(limit=2)
    assert {step.incident for step in (await store.checklist.page())[1]} == {one, fingerprint("b")[:16]}
    await store.runs.act(first[0].incident, first[0].step, "claim", actor="ada")
    mine = await store.checklist.page(owner="ada")
    assert (mine[0], [(step.step, step.owner) for step in mine[1]]) == (1, [(first[0].step, "ada")])

    seen, after = [], ""
    while True:
        _, listed = await store.checklist.page(limit=2, after=after)
        if not listed:
            break
        seen += listed
        after = listed[-1].place
    assert len({(step.incident, step.step) for step in seen}) == len(seen) == total
    assert [step.deadline for step in seen] == sorted(step.deadline for step in seen)
    await store.runs.act(first[0].incident, first[0].step, "done", actor="ada")
    assert (await store.checklist.page())[0] == total - 1
    for wrong in ("x", "1_2", "x_y_z"):
        with pytest.raises(ValueError, match="no place"):
            await store.checklist.page(after=wrong)
