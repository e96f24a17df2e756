from __future__ import annotations

from monitor import runbook
from monitor.routing import Policy
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from tests.monitor.store.helpers import NOW, Clock, finding, fingerprint, lease

POLICY = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}))


async def sinks(store: Store, secret: str) -> set[str]:
    return {one.sink for one in await store.outbox.list(about=fingerprint(secret)[:16])}


async def test_a_drill_is_marked_and_wakes_nobody_unless_asked(url: str, clock: Clock) -> None:
    procedure = Procedure("high", (Rung(), Rung(1.0, ("pager",))), runbook.load)
    async with await Store.open(url, POLICY, clock=clock, procedure=procedure) as store:
        await store.drills.plan([fingerprint("quiet")], pages=False)
        await store.drills.plan([fingerprint("loud")], pages=True)
        forged = {"labels": {"drill": "true"}}
        await store.commit([finding("quiet"), finding("loud", 1), finding("real", 2, **forged)])
        assert await sinks(store, "quiet") == {"chat"}
        assert await sinks(store, "loud") == {"chat", "pager"}
        assert await sinks(store, "real") == {"chat", "pager"}, "a label of the log makes no drill"
        assert (await store.incidents.get(fingerprint("quiet"))).labels["drill"] == "true"
        marked = {}
        while leased := await lease(store, "chat"):
            marked |= {one.fingerprint: one.fingerprint in leased.drills for one in leased.incidents}
            await store.outbox.sent(leased.id, None)
        assert marked == {fingerprint("quiet"): True, fingerprint("loud"): True, fingerprint("real"): False}

        clock.now = NOW + 5000
        await store.runs.sweep()
        late = {(one.sink, one.incidents[0]) for one in await store.outbox.list() if one.reason == "overdue"}
        assert ("pager", fingerprint("quiet")[:16]) not in late
        assert ("pager", fingerprint("loud")[:16]) in late
        assert ("chat", fingerprint("quiet")[:16]) in late
