from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monitor import runbook
from monitor.domain.retention import RetentionConfig
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from monitor.store.drills import Drilled, DrillRow, DrillRun, UnderWayError
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, lease

POLICY = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}))


async def sinks(store: Store, secret: str) -> set[str]:
    return {one.sink for one in await store.outbox.list(about=fingerprint(secret)[:16])}


async def test_a_drill_is_marked_and_wakes_nobody_unless_asked(url: str, clock: Clock) -> None:
    procedure = Procedure("high", (Rung(), Rung(1.0, ("pager",))), runbook.load)
    async with await Store.open(url, POLICY, clock=clock, procedure=procedure) as store:
        await store.drills.plan([fingerprint("quiet")], pages=False)
        await store.drills.plan([fingerprint("loud")], pages=True)
        forged = {"labels": {"drill": "true"}}
        await store.commit([finding("quiet"), finding("loud", 1), finding("real", 2, **forged)])
        assert await sinks(store, "quiet") == {"chat"}
        assert await sinks(store, "loud") == {"chat", "pager"}
        assert await sinks(store, "real") == {"chat", "pager"}, "a label of the log makes no drill"
        assert (await store.incidents.get(fingerprint("quiet"))).labels["drill"] == "true"
        marked = {}
        while leased := await lease(store, "chat"):
            marked |= {one.fingerprint: one.fingerprint in leased.joined.drills for one in leased.incidents}
            await store.outbox.sent(leased.id, None)
        assert marked == {fingerprint("quiet"): True, fingerprint("loud"): True, fingerprint("real"): False}

        clock.now = NOW + 5000
        await store.runs.sweep()
        late = {(one.sink, one.incidents[0]) for one in await store.outbox.list() if one.reason == "overdue"}
        assert ("pager", fingerprint("quiet")[:16]) not in late
        assert ("pager", fingerprint("loud")[:16]) in late
        assert ("chat", fingerprint("quiet")[:16]) in late


async def test_the_last_drill_says_how_far_it_went(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        assert await store.drills.last() is None
        await store.drills.plan([fingerprint("first")], pages=False)
        await store.commit([finding("first")])
        await store.incidents.transition(fingerprint("first"), "ack", actor="a")
        await store.incidents.transition(fingerprint("first"), "resolve", actor="a", resolution="used_in_tests")
        assert await store.drills.last() == Drilled(fingerprint("first"), NOW, True, True, True)
        stats = await store.stats()
        assert (stats.drill_hops, stats.drilled) == (3, NOW)
        clock.now = NOW + 10
        await store.drills.plan([fingerprint("second"), fingerprint("as others see it")], pages=False)
        last = await store.drills.last()
        assert last is not None
        assert (last.at, last.found, last.acknowledged, last.resolved) == (NOW + 10, False, False, False)
        await store.commit([finding("second")])
        assert await store.drills.last() == Drilled(fingerprint("second"), NOW + 10, True, False, False)
        stats = await store.stats()
        assert (stats.drill_hops, stats.drilled) == (1, NOW)
        assert await store.drills.among([fingerprint("second"), fingerprint("else")]) == {fingerprint("second")}


async def test_all_of_them_with_how_far_each_went(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.drills.plan([fingerprint("first"), fingerprint("twin")], pages=False)
        clock.now = NOW + 60
        await store.drills.plan([fingerprint("second")], pages=False)
        await store.commit([finding("twin")])
        id_ = fingerprint("twin")[:16]
        await store.incidents.transition(id_, "ack", actor="ada")
        assert await store.drills.all() == [
            DrillRow(NOW + 60, "", False, False),
            DrillRow(NOW, id_, True, False),
        ]


WHAT: dict[str, Any] = {"pages": False, "by": "ada", "source": "services", "rule": "github-pat", "alone": True}


async def test_who_follows_one_is_known_and_two_are_not_begun_at_once(url: str, clock: Clock) -> None:
    hops = [("planted", 0.0, "/logs/a.log"), ("detected", 1.25, "in it")]
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.drills.begin("one", [fingerprint("first")], **WHAT)
        with pytest.raises(UnderWayError, match="of ada in services is under way since 2027-01-15 08:00:00 UTC"):
            await store.drills.begin("two", [fingerprint("second")], **WHAT)
        await store.drills.begin("beside", [fingerprint("third")], **WHAT | {"alone": False})
        await store.drills.end("beside", hops[:1], "detected: nothing found it")
        clock.now = NOW + 50
        await store.drills.goes_on("one", hops)
        clock.now = NOW + 100
        with pytest.raises(UnderWayError):
            await store.drills.begin("two", [fingerprint("second")], **WHAT)
        clock.now = NOW + 111
        await store.drills.begin("two", [fingerprint("second")], **WHAT)
        with pytest.raises(UnderWayError, match="begun already"):
            await store.drills.begin("two", [fingerprint("again")], **WHAT)
        await store.drills.end("two", hops)
        await store.drills.end("gone", hops)
        last, *_ = await store.drills.all()
        assert last.run == DrillRun("ada", "services", "github-pat", [(*one,) for one in hops], "whole")
        assert await store.drills.among([fingerprint("again")]) == frozenset()
        _, rows = await store.trail.page(incident="monitor")
        assert [(row.entry.action, row.entry.actor, row.entry.note) for row in rows] == [
            ("drill_over", "ada", "source services, rule github-pat: every hop came"),
            ("drill_begun", "ada", "source services, rule github-pat"),
            ("drill_over", "ada", "source services, rule github-pat: detected: nothing found it"),
            ("drill_begun", "ada", "source services, rule github-pat"),
            ("drill_begun", "ada", "source services, rule github-pat"),
        ]
        assert (await store.trail.verify()).problems == ()


async def test_of_one_that_nobody_follows_any_more_it_is_said_how_far_it_came(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.drills.begin("one", [fingerprint("first")], **WHAT)
        await store.drills.goes_on("one", [("planted", 0.0, "")])
        assert [row.run and row.run.standing for row in await store.drills.all()] == ["under way"]
        clock.now = NOW + 61
        (row,) = await store.drills.all()
        assert row.run == DrillRun("ada", "services", "github-pat", [("planted", 0.0, "")], "left")
        await store.drills.end("one", [], "detected: nothing found it")
        assert [row.run and row.run.standing for row in await store.drills.all()] == ["broken"]


async def test_what_is_known_of_one_goes_with_its_incident(store: Store, clock: Clock) -> None:
    await store.drills.begin("one", [fingerprint("first")], **WHAT)
    await store.commit([finding("first")])
    await store.incidents.transition(fingerprint("first"), "resolve", actor="ada", resolution="used_in_tests")
    await store.drills.end("one", [])
    clock.now += 86_400
    await store.drills.begin("two", [fingerprint("second")], **WHAT)
    for years in (1.1, 5):
        clock.now += years * 366 * 86_400
        await deliver(store)
        await store.retention.sweep(RetentionConfig())
    (row,) = await store.drills.all()
    assert (row.at, row.run and row.run.standing) == (NOW + 86_400, "left")
    await store.drills.end("one", [])
    await store.drills.begin("one", [fingerprint("third")], **WHAT)  # nothing is known of it


async def test_of_two_hosts_that_begin_at_once_one_does(postgres_url: str) -> None:
    one, two = [await Store.open(postgres_url, POLICY, node=node) for node in ("one", "two")]
    async with one, two:
        begun = (store.drills.begin(store.node, [fingerprint(store.node)], **WHAT) for store in (one, two))
        answers = await asyncio.gather(*begun, return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "UnderWayError"]
