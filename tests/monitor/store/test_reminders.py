"""Deadlines that are missed by many at once: one message a minute and sink, until somebody has taken them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from monitor import runbook
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from monitor.store.schema import incidents, outbox
from tests.monitor.store.helpers import NOW, OWNER, Clock, deliver, finding, lease

POLICY = Policy(
    ("chat", "pager"), (Route.model_validate({"sinks": ["chat"], "burst": "100/1m"}),), pagers=frozenset({"pager"})
)
LADDER = (Rung(), Rung(600.0, ("pager",), "critical"))
MANY = 30


@pytest.fixture
async def flooded(url: str, clock: Clock) -> AsyncIterator[Store]:
    """Of 30 incidents, told to the chat, every first step is overdue since 100 seconds; nobody was reminded yet."""
    procedure = Procedure("high", LADDER, runbook.load)
    async with await Store.open(url, POLICY, clock=clock, procedure=procedure, secret=b"k" * 16) as store:
        await store.commit([finding(number, number) for number in range(MANY)])
        await deliver(store)
        clock.now = NOW + 1000
        yield store


async def overdue(store: Store, sink: str = "chat") -> list[Any]:
    query = select(outbox).where(outbox.c.sink == sink, outbox.c.reason == "overdue").order_by(outbox.c.seq)
    return await store.read(lambda connection: list(connection.execute(query)))


async def ids(store: Store) -> list[str]:
    return await store.read(lambda connection: list(connection.execute(select(incidents.c.id)).scalars()))


async def test_many_are_one_message_and_the_next_a_minute_after_it(flooded: Store, clock: Clock) -> None:
    await flooded.runs.sweep()
    (row,) = await overdue(flooded)
    assert (len(json.loads(row.incidents)), row.title) == (MANY, f"Overdue: steps of {MANY} incidents")
    assert row.next_at == clock.now + 5, "they rarely come in one instant"
    clock.now += 5
    assert await deliver(flooded) == ["overdue"]
    clock.now += 10
    await flooded.commit([finding("late", 99)])
    await deliver(flooded)
    clock.now = NOW + 1915  # a step of the late one is overdue by itself, and others of all the rest are
    await flooded.runs.sweep()
    *_, row = await overdue(flooded)
    assert len(json.loads(row.incidents)) > 1
    clock.now += 5
    await deliver(flooded)
    before = len(await overdue(flooded))
    await flooded.runs.sweep(everything=True)
    assert len(await overdue(flooded)) == before


async def test_one_alone_is_told_at_once_and_another_within_the_minute_waits(store: Store, clock: Clock) -> None:
    store.policy, store.procedure = POLICY, Procedure("high", LADDER[:1], runbook.load)
    await store.commit([finding("a")])
    clock.now += 20
    await store.commit([finding("b", 1)])
    await deliver(store)
    clock.now = NOW + 900
    await store.runs.sweep()
    (row,) = await overdue(store)
    assert (row.key.partition(":")[0], row.next_at) == ("incident", clock.now)
    await deliver(store)
    clock.now += 20
    await store.runs.sweep()
    *_, row = await overdue(store)
    assert (len(json.loads(row.incidents)), row.key.partition(":")[0]) == (1, "incident")
    assert await store.outbox.lease("chat", OWNER, 60, paced=True) == []
    clock.now = NOW + 900 + 60
    (leased,) = await store.outbox.lease("chat", OWNER, 60, paced=True)
    assert leased.id == row.id


async def test_an_acknowledgement_takes_back_what_waits_and_none_follows(flooded: Store, clock: Clock) -> None:
    flooded.procedure = Procedure("high", LADDER[:1], runbook.load)
    await flooded.runs.sweep()
    every = await ids(flooded)
    for id_ in every[:10]:
        await flooded.incidents.transition(id_, "ack", actor="ada")
    (row,) = await overdue(flooded)
    assert (set(json.loads(row.incidents)), row.title) == ({*every[10:]}, f"Overdue: steps of {MANY - 10} incidents")
    for id_ in every[10:]:
        await flooded.incidents.transition(id_, "ack", actor="ada")
    assert await overdue(flooded) == []
    clock.now += 90_000
    await flooded.runs.sweep()
    assert await overdue(flooded) == [], "of what somebody has taken nobody is reminded who knows it"


async def test_an_acknowledgement_takes_nothing_back_from_whom_the_ladder_names(flooded: Store, clock: Clock) -> None:
    clock.now = NOW + 1600
    await flooded.runs.sweep()
    for id_ in await ids(flooded):
        await flooded.incidents.transition(id_, "ack", actor="ada")
    await flooded.runs.sweep(everything=True)
    assert await overdue(flooded) == []
    (row,) = await overdue(flooded, "pager")
    assert len(json.loads(row.incidents)) == MANY, "its step is counted as told"
    for id_ in await ids(flooded):
        await flooded.incidents.transition(id_, "resolve", resolution="revoked", actor="ada")
    assert [row for row in await overdue(flooded, "pager") if row.state == "pending"] == []


async def test_whom_the_ladder_names_further_up_is_no_different_before_that_rung(flooded: Store, clock: Clock) -> None:
    flooded.procedure = Procedure("high", (Rung(), Rung(600.0, ("chat",))), runbook.load)
    await flooded.runs.sweep()
    for id_ in await ids(flooded):
        await flooded.incidents.transition(id_, "ack", actor="ada")
    assert await overdue(flooded) == []
    clock.now = NOW + 1600
    await flooded.runs.sweep()
    (row,) = await overdue(flooded)
    assert len(json.loads(row.incidents)) == MANY


async def test_a_pager_has_one_page_for_many_which_closes_when_nothing_is_overdue(flooded: Store, clock: Clock) -> None:
    clock.now = NOW + 1600
    await flooded.runs.sweep()
    clock.now += 5
    leased = await lease(flooded, "pager")
    assert leased is not None
    assert (leased.key, leased.severity, len(leased.incidents)) == ("overdue:together", "critical", MANY)
    await flooded.outbox.sent(leased.id, {"dedup_key": leased.key})
    for id_ in await ids(flooded):
        assert await lease(flooded, "pager") is None
        await flooded.incidents.transition(id_, "resolve", actor="ada", resolution="false_positive")
    leased = await lease(flooded, "pager")
    assert leased is not None
    assert (leased.key, leased.reason, leased.incidents) == ("overdue:together", "recovered", ())


async def test_a_new_one_goes_before_reminders_and_decisions(flooded: Store, clock: Clock) -> None:
    await flooded.runs.sweep()
    for id_ in (await ids(flooded))[:20]:
        await flooded.incidents.transition(id_, "ack", actor="ada")
    clock.now += 60
    await flooded.commit([finding("fresh", 98, severity="high")])
    leased = await lease(flooded, "chat")
    assert leased is not None
    assert leased.reason == "new"


async def test_a_sink_that_takes_less_at_once_is_reminded_in_one_message_all_the_same(
    flooded: Store, clock: Clock
) -> None:
    await flooded.runs.sweep()
    clock.now += 5
    (leased,) = await flooded.outbox.lease("chat", OWNER, 60, most=10)
    assert (leased.reason, len(leased.incidents)) == ("overdue", 10)
    assert leased.title == f"Overdue: steps of {MANY} incidents"
    assert await flooded.outbox.split(leased.id, OWNER, 2) == 1
    again = await lease(flooded, "chat")
    assert again is not None
    assert (again.id, len(again.incidents)) == (leased.id, 5)
    assert await lease(flooded, "chat") is None
