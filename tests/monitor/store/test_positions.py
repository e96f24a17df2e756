from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

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


_LIVES = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
from monitor.model import Position
from monitor.store import Store, database

async def main():
    store = await Store.open(sys.argv[1])
    left = int(sys.argv[3])
    def after_commit():
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
    database.after_commit = after_commit
    for n in range(6):
        # An old life ends and the new one begins.
        await store.commit([], [Position("s", f"life {n}", None), Position("s", f"life {n + 1}", {"n": n + 1})])
        await store.flush()
    await store.close()

asyncio.run(main())
"""


async def test_an_old_life_ends_and_the_new_begins_in_one_commit(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    for commits in range(5):
        path = tmp_path / f"{commits}.db"
        child = subprocess.run([sys.executable, "-c", _LIVES, str(path), root, str(commits)], check=False)
        assert child.returncode == -9
        async with await Store.open(path) as store:
            assert len(await store.positions.of("s")) == 1, f"killed after {commits} commits"
