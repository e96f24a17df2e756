from __future__ import annotations

from monitor.store import Store
from monitor.store.suppressed import until_text
from monitor.store.suppressions import Wanted
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

A = fingerprint("a")[:16]


def wanted(secret: str, seconds: float = 100.0) -> Wanted:
    return Wanted(fingerprint(secret), "of the sandbox", NOW + seconds)


def test_an_end_beyond_every_date_is_the_last_there_is() -> None:
    assert until_text(NOW) == "2027-01-15T08:00:00Z"
    assert until_text(1e20) == "9999-12-31T23:59:59Z"


async def test_sightings_are_counted_and_tell_nobody(store: Store) -> None:
    await store.suppressions.add([wanted("a")], actor="ada")
    assert await store.commit([finding("a", 1), finding("a", 2, time=NOW + 5), finding("b")]) == 1
    assert await deliver(store) == ["new"]
    assert [one.fingerprint for one in await store.incidents.find()] == [fingerprint("b")]
    [one] = await store.suppressions.list()
    assert (one.seen, one.last_seen, one.latest) == (2, NOW + 5, finding("a", 2, time=NOW + 5))
    assert (await store.stats()).suppressed == 2


async def test_what_was_seen_meanwhile_is_told_when_the_time_is_over(store: Store, clock: Clock) -> None:
    await store.suppressions.add([wanted("a")], actor="ada")
    await store.commit([finding("a", 1)])
    clock.now += 101
    assert await store.suppressions.sweep() is None
    assert await deliver(store) == ["new"]
    assert (await store.incidents.get(A)).locations[0].offset == 1
    assert await store.suppressions.list() == []


async def test_an_incident_closed_with_it_opens_again_when_it_was_seen(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    assert await store.suppressions.add([wanted("a")], actor="ada", resolution="used_in_tests") == [A]
    await deliver(store)
    assert (await store.incidents.get(A)).resolution == "used_in_tests"
    await store.commit([finding("a", 7, severity="critical")])
    assert (await store.incidents.get(A)).occurrences == 1
    assert await store.suppressions.sweep() == NOW + 100
    clock.now += 101
    await store.suppressions.sweep()
    known = await store.incidents.get(A)
    assert (known.state, known.severity, known.locations[0].offset) == ("open", "critical", 7)
    assert await deliver(store) == ["escalated"]
    assert "seen 1 times meanwhile" in [one.note for one in await store.incidents.history(A)][-3]
    assert (await store.trail.verify()).problems == ()


async def test_what_was_not_seen_is_told_at_its_next_sighting(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.suppressions.add([wanted("a")], actor="ada")
    await deliver(store)
    clock.now += 101
    await store.suppressions.sweep()
    assert (await store.incidents.get(A)).state == "resolved"
    await store.commit([finding("a", 7)])
    assert (await store.incidents.get(A)).state == "open"
    assert await deliver(store) == ["reopened_by_hand"]
    assert (await store.trail.verify()).problems == ()


async def test_what_somebody_had_judged_before_stays_judged(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.incidents.transition(A, "resolve", actor="bob", resolution="false_positive")
    await store.suppressions.add([wanted("a")], actor="ada")
    await store.commit([finding("a", 7)])
    clock.now += 101
    await store.suppressions.sweep()
    assert (await store.incidents.get(A)).resolution == "false_positive"


async def test_merged_into_another_it_opens_the_one_that_stays(store: Store, clock: Clock) -> None:
    await store.commit([finding("a"), finding("b")])
    await store.merges.merge(A, [fingerprint("b")[:16]], actor="ada")
    prints = [fingerprint("a"), *await store.merges.into(A)]
    await store.suppressions.add([Wanted(one, "known", NOW + 100) for one in prints], actor="ada")
    await store.commit([finding("b", 7)])
    assert (await store.incidents.get(A)).state == "resolved"
    clock.now += 101
    await store.suppressions.sweep()
    assert (await store.incidents.get(A)).occurrences == 3
