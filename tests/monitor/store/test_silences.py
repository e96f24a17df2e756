from __future__ import annotations

from dataclasses import replace

import pytest

from monitor import runbook
from monitor.domain.incidents import TransitionError
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.retention import Ages
from monitor.store.silences import Hushed, later
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

ID = fingerprint("a")[:16]


def test_of_two_ends_the_later_counts() -> None:
    assert later(None, None) is None
    assert later(1.0, None) == 1.0
    assert later(1.0, 2.0) == 2.0


async def test_nobody_is_told_until_the_end_and_deadlines_wait(url: str, clock: Clock) -> None:
    procedure = Procedure("high", book=runbook.load)
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock, procedure=procedure) as store:
        await store.commit([finding("a")])
        assert await deliver(store) == ["new"]
        await store.silences.set(ID, 60, actor="bob", note="a moment")
        clock.now = NOW + 1
        assert await store.silences.set(ID, 3599, actor="ada", note="rotating") == NOW + 3600
        assert await store.silences.list() == ([], [Hushed(ID, NOW + 3600, NOW + 1, "ada", "rotating")])
        await store.commit([finding("a", 1, severity="critical")])
        clock.now = NOW + 1800
        await store.runs.sweep()
        await store.groups.tick()
        assert await deliver(store) == []
        clock.now = NOW + 3601
        await store.runs.sweep()
        await store.groups.tick()
        assert set(await deliver(store)) == {"escalated", "overdue"}
        history = [(one.action, one.actor, one.note) for one in await store.incidents.history(ID)]
        assert ("silenced", "ada", "rotating") in history
        assert (await store.trail.verify()).problems == ()


async def test_a_silence_can_be_ended_and_is_no_change_of_state(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.commit([finding("a")])
        await deliver(store)
        await store.silences.set(ID, 3600, actor="ada", note="")
        await store.commit([finding("a", 1, severity="critical")])
        assert await deliver(store) == []
        await store.silences.set(ID, 0, actor="bob", note="")
        await store.groups.tick()
        assert await deliver(store) == ["escalated"]
        with pytest.raises(LookupError):
            await store.silences.set("nobody", 1, actor="ada", note="")


async def test_what_is_resolved_is_not_silenced_whoever_asks(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.commit([finding("a")])
        await store.silences.set(ID, 60, actor="bob", note="")
        await store.incidents.transition(ID, "resolve", actor="ada", resolution="false_positive")
        with pytest.raises(TransitionError, match="there is nothing to silence"):
            await store.silences.set(ID, 60, actor="bob", note="")
        await store.silences.set(ID, 0, actor="bob", note="")
        assert await store.silences.list() == ([], [])


async def test_all_that_match_are_silent_until_the_end_or_until_it_is_taken_back(url: str, clock: Clock) -> None:
    procedure = Procedure("high", book=runbook.load)
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock, procedure=procedure) as store:
        later_on = await store.silences.add(["rule=nobody"], 60, actor="ada", reason="", starts=NOW + 9000)
        rule = await store.silences.add(['severity="high"'], 7200, actor="ada", reason="rotating")
        await store.commit([finding("a", severity="high"), finding("b", 1, severity="low")])
        await store.groups.tick()
        assert await deliver(store) == ["new"]  # of b
        clock.now = NOW + 3600
        await store.runs.sweep()
        await store.groups.tick()
        assert await deliver(store) == []
        assert (await store.silences.list())[0] == [rule, later_on]
        ended = await store.silences.end(rule.id[:5], actor="bob", note="done")
        assert ended == replace(rule, ends=clock.now, ended_by="bob", ended_why="done")
        assert await store.silences.over() == [ended]
        await store.runs.sweep()
        await store.groups.tick()
        assert {"new", "overdue"} <= set(await deliver(store))
        with pytest.raises(LookupError, match="there is no silence"):
            await store.silences.end(rule.id, actor="bob", note="")


async def test_a_silence_ends_by_itself_and_is_forgotten_a_month_later(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.silences.add(["severity=~.*"], 60, actor="ada", reason="")
        await store.commit([finding("a")])
        await store.groups.tick()
        assert await deliver(store) == []
        clock.now = NOW + 61
        await store.groups.tick()
        assert await deliver(store) == ["new"]
        assert (await store.silences.list())[0] == []
        clock.now = NOW + 40 * 86_400
        assert (await store.retention.sweep(Ages()))["silences"] == 1


async def test_a_silence_for_longer_than_there_are_dates_hinders_nothing(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.silences.add(["source=nobody"], 1e13, actor="ada", reason="")
        await store.commit([finding("a")])
        await store.groups.tick()
        assert await deliver(store) == ["new"]
        assert await store.silences.set(ID, 1e13, actor="ada", note="") < 1e12
        [rule], [single] = await store.silences.list()
        assert rule.ends == single.until
