from __future__ import annotations

import pytest

from monitor import runbook
from monitor.routing import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.silences import later
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
        assert await store.silences.set(ID, 3600, actor="ada", note="rotating") == NOW + 3600
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
