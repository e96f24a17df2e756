from __future__ import annotations

from monitor.store import Store
from tests.monitor.store.helpers import Clock, finding, fingerprint

A, B = (fingerprint(name)[:16] for name in "ab")


async def test_alerts_and_what_changed_since_stay_where_they_belong(url: str, clock: Clock) -> None:
    async with await Store.open(url, clock=clock) as store:
        await store.commit([finding("a", 1, severity="low"), finding("b", 2, severity="high")])
        await store.merges.merge(A, [B], actor="ada")
        await store.incidents.assign(A, "carol", actor="ada")
        await store.commit([finding("a", 3, severity="critical")])  # by itself
        await store.incidents.transition(B, "reopen", actor="bob")
        stays, back = [await store.incidents.get(one) for one in (A, B)]
        assert (stays.severity, stays.owner, stays.occurrences) == ("critical", "carol", 2)
        assert (back.severity, back.owner, back.occurrences) == ("high", None, 1)
        assert (await store.trail.verify()).problems == ()


async def test_more_places_than_are_kept_make_no_incident_without_sightings(url: str, clock: Clock) -> None:
    async with await Store.open(url, clock=clock) as store:
        await store.commit([finding("a", 0), finding("b", 1)])
        await store.merges.merge(A, [B], actor="ada")
        for start in range(2, 602, 100):
            await store.commit([finding("b", n) for n in range(start, start + 100)])
        await store.incidents.transition(B, "reopen", actor="bob")
        stays, back = [await store.incidents.get(one) for one in (A, B)]
        assert stays.occurrences >= 1
        assert back.occurrences > 100
        assert (await store.trail.verify()).problems == ()
