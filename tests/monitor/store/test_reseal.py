from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from monitor.store import Store
from monitor.store.database import Database
from tests.monitor.store.helpers import Clock, finding, fingerprint

SECRET = b"0123456789abcdef"


async def opened(url: str, clock: Clock, folder: Path) -> Store:
    store = await Store.open(url, clock=clock, secret=SECRET, node="one", folder=folder)
    await store.claim()
    return store


def sql(url: str, statement: str) -> None:
    database = Database(url)
    with database.transaction(durable=True) as connection:
        connection.execute(text(statement))
    database.dispose()


async def test_a_database_whose_seals_were_all_removed_is_sealed_by_nobody_unasked(
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
