from __future__ import annotations

from monitor.routing.routes import Policy, Route
from monitor.store import Notice, Store
from tests.monitor.store.helpers import NOW, OWNER, Clock, deliver, finding, lease, notify

ONE_BY_ONE = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "burst": "1000/1m"}),))
TOGETHER = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "burst": "1/1h"}),))
SEVERITIES = ("low", "critical", "medium", "high")


async def test_one_of_too_many_incidents_is_parted_in_the_order_of_the_list(store: Store) -> None:
    await store.commit([finding(n, n, severity=SEVERITIES[n % 4], time=NOW - n) for n in range(12)], notify=False)
    ids = await store.incidents.ids(limit=12)
    await notify(store, Notice("all of them", severity="high", incidents=tuple(sorted(ids))))
    told = []
    while leased := next(iter(await store.outbox.lease("chat", OWNER, 60, most=5)), None):
        told.append([incident.id for incident in leased.incidents])
        await store.outbox.sent(leased.id, None)
    assert told == [ids[:5], ids[5:10], ids[10:]]


async def test_what_a_sink_finds_too_large_is_split_in_as_many_parts_as_it_says(store: Store, clock: Clock) -> None:
    store.policy = TOGETHER
    await store.commit([finding(n, n) for n in range(10)])
    assert await deliver(store) == ["new"]
    clock.now += 3700
    await store.groups.tick(flush=True)
    whole = await lease(store, "chat")
    assert whole is not None
    assert len(whole.incidents) == 9
    assert await store.outbox.split(whole.id, OWNER, 3) == 3
    assert await store.outbox.split(whole.id, OWNER, 3) == 0, "it is leased no longer"
    parts = await store.outbox.lease("chat", OWNER, 60, 1)
    assert [len(part.incidents) for part in parts] == [3]


async def test_a_flood_for_a_slow_sink_is_told_together_but_for_the_worst_and_what_was_tried(store: Store) -> None:
    store.policy = ONE_BY_ONE
    await store.commit([finding("first", severity="low")])
    tried = await lease(store, "chat")
    assert tried is not None
    await store.outbox.put_back(tried.id, OWNER, error="HTTP 500", delay=60)
    await store.commit([finding(n, n + 1, severity="high" if n % 2 else "critical") for n in range(20)])

    [worst] = await store.outbox.lease("chat", OWNER, 60, backlog=5)
    assert (worst.severity, len(worst.incidents)) == ("critical", 1)
    waiting = await store.outbox.list(states=["pending"])
    digests = sorted(len(entry.incidents) for entry in waiting if entry.reason == "digest")
    assert digests == [5, 10]
    assert tried.id in {entry.id for entry in waiting}
    assert sum(len(entry.incidents) for entry in waiting) + 1 == 21
    await store.outbox.lease("chat", OWNER, 60, backlog=1)
    again = [len(entry.incidents) for entry in await store.outbox.list(states=["pending"]) if entry.reason == "digest"]
    assert sum(again) >= 15, "no bundle is taken apart or bundled again"
