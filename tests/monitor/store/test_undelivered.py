from __future__ import annotations

import pytest

from monitor.store import Store
from monitor.store.undelivered import SinkBacklog
from tests.monitor.store.helpers import OWNER, Clock, finding, lease


async def test_how_much_waits_for_each_sink_and_since_when(store: Store, clock: Clock) -> None:
    assert await store.undelivered.by_sink() == {}
    began = clock.now
    await store.commit([finding("a")])
    clock.now += 60
    await store.commit([finding("b", 1)])
    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    assert await store.undelivered.by_sink() == {"chat": SinkBacklog(2, 0, began)}
    await store.outbox.give_up(leased.id, "no", None)
    assert await store.undelivered.by_sink() == {"chat": SinkBacklog(1, 1, began + 60)}


async def test_a_page_is_of_what_is_not_sent(store: Store, clock: Clock) -> None:
    await store.commit([finding(name, number) for number, name in enumerate("abcde")])
    for done in ("sent", "dead"):
        leased = await lease(store, "chat", OWNER, 60)
        assert leased is not None
        if done == "sent":
            await store.outbox.sent(leased.id, None)
        else:
            await store.outbox.give_up(leased.id, "no", None)
    undelivered = store.undelivered
    first = await undelivered.page(limit=3)
    assert (len(first.entries), first.total) == (3, 4)
    second = await undelivered.page(limit=3, after=first.next)
    assert (len(second.entries), second.next) == (1, "")
    (dead,) = (await undelivered.page(states=["dead"])).entries
    assert dead.error == "no"
    assert (await undelivered.page(states=["pending"], sink="chat")).total == 3
    assert (await undelivered.page(sink="other")).entries == []
    with pytest.raises(ValueError, match="no place"):
        await undelivered.page(after="x")


async def test_one_by_its_id(store: Store) -> None:
    await store.commit([finding("a")])
    (entry,) = await store.outbox.list()
    assert await store.undelivered.get(entry.id) == entry
    with pytest.raises(LookupError):
        await store.undelivered.get("0" * 32)


async def test_what_people_do_with_it_is_in_the_history_of_its_incidents(store: Store, clock: Clock) -> None:
    await store.commit([finding("a"), finding("b", 1)])
    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    ids = await store.undelivered.ids(states=["pending", "leased"], sink="chat")
    assert len(ids) == 2
    waiting = next(id_ for id_ in ids if id_ != leased.id)
    assert await store.undelivered.retry([*ids, "none"], actor="ada", note="mended") == [waiting], "one is being sent"
    assert await store.undelivered.discard([waiting, leased.id], actor="eve") == [waiting]
    assert await store.undelivered.discard([waiting], actor="eve") == []
    assert await store.undelivered.ids(states=["dead"], sink="chat") == []
    (about,) = [one for one in await store.incidents.find() if one.id != leased.incidents[0].id]
    said = [(entry.action, entry.actor, entry.note) for entry in await store.incidents.history(about.id)]
    assert said[-2:] == [("alert_retried", "ada", "to chat: mended"), ("alert_discarded", "eve", "to chat")]
    assert not (await store.trail.verify()).problems
