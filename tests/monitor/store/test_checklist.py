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
    every = (await store.checklist.page())[1]
    assert {step.incident for step in every} == {one, fingerprint("b")[:16]}
    assert [step.step for step in every if step.incident == one][:3] == ["revoke", "replace", "deploy"], "as they stand"
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
    await store.runs.act(first[0].incident, first[0].step, "done", actor="ada", note="the issuer refuses it")
    assert (await store.checklist.page())[0] == total - 1
    for wrong in ("x", "1_2", "1_a_z"):
        with pytest.raises(ValueError, match="no place"):
            await store.checklist.page(after=wrong)
    assert (await store.checklist.page(after=f"9e99_a_{2**70}"))[1] == []
