from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from monitor.routing.routes import Policy
from monitor.store import Store, StoreError
from tests.monitor.store.helpers import finding, fingerprint


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.commit([finding("a")])


async def test_a_mistake_in_one_commit_is_its_own(store: Store) -> None:
    bad = replace(finding("b", 1), severity="enormous")  # type: ignore[arg-type]
    results = await asyncio.gather(
        store.commit([finding("a")]), store.commit([bad]), store.commit([finding("c", 2)]), return_exceptions=True
    )
    assert (results[0], results[2]) == (1, 1)
    assert isinstance(results[1], Exception)
    assert await store.incidents.count() == 2


def make_room(store: Store) -> None:
    """Lift the limit of the writer's connection when it takes that next: while it has it, another would be lent."""
    event.listen(
        store._database.writer, "checkout", lambda raw, *_: raw.execute("PRAGMA max_page_count = 1000000").close()
    )


async def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "state.db", Policy(sinks=("chat",)))
    told: list[str | None] = []
    store.on_degraded(told.append)
    await store.commit([finding("a")])

    def limit(pages: int):  # type: ignore[no-untyped-def]
        return store.write(lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))

    # The limit belongs to the connection: keep the store from opening a fresh one.
    store._database.forget_connections = lambda: None  # type: ignore[method-assign]
    await limit(1)
    waiting = asyncio.ensure_future(store.commit([finding(n, n) for n in range(2_000)]))
    while not told:
        await asyncio.sleep(0.01)
    assert told[0] is not None
    assert "full" in told[0]
    assert store.degraded == told[0]
    assert not waiting.done()
    assert await store.incidents.count() == 1  # reading goes on
    make_room(store)
    assert await waiting == 2_000
    await asyncio.sleep(0.05)
    assert told[-1] is None
    assert store.degraded is None
    await store.close()


@pytest.mark.parametrize("spare", [1, 2, 3])
async def test_a_disk_that_is_full_at_whichever_statement_is_waited_out(tmp_path: Path, spare: int) -> None:
    """At some of them SQLite takes back the whole transaction by itself."""
    store = await Store.open(tmp_path / "state.db", Policy(sinks=("chat",)))
    told: list[str | None] = []
    store.on_degraded(told.append)

    def pragma(text: str) -> Awaitable[Any]:
        return store.write(lambda tx: tx.connection.exec_driver_sql(f"PRAGMA {text}").scalar())

    store._database.forget_connections = lambda: None  # type: ignore[method-assign] # the limit is this connection's
    await pragma(f"max_page_count = {await pragma('page_count') + spare}")
    number = 0
    while not told:
        number += 1
        waiting = asyncio.ensure_future(store.commit([finding(number, path="/x" * 300)]))
        while not (told or waiting.done()):
            await asyncio.sleep(0.005)
    make_room(store)
    assert await waiting == 1
    assert await store.incidents.count() == number
    await store.close()


async def test_closing_gives_up_on_a_database_that_stays_locked(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "state.db", Policy(sinks=("chat",)))
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.commit([finding("a")]))
    while store.degraded is None:
        await asyncio.sleep(0.01)
    assert "locked" in store.degraded
    await asyncio.wait_for(store.close(timeout=0.5), 120)
    with pytest.raises(StoreError, match="could not be written"):
        await waiting
    holder.close()


async def test_a_lock_is_waited_out(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db", Policy()) as store:
        holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(store.commit([finding("a")]))
        while store.degraded is None:
            await asyncio.sleep(0.01)
        assert not waiting.done()
        holder.execute("ROLLBACK")
        holder.close()
        assert await asyncio.wait_for(waiting, 120) == 1


async def test_a_server_that_restarts_is_waited_out_and_counts_stay_exact(postgres_url: str) -> None:
    import psycopg

    async with await Store.open(postgres_url, Policy(sinks=("chat",))) as store:
        plain = postgres_url.replace("+psycopg", "")
        for n in range(30):
            waiting = asyncio.ensure_future(store.commit([finding("a", n)]))
            if n % 3 == 0:
                with psycopg.connect(plain, autocommit=True) as admin:
                    admin.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            assert await asyncio.wait_for(waiting, 120) in (0, 1)
        assert (await store.incidents.get(fingerprint("a"))).occurrences == 30
