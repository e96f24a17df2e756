from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.store import Recovery, Store
from monitor.store.commit_counter import NumberFile
from monitor.store.upgrades import FIRST, VERSION
from tests.monitor.store.failover import connected, lagging, take_over
from tests.monitor.store.helpers import finding

POLICY = Policy(sinks=("chat",))


async def opened(url: str, folder: Path | None = None, node: str = "one", **more: object) -> Store:
    if folder is not None:
        folder.mkdir(exist_ok=True)
    return await Store.open(url, POLICY, node=node, folder=folder, **more)  # type: ignore[arg-type]


def at(number: int) -> list[Position]:
    return [Position("services", "app.log", {"offset": number})]


async def secrets(store: Store) -> set[str]:
    return {incident.fingerprint for incident in await store.incidents.find()}


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_what_a_running_host_wrote_is_written_again(postgres_url: str) -> None:
    async with await opened(postgres_url) as store:
        seen: list[Recovery] = []
        store.on_recovery(seen.append)
        await store.positions.of("services")
        await store.commit([finding("a")], at(1))
        copy = lagging(postgres_url)
        await store.commit([finding("b")], at(2))
        await store.commit([], [Position("services", "other.log", {"offset": 7})])
        await store.flush()
        take_over(postgres_url, copy)

        assert await store.commit([finding("c")], at(3)) == 1
        await until(lambda: seen)
        assert [(one.kind, one.lost > 0, one.complete) for one in seen] == [("forgotten", True, True)]
        assert await secrets(store) == {finding(name).fingerprint for name in "abc"}
        assert not store.stale("services")
        assert await store.positions.of("services") == {"app.log": {"offset": 3}, "other.log": {"offset": 7}}
        assert len(seen) == 1


@pytest.mark.parametrize("alone", [True, False])
async def test_where_it_is_not_remembered_a_source_goes_back(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    monkeypatch.setattr("monitor.store.memory._MOST", 0)
    async with await opened(postgres_url) as store:
        await store.positions.of("services")
        await store.commit([finding("a")], at(1))
        copy = lagging(postgres_url)
        await store.commit([finding("b")], at(2))
        take_over(postgres_url, copy)
        await store.commit([] if alone else [finding("c")], at(3))  # as it did not know it yet
        await store.flush()
        assert store.stale("services")
        assert await store.positions.of("services") == {"app.log": {"offset": 1}}
        assert await secrets(store) == {finding("a").fingerprint}

        await store.commit([finding("b"), finding("c")], at(3))  # who has read the positions again may move them
        assert await store.positions.of("services") == {"app.log": {"offset": 3}}
        assert await secrets(store) == {finding(name).fingerprint for name in "abc"}


async def test_an_idle_host_notices(postgres_url: str) -> None:
    async with await opened(postgres_url) as store:
        copy = lagging(postgres_url)
        await store.commit([finding("a")])
        take_over(postgres_url, copy)
        await until(lambda: store.recovery)
        await store.flush()
        assert await secrets(store) == {finding("a").fingerprint}


async def test_what_others_wrote_since_hides_nothing(postgres_url: str) -> None:
    async with await opened(postgres_url) as store, await opened(postgres_url, node="two") as other:
        copy = lagging(postgres_url)
        await store.commit([finding("a")])
        await other.commit([finding("b")])
        take_over(postgres_url, copy)
        for number in range(20):
            await other.commit([finding(number)])
        await store.commit([finding("c")])
        await until(lambda: store.recovery and other.recovery)
        assert len(await secrets(store)) == 23


async def test_more_than_is_remembered_is_said_to_be_missing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.memory._MOST", 2)
    async with await opened(postgres_url) as store:
        await store.flush()
        copy = lagging(postgres_url)
        for name in "abc":
            await store.commit([finding(name)])
        take_over(postgres_url, copy)
        await store.flush()
        await until(lambda: store.recovery)
        assert store.recovery is not None
        assert not store.recovery.complete
        assert await secrets(store) == {finding(name).fingerprint for name in "bc"}


async def test_a_start_notices_once_by_the_number_beside(postgres_url: str, tmp_path: Path) -> None:
    async with await opened(postgres_url, tmp_path) as store:
        await store.commit([finding("a")])
        copy = lagging(postgres_url)
        await store.commit([finding("b")])
    ahead = lagging(postgres_url)
    take_over(postgres_url, copy)

    async with await opened(postgres_url, tmp_path / "other") as stranger:
        assert stranger.recovery is None
    take_over(postgres_url, copy)
    async with await opened(postgres_url, tmp_path, repairs=False) as looks:
        assert looks.recovery is None
        await looks.flush()
    async with await opened(postgres_url, tmp_path) as store:
        assert store.recovery is not None
        assert (store.recovery.kind, store.recovery.complete) == ("forgotten", False)
        assert store.recovery.lost >= 1
        assert "may be missing" in store.recovery.text
    async with await opened(postgres_url, tmp_path) as store:
        assert store.recovery is None
    take_over(postgres_url, ahead)  # the way back, to a server that knows more than the copy did
    async with await opened(postgres_url, tmp_path) as store:
        assert store.recovery is not None
        assert "an unknown number of transactions" in store.recovery.text


async def test_another_database_has_forgotten_nothing(
    postgres_url: str, empty_postgres_url: str, tmp_path: Path
) -> None:
    async with await opened(postgres_url, tmp_path) as store:
        await store.commit([finding("a")])
    async with await opened(empty_postgres_url, tmp_path) as store:
        assert store.recovery is None
    async with await opened(postgres_url, tmp_path) as store:
        assert store.recovery is None


async def test_tables_that_are_away_while_a_backup_is_restored_are_waited_for(postgres_url: str) -> None:
    async with await opened(postgres_url) as store:
        await store.commit([finding("a")])
        with connected(postgres_url) as connection:
            connection.execute("ALTER TABLE findings RENAME TO elsewhere")
            waiting = asyncio.create_task(store.commit([finding("b")]))
            await until(lambda: store.degraded)
            assert not waiting.done()
            connection.execute("ALTER TABLE elsewhere RENAME TO findings")
        assert await waiting == 1


async def test_a_copy_of_a_version_that_is_not_used_is_waited_for(postgres_url: str) -> None:
    async with await opened(postgres_url) as store:
        await store.commit([finding("a")])
        copy = lagging(postgres_url)
        copy["meta"] = copy["meta"].replace(b"schema\t%d" % VERSION, b"schema\t%d" % (FIRST - 1))
        await store.commit([finding("b")])
        take_over(postgres_url, copy)
        waiting = asyncio.create_task(store.commit([finding("c")]))
        await until(lambda: f"schema version {FIRST - 1}, and this program upgrades" in (store.degraded or ""))
        assert not waiting.done()
        with connected(postgres_url) as connection:
            connection.execute("UPDATE meta SET value = %s WHERE key = 'schema'", [str(VERSION)])
        assert await waiting == 1
        assert await secrets(store) == {finding(name).fingerprint for name in "abc"}


def test_it_only_grows_unless_it_is_set(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    one, other = NumberFile(path, create=True), NumberFile(path, create=False)
    one.reached(7)
    other.reached(5)
    assert one.read() == 7
    one.set(2)
    assert other.read() == 2
    one.close()
    other.close()
    path.write_bytes(b"abc")
    torn = NumberFile(path, create=False)
    assert torn.read() == 0
    torn.close()


def test_without_a_file_nothing_is_counted(tmp_path: Path) -> None:
    for file in (NumberFile(tmp_path / "no" / "mark", create=True), NumberFile(tmp_path / "mark", create=False)):
        file.reached(3)
        assert file.read() == 0
        file.close()
    assert not (tmp_path / "mark").exists()


def test_a_look_that_fails_is_no_trouble_of_the_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = NumberFile(tmp_path / "mark", create=True)
    file.reached(3)

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        file.reached(4)
    assert file.read() == 4
    file.close()
