from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from monitor.common.tasks import cancel
from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.store import Store, StoreError
from monitor.store.schema import incidents
from monitor.store.transaction import Cached
from tests.fakes.forks import Forks
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint


async def test_what_is_kept_is_read_anew_once_anybody_has_written(opener, store: Store) -> None:  # type: ignore[no-untyped-def]
    kept: Cached[int] = Cached()
    reads = 0

    def count(connection: Connection) -> int:
        nonlocal reads
        reads += 1
        return connection.execute(select(func.count()).select_from(incidents)).scalar_one()

    assert await store.read(count, kept) == 0
    other = await opener()
    await other.commit([finding("a")])
    assert await store.read(count, kept) == 1
    await store.commit([finding("b", 1)])
    assert await store.read(count, kept) == 2
    before = reads
    assert await store.read(count, kept) == 2
    assert reads - before == (0 if store._database.path else 1)  # a server is asked each time


async def test_another_process_changes_the_same_database(opener, store: Store, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    await store.commit([finding("a")])
    await deliver(store)
    other = await opener()
    await other.incidents.transition(fingerprint("a"), "resolve", actor="cli", resolution="revoked")
    assert (await store.incidents.get(fingerprint("a"))).state == "resolved"
    assert "chat" in (await store.groups.agenda())[1]
    assert await deliver(store) == ["resolved"]


async def test_two_processes_write_at_once(opener, store: Store) -> None:  # type: ignore[no-untyped-def]
    other = await opener()
    await asyncio.gather(
        *(store.commit([finding("a", n)]) for n in range(40)),
        *(other.commit([finding("a", n)]) for n in range(20, 60)),
    )
    assert (await store.incidents.get(fingerprint("a"))).occurrences == 60


async def test_stats(store: Store) -> None:
    await store.commit([finding("a"), finding("b", 1, severity="low")])
    stats = await store.stats()
    assert stats.incidents == {("open", "high"): 1, ("open", "low"): 1}
    assert stats.outbox == {("chat", "pending"): 2}
    assert (stats.opened, stats.oldest_unsent, stats.degraded) == (2, NOW, None)
    assert stats.findings == {("github-pat", "high"): 1, ("github-pat", "low"): 1}
    assert stats.size > 0
    assert stats.transactions >= 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secrets=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    steps=st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["go", "crash", "repeat"])), max_size=25),
)
def test_replays_and_crashes_give_the_same_counts(
    tmp_path_factory: pytest.TempPathFactory, secrets: list[int], steps: list[tuple[int, str]]
) -> None:
    """A source reads a log of secrets from its saved position; it may crash, and read recent bytes again."""
    log = [finding(secret, offset) for offset, secret in enumerate(secrets)]
    path = tmp_path_factory.mktemp("replay") / "state.db"

    async def read() -> None:
        store = await Store.open(path, Policy(sinks=("chat",)))
        try:
            for size, what in [*steps, (len(log), "go")]:
                saved = await store.positions.of("s")
                start = int(saved.get("k", {"offset": 0})["offset"])
                end = min(start + size, len(log))
                if what == "repeat":
                    await store.commit(log[:end])  # read anew from the beginning, position as before
                elif what == "crash":
                    task = asyncio.ensure_future(store.commit(log[start:end], [Position("s", "k", {"offset": end})]))
                    await asyncio.sleep(0)
                    task.cancel()
                    await store.close()
                    store = await Store.open(path, Policy(sinks=("chat",)))
                else:
                    await store.commit(log[start:end], [Position("s", "k", {"offset": end})])
            counts = {incident.fingerprint: incident.occurrences for incident in await store.incidents.find()}
            assert counts == {fingerprint(secret): secrets.count(secret) for secret in secrets}
            told = [incident for entry in await store.outbox.list() for incident in entry.incidents]
            assert sorted(told) == sorted(incident.id for incident in await store.incidents.find())
        finally:
            await store.close()

    asyncio.run(read())


_CRASHER = """
import asyncio, sys
from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.store import Store
from tests.monitor.store.helpers import finding

async def main():
    store = await Store.open(sys.argv[1], Policy(sinks=("chat",)))
    start = (await store.positions.of("s")).get("k", {"offset": 0})["offset"]
    for offset in range(start, 400, 4):
        found = [finding(n % 9, n) for n in range(offset, offset + 4)]
        await store.commit(found if offset % 8 == 0 else [], [Position("s", "k", {"offset": offset + 4})])
        print(offset, flush=True)
    await store.close()

asyncio.run(main())
"""


async def test_killed_at_any_moment_nothing_is_lost_or_doubled(url: str, tmp_path: Path, forks: Forks) -> None:
    for wait in (1, 9, 23, 40, 10_000):
        read, write = os.pipe()
        with os.fdopen(read) as said:
            with os.fdopen(write, "wb") as output, (tmp_path / "errors").open("wb") as errors:
                child = forks.start("-c", _CRASHER, url, env=forks.environment(), stdout=output, stderr=errors)
            for count, _ in enumerate(said):
                if count == wait:
                    child.kill()
                    break
            ended = await child.wait()
    assert ended == 0, (tmp_path / "errors").read_text()
    async with await Store.open(url) as store:
        expected: dict[str, int] = {}
        for offset in range(0, 400, 8):
            for n in range(offset, offset + 4):
                expected[fingerprint(n % 9)] = expected.get(fingerprint(n % 9), 0) + 1
        assert {one.fingerprint: one.occurrences for one in await store.incidents.find()} == expected
        assert await store.positions.of("s") == {"k": {"offset": 400}}
        assert await store.outbox.unsent() == 9


async def test_a_server_that_is_down_at_start_is_waited_for(postgres_url: str) -> None:
    there, away = postgres_url, postgres_url.replace("host=", "host=/nonexistent")
    told: list[str] = []
    with pytest.raises(StoreError, match="check that the server runs"):
        await Store.open(away)
    opening = asyncio.ensure_future(Store.open(away, waiting=told.append))
    async with asyncio.timeout(120):
        while len(told) < 2:
            await asyncio.sleep(0.01)
    assert not opening.done()
    opening.cancel()
    store = await Store.open(there, waiting=told.append)
    await store.close()


async def test_a_refused_login_is_an_error_at_once(postgres_url: str) -> None:
    told: list[str] = []
    for wrong in (postgres_url.replace("monitor@", "nobody@"), postgres_url.replace("?", "x?")):
        with pytest.raises(StoreError, match="does not exist"):
            await Store.open(wrong, waiting=told.append)
    assert told == []


async def test_a_read_that_nobody_waits_for_leaves_no_connection_open(url: str | Path) -> None:
    store = await Store.open(url)
    entered, go = threading.Event(), threading.Event()
    made: list[Any] = []

    def slowly(connection: Connection) -> None:
        made.append(connection.connection.driver_connection)
        entered.set()
        go.wait(60)

    reading = asyncio.create_task(store.read(slowly))
    await asyncio.to_thread(entered.wait, 60)
    await cancel(reading)
    closing = asyncio.create_task(store.close())
    await asyncio.wait({closing}, timeout=0.2)  # it was done by then, and what the read gave back stayed open
    go.set()
    await closing
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        made[0].execute("SELECT 1")
