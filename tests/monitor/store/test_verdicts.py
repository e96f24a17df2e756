from __future__ import annotations

import pytest

from monitor.common.severity import Severity
from monitor.domain.incidents import Validity, Verified
from monitor.routing.routes import Policy, Route
from monitor.store import Store
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint


def answer(validity: Validity, at: float = NOW, **facts: str) -> Verified:
    return Verified(validity, at, "GitHub says so", "github", facts)


def refused_is_low(labels: dict[str, str]) -> Severity | None:
    return {"refused": "low", "valid": "critical"}.get(labels["validity"])  # type: ignore[return-value]


async def opened(store: Store, **changes: object) -> str:
    await store.commit([finding("a", **changes)])
    return (await store.incidents.get(fingerprint("a"))).id


async def test_an_answer_is_kept_and_stands_in_the_trail(store: Store, clock: Clock) -> None:
    one = await opened(store)
    assert (await store.incidents.get(one)).verified is None
    clock.now += 5
    said = answer("valid", clock.now, account="octocat", scopes="repo")
    assert (await store.verdicts.record(one, said, actor="ada")).verified == said
    assert (await store.incidents.get(one)).verified == said
    [_, entry] = await store.incidents.history(one)
    assert (entry.action, entry.actor, entry.state, entry.at) == ("verified", "ada", "open", NOW + 5)
    assert entry.note == "valid: GitHub says so; account octocat, scopes repo"
    with pytest.raises(LookupError):
        await store.verdicts.record("none", said, actor="ada")


async def test_sinks_hear_of_it_once_and_not_of_an_unknown(store: Store, clock: Clock) -> None:
    one = await opened(store)
    assert await deliver(store) == ["new"]
    clock.now += 1000
    await store.verdicts.record(one, answer("unknown"), actor="monitor")
    await store.groups.tick()
    assert await deliver(store) == []
    await store.verdicts.record(one, answer("valid"), actor="monitor")
    await store.groups.tick()
    assert await deliver(store) == ["update"]
    clock.now += 1000
    await store.verdicts.record(one, answer("valid"), actor="monitor")
    await store.groups.tick()
    assert await deliver(store) == []


async def test_an_answer_is_no_decision(store: Store) -> None:
    """Who acknowledged it is still told, and an incident that was reopened by hand stays so."""
    one = await opened(store)
    await deliver(store)
    await store.incidents.transition(one, "ack", actor="ada", note="on it")
    await store.verdicts.record(one, answer("refused"), actor="monitor")
    [leased] = await store.outbox.lease("chat", "me:1:x", 60)
    assert leased.joined.decided[one][:2] == ("ada", "on it")


async def test_severity_follows_the_answer_and_comes_back(store: Store, clock: Clock) -> None:
    one = await opened(store)
    await deliver(store)
    low = await store.verdicts.record(one, answer("refused"), actor="monitor", worth=refused_is_low)
    assert (low.severity, low.base) == ("low", "high")
    # Another sighting by a rule that thinks more of it does not undo what its issuer said.
    await store.commit([finding("a", 5, severity="critical")])
    seen = await store.incidents.get(one)
    assert (seen.severity, seen.base, seen.occurrences) == ("low", "critical", 2)
    high = await store.verdicts.record(one, answer("valid"), actor="monitor", worth=refused_is_low)
    assert (high.severity, high.base) == ("critical", None)
    assert "escalated" in await deliver(store)
    back = await store.verdicts.record(one, answer("refused"), actor="monitor")
    assert (back.severity, back.base) == ("critical", None)


async def test_no_answer_takes_no_answer_back(store: Store) -> None:
    one = await opened(store)
    await store.verdicts.record(one, answer("refused"), actor="monitor", worth=refused_is_low)
    kept = await store.verdicts.record(one, answer("unknown"), actor="ada", worth=refused_is_low)
    assert kept.verified == answer("refused")
    assert kept.severity == "low"
    assert len(await store.incidents.history(one)) == 3  # that somebody asked is told all the same


async def test_routes_match_on_it(opener) -> None:  # type: ignore[no-untyped-def]
    policy = Policy(
        sinks=("chat", "pager"),
        routes=(
            Route.model_validate({"matchers": ['validity="valid"'], "sinks": ["pager"]}),
            Route.model_validate({"sinks": ["chat"]}),
        ),
    )
    store = await opener(policy)
    one = await opened(store)
    assert await deliver(store, "pager") == []
    await store.verdicts.record(one, answer("valid"), actor="monitor")
    assert await deliver(store, "pager") == ["new"]


async def test_what_is_new_is_queued_once_and_what_is_old_is_not(store: Store, clock: Clock) -> None:
    await store.commit([finding("old")])
    assert await store.verdicts.gather(lambda labels: True) is False  # from here on
    assert await store.verdicts.due() == []
    await store.commit([finding("a", 1), finding("b", 2, rule="npm-access-token"), finding("c", 3)])
    await store.verdicts.gather(lambda labels: labels["rule"] == "github-pat")
    await store.verdicts.gather(lambda labels: True)
    waiting = [ask.incident.fingerprint for ask in await store.verdicts.due()]
    assert sorted(waiting) == sorted([fingerprint("a"), fingerprint("c")])
    assert all(ask.incident.locations and ask.attempts == 0 for ask in await store.verdicts.due())

    first, second = await store.verdicts.due()
    await store.verdicts.postpone(first.incident.id, 60)
    assert [ask.incident.id for ask in await store.verdicts.due()] == [second.incident.id]
    await store.verdicts.record(second.incident.id, answer("refused"), actor="monitor")
    assert await store.verdicts.next_due() == clock.now + 60
    clock.now += 61
    assert [ask.attempts for ask in await store.verdicts.due()] == [1]
    await store.verdicts.drop(first.incident.id)
    assert await store.verdicts.next_due() is None


async def test_what_comes_back_is_asked_about_again(store: Store, clock: Clock) -> None:
    await store.verdicts.gather(lambda labels: True)
    one = await opened(store)
    await store.verdicts.gather(lambda labels: True)
    await store.verdicts.drop(one)
    await store.incidents.transition(one, "resolve", actor="ada", resolution="revoked")
    clock.now += 10
    await store.commit([finding("a", 9, time=clock.now)])
    await store.verdicts.gather(lambda labels: True)
    assert [ask.incident.id for ask in await store.verdicts.due()] == [one]


async def test_a_host_asks_about_what_it_has_seen_itself(url: str, clock: Clock) -> None:
    async with (
        await Store.open(url, node="here", clock=clock) as here,
        await Store.open(url, node="there", clock=clock) as there,
    ):
        for store in (here, there):
            await store.verdicts.gather(lambda labels: True)
        await here.commit([finding("a")])
        for store in (here, there):
            await store.verdicts.gather(lambda labels: True)
        assert len(await here.verdicts.due()) == 1
        assert await there.verdicts.due() == []


async def test_many_are_gathered_in_pieces(store: Store) -> None:
    await store.verdicts.gather(lambda labels: True)
    await store.commit([finding(number, number) for number in range(600)])
    assert await store.verdicts.gather(lambda labels: True) is True
    assert await store.verdicts.gather(lambda labels: True) is False
    assert len(await store.verdicts.due(1000)) == 600
