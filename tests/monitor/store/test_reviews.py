"""Refusals that were kept by looser rules are shown again, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from monitor import runbook
from monitor.common.severity import Severity
from monitor.domain.incidents import Verified
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure
from monitor.store import Store, reviews
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, reasons

STANDS = {"mapbox"}


def ident(secret: str) -> str:
    return fingerprint(secret)[:16]


def worth(labels: dict[str, str]) -> Severity | None:
    return "low" if labels["validity"] == "refused" else None


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    policy = Policy(sinks=("chat",), routes=(Route(sinks=("chat",)),), threads=frozenset({"chat"}))
    procedure = Procedure("high", book=runbook.load)
    async with await Store.open(url, policy, clock=clock, procedure=procedure, secret=b"k" * 16) as store:
        yield store


async def refused(store: Store, clock: Clock, secret: str, provider: str = "github", **changes: object) -> str:
    """One whose issuer refused it, which closed its step and lowered it."""
    await store.commit([finding(secret, hash(secret) % 1000, runbook="github-token", **changes)])
    clock.now += 60
    said = Verified("refused", clock.now, "it refuses it (HTTP 401)", provider)
    await store.verdicts.record(ident(secret), said, actor="monitor", worth=worth)
    return ident(secret)


async def steps(store: Store, incident: str) -> dict[str, str]:
    run = await store.runs.get(incident)
    assert run is not None
    return {task.id: task.state for task in run.tasks}


async def look(store: Store) -> None:
    await store.verdicts.review(STANDS, lambda labels: labels["severity"] == "high", worth)


async def test_what_a_refusal_alone_had_closed_is_open_again_and_told_once(store: Store, clock: Clock) -> None:
    one, other = await refused(store, clock, "a"), await refused(store, clock, "b", "mapbox")
    action = await store.actions.plan(one, "revoke", actor="ada", needed=0)
    await store.actions.begin(action.id, "ada")
    await store.actions.finish(action.id, "accepted", "taken", actor="ada")
    await store.actions.complete(one, "refused: it refuses it (HTTP 401)")
    assert ((await store.incidents.get(one)).severity, (await steps(store, one))["revoke"]) == ("low", "done")
    await deliver(store)
    clock.now += 400
    await store.groups.tick()
    assert await deliver(store) == ["update", "update"]  # refused

    clock.now += 10
    await look(store)
    again = await store.incidents.get(one)
    assert (again.severity, again.base, again.state) == ("high", None, "open")
    assert again.verified is not None
    assert (again.verified.validity, "ask again" in again.verified.reason) == ("unknown", True)
    assert (await steps(store, one))["revoke"] == "open"
    assert (await store.actions.get(action.id)).state == "unknown"
    last = (await store.incidents.history(one))[-1]
    assert (last.action, last.actor) == ("doubted", "monitor")
    assert "open again: revoke" in last.note
    assert "not known to have worked: revoke" in last.note
    assert (await store.trail.verify()).problems == ()

    # The other one was refused in words that count as they did.
    stays = await store.incidents.get(other)
    assert (stays.severity, (await steps(store, other))["revoke"]) == ("low", "done")

    # One notice, and nothing of the single incident: neither now, nor when its group is looked at again.
    assert await deliver(store) == ["operational"]
    [notice] = [row for row in await store.outbox.list() if row.reason == "operational"]
    assert "refused may be live" in (notice.title or "")
    clock.now += 10_000
    await store.groups.tick()
    assert await deliver(store) == []
    [ask] = await store.verdicts.due()
    assert ask.incident.id == one

    await look(store)  # once for a database
    assert "operational" in await reasons(store)
    assert (await reasons(store)).count("operational") == 1


async def test_what_people_said_stays(store: Store, clock: Clock) -> None:
    one = await refused(store, clock, "a")
    await store.incidents.transition(one, "resolve", actor="ada", resolution="revoked", note="done by hand")
    two = await refused(store, clock, "b")
    await store.runs.act(two, "revoke", "reopen", actor="ada")
    await store.runs.act(two, "revoke", "done", actor="ada", note="seen in the console")
    before = await steps(store, one)
    await look(store)
    resolved = await store.incidents.get(one)
    assert (resolved.state, resolved.resolution, await steps(store, one)) == ("resolved", "revoked", before)
    assert resolved.verified is not None
    assert resolved.verified.validity == "unknown"
    assert (await steps(store, two))["revoke"] == "done"
    assert [ask.incident.id for ask in await store.verdicts.due()] == [two]


async def test_a_run_that_had_ended_goes_on(store: Store, clock: Clock) -> None:
    one = await refused(store, clock, "a")
    for step, state in (await steps(store, one)).items():
        if state != "done":
            await store.runs.act(one, step, "skip", actor="ada", note="x", anyway=True)
    run = await store.runs.get(one)
    assert run is not None
    assert run.ended is not None
    await look(store)
    run = await store.runs.get(one)
    assert run is not None
    assert (run.ended, run.task("revoke").state) == (None, "open")


async def test_it_goes_on_where_it_was_interrupted(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [await refused(store, clock, name) for name in "abcde"]
    monkeypatch.setattr(reviews, "_AT_A_TIME", 2)
    assert await store.write(lambda tx: reviews.review(tx, STANDS, lambda labels: False, worth))
    half = [(await store.incidents.get(one)).severity for one in ids]
    assert half.count("high") == 2
    await asyncio.gather(look(store), look(store))  # two hosts
    assert [(await store.incidents.get(one)).severity for one in ids] == ["high"] * 5
    [notice] = [row for row in await store.outbox.list() if row.reason == "operational"]
    assert (notice.title or "").startswith("5 secrets")
    assert [len([e for e in await store.incidents.history(one) if e.action == "doubted"]) for one in ids] == [1] * 5


async def test_a_new_database_tells_nobody_and_what_is_refused_later_counts(store: Store, clock: Clock) -> None:
    await look(store)
    assert await store.outbox.list() == []
    one = await refused(store, clock, "a")
    await look(store)
    assert (await store.incidents.get(one)).severity == "low"
    assert clock.now > NOW
