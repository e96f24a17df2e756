from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from monitor import runbook
from monitor.common.tasks import cancel
from monitor.daemon.deadlines import Deadlines
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store, StoreError
from monitor.store.suppressions import Wanted
from tests.monitor.store.helpers import finding, fingerprint

ID = fingerprint("a")[:16]


async def overdue(store: Store, sink: str) -> bool:
    return any(one.reason == "overdue" and one.sink == sink for one in await store.outbox.list())


async def until(store: Store, sink: str) -> None:
    async with asyncio.timeout(120):
        while not await overdue(store, sink):
            await asyncio.sleep(0.02)


class Jumping:
    """The clock of the host, put forward or back."""

    def __init__(self) -> None:
        self.by = 0.0

    def __call__(self) -> float:
        return time.time() + self.by


@pytest.fixture
def clock() -> Jumping:
    return Jumping()


def opened(path: Path, clock: Jumping) -> object:
    procedure = Procedure("high", (Rung(),), runbook.load)
    return Store.open(path, Policy(sinks=("chat", "boss")), procedure=procedure, clock=clock)


async def test_what_was_due_before_the_start_is_told_at_once_and_what_is_due_soon_when_it_is(
    tmp_path: Path, clock: Jumping
) -> None:
    async with await opened(tmp_path / "state.db", clock) as store:  # type: ignore[attr-defined]
        await store.commit([finding("a", time=clock())])
        clock.by = 899.5
        running = asyncio.create_task(Deadlines(store).run())
        try:
            await until(store, "chat")
            assert clock() >= (await store.runs.get(ID)).started + 900
        finally:
            await cancel(running)


async def test_a_reload_brings_another_ladder_and_a_clock_put_back_loses_nothing(
    tmp_path: Path, clock: Jumping
) -> None:
    async with await opened(tmp_path / "state.db", clock) as store:  # type: ignore[attr-defined]
        store.procedure = Procedure("high", (Rung(7200.0),), runbook.load)
        await store.commit([finding("a", time=clock())])
        clock.by = -3600
        deadlines = Deadlines(store)
        running = asyncio.create_task(deadlines.run())
        try:
            await asyncio.sleep(0.2)
            clock.by = 1000
            store.procedure = Procedure("high", (Rung(0.0, ("boss",)),), runbook.load)
            deadlines.look_again()
            await until(store, "boss")
            assert not await overdue(store, "chat")
        finally:
            await cancel(running)


async def test_a_run_that_began_while_the_clock_stood_ahead_is_not_late_for_that(
    tmp_path: Path, clock: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.daemon.deadlines._SWEEP", 0.1)
    clock.by = 40_000_000
    async with await opened(tmp_path / "state.db", clock) as store:  # type: ignore[attr-defined]
        running = asyncio.create_task(Deadlines(store).run())
        try:
            await store.commit([finding("a", time=clock())])
            run = await store.runs.get(ID)
            async with asyncio.timeout(120):
                while run.tasks[0].deadline > time.time() + 900:
                    clock.by = 0.0
                    run = await store.runs.get(ID)
                    await asyncio.sleep(0.02)
            assert not await overdue(store, "chat")
            clock.by = 901
            await until(store, "chat")
        finally:
            await cancel(running)


async def test_a_database_in_trouble_is_waited_for_and_a_mistake_is_the_callers(
    tmp_path: Path, clock: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await opened(tmp_path / "state.db", clock) as store:  # type: ignore[attr-defined]
        failures = [StoreError("away"), RuntimeError("a mistake")]
        seen: list[bool] = []

        async def sweep(*, everything: bool = False, watched: object = None) -> float | None:
            seen.append(everything)
            raise failures[len(seen) - 1]

        monkeypatch.setattr(store.runs, "sweep", sweep)
        deadlines = Deadlines(store)
        running = asyncio.create_task(deadlines.run())
        async with asyncio.timeout(120):
            while not seen:
                await asyncio.sleep(0.01)
            deadlines.look_again()
            with pytest.raises(RuntimeError, match="a mistake"):
                await running
        assert seen == [True, True], "what was to be looked at anew still is"


async def test_what_was_suppressed_is_told_when_that_is_over(tmp_path: Path, clock: Jumping) -> None:
    async with await opened(tmp_path / "state.db", clock) as store:  # type: ignore[attr-defined]
        await store.suppressions.add([Wanted(fingerprint("a"), "known", clock() + 100)], actor="ada")
        await store.commit([finding("a", time=clock())])
        clock.by = 99.5
        running = asyncio.create_task(Deadlines(store).run())
        try:
            async with asyncio.timeout(120):
                while not await store.incidents.count():
                    await asyncio.sleep(0.02)
        finally:
            await cancel(running)
