from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.store import Store
from monitor.store.chain import mac_of
from monitor.store.database import Database
from tests.monitor.store.helpers import NOW, Clock, finding, fingerprint

SECRET = b"0123456789abcdef"


async def opened(url: str, clock: Clock, folder: Path) -> Store:
    store = await Store.open(url, clock=clock, secret=SECRET, node="one", folder=folder)
    await store.claim()
    return store


async def filled(url: str, clock: Clock, folder: Path, before_chains: str = "") -> None:
    """As it is when it was brought to version 23 and nothing was written since (another key was refused, say): chains
    with seals of their ends, and one sum over them."""
    async with await opened(url, clock, folder) as store:
        await store.commit([finding(number) for number in range(3)])
        for number in range(2):
            await store.incidents.transition(fingerprint(number)[:16], "ack", actor="ada")
        await store.actions.plan(fingerprint(0)[:16], "revoke", actor="ada", needed=1)
    (folder / "heads").unlink()
    database = Database(url)
    with database.transaction(durable=True) as connection:
        total = 0
        for statement in (
            "UPDATE audit SET mac = NULL WHERE incident = :id",
            "DELETE FROM trails WHERE incident = :id",
        ):
            connection.execute(text(statement), {"id": before_chains})
        for row in connection.execute(text("SELECT * FROM trails")).all():
            end = (row.incident, row.entries, row.mac)
            total ^= int(mac_of(SECRET, "part", *end), 16)
            change = "UPDATE trails SET seal = :seal, turn = 0, state = '', actions = '' WHERE incident = :id"
            connection.execute(text(change), {"seal": mac_of(SECRET, "end", *end), "id": row.incident})
        connection.execute(text("INSERT INTO meta VALUES ('trail', :sum)"), {"sum": f"{total:064x}"})
        connection.execute(text("DELETE FROM totals"))
    database.dispose()


def sql(url: str, statement: str) -> None:
    database = Database(url)
    with database.transaction(durable=True) as connection:
        connection.execute(text(statement))
    database.dispose()


async def test_what_nothing_was_sealed_of_is_sealed_at_the_next_start(url: str, clock: Clock, tmp_path: Path) -> None:
    await filled(url, clock, tmp_path)
    clock.now += 100
    async with await opened(url, clock, tmp_path) as store:
        verdict = await store.trail.verify()
        assert (verdict.problems, verdict.taken, verdict.since) == ((), 3, NOW + 100)
        assert store.heads is not None
        assert len(store.heads.all()) == 4
        [run] = await store.actions.find()
        await store.actions.approve(run.id, "bob")
        await store.actions.begin(run.id, "monitor")
        assert (await store.trail.verify()).problems == ()
        sql(url, "UPDATE incidents SET severity = 'low' WHERE severity = 'high'")
        assert len((await store.trail.verify()).problems) == 3


async def test_a_history_from_before_there_were_chains_is_whole(url: str, clock: Clock, tmp_path: Path) -> None:
    await filled(url, clock, tmp_path, before_chains=fingerprint(1)[:16])
    async with await opened(url, clock, tmp_path) as store:
        verdict = await store.trail.verify()
        assert (verdict.problems, verdict.taken) == ((), 3)


BEFORE = {
    "DELETE FROM audit WHERE action = 'acknowledged'": 2,
    "UPDATE audit SET actor = 'eve' WHERE action = 'acknowledged'": 2,
    f"UPDATE trails SET entries = 1 WHERE incident = '{fingerprint(1)[:16]}'": 2,
    f"DELETE FROM trails WHERE incident = '{fingerprint(2)[:16]}'": 2,
    "UPDATE meta SET value = '0' WHERE key = 'trail'": 1,
}


@pytest.mark.parametrize("change", BEFORE)
async def test_what_was_not_whole_before_stays_so(url: str, clock: Clock, tmp_path: Path, change: str) -> None:
    await filled(url, clock, tmp_path)
    sql(url, change)
    for _ in range(2):
        async with await opened(url, clock, tmp_path) as store:
            assert len((await store.trail.verify()).problems) == BEFORE[change]


async def test_a_database_whose_seals_were_all_removed_is_not_taken_for_an_old_one(
    url: str, clock: Clock, tmp_path: Path
) -> None:
    async with await opened(url, clock, tmp_path) as store:
        await store.commit([finding(number) for number in range(3)])
    for statement in ("DELETE FROM totals", "DELETE FROM trails", "UPDATE incidents SET severity = 'low'"):
        sql(url, statement)
    async with await opened(url, clock, tmp_path) as store:
        assert {id_ for id_, _ in (await store.trail.verify()).problems} >= {fingerprint(n)[:16] for n in range(3)}


async def test_a_host_that_comes_later_learns_where_histories_end(url: str, clock: Clock, tmp_path: Path) -> None:
    async with await opened(url, clock, tmp_path) as store:
        await store.commit([finding(number) for number in range(3)])
    (tmp_path / "heads").unlink()
    async with await opened(url, clock, tmp_path) as store:
        assert store.heads is not None
        assert len(store.heads.all()) == 4
        assert (await store.trail.verify()).problems == ()
