from __future__ import annotations

from monitor.store import Store
from monitor.store.changes import behind, labels_of, newest_place, newest_places, opened_since
from tests.monitor.store.helpers import finding, fingerprint


async def test_each_mark_reads_the_trail_by_itself(store: Store) -> None:
    await store.commit([finding("old")])
    assert await store.read(lambda connection: behind(connection, "x")) is True
    assert await store.write(lambda tx: opened_since(tx, "x")) == ([], False)
    assert await store.read(lambda connection: behind(connection, "x")) is False

    await store.commit([finding("a", 1)])
    one = (await store.incidents.get(fingerprint("a"))).id
    assert await store.read(lambda connection: behind(connection, "x")) is True
    assert await store.write(lambda tx: opened_since(tx, "x")) == ([one], False)
    assert await store.write(lambda tx: opened_since(tx, "x")) == ([], False)
    assert await store.write(lambda tx: opened_since(tx, "y")) == ([], False)
    # A decision about it opens nothing.
    await store.incidents.transition(one, "ack", actor="ada")
    assert await store.write(lambda tx: opened_since(tx, "x")) == ([], False)
    seen = await store.read(lambda connection: labels_of(connection, one))
    assert (seen["rule"], seen["path"], seen["state"]) == ("github-pat", "/var/log/app.log", "acknowledged")


async def test_the_newest_places_of_many_are_those_of_each(store: Store) -> None:
    for number, name in enumerate("abab"):
        await store.commit(
            [finding(name, number, path=f"/var/log/{number}.log", service=None if number % 2 else "web")]
        )
    ids = [fingerprint(name)[:16] for name in "abc"]
    each = await store.read(lambda connection: {one: newest_place(connection, one) for one in ids[:2]})
    assert await store.read(lambda connection: newest_places(connection, ids)) == each
    assert [place.path for place in each.values()] == ["/var/log/2.log", "/var/log/3.log"]
