from __future__ import annotations

from monitor.store import Store
from monitor.store.suppressions import Wanted
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

A = fingerprint("a")[:16]


async def test_taken_back_it_is_told_at_once(store: Store, clock: Clock) -> None:
    await store.suppressions.add([Wanted(fingerprint("a"), "known", NOW + 100)], actor="ada")
    await store.commit([finding("a")])
    assert await store.suppressions.remove([fingerprint("a"), fingerprint("other")], actor="bob") == 1
    assert await deliver(store) == ["new"]
    assert await store.suppressions.remove([fingerprint("a")], actor="bob") == 0


async def test_the_newest_reason_and_end_count_and_what_was_seen_stays(store: Store, clock: Clock) -> None:
    await store.suppressions.add([Wanted(fingerprint("a"), "first", NOW + 100)], actor="ada")
    await store.commit([finding("a")])
    await store.suppressions.add([Wanted(fingerprint("a"), "second", NOW + 200)], actor="bob")
    [one] = await store.suppressions.list()
    assert (one.reason, one.by, one.until, one.seen) == ("second", "bob", NOW + 200, 1)


async def test_reopened_by_a_person_it_is_suppressed_no_longer(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.suppressions.add([Wanted(fingerprint("a"), "known", NOW + 100)], actor="ada")
    await deliver(store)
    await store.incidents.transition(A, "reopen", actor="bob")
    assert await store.suppressions.list() == []
    await store.commit([finding("a", 1)])
    assert (await store.incidents.get(A)).occurrences == 2


async def test_nothing_is_left_of_one_that_was_never_seen(store: Store, clock: Clock) -> None:
    await store.suppressions.add([Wanted(fingerprint("a"), "known", NOW + 100)], actor="ada")
    clock.now += 100
    assert await store.suppressions.sweep() is None
    assert await store.suppressions.remove([fingerprint("a")], actor="bob") == 0
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]


async def test_one_that_waits_for_a_sighting_is_looked_at_without_a_write(store: Store, clock: Clock) -> None:
    """It may for years, and somebody looks every few seconds."""
    await store.commit([finding("a")])
    await store.suppressions.add([Wanted(fingerprint("a"), "known", NOW + 100)], actor="ada")
    clock.now += 100
    await store.suppressions.sweep()
    before = store.transactions
    await store.suppressions.sweep()
    assert store.transactions == before
    await store.commit([finding("a", 1)])
    assert (await store.incidents.get(A)).state == "open"


async def test_who_took_a_suppression_back_is_in_the_history(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.suppressions.add([Wanted(fingerprint("a"), "known", NOW + 100)], actor="ada")
    await store.suppressions.remove([fingerprint("a")], actor="bob")
    last = (await store.incidents.history(A))[-1]
    assert (last.action, last.actor, last.note) == ("unsuppressed", "bob", "its suppression was taken back")
    assert (await store.trail.verify()).problems == ()
