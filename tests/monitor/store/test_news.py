from __future__ import annotations

from monitor.store import Store
from monitor.store.news import behind, labels_of, news
from tests.monitor.store.helpers import finding, fingerprint


async def test_each_mark_reads_the_trail_by_itself(store: Store) -> None:
    await store.commit([finding("old")])
    assert await store.read(lambda connection: behind(connection, "x")) is True
    assert await store.write(lambda tx: news(tx, "x")) == ([], False)
    assert await store.read(lambda connection: behind(connection, "x")) is False

    await store.commit([finding("a", 1)])
    one = (await store.incidents.get(fingerprint("a"))).id
    assert await store.read(lambda connection: behind(connection, "x")) is True
    assert await store.write(lambda tx: news(tx, "x")) == ([one], False)
    assert await store.write(lambda tx: news(tx, "x")) == ([], False)
    assert await store.write(lambda tx: news(tx, "y")) == ([], False)
    # A decision about it is no news.
    await store.incidents.transition(one, "ack", actor="ada")
    assert await store.write(lambda tx: news(tx, "x")) == ([], False)
    seen = await store.read(lambda connection: labels_of(connection, one))
    assert (seen["rule"], seen["path"], seen["state"]) == ("github-pat", "/var/log/app.log", "acknowledged")
