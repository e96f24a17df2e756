from __future__ import annotations

from monitor import runbook
from monitor.runbook.progress import Procedure
from monitor.store import Store
from tests.monitor.store.helpers import finding, fingerprint


async def test_who_decided_the_run_and_whether_it_is_a_drill(store: Store) -> None:
    store.procedure = Procedure("info", book=runbook.load)
    await store.drills.plan([fingerprint("b")], pages=False)
    await store.commit([finding("a", runbook="github-token"), finding("b", 1)])
    await store.incidents.transition(fingerprint("a")[:16], "ack", actor="ada", note="mine")
    one, other = [await store.incidents.get(fingerprint(name)[:16]) for name in "ab"]
    found = await store.incidents.joined([one, other])
    assert found.decided[one.id][:2] == ("ada", "mine")
    assert found.runs[one.id].book == "github-token"
    assert found.drills == {other.fingerprint}
    assert found.actions == {}, "asked for only where people act through it"
    assert (await store.incidents.joined([])).decided == {}
