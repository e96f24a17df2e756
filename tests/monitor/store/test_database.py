from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.store import Store, StoreError, database
from monitor.store.database import Database
from monitor.store.errors import Recovery
from tests.fakes.forks import Forks
from tests.monitor.store.helpers import finding, fingerprint


async def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database, but somebody's notes\n" * 200)
    store = await Store.open(path, Policy(sinks=("chat",)))
    assert store.recovery is not None
    assert store.recovery.path.read_bytes().startswith(b"this is not")
    assert store.recovery.path.name.startswith("state.db.corrupt-")
    assert await store.commit([finding("a")]) == 1
    await store.close()


async def test_a_file_that_was_replaced_at_work_is_no_shortened_one_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = Database(path)
    first.prepare()
    for _ in range(5):
        with first.transaction(durable=True):
            pass
    first.recover("met by a reader")
    first.dispose()
    second = Database(path)
    assert second.prepare() is None
    second.dispose()


async def test_damage_met_at_work_loses_what_cannot_be_read_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding(n, n) for n in range(3_000)], [Position("s", "k", {"offset": 7})])
    size = path.stat().st_size
    with path.open("r+b") as file:
        # Past the schema and the small tables, into the middle of the big ones.
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(4096 * 3))
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        assert store.recovery is not None
        assert not store.recovery.complete
        assert await store.positions.of("s") == {"k": {"offset": 7}}
        assert await store.incidents.count() > 1_000
        assert await store.commit([finding("fresh", 9_999)]) == 1
        assert (await store.stats()).degraded is None


async def test_a_file_that_vanishes_or_breaks_while_open_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        seen: list[object] = []
        store.on_recovery(seen.append)
        await store.commit([finding("a")])
        store._database.dispose()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(b"x" * 8192)
        assert await asyncio.wait_for(store.commit([finding("b", 1)]), 120) == 1
        await asyncio.sleep(0.05)
        assert len(seen) == 1


async def test_unusable_places_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/state\.db: No such file or directory; the folder must exist"):
        await Store.open(tmp_path / "missing" / "state.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="folder: Is a directory"):
        await Store.open(tmp_path / "folder")
    with pytest.raises(StoreError, match="postgresql"):
        await Store.open("mysql://somewhere/db")
    word = "hunter" + "2"
    with pytest.raises(StoreError, match="check that the server runs") as caught:
        await Store.open(f"postgresql+psycopg://me:{word}@127.0.0.1:1/db")
    assert word not in str(caught.value)


_CRAMPED = """
import asyncio, json, resource, sys
from monitor.store import Store

told = []
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)

def waiting(why):
    told.append(why)
    if len(told) == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), most))
    async with await Store.open(sys.argv[1], waiting=waiting) as store:
        found = store.recovery
        recovery = found and [found.kind, found.carried["incidents"], found.path.name]
        print(json.dumps([told, recovery, await store.positions.of("s"), await store.incidents.count()]))

asyncio.run(main())
"""


@pytest.mark.parametrize("before", ["nothing", "some", "damaged"])
async def test_a_start_waits_for_room_on_the_disk_and_keeps_what_there_was(
    tmp_path: Path, forks: Forks, before: str
) -> None:
    path = tmp_path / "state.db"
    many, room = (3_000, 300_000) if before == "damaged" else (3, 0)
    if before != "nothing":
        async with await Store.open(path, Policy(sinks=("chat",))) as store:
            await store.commit([finding(n, n) for n in range(many)], [Position("s", "k", {"offset": 7})])
    if before == "damaged":
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2 // 4096 * 4096)
            file.write(b"\xff" * 4096 * 3)

    # The limit on a file's size stands for the end of the disk.
    ended = await asyncio.to_thread(forks.python, _CRAMPED, str(path), str(room))
    assert ended.returncode == 0, ended.stderr[-2000:]
    told, recovery, positions, count = json.loads(ended.stdout.splitlines()[-1])
    assert len(told) == 2
    assert all(str(path) in why and "is full" in why for why in told)
    assert positions == ({} if before == "nothing" else {"k": {"offset": 7}})
    if before == "damaged":
        assert recovery[:2] == ["damaged", count]
        assert count > 2_500
        kept = {one.name.removesuffix("-wal").removesuffix("-shm") for one in tmp_path.glob("*.corrupt-*")}
        assert kept == {recovery[2]}
    else:
        assert recovery is None
        assert count == (0 if before == "nothing" else many)


async def test_the_file_is_private(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db") as store:
        await store.commit([finding("a")])
        for name in ("state.db", "state.db-wal"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_file_that_is_removed_while_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        seen: list[Recovery] = []
        store.on_recovery(seen.append)
        await store.commit([finding("a")])
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        assert await store.commit([finding("b", 1)]) == 1
        await asyncio.sleep(0.05)
        assert [(recovery.kind, recovery.complete) for recovery in seen] == [("removed", True)]
        assert "kept" not in seen[0].text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with await Store.open(path) as store:
        assert store.recovery is None
        assert {one.fingerprint for one in await store.incidents.find()} == {fingerprint("a"), fingerprint("b")}


@pytest.mark.parametrize("exchanged", [False, True])
async def test_what_is_committed_while_the_file_is_removed_is_at_its_path_when_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanged: bool
) -> None:
    """A kill may come next: then only what lies there counts."""
    path, other = tmp_path / "state.db", tmp_path / "other.db"
    async with await Store.open(other, Policy(sinks=("chat",))) as store:
        await store.commit([finding("z")])
    left = [1]

    def remove() -> None:
        if left.pop():
            left.append(0)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink()
            if exchanged:
                other.rename(path)
        else:
            left.append(0)

    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding("a")])
        monkeypatch.setattr(database, "after_commit", remove)
        assert await store.commit([finding("b", 1)], [Position("s", "k", {"offset": 7})]) == 1
        with contextlib.closing(sqlite3.connect(path)) as there:
            known = {row[0] for row in there.execute("SELECT fingerprint FROM incidents")}
            assert there.execute("SELECT count(*) FROM positions").fetchone() == (1,)
        assert known == {fingerprint(name) for name in ("zb" if exchanged else "ab")}


@pytest.mark.parametrize("gone", ["", "-wal"])
async def test_an_idle_store_writes_a_removed_file_anew_by_itself(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        seen: list[Recovery] = []
        store.on_recovery(seen.append)
        await store.commit([finding("a")], [Position("s", "k", {"offset": 7})])
        Path(f"{path}{gone}").unlink()
        async with asyncio.timeout(120):
            while not seen:
                await asyncio.sleep(0.02)
        other = sqlite3.connect(path)
        assert other.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
        other.close()
        assert await store.positions.of("s") == {"k": {"offset": 7}}
        assert [one.kind for one in seen] == ["removed"]


async def test_another_database_in_its_place_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(tmp_path / "copy.db", Policy(sinks=("chat",))) as store:
        await store.commit([finding("copy")])
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        seen: list[Recovery] = []
        store.on_recovery(seen.append)
        await store.commit([finding("a")])
        (tmp_path / "copy.db").rename(path)
        async with asyncio.timeout(120):
            while not seen:
                await asyncio.sleep(0.02)
        assert [one.fingerprint for one in await store.incidents.find()] == [fingerprint("copy")]
        assert seen[0].kind in ("replaced", "shortened")
        assert "gone" in seen[0].text


_KILLED = """
import asyncio, os, sys
from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.store import Store
from tests.monitor.store.helpers import finding

async def main():
    store = await Store.open(sys.argv[1], Policy(sinks=("chat",)))
    await store.commit([], [Position("s", "k", {"offset": 1})])
    await store.flush()
    store._database.checkpoint()
    store._writer._checkpoint = lambda: None  # none falls behind the last of these
    for n in range(30):
        await store.commit([finding(n, n)], [Position("s", "k", {"offset": 2 + n})])
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_an_idle_store_moves_its_log_into_the_file(tmp_path: Path) -> None:
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding("a")], [Position("s", "k", {"offset": 7})])
        rows = 0
        async with asyncio.timeout(120):
            while not rows:
                await asyncio.sleep(0.1)
                copy.write_bytes(path.read_bytes())  # without its log
                with contextlib.closing(sqlite3.connect(copy)) as there, contextlib.suppress(sqlite3.Error):
                    rows = there.execute("SELECT count(*) FROM positions").fetchone()[0]


@pytest.mark.parametrize("damage", ["middle", "removed"])
async def test_a_log_that_lost_its_end_is_noticed_once(tmp_path: Path, forks: Forks, damage: str) -> None:
    path, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    assert forks.python(_KILLED, str(path)).returncode == -9
    if damage == "removed":
        log.unlink()
    else:
        with log.open("r+b") as file:
            file.seek(60)
            file.write(b"\xff" * 64)
    async with await Store.open(path, repairs=False) as store:
        left = await store.incidents.count()  # who only looks leaves it for the monitor to see
        assert left < 30
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        assert store.recovery is not None
        assert store.recovery.kind == "shortened"
        assert store.recovery.lost >= 30 - left
        assert await store.positions.of("s") == {"k": {"offset": 1 + left}}  # from here it is read again
    async with await Store.open(path) as store:
        assert store.recovery is None


async def test_a_folder_that_is_away_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    async with await Store.open(folder / "state.db", Policy(sinks=("chat",))) as store:
        await store.commit([finding("a")])
        folder.rename(tmp_path / "elsewhere")
        waiting = asyncio.ensure_future(store.commit([finding("b", 1)]))
        while store.degraded is None:
            await asyncio.sleep(0.01)
        assert "the folder must exist" in store.degraded
        (tmp_path / "elsewhere").rename(folder)
        assert await asyncio.wait_for(waiting, 120) == 1
        assert await store.incidents.count() == 2


async def test_damage_that_readers_meet_is_repaired_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding(n, n) for n in range(3_000)], [Position("s", "k", {"offset": 7})])
    monkeypatch.setattr(Database, "_check", lambda self: None)  # as for a file too large to be checked at start
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        assert store.recovery is None
        seen: list[Recovery] = []
        store.on_recovery(seen.append)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096 * 20)
            file.write(b"\xff" * (size - 4096 * 40))
        counts = await asyncio.gather(
            *(store.incidents.count(search="nothing") for _ in range(6)), store.incidents.count()
        )
        assert counts[:6] == [0] * 6
        assert len(seen) == 1
        assert not seen[0].complete
        assert await store.commit([finding("fresh", 9_999)]) == 1
        assert store.degraded is None


async def test_who_only_looks_leaves_a_damaged_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding(n, n) for n in range(3_000)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_check", lambda self: None)  # as for a file too large to be checked at start
        opened = await Store.open(path, repairs=False)
    async with opened as store:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096 * 20)
            file.write(b"\xff" * (size - 4096 * 40))
        damaged = path.read_bytes()
        with pytest.raises(StoreError, match="malformed"):
            await asyncio.wait_for(store.incidents.count(search="nothing"), 120)
    with pytest.raises(StoreError, match=r"damaged .*`monitor run` moves it aside"):
        await Store.open(path, repairs=False)
    assert path.read_bytes() == damaged
    assert [*tmp_path.glob("*.corrupt-*")] == []


async def test_readers_wait_while_the_file_is_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",))) as store:
        await store.commit([finding("a")])
        moved, created, prepare = threading.Event(), threading.Event(), Database._prepare

        def slowly(self: Database) -> None:
            moved.set()
            created.wait(10)  # no file lies there
            path.touch(0o600)
            moved.clear()
            created.clear()
            created.wait(10)  # a file without tables lies there
            prepare(self)

        monkeypatch.setattr(Database, "_prepare", slowly)
        monkeypatch.setattr(Database, "_rescue", lambda self: False)  # as when it cannot be written anew
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        writing = asyncio.ensure_future(store.commit([finding("b", 1)]))
        reading = []
        for state in (True, False):
            while moved.is_set() is not state:
                await asyncio.sleep(0.01)
            reading.append(asyncio.ensure_future(store.incidents.count()))
            await asyncio.sleep(0.1)
            assert path.exists() is not state, "a reader created the file"
            created.set()
        assert await asyncio.wait_for(writing, 120) == 1
        assert await asyncio.wait_for(asyncio.gather(*reading), 120) in ([0, 0], [0, 1], [1, 0], [1, 1])


def test_the_connection_that_only_looks_is_not_closed_under_a_look(tmp_path: Path) -> None:
    base = Database(tmp_path / "state.db")
    base.prepare()
    events: list[str] = []

    class Looked:
        """In place of the connection: SQLite would end the process."""

        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real

        def execute(self, statement: str) -> sqlite3.Cursor:
            closing.start()
            closing.join(0.1)
            events.append("looked")
            return self.real.execute(statement)

        def close(self) -> None:
            events.append("closed")
            self.real.close()

    closing = threading.Thread(target=base.dispose)
    assert base._keeper is not None
    base._keeper = Looked(base._keeper)
    assert base.version() is not None
    closing.join()
    assert events == ["looked", "closed"]
    assert base.version() is None
