from __future__ import annotations

import pytest

from monitor import runbook
from monitor.common.inbound import HookDelivery, InboundRequest
from monitor.routing.match import Matcher
from monitor.routing.routes import Policy, Route, Silence
from monitor.runbook.progress import Procedure
from monitor.store import Store
from tests.monitor.store.helpers import NOW, OWNER, Clock, deliver, finding, fingerprint, lease


async def test_first_at_once_then_grouped_updates_then_repeats(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]
    for n in range(1, 10):
        clock.now += 10
        await store.commit([finding("a", n)])
    assert await deliver(store) == []
    assert (await store.groups.agenda())[0] == NOW + 300
    clock.now = NOW + 300
    await store.groups.tick()
    assert await deliver(store) == ["update"]
    assert (await store.groups.agenda())[0] == NOW + 300 + 14_400
    clock.now = NOW + 300 + 14_400
    await store.groups.tick()
    assert await deliver(store) == ["repeat"]


async def test_escalation_reaches_the_next_route_at_once(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    pager = Route(matchers=(Matcher.parse('severity="critical"'),), sinks=("pager",))
    store = await opener(Policy(routes=(pager, Route(sinks=("chat",)))))
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]
    clock.now += 1
    await store.commit([finding("a", 1, severity="critical")])
    assert await deliver(store, "pager") == ["new"]
    assert await deliver(store, "chat") == ["escalated"]
    await store.incidents.transition(fingerprint("a"), "resolve", actor="ada", resolution="revoked")
    assert await deliver(store, "pager") == ["resolved"]
    assert await deliver(store, "chat") == ["resolved"]


async def test_each_team_hears_of_its_own_source(opener) -> None:  # type: ignore[no-untyped-def]
    teams = tuple(Route(matchers=(Matcher.parse(f"source={name}"),), sinks=(name,)) for name in ("one", "two"))
    store = await opener(Policy(routes=teams))
    await store.commit([finding("a", source="one")])
    await store.commit([finding("a", 1, source="two")])
    assert await deliver(store, "one") == ["new"]
    assert await deliver(store, "two") == ["new"]


async def test_group_by_collects(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    route = Route.model_validate({"sinks": ["chat"], "group_by": ["rule"], "group_wait": "30s"})
    store = await opener(Policy(routes=(route,)))
    await store.commit([finding("a")])
    await store.commit([finding("b", 1), finding("c", 2, rule="npm")])
    assert await deliver(store) == []
    assert (await store.groups.agenda())[0] == NOW + 30
    clock.now += 30
    await store.groups.tick()
    boxes = await store.outbox.list()
    assert sorted(len(entry.incidents) for entry in boxes) == [1, 2]
    assert await deliver(store) == ["new", "new"]
    clock.now += 1
    await store.commit([finding("d", 3)])
    assert await deliver(store) == []
    clock.now += 300
    await store.groups.tick()
    assert [(entry.reason, len(entry.incidents)) for entry in await store.outbox.list(limit=1)] == [("new", 3)]


async def test_a_burst_folds_into_digests_and_drops_none(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    store = await opener(Policy(routes=(Route.model_validate({"sinks": ["chat"], "burst": "5/1m"}),)))
    for start in range(0, 40, 10):
        await store.commit([finding(n, n) for n in range(start, start + 10)])
        clock.now += 1
    assert await deliver(store) == ["new"] * 5
    clock.now += 10
    await store.groups.tick()
    assert await deliver(store) == ["digest"]
    # More of the same burst: the next digest collects for a minute, and in the meantime nothing leaves.
    await store.commit([finding(n, n) for n in range(40, 60)])
    sent_by_then = clock.now
    await store.groups.tick()
    assert await deliver(store) == []
    assert (await store.groups.agenda())[0] == sent_by_then + 60
    clock.now += 60
    await store.groups.tick()
    assert await deliver(store) == ["digest"]
    told = [incident for entry in await store.outbox.list() for incident in entry.incidents]
    assert sorted(told) == sorted(incident.id for incident in await store.incidents.find(limit=1000))
    # Later everything is calm again.
    clock.now += 61
    await store.commit([finding(99, 99)])
    assert await deliver(store) == ["new"]


async def test_a_flood_of_low_severity_does_not_hold_up_a_critical_one(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    store = await opener(Policy(routes=(Route.model_validate({"sinks": ["chat"], "burst": "5/1m"}),)))
    await store.commit([finding(n, n, severity="low") for n in range(500)])
    assert await deliver(store) == ["new"] * 5
    await store.commit([finding("worse", 1000, severity="critical")])
    assert await deliver(store) == ["new"]
    [entry] = await store.outbox.list(limit=1)
    assert (await store.incidents.get(entry.incidents[0])).severity == "critical"


async def test_a_critical_one_in_a_group_that_was_told_of_a_low_one_is_told_at_once(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    store = await opener(Policy(routes=(Route.model_validate({"sinks": ["chat"], "group_by": ["path"]}),)))
    await store.commit([finding(1, severity="low")])
    assert await deliver(store) == ["new"]
    clock.now += 1
    await store.commit([finding(2, 1, severity="low")])
    assert await deliver(store) == []
    await store.commit([finding(3, 2, severity="critical")])
    assert await deliver(store) == ["new"]


@pytest.mark.parametrize("closed", ["ack", "resolve"])
async def test_what_is_taken_back_by_hand_is_no_sighting(opener, clock: Clock, closed: str) -> None:  # type: ignore[no-untyped-def]
    store = await opener(Policy(routes=(Route.model_validate({"sinks": ["chat"]}),)))
    await store.commit([finding(1)])
    resolution = "revoked" if closed == "resolve" else None
    await store.incidents.transition(fingerprint(1), closed, actor="ada", resolution=resolution, note="a new key")
    await deliver(store)
    incident = await store.incidents.transition(fingerprint(1), "reopen", actor="bob", note="wrong one")
    assert (incident.reopens, incident.state) == (0, "open")
    [leased] = await store.outbox.lease("chat", "me:1:x", 60)
    assert leased.reason == "reopened_by_hand"
    assert leased.joined.decided[incident.id][:2] == ("bob", "wrong one")


async def test_members_of_a_digest_stay_together_until_one_becomes_an_alarm(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    store = await opener(Policy(routes=(Route.model_validate({"sinks": ["chat"], "burst": "1/1m"}),)))
    await store.commit([finding(n, n) for n in range(10)])
    clock.now += 10
    await store.groups.tick()
    assert await deliver(store) == ["new", "digest"]
    clock.now += 100
    await store.commit([finding(n, 100 + n) for n in range(10)])
    clock.now += 300
    await store.groups.tick()
    assert await deliver(store) == ["update", "update"]
    digest = next(entry for entry in await store.outbox.list() if entry.reason == "digest")
    clock.now += 100
    one = await store.incidents.get(digest.incidents[0])
    await store.commit(
        [finding(next(n for n in range(10) if fingerprint(n) == one.fingerprint), 200, severity="critical")]
    )
    newest = (await store.outbox.list(limit=1))[0]
    assert (newest.reason, newest.incidents) == ("new", (one.id,))


async def test_silenced_incidents_are_told_when_the_silence_ends(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    from datetime import UTC, datetime

    silence = Silence(matchers=(Matcher.parse("rule=github-pat"),), ends=datetime.fromtimestamp(NOW + 600, UTC))
    store = await opener(Policy(sinks=("chat",), silences=(silence,)))
    await store.commit([finding("a")])
    assert await deliver(store) == []
    assert (await store.groups.agenda())[0] == NOW + 600
    clock.now = NOW + 600
    await store.groups.tick()
    assert await deliver(store) == ["new"]


async def test_what_was_not_sent_yet_is_one_notification(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    clock.now += 1
    await store.commit([finding("a", 1, severity="critical")])
    await store.incidents.transition(fingerprint("a"), "ack", actor="ada")
    boxes = await store.outbox.list()
    assert [(entry.reason, entry.attempts) for entry in boxes] == [("new", 0)]
    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    assert (leased.incidents[0].state, leased.severity) == ("acknowledged", "critical")


async def test_flush_sends_what_its_group_holds_back(opener) -> None:  # type: ignore[no-untyped-def]
    route = Route.model_validate({"sinks": ["chat"], "group_by": ["rule"], "group_wait": "1h", "burst": "1/1m"})
    store = await opener(Policy(routes=(route,)))
    await store.commit([finding(n, n, rule=f"r{n}") for n in range(3)])
    await store.groups.tick()
    assert await deliver(store) == []
    await store.groups.tick(flush=True)
    assert sorted(await deliver(store)) == ["digest", "new"]


async def test_a_silence_that_is_taken_back_silences_no_longer(opener, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    forever = Silence(matchers=(Matcher.parse("rule=github-pat"),))
    store = await opener(Policy(sinks=("chat",), silences=(forever,)))
    await store.commit([finding("a")])
    assert (await store.groups.agenda())[0] is None
    store.policy = Policy(sinks=("chat",))
    await store.groups.adopt(OWNER, ["chat"])
    await store.groups.tick()
    assert await deliver(store) == ["new"]
    await store.groups.adopt(OWNER, ["chat"])
    await store.groups.tick()
    assert await deliver(store) == []


async def test_a_secret_seen_again_while_a_turn_waits_to_be_told_is_told_after_it(url: str, clock: Clock) -> None:
    policy = Policy(sinks=("chat",), threads=frozenset({"chat"}))
    procedure = Procedure("high", book=runbook.load)
    async with await Store.open(url, policy, clock=clock, procedure=procedure) as store:
        await store.commit([finding("a")])
        await deliver(store)
        await store.runs.act(fingerprint("a")[:16], "audit", "claim", actor="ada")
        await store.commit([finding("a", 1, severity="critical")])
        assert await deliver(store) == ["progress", "escalated"]


async def test_nothing_waits_for_what_a_clock_said_that_was_put_back(store: Store, clock: Clock) -> None:
    await store.verdicts.gather(lambda labels: True)
    right, clock.now = clock.now, clock.now + 400 * 86_400
    await store.commit([finding("a")])
    await store.verdicts.gather(lambda labels: True)
    await store.hooks.enqueue(HookDelivery("d1", "github", "alert", "acme/web", 1))
    await store.requests.keep(
        [InboundRequest("r1", "chat", "ack", "ada", fingerprint("a")[:16], answer={"user": "U1"})]
    )
    await store.requests.apply(lambda incident, name: 1)

    async def waiting() -> list[int]:
        untold = await store.requests.take_untold(["chat"])
        return [len(found) for found in (await store.verdicts.due(), await store.hooks.due("github"), untold)]

    clock.now = right
    assert await waiting() == [0, 0, 0]
    await store.groups.look_again()
    assert await waiting() == [1, 1, 1]
