"""Of what a sink is told of many at once it gets one message a minute, over restarts and hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from monitor import runbook
from monitor.routing.fold import FOLD
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Leased, Notice, Store, owner_name
from tests.monitor.store.helpers import NOW, OWNER, Clock, finding, notify

Opener = Callable[..., Awaitable[Store]]
POLICY = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}))


@pytest.fixture
async def store(opener: Opener) -> Store:
    return await opener(POLICY)


def shaped(number: int, **changes: Any) -> Any:
    about = {"severity": "critical", "context": f"{number} password=ghp_… tail"} | changes
    return finding(number, number, **about)


async def flood(store: Store, start: int = 0, count: int = 60) -> None:
    """Half of them in one shape, so of two kinds: a thread, and what is beyond the burst."""
    numbers = range(start, start + count)
    await store.commit([shaped(n) if n % 2 else finding(n, n, severity="critical") for n in numbers])


async def lease(
    store: Store, sink: str = "chat", owner: str = OWNER, most: int | None = None, *, read: bool = True
) -> list[Leased]:
    """All that may be sent now."""
    await store.groups.tick()
    return list(await store.outbox.lease(sink, owner, 60, 1000, most=most, paced=True, read=read))


async def sent(store: Store, sink: str = "chat", most: int | None = None, *, read: bool = True) -> list[Leased]:
    """All that is sent at this second."""
    found: list[Leased] = []
    while leased := await lease(store, sink, most=most, read=read):
        for one in leased:
            await store.outbox.sent(one.id, {"ts": one.id})
        found += leased
    return found


def many(leased: list[Leased]) -> list[tuple[str, int]]:
    return [(one.reason, len(one.incidents)) for one in leased if one.key.partition(":")[0] != "incident"]


async def acknowledge(store: Store) -> None:
    for one in await store.incidents.find(limit=1000):
        await store.incidents.transition(one.id, "ack", actor="ada")


async def test_a_thread_and_a_digest_are_one_message_and_the_next_is_a_minute_after_it(
    store: Store, clock: Clock
) -> None:
    await flood(store)
    assert many(await sent(store)) == [("digest", 40)], "the first, with what still collected"
    told = []
    for second in range(1, 130):
        clock.now = NOW + second
        if second == 30:
            await flood(store, 100)
            await store.commit([finding("other", 500, severity="critical", rule="acme")])
        for reason, number in many(await sent(store)):
            told.append((second, reason, number))
    assert told == [(60, "digest", 60)]


async def test_a_new_one_waits_for_nothing(store: Store, clock: Clock) -> None:
    await flood(store)
    await sent(store)
    clock.now += 20
    await flood(store, 100, 40)
    await store.commit([finding("other", 500, severity="critical", rule="acme")])
    await notify(store, Notice("disk full", severity="high"))
    assert sorted(one.reason for one in await sent(store)) == ["new", "operational"]


async def test_hosts_that_share_a_database_share_the_allowance(opener: Opener, clock: Clock) -> None:
    one, other = await opener(POLICY), await opener(POLICY)
    await flood(one)
    here = await lease(one)
    await flood(other, 100, 40)
    assert many(here) == [("digest", 40)]
    assert many(await lease(other, owner="there:1:x")) == [], "one is under way"
    for leased in here:
        await one.outbox.sent(leased.id, None)
    clock.now += 59
    assert many(await sent(other)) == []
    clock.now += 1
    assert len(many(await sent(other))) == 1
    assert many(await sent(one)) == []


async def test_after_a_kill_what_was_under_way_goes_first_and_alone(opener: Opener, clock: Clock) -> None:
    before = await opener(POLICY)
    await flood(before)
    [leased] = [one for one in await lease(before, owner=f"here:{2**22 + 1}:killed") if one.key.startswith(FOLD)]
    await flood(before, 100)
    clock.now += 3
    after = await opener(POLICY)
    assert (await after.groups.adopt(owner_name("here"), ["chat", "pager"]))[0] > 0
    again = [one for one in await sent(after) if one.key.startswith(FOLD)]
    assert [(one.id, one.attempts, len(one.incidents)) for one in again] == [(leased.id, 1, len(leased.incidents))]
    clock.now += 59
    assert many(await sent(after)) == []
    clock.now += 1
    assert many(await sent(after)) == [("digest", 60)]


async def test_an_acknowledgement_closes_pages_at_once_and_elsewhere_waits_its_turn(store: Store, clock: Clock) -> None:
    await flood(store)
    pages = {one.key for one in await sent(store, "pager")}
    await sent(store)
    clock.now += 30
    await flood(store, 100, 10)
    await acknowledge(store)
    closed = await sent(store, "pager")
    assert {one.reason for one in closed} == {"acknowledged"}
    assert {one.key for one in closed} >= pages
    assert many(await sent(store)) == []
    clock.now += 30
    assert len(many(await sent(store))) == 1


async def test_who_leaves_a_joined_thread_is_an_alarm_of_its_own(store: Store, clock: Clock) -> None:
    await store.commit([finding(n, n) for n in range(30)])
    await store.commit([shaped(100 + n) for n in range(10)])
    assert many(await sent(store)) == [("digest", 15)]
    await store.commit([finding(25, 900, severity="critical")])
    assert [(one.reason, len(one.incidents)) for one in await sent(store)] == [("new", 1)]


async def test_a_sink_that_takes_less_at_once_has_a_part_a_minute_and_hears_how_many_follow(
    store: Store, clock: Clock
) -> None:
    await flood(store)
    told: list[tuple[int, int, int]] = []
    ids = set()
    for second in range(0, 360, 20):
        clock.now = NOW + second
        for one in await sent(store, most=15):
            ids |= {incident.id for incident in one.incidents}
            if one.reason == "digest":
                told.append((second, len(one.incidents), one.more))
    assert told == [(0, 15, 25), (60, 15, 10), (120, 10, 0)]
    assert len(ids) == 60


async def test_what_no_person_reads_has_all_parts_at_once_and_the_next_message_a_minute_after_the_last(
    store: Store, clock: Clock
) -> None:
    await flood(store)
    parts = many(await sent(store, most=15, read=False))
    assert parts == [("digest", 15), ("digest", 15), ("digest", 10)]
    clock.now += 20
    await flood(store, 100)
    assert many(await sent(store, most=15, read=False)) == [], "each part counts"
    clock.now += 40
    assert many(await sent(store, most=15, read=False)) == [("digest", 15)] * 4


async def test_a_part_for_a_program_that_is_split_once_more_waits_for_no_turn_either(
    store: Store, clock: Clock
) -> None:
    await flood(store)
    told = []
    while leased := await lease(store, most=15, read=False):
        for one in leased:
            if len(one.incidents) > 8:
                await store.outbox.split(one.id, OWNER, 2, paced=True, read=False)
            else:
                await store.outbox.sent(one.id, None)
                told += many([one])
    assert sum(count for _, count in told) == 40


async def test_the_next_message_has_what_came_meanwhile_of_every_severity(store: Store, clock: Clock) -> None:
    def mixed(number: int) -> Any:
        severity = ("critical", "high", "medium")[number % 3]
        return shaped(number, rule=f"{severity}-key", severity=severity)

    await store.commit([mixed(n) for n in range(60)])
    await sent(store)
    clock.now += 30
    await store.commit([mixed(n) for n in range(60, 120)])
    clock.now += 30
    assert many(await sent(store)) == [("digest", 60)]


async def test_what_is_asked_for_and_what_is_left_at_the_end_waits_for_no_turn(store: Store, clock: Clock) -> None:
    await flood(store)
    await sent(store)
    clock.now += 20
    await store.commit([finding(n, n) for n in range(100, 130)])
    await sent(store)
    clock.now += 15
    assert await lease(store) == []
    [waits] = [one for one in await store.outbox.list(states=["pending"], sink="chat") if one.reason == "digest"]
    assert waits.next_at == NOW + 60
    await store.undelivered.retry([waits.id], actor="ada")
    assert [one.id for one in await lease(store)] == [waits.id]
    await store.outbox.put_back(waits.id, OWNER, error=None)
    await store.outbox.lease("chat", OWNER, 60, paced=True)
    assert await lease(store) == []
    await store.outbox.try_at_once("chat")
    assert [one.id for one in await store.outbox.lease("chat", OWNER, 60)] == [waits.id]


async def test_nobody_is_reminded_of_what_was_not_announced_yet(url: str, clock: Clock) -> None:
    procedure = Procedure("high", (Rung(),), runbook.load)
    async with await Store.open(url, POLICY, clock=clock, procedure=procedure, secret=b"k" * 16) as store:
        await flood(store)
        told = []
        clock.now += 1000  # the sink was away, and by now each first step is overdue
        await store.runs.sweep()
        for _ in range(20):
            clock.now += 20
            told += [(one.reason, one.title) for one in await sent(store, most=15) if one.reason != "new"]
        assert told == [("digest", "")] * 3 + [("overdue", "Overdue: steps of 60 incidents")]
