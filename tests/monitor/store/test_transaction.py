from __future__ import annotations

import asyncio
import contextlib

from monitor.domain.model import Position
from monitor.store import Store
from monitor.store.transaction import Transaction
from tests.monitor.store.helpers import Clock, finding


async def test_only_what_gives_delivery_something_to_do_is_announced(store: Store, clock: Clock) -> None:
    told: list[float] = []
    store.on_change(lambda: told.append(clock.now))
    await store.commit([], [Position("s", "k", {})])
    await store.flush()
    await asyncio.sleep(0)
    assert not told
    await store.commit([finding("a")])
    await asyncio.sleep(0)
    assert told == [clock.now]


async def test_a_function_sees_one_time_and_the_policy_of_now(store: Store, clock: Clock) -> None:
    def look(tx: Transaction) -> tuple[float, tuple[str, ...]]:
        clock.now += 5
        return tx.now, tx.policy.sinks

    began = clock.now
    assert await store.write(look) == (began, ("chat",))


async def test_what_fails_leaves_nothing_behind_of_what_was_known_within_it(store: Store) -> None:
    def fail(tx: Transaction) -> object:
        with contextlib.suppress(ValueError), tx.attempt():
            tx.quiet = "as it was within"
            raise ValueError
        return tx.quiet

    assert await store.write(fail) is None
