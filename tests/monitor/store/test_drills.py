from __future__ import annotations

from monitor import runbook
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from monitor.store.drills import Drilled, DrillRow
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
            marked |= {one.fingerprint: one.fingerprint in leased.joined.drills for one in leased.incidents}
            await store.outbox.sent(leased.id, None)
        assert marked == {fingerprint("quiet"): True, fingerprint("loud"): True, fingerprint("real"): False}

        clock.now = NOW + 5000
        await store.runs.sweep()
        late = {(one.sink, one.incidents[0]) for one in await store.outbox.list() if one.reason == "overdue"}
        assert ("pager", fingerprint("quiet")[:16]) not in late
        assert ("pager", fingerprint("loud")[:16]) in late
        assert ("chat", fingerprint("quiet")[:16]) in late


async def test_the_last_drill_says_how_far_it_went(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        assert await store.drills.last() is None
        await store.drills.plan([fingerprint("first")], pages=False)
        await store.commit([finding("first")])
        await store.incidents.transition(fingerprint("first"), "ack", actor="a")
        await store.incidents.transition(fingerprint("first"), "resolve", actor="a", resolution="used_in_tests")
        assert await store.drills.last() == Drilled(fingerprint("first"), NOW, True, True, True)
        stats = await store.stats()
        assert (stats.drill_hops, stats.drilled) == (3, NOW)
        clock.now = NOW + 10
        await store.drills.plan([fingerprint("second"), fingerprint("as others see it")], pages=False)
        last = await store.drills.last()
        assert last is not None
        assert (last.at, last.found, last.acknowledged, last.resolved) == (NOW + 10, False, False, False)
        await store.commit([finding("second")])
        assert await store.drills.last() == Drilled(fingerprint("second"), NOW + 10, True, False, False)
        stats = await store.stats()
        assert (stats.drill_hops, stats.drilled) == (1, NOW)
        assert await store.drills.among([fingerprint("second"), fingerprint("else")]) == {fingerprint("second")}


async def test_all_of_them_with_how_far_each_went(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.drills.plan([fingerprint("first"), fingerprint("twin")], pages=False)
        clock.now = NOW + 60
        await store.drills.plan([fingerprint("second")], pages=False)
        await store.commit([finding("twin")])
        id_ = fingerprint("twin")[:16]
        await store.incidents.transition(id_, "ack", actor="ada")
        assert await store.drills.all() == [
            DrillRow(NOW + 60, "", False, False),
            DrillRow(NOW, id_, True, False),
        ]
