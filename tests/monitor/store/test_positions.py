from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.model import Position
from monitor.routing import Policy
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


async def test_hosts_on_one_server_keep_positions_of_their_own(postgres_url: str) -> None:
    async with await Store.open(postgres_url, Policy(), node="a") as one:
        async with await Store.open(postgres_url, Policy(), node="b") as two:
            await one.commit([finding("x")], [Position("s", "k", {"offset": 1}), Position("s", "only a", {})])
            await two.commit([finding("x", 1)], [Position("s", "k", {"offset": 2})])
            assert await one.positions.of("s") == {"k": {"offset": 1}, "only a": {}}
            assert await two.positions.of("s") == {"k": {"offset": 2}}
            await two.commit([], [Position("s", "only a", None), Position("s", "k", {"offset": 3})])
            await two.flush()
            assert await one.positions.of("s") == {"k": {"offset": 1}, "only a": {}}
            [known] = await one.incidents.find(locations=True)
            assert [place.host for place in known.locations] == ["b", "a"]
    async with await Store.open(postgres_url, Policy(), node="b") as two:
        assert await two.positions.of("s") == {"k": {"offset": 3}}


async def test_each_host_begins_where_all_stood_before_they_were_told_apart(empty_postgres_url: str) -> None:
    from tests.monitor.store.test_schema import first_version

    first_version(empty_postgres_url)
    before = {"a": {"offset": 1}, "b": {"offset": 2}}
    async with (
        await Store.open(empty_postgres_url, node="one") as one,
        await Store.open(empty_postgres_url, node="two") as two,
    ):
        assert await one.positions.of("s") == before
        await one.commit([], [Position("s", "a", None), Position("s", "b", {"offset": 9})])
        assert await one.positions.of("s") == {"b": {"offset": 9}}
        assert await two.positions.of("s") == before


@pytest.mark.parametrize("name", ["web-1", "web-1.another.name"])
async def test_one_that_is_called_otherwise_finds_its_positions_in_its_own_file(tmp_path: Path, name: str) -> None:
    async with await Store.open(tmp_path / "state.db", node="web-1") as store:
        await store.commit([finding("x")], [Position("s", "k", {"offset": 1})])
    async with await Store.open(tmp_path / "state.db", node=name) as store:
        assert await store.positions.of("s") == {"k": {"offset": 1}}
