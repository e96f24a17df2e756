from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor import runbook
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure
from monitor.store import Leased, Store
from tests.monitor.store.helpers import Clock, deliver, finding, fingerprint, lease

ID = fingerprint("a")[:16]
POLICY = Policy(sinks=("chat", "hook"), threads=frozenset({"chat"}))


async def opened(url: str, clock: Clock, policy: Policy = POLICY) -> Store:
    return await Store.open(url, policy, clock=clock, procedure=Procedure("high", book=runbook.load))


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    async with await opened(url, clock) as store:
        await store.commit([finding("a", runbook="github-token")])
        yield store


async def told(store: Store, sink: str = "chat") -> list[Leased]:
    found = []
    while one := await lease(store, sink):
        found.append(one)
        await store.outbox.sent(one.id, {"ts": "1"})
    return found


async def test_every_turn_is_told_where_people_act_and_nowhere_else(store: Store) -> None:
    assert await deliver(store) == ["new"]
    assert await deliver(store, "hook") == ["new"]
    await store.runs.act(ID, "revoke", "claim", actor="ada")
    await store.runs.act(ID, "revoke", "done", actor="ada", note="inactive in IAM")
    await store.silences.set(ID, 3600, actor="bob", note="being rotated")
    planned = await store.actions.plan(ID, "tell", actor="ada", needed=1)
    [one] = await told(store)
    assert (one.reason, one.receipt, [incident.id for incident in one.incidents]) == ("progress", {"ts": "1"}, [ID])
    assert one.text.splitlines() == [
        "Step revoke claimed by ada",
        "Step revoke done by ada: inactive in IAM",
        "Silenced by bob: being rotated",
        f"Action by ada: tell planned ({planned.id})",
    ]
    assert [run.id for run in one.joined.actions[ID]] == [planned.id]
    assert await told(store, "hook") == []


async def test_what_was_tried_is_not_added_to(store: Store) -> None:
    await deliver(store)
    await store.runs.act(ID, "revoke", "claim", actor="ada")
    one = await lease(store, "chat")
    assert one is not None
    await store.runs.act(ID, "revoke", "done", actor="ada", note="gone")
    await store.outbox.sent(one.id, None)
    [later] = await told(store)
    assert (one.text, later.text) == ("Step revoke claimed by ada", "Step revoke done by ada: gone")


async def test_a_change_of_state_is_told_as_before_and_no_turn_of_what_nobody_knows(
    store: Store, url: str, clock: Clock
) -> None:
    await deliver(store)
    await store.incidents.transition(ID, "ack", actor="ada")
    assert [one.reason for one in await told(store)] == ["acknowledged"]
    await store.commit([finding("b")], notify=False)
    await store.silences.set(fingerprint("b")[:16], 60, actor="ada", note="")
    assert await told(store) == []


async def test_a_turn_that_waits_stays_one_when_the_state_changes(store: Store) -> None:
    await deliver(store)
    await store.runs.act(ID, "revoke", "claim", actor="ada")
    await store.incidents.transition(ID, "ack", actor="ada")
    await store.groups.tick()
    assert [one.reason for one in await told(store)] == ["progress", "acknowledged"]


async def test_a_group_of_several_has_no_thread_of_one(url: str, clock: Clock) -> None:
    route = Route(sinks=("chat",), group_by=("rule",), group_wait="10s")
    async with await opened(url, clock, Policy(("chat",), (route,), threads=frozenset({"chat"}))) as store:
        await store.commit([finding("a"), finding("b", 1)])
        clock.now += 11
        await store.groups.tick()
        assert len(await told(store)) == 1
        await store.runs.act(ID, "revoke", "claim", actor="ada")
        assert await told(store) == []


async def test_a_long_story_is_told_in_pieces(store: Store) -> None:
    await deliver(store)
    for number in range(12):
        await store.silences.set(ID, 60 + number, actor="ada", note=f"{number} " + "x" * 590)
    pieces = await told(store)
    assert [f"{n} " in "".join(one.text for one in pieces) for n in range(12)] == [True] * 12
    assert all(len(one.text) <= 2500 for one in pieces)
