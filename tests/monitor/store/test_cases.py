from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.suppressions import Wanted
from tests.monitor.store.helpers import Clock, finding, fingerprint

A, B, C, D = (fingerprint(name)[:16] for name in "abcd")


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    async with await Store.open(url, Policy(), clock=clock) as store:
        yield store


async def test_all_that_is_known_of_one_is_read_at_once(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.incidents.transition(A, "ack", actor="ada", note="mine")
    for number in range(3):
        await store.incidents.note(A, f"note {number}", actor="ada")
    await store.silences.set(A, 60.0, actor="ada", note="")
    case = await store.cases.get(A[:8], entries=2)
    assert case.incident == await store.incidents.get(A)
    assert case.joined.decided[A][:2] == ("ada", "mine")
    assert [entry.action for entry in case.trail] == ["noted", "silenced"]
    assert case.entries == await store.cases.turn(A) == len(await store.incidents.history(A)) == 6
    assert await store.cases.turn("nobody") == 0
    assert (case.silenced, case.suppressed, case.related, case.others) == (clock.now + 60.0, None, [], 0)

    until = clock.now + 60.0
    await store.suppressions.add([Wanted(fingerprint("a"), "known", until)], actor="bob")
    suppressed = (await store.cases.get(A, entries=2)).suppressed
    assert suppressed is not None
    assert (suppressed.reason, suppressed.by, suppressed.until) == ("known", "bob", until)
    clock.now += 61.0
    case = await store.cases.get(A, entries=2)
    assert (case.silenced, case.suppressed) == (None, None)
    with pytest.raises(LookupError):
        await store.cases.get("nobody", entries=2)


async def test_related_are_those_merged_into_it_and_those_alike(store: Store) -> None:
    ours = {"secret": 'GITHUB "TOKEN"', "secret_owner": "payments"}
    await store.commit(
        [
            finding("a", path="/one.log", labels=ours),
            finding("b", path="/two.log", labels={"secret": 'GITHUB "TOKEN"'}),
            finding("c", path="/three.log", labels={"secret_owner": "payments"}),
            finding("d", path="/one.log"),
            finding("e", path="/four.log", labels={"secret": "OTHER", "secret_owner": "pay%"}),
            finding("f", path="/five.log"),
            finding("g", path="/six.log"),
        ]
    )
    e, f, g = (fingerprint(name)[:16] for name in "efg")
    await store.merges.merge(f, [g], actor="ada")
    await store.merges.merge(A, [f], actor="ada")
    case = await store.cases.get(A, entries=1)
    related = [(one.why, one.incident.id) for one in case.related]
    assert sorted(related[:2]) == sorted([("merged", f), ("merged", g)]), "also by way of another"
    assert related[2:] == [("secret", B), ("path", D), ("owner", C)]
    assert case.others == 5
    assert (await store.cases.get(e, entries=1)).related == []
