from __future__ import annotations

import asyncio

from monitor.model import Position
from monitor.store import Store
from tests.monitor.store.helpers import finding


async def test_positions_commit_with_findings_and_survive(opener) -> None:  # type: ignore[no-untyped-def]
    store = await opener()
    weird = "caf\udce9\0\u2603"
    await store.commit([finding("a")], [Position("s", "one", {"offset": 1, "name": weird}), Position("s", weird, {})])
    await store.commit([], [Position("s", "two", {"offset": 2}), Position("other", "one", {"offset": 9})])
    assert await store.positions.of("s") == {"one": {"offset": 1, "name": weird}, weird: {}, "two": {"offset": 2}}
    await store.commit([], [Position("s", "one", {"offset": 3}), Position("s", "two", None)])
    await store.commit([], [Position("s", weird, None), Position("s", "one", {"offset": 4})])
    await store.close()
    again = await opener()
    assert await again.positions.of("s") == {"one": {"offset": 4}}
    assert await again.positions.of("other") == {"one": {"offset": 9}}


async def test_the_last_position_wins_whichever_way_it_came(store: Store) -> None:
    waiting = [
        store.commit([finding("a", n)] if n % 3 == 0 else [], [Position("s", "k", {"offset": n})]) for n in range(50)
    ]
    await asyncio.gather(*waiting)
    assert await store.positions.of("s") == {"k": {"offset": 49}}
