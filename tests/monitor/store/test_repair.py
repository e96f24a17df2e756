from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from monitor import runbook
from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.database import Database
from monitor.store.repair import carry_over
from monitor.store.upgrades import SchemaError
from tests.monitor.store.helpers import finding, fingerprint


async def filled(path: Path) -> None:
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding(n, n) for n in range(200)], [Position("s", "k", {"offset": 7})])


def fresh(path: Path) -> Path:
    database = Database(path)
    database.prepare()
    database.dispose()
    return path


async def test_a_whole_file_is_carried_over_whole(tmp_path: Path) -> None:
    await filled(tmp_path / "old.db")
    counts, complete = carry_over(tmp_path / "old.db", fresh(tmp_path / "new.db"))
    assert complete
    assert (counts["incidents"], counts["findings"], counts["positions"]) == (200, 200, 1)
    async with await Store.open(tmp_path / "new.db") as store:
        assert await store.incidents.count() == 200


async def test_the_trail_of_a_whole_file_is_whole_and_who_reads_it_on_goes_on(tmp_path: Path) -> None:
    await filled(tmp_path / "old.db")
    async with await Store.open(tmp_path / "old.db") as store:
        await store.verdicts.gather(lambda labels: True)
        await store.commit([finding("unseen")])
    counts, _ = carry_over(tmp_path / "old.db", fresh(tmp_path / "new.db"))
    assert "meta" not in counts
    async with await Store.open(tmp_path / "new.db") as store:
        assert not (await store.trail.verify()).problems
        await store.verdicts.gather(lambda labels: True)
        assert [one.incident.fingerprint for one in await store.verdicts.due()] == [fingerprint("unseen")]


async def test_what_belonged_to_a_lost_row_goes_too(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "old.db", procedure=Procedure("high", (), runbook.load)) as store:
        await store.commit([finding("lost"), finding("kept", 1)])
        lost, kept = (fingerprint(name)[:16] for name in ("lost", "kept"))
        await store.silences.set(lost, 60, actor="ada", note="")
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as old:
        old.execute("DELETE FROM incidents WHERE id = ?", [lost])
    carry_over(tmp_path / "old.db", fresh(tmp_path / "new.db"))
    async with await Store.open(tmp_path / "new.db", procedure=Procedure("high", (), runbook.load)) as store:
        assert list(await store.runs.of([lost, kept])) == [kept]
        await store.runs.sweep(everything=True)
        assert await store.silences.list() == ([], [])


def test_of_what_is_no_database_nothing_is_carried_over(tmp_path: Path) -> None:
    (tmp_path / "old.db").write_bytes(b"notes\n" * 2_000)
    assert carry_over(tmp_path / "old.db", fresh(tmp_path / "new.db")) == ({}, False)


@pytest.mark.parametrize("version", ["22", "99"])
async def test_a_damaged_file_of_another_program_stays_where_it_is(tmp_path: Path, version: str) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as there:
        there.execute("UPDATE meta SET value = ? WHERE key = 'schema'", [version])
    before = path.read_bytes()
    with pytest.raises(SchemaError, match=f"schema version {version}"):
        carry_over(path, fresh(tmp_path / "new.db"))
    database = Database(path)
    with pytest.raises(SchemaError, match=f"schema version {version}"):
        database.recover("met by a reader")
    database.dispose()
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.corrupt-*")) == []


async def test_rows_for_which_there_is_no_room_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(tmp_path / "old.db")
    new = fresh(tmp_path / "new.db")
    connect = sqlite3.connect

    def cramped(path: Path, **settings: object) -> sqlite3.Connection:
        connection = connect(path, **settings)  # type: ignore[call-overload]
        if path == new:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        return connection  # type: ignore[no-any-return]

    monkeypatch.setattr(sqlite3, "connect", cramped)
    with pytest.raises(DBAPIError, match="full"):
        carry_over(tmp_path / "old.db", new)
    monkeypatch.undo()
    with connect(new) as there:
        assert there.execute("SELECT count(*) FROM incidents").fetchone() == (0,)
    there.close()
