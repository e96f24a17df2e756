from __future__ import annotations

from monitor.routing.match import Matcher
from monitor.routing.routes import Policy, Route
from monitor.store import Notice, Store, owner_name
from tests.monitor.store.helpers import OWNER, Clock, deliver, finding, fingerprint, lease, notify


async def test_leases_expire_and_belong_to_one(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    assert leased.incidents[0].locations[0].path == "/var/log/app.log"
    assert await lease(store, "chat", owner_name("here"), 60) is None
    clock.now += 61
    again = await lease(store, "chat", "elsewhere:1:x", 60)
    assert again is not None
    assert again.id == leased.id
    # The first owner is late: what it says about a failure does not count any more, a success does.
    await store.outbox.put_back(leased.id, OWNER, error="late")
    assert [entry.state for entry in await store.outbox.list()] == ["leased"]
    await store.outbox.sent(leased.id, None)
    assert [entry.state for entry in await store.outbox.list()] == ["sent"]


async def test_one_key_keeps_its_order_and_others_pass(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    first = await lease(store, "chat", OWNER, 60)
    assert first is not None
    await store.outbox.put_back(first.id, OWNER, error="down", delay=100)
    await store.incidents.transition(fingerprint("a"), "resolve", actor="ada", resolution="revoked")
    await store.commit([finding("b", 1)])
    passed = await lease(store, "chat", OWNER, 60)
    assert passed is not None
    assert passed.incidents[0].fingerprint == fingerprint("b")
    assert await lease(store, "chat", OWNER, 60) is None
    await store.outbox.sent(passed.id, None)
    clock.now += 100
    assert await deliver(store) == ["new", "resolved"]


async def test_a_clock_that_was_put_back_makes_nothing_wait_for_a_day(store: Store, clock: Clock) -> None:
    await store.commit([finding("a"), finding("b", 1)])
    for delay in (300, 90_000):
        leased = await lease(store, "chat", OWNER, 60)
        assert leased is not None
        await store.outbox.put_back(leased.id, OWNER, error="down", delay=delay)
    await store.groups.adopt(OWNER, ["chat"])
    assert await lease(store, "chat", OWNER, 60) is not None
    assert await lease(store, "chat", OWNER, 60) is None  # five minutes are a pause as any other
    clock.now -= 86_400
    await store.groups.look_again()
    assert await lease(store, "chat", OWNER, 60) is not None


async def test_receipts_come_back_for_updates(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    first = await lease(store, "chat", OWNER, 60)
    assert first is not None
    assert first.receipt is None
    await store.outbox.sent(first.id, {"ts": "1.2", "channel": "C"})
    await store.incidents.transition(fingerprint("a"), "ack", actor="ada")
    second = await lease(store, "chat", OWNER, 60)
    assert second is not None
    assert (second.key, second.receipt) == (first.key, {"ts": "1.2", "channel": "C"})


async def test_what_was_taken_in_part_is_known_at_the_next_try_of_the_same_only(store: Store) -> None:
    await store.commit([finding("a")])
    first = await lease(store, "chat", OWNER, 60)
    assert first is not None
    assert first.partly is None
    await store.outbox.partly(first.id, "chat", {"has": "ada"})
    await store.outbox.put_back(first.id, OWNER, error="put off")
    again = await lease(store, "chat", OWNER, 60)
    assert again is not None
    assert (again.partly, again.receipt) == ({"has": "ada"}, None)
    await store.outbox.partly(first.id, "chat", {})
    await store.outbox.put_back(first.id, OWNER, error="refused")
    again = await lease(store, "chat", OWNER, 60)
    assert again is not None
    assert again.partly is None
    await store.outbox.sent(first.id, None)
    await store.incidents.transition(fingerprint("a"), "ack", actor="ada")
    second = await lease(store, "chat", OWNER, 60)
    assert second is not None
    assert second.partly is None


async def test_dead_letters_go_to_the_fallback_once(store: Store) -> None:
    await store.commit([finding("a")])
    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    follower = await store.outbox.give_up(leased.id, "HTTP 404", "pager")
    taken = await lease(store, "pager", OWNER, 60)
    assert taken is not None
    assert (taken.id, taken.key, taken.tried) == (follower, leased.key, ("chat",))
    assert await store.outbox.give_up(taken.id, "HTTP 400", "chat") is None
    assert {(entry.sink, entry.state, entry.error) for entry in await store.outbox.list()} == {
        ("chat", "dead", "HTTP 404"),
        ("pager", "dead", "HTTP 400"),
    }
    assert await store.undelivered.retry([leased.id], actor="ada")
    assert not await store.undelivered.retry(["nothing"], actor="ada")
    assert await deliver(store) == ["new"]


async def test_what_waits_for_a_sink_that_is_gone_moves_on(store: Store) -> None:
    await store.commit([finding("a"), finding("b", 1)])
    store.policy = Policy(sinks=("mail",))
    assert await store.groups.adopt(OWNER, ["mail"]) == (0, 2)
    assert await deliver(store, "mail") == ["new", "new"]
    assert await store.outbox.unsent() == 0


async def test_notices_follow_routes_else_go_everywhere(opener) -> None:  # type: ignore[no-untyped-def]
    route = Route(matchers=(Matcher.parse("severity=critical"),), sinks=("pager",))
    store = await opener(Policy(sinks=("pager", "chat"), routes=(route,)))
    assert len(await notify(store, Notice("disk full", severity="critical"))) == 1
    assert len(await notify(store, Notice("hm", severity="low"))) == 2
    assert len(await notify(store, Notice("test", reason="test", sinks=("chat",)))) == 1
    assert await deliver(store, "pager") == ["operational", "operational"]
    assert await deliver(store, "chat") == ["operational", "test"]


async def test_done_says_whether_there_is_more_to_send(store: Store, clock: Clock) -> None:
    await store.commit([finding("a"), finding("b", 1)])
    first, second = await lease(store, "chat"), await lease(store, "chat")
    assert first is not None
    assert second is not None
    await store.incidents.transition(fingerprint("a"), "resolve", actor="ada", resolution="revoked")
    await store.commit([finding("c", 2)])
    third = await lease(store, "chat")
    assert third is not None
    await store.outbox.put_back(third.id, OWNER, error="down", delay=100)

    by_key = {one.incidents[0].fingerprint: one for one in (first, second)}
    assert await store.outbox.sent(by_key[fingerprint("b")].id, None)  # what is held back for its key counts
    assert await deliver(store) == []
    assert await store.outbox.sent(by_key[fingerprint("a")].id, None)
    assert await deliver(store) == ["resolved"]
    await store.commit([finding("d", 3)])
    last = await lease(store, "chat")
    assert last is not None
    assert not await store.outbox.sent(last.id, None)  # what waits for its next attempt does not
    clock.now += 100
    assert await deliver(store) == ["new"]
