"""Incidents that keep coming in one shape: five alone, then one thread."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from monitor.routing.fold import ALONE, FOLD, PERIOD
from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.schema import groups, incidents, outbox
from tests.monitor.store.helpers import Clock, deliver, finding


def shaped(number: int, field: str = "password", **changes: Any) -> Any:
    masked = "hunt****"
    return finding(number, number, masked=masked, context=f"12:00:{number:02} {field}={masked} tail", **changes)


async def known(store: Store) -> list[Any]:
    return list(await store.read(lambda connection: list(connection.execute(select(incidents)))))


async def flood(store: Store, numbers: range, **changes: Any) -> None:
    await store.commit([shaped(number, **changes) for number in numbers])


async def rows(store: Store, sink: str = "chat") -> list[tuple[str, str, int]]:
    """Start of the key, reason, number of incidents; in the order in which they were made."""
    query = select(outbox).where(outbox.c.sink == sink).order_by(outbox.c.seq)
    found = await store.read(lambda connection: list(connection.execute(query)))
    return [(row.key.partition(":")[0], row.reason, len(json.loads(row.incidents))) for row in found]


async def test_the_first_five_alone_then_one_thread_that_has_all_the_others(store: Store, clock: Clock) -> None:
    await flood(store, range(3))
    await flood(store, range(3, 30))
    alone = [("incident", "new", 1)] * ALONE
    assert sorted(await rows(store)) == [("fold", "digest", 25), *alone]
    await deliver(store)
    clock.now += 30
    await flood(store, range(30, 45))
    assert len(await rows(store)) == ALONE + 1, "more of them wait for the interval"
    clock.now += 300
    await store.groups.tick()
    assert sorted(await rows(store)) == [("fold", "digest", 15), ("fold", "digest", 25), *alone]
    assert all(one.state == "open" and one.severity == "high" for one in await known(store))


async def test_another_field_source_severity_or_line_is_another_thread(store: Store) -> None:
    await flood(store, range(8))
    await store.commit([shaped(100, field="token")])
    await store.commit([shaped(101, source="other")])
    await store.commit([shaped(102, severity="critical")])
    assert (await rows(store))[-3:] == [("incident", "new", 1)] * 3


async def test_what_keeps_no_line_is_left_to_the_burst(store: Store) -> None:
    await store.commit([finding(number, number) for number in range(12)])
    assert await rows(store) == [("incident", "new", 1)] * 12


async def test_a_fold_of_critical_ones_is_told_each_minute(store: Store, clock: Clock) -> None:
    await flood(store, range(7), severity="critical")
    await deliver(store)
    clock.now += 61
    await flood(store, range(7, 9), severity="critical")
    assert (await rows(store))[-1] == ("fold", "digest", 2)
    await deliver(store)
    clock.now += 20
    await flood(store, range(9, 10), severity="critical")
    clock.now += 40
    await store.groups.tick()
    assert (await rows(store))[-1] == ("fold", "digest", 1)


async def test_one_that_gets_worse_leaves_the_thread_and_is_an_alarm_of_its_own(store: Store, clock: Clock) -> None:
    await flood(store, range(9))
    await deliver(store)
    await store.commit([shaped(7, severity="critical", generation="g2")])
    assert (await rows(store))[-1] == ("incident", "new", 1)


async def test_a_thread_hears_of_its_end_once(store: Store, clock: Clock) -> None:
    await flood(store, range(8))
    await deliver(store)
    before = len(await rows(store))
    ids = [one.id for one in await known(store)]
    inside = [id_ for id_ in ids if not await alone(store, id_)]
    for id_ in inside[:2]:
        await store.incidents.transition(id_, "ack", actor="ada")
    clock.now += 400
    await store.groups.tick()
    assert len(await rows(store)) == before
    await store.incidents.transition(inside[2], "ack", actor="ada")
    clock.now += 400
    await store.groups.tick()
    assert (await rows(store))[before:] == [("fold", "acknowledged", 3)]
    for id_ in inside:
        await store.incidents.transition(id_, "resolve", actor="ada", resolution="revoked")
    clock.now += 400
    await store.groups.tick()
    assert (await rows(store))[-1] == ("fold", "resolved", 3)


async def alone(store: Store, incident: str) -> bool:
    query = select(outbox.c.key).where(outbox.c.key == f"incident:{incident}")
    return bool(await store.read(lambda connection: list(connection.execute(query))))


async def test_after_a_quiet_day_a_shape_is_news_again(store: Store, clock: Clock) -> None:
    await flood(store, range(8))
    await deliver(store)
    clock.now += PERIOD + 1
    await flood(store, range(50, 52))
    assert (await rows(store))[-2:] == [("incident", "new", 1)] * 2


async def test_each_sink_counts_for_itself_and_a_count_alone_tells_nothing(store: Store) -> None:
    store.policy = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}))
    await flood(store, range(3), confidence="medium", rule="acme-password")
    await flood(store, range(3, 6), confidence="high", rule="acme-password")
    assert await rows(store, "pager") == [("incident", "new", 1)] * 3
    assert sorted(await rows(store)) == [("fold", "digest", 1), *[("incident", "new", 1)] * ALONE]
    query = select(groups).where(groups.c.key.startswith(FOLD), groups.c.sink == "pager")
    (row,) = await store.read(lambda connection: list(connection.execute(query)))
    assert (row.sent_at, row.due_at, row.route) == (None, None, f"{FOLD}3")
