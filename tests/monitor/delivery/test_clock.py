from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.delivery.clock import Clock
from monitor.routing.routes import Policy, Route
from monitor.store import Store, StoreError
from tests.fakes.delivery import finding, until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    policy = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "group_wait": "0s"}),))
    async with await Store.open(tmp_path / "state.db", policy) as opened:
        yield opened


@contextlib.asynccontextmanager
async def ticking(store: Store) -> AsyncIterator[list[tuple[str, bool]]]:
    due: list[tuple[str, bool]] = []
    task = asyncio.create_task(Clock(store, lambda name, asked: due.append((name, asked))).run())
    yield due
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_sinks_hear_of_what_is_due_and_of_what_somebody_asked_for(store: Store) -> None:
    await store.commit([finding("a")])
    async with ticking(store) as due:
        await until(lambda: due == [("chat", False)])
        [leased] = await store.outbox.lease("chat", "me:1:x", 60)
        await store.outbox.put_back(leased.id, "me:1:x", error="down", delay=3000)
        assert await store.undelivered.retry([leased.id], actor="ada")
        await until(lambda: ("chat", True) in due)


async def test_a_clock_that_is_put_back_before_the_first_look_delays_nothing(store: Store) -> None:
    ahead = 7200.0
    store._clock = lambda: time.time() + ahead
    await store.commit([finding("a")])
    async with ticking(store) as due:
        ahead = 0.0
        await until(lambda: due)


async def test_a_clock_that_is_put_back_while_the_database_is_away_delays_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 7200.0
    store._clock = lambda: time.time() + ahead
    clock, looked = Clock(store, lambda name, asked: None), 0
    look_again = store.groups.look_again

    async def away() -> None:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise StoreError("it is away")
        await look_again()

    monkeypatch.setattr(store.groups, "look_again", away)
    ahead = 0.0
    with pytest.raises(StoreError):
        await clock.run()
    task = asyncio.create_task(clock.run())  # as whoever runs it does
    await until(lambda: looked == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
