from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.common.inbound import HookDelivery
from monitor.domain.model import Position
from monitor.intake.ledger import place
from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.positions import Renamed, renamed
from tests.fakes.forks import Forks
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
from monitor.common.inbound import HookDelivery
from monitor.intake.ledger import place
from monitor.domain.model import Position
from monitor.store import Store, database

async def main():
    store = await Store.open(sys.argv[1])
    left = int(sys.argv[2])
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


async def test_an_old_life_ends_and_the_new_begins_in_one_commit(tmp_path: Path, forks: Forks) -> None:
    for commits in range(5):
        path = tmp_path / f"{commits}.db"
        assert forks.python(_LIVES, str(path), str(commits)).returncode == -9
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


@pytest.mark.parametrize("name", ["web-1", "web-1.another.name"])
async def test_one_that_is_called_otherwise_finds_its_positions_in_its_own_file(tmp_path: Path, name: str) -> None:
    async with await Store.open(tmp_path / "state.db", node="web-1") as store:
        await store.commit([finding("x")], [Position("s", "k", {"offset": 1})])
    async with await Store.open(tmp_path / "state.db", node=name) as store:
        assert await store.positions.of("s") == {"k": {"offset": 1}}


async def _rows(store: Store, *names: str) -> dict[str, dict[str, object]]:
    found = await store.positions.all()
    return {
        name: {key: state for key, state in found.get(name, {}).items() if key != "@reach"} for name in sorted(names)
    }


async def _named(store: Store, **reaches: str) -> Renamed:
    return await asyncio.wrap_future(store.positions.take_over(reaches))


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ({"a": "1"}, {"b": "1"}, {"a": "b"}),
        ({"a": "1"}, {"a": "1", "b": "1"}, {}),  # it is still there: another one beside it
        ({"a": "1"}, {"b": "2"}, {}),
        ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "b", "b": "a"}),  # swapped
        ({"a": "1", "b": "2"}, {"b": "1", "c": "2"}, {"a": "b", "b": "c"}),  # each moved on by one
        ({"a": "1", "b": "2"}, {"c": "1", "d": "2"}, {"a": "c", "b": "d"}),  # two at once
        ({"a": "1", "b": "2"}, {"a": "2"}, {"b": "a"}),
        ({"a": "1", "b": "1"}, {"b": "1", "c": "1"}, {"a": "c"}),
        ({"a": "1", "b": "1"}, {"c": "1"}, None),
        ({"a": "1"}, {"b": "1", "c": "1"}, None),
        ({"a": "1", "b": "1"}, {"c": "1", "d": "1"}, None),
    ],
)
def test_who_goes_on_under_another_name(
    before: dict[str, str], after: dict[str, str], moves: dict[str, str] | None
) -> None:
    found = renamed(before, after)
    assert found.moves == (moves or {})
    assert bool(found.unclear) == (moves is None)


async def test_a_source_under_another_name_takes_over_all_that_is_kept_of_it(opener) -> None:  # type: ignore[no-untyped-def]
    store = await opener()
    await _named(store, a="1", b="2", c="3")
    for name in "abc":
        lost = Position(place(name), "gone:", {"reason": name})
        await store.commit([], [Position(name, "k", {"of": name}), Position(name, name, {}), lost])
    due = HookDelivery("d1", "c", "secret_scanning_alert", "acme/web", 1, 0.0, 0)
    await store.hooks.enqueue(due)
    await store.close()

    store = await opener()
    # Not even flushed: what is asked from now on comes after it.
    asked = store.positions.take_over({"b": "1", "a": "2", "z": "3"})
    assert await store.positions.of("z") == {"k": {"of": "c"}, "c": {}}
    assert asked.result(0).moves == {"a": "b", "b": "a", "c": "z"}
    assert await _rows(store, "a", "b", "c", "z") == {
        "a": {"k": {"of": "b"}, "b": {}},
        "b": {"k": {"of": "a"}, "a": {}},
        "c": {},
        "z": {"k": {"of": "c"}, "c": {}},
    }
    ledgers = await _rows(store, *map(place, "abcz"))
    assert {name: state.get("gone:") for name, state in ledgers.items()} == {
        "@a": {"reason": "b"},
        "@b": {"reason": "a"},
        "@c": None,
        "@z": {"reason": "c"},
    }
    assert [one.id for one in await store.hooks.due("z")] == ["d1"]
    assert not await store.hooks.due("c")
    assert (await _named(store, a="2", b="1", z="3")).moves == {}  # once
    await store.close()


async def test_nothing_is_moved_where_two_may_be_the_one(opener) -> None:  # type: ignore[no-untyped-def]
    store = await opener()
    await _named(store, a="1")
    await store.commit([], [Position("a", "k", {})])
    found = await _named(store, b="1", c="1")
    assert (found.moves, found.unclear) == ({}, [(["b", "c"], ["a"])])
    assert await _rows(store, "a", "b", "c") == {"a": {"k": {}}, "b": {}, "c": {}}
    assert not (await _named(store, b="1", c="1")).unclear  # said once
    assert (await _named(store, a="1", c="1")).moves == {}  # called so again, it goes on where it was
    assert await _rows(store, "a") == {"a": {"k": {}}}
    await store.close()


_RENAMES = """
import asyncio, os, sys
from monitor.store import Store, database

async def main():
    store = await Store.open(sys.argv[1])
    when = sys.argv[2]
    def kill(*_):
        os.kill(os.getpid(), 9)
    if when == "committed":
        database.after_commit = kill
    elif when == "moved":
        from monitor.store import positions
        positions.move = kill  # the rows have their names; not yet committed
    store.positions.take_over({"b": "1", "a": "2"}).result()

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["moved", "committed"])
async def test_killed_while_names_change_the_rows_are_all_here_or_all_there(
    tmp_path: Path, forks: Forks, when: str
) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path) as store:
        await _named(store, a="1", b="2")
        await store.commit([], [Position("a", "k", {"of": 1}), Position("b", "k", {"of": 2})])
    assert forks.python(_RENAMES, str(path), when).returncode == -9
    async with await Store.open(path) as store:
        one, two = (1, 2) if when == "moved" else (2, 1)
        assert await _rows(store, "a", "b") == {"a": {"k": {"of": one}}, "b": {"k": {"of": two}}}
        await _named(store, a="2", b="1")
        assert await _rows(store, "a", "b") == {"a": {"k": {"of": 2}}, "b": {"k": {"of": 1}}}


async def test_each_host_changes_the_names_of_its_own_positions(postgres_url: str) -> None:
    async with (
        await Store.open(postgres_url, Policy(), node="a") as one,
        await Store.open(postgres_url, Policy(), node="b") as two,
    ):
        for store in (one, two):
            await _named(store, s="1")
            await store.commit([], [Position("s", "k", {})])
            await store.flush()
        await _named(one, t="1")
        assert await _rows(one, "s", "t") == {"s": {}, "t": {"k": {}}}
        assert await _rows(two, "s", "t") == {"s": {"k": {}}, "t": {}}
