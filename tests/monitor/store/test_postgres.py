from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from monitor.routing.routes import Policy
from monitor.store import Store, StoreError, postgres
from monitor.store.database import Database
from monitor.store.postgres import ServerClock, arguments
from tests.fakes.smtp import certificate
from tests.monitor.store.failover import connected
from tests.monitor.store.helpers import finding, lease

POLICY = Policy(sinks=("chat",))

# Takes its turn, and is stopped in the midst of it.
STOPPED = """
import os, signal, sys
from monitor.store import postgres
from monitor.store.database import Database
postgres._SESSION["idle_in_transaction_session_timeout"] = "1s"
database = Database(sys.argv[1])
try:
    with database.transaction(durable=True) as connection:
        print("mine", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        connection.exec_driver_sql("INSERT INTO meta VALUES ('from the stopped one', '')")
except Exception as error:
    from monitor.store.errors import classify
    print(classify(error).value, flush=True)
"""


# As above, with a part of its statements on the wire: to the server it is not idle, and waits for more.
AMID = """
import os, signal, sys
from monitor.store.database import Database
database = Database(sys.argv[1])
with database.transaction(durable=True) as connection:
    wire = connection.connection.driver_connection.pgconn
    wire.enter_pipeline_mode()
    wire.send_query_params(b"INSERT INTO meta VALUES ('from the stopped one', '')", None)
    wire.send_flush_request()
    wire.flush()
    print("mine", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_host_that_is_stopped_at_its_turn_stops_no_other(postgres_url: str) -> None:
    async with await Store.open(postgres_url, POLICY) as store:
        command = [sys.executable, "-c", STOPPED, postgres_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "mine\n"
            assert await store.commit([finding("a")]) == 1
            process.send_signal(signal.SIGCONT)
            assert (await asyncio.to_thread(process.stdout.readline)).strip() == "retry"
    with connected(postgres_url) as connection:
        assert not connection.execute("SELECT FROM meta WHERE key = 'from the stopped one'").fetchall()


async def test_a_host_that_is_stopped_amid_its_statements_is_ended_by_who_waits(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SESSION, "lock_timeout", "1s")
    monkeypatch.setattr(postgres, "_HANGING", postgres._HANGING.replace("'5 s'", "'1 s'"))
    async with await Store.open(postgres_url, POLICY) as store:
        command = [sys.executable, "-c", AMID, postgres_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "mine\n"
            assert await store.commit([finding("a")]) == 1
            process.kill()
    with connected(postgres_url) as connection:
        assert not connection.execute("SELECT FROM meta WHERE key = 'from the stopped one'").fetchall()


async def test_who_holds_the_turn_and_works_is_not_ended(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres._SESSION, "lock_timeout", "200ms")
    monkeypatch.setattr(postgres, "_HANGING", postgres._HANGING.replace("'5 s'", "'1 s'"))
    database, mine, told = Database(postgres_url), threading.Event(), list[str | None]()
    async with await Store.open(postgres_url, POLICY) as store:
        store.on_degraded(told.append)

        def work() -> None:
            with database.transaction(durable=True) as connection:
                mine.set()
                connection.exec_driver_sql("SELECT pg_sleep(2)")

        working = asyncio.create_task(asyncio.to_thread(work))
        await until(mine.is_set)
        assert await store.commit([finding("a")]) == 1
        await working
    database.dispose()
    assert told


async def test_a_lock_on_all_tables_is_reported_and_waited_out(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SESSION, "lock_timeout", "200ms")
    async with await Store.open(postgres_url, POLICY) as store:
        told: list[str | None] = []
        store.on_degraded(told.append)
        with connected(postgres_url) as holder:
            names = [row[0] for row in holder.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            holder.execute(f"BEGIN; LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
            writing, reading = asyncio.ensure_future(store.commit([finding("a")])), asyncio.ensure_future(store.stats())
            await until(lambda: told)
            assert told == ["canceling statement due to lock timeout"]
            assert not writing.done()
            assert not reading.done()
            holder.execute("ROLLBACK")
        assert await writing == 1
        await reading
        await until(lambda: told[-1] is None)


def test_the_url_has_the_last_word_on_what_keeps_connections_alive() -> None:
    url = make_url("postgresql+psycopg://x@db.example.org/x?keepalives_idle=60&connect_timeout=20")
    given = arguments(url)
    assert "keepalives_idle" not in given
    assert "connect_timeout" not in given
    assert given["tcp_user_timeout"] > 0


async def test_both_ends_notice_that_the_other_is_gone(postgres_url: str) -> None:
    database = Database(postgres_url)
    try:
        for engine in (database.writer, database.reader):
            with engine.connect() as connection:
                idle, lock = (
                    connection.exec_driver_sql(f"SHOW {name}").scalar()
                    for name in ("idle_in_transaction_session_timeout", "lock_timeout")
                )
                assert (idle, lock) == ("5s", "10s")
    finally:
        database.dispose()


async def _hosts(url: str, monkeypatch: pytest.MonkeyPatch, ahead: float) -> tuple[Store, Store]:
    right = await Store.open(url, POLICY, node="right")
    monkeypatch.setattr("monitor.store.database.ServerClock", lambda: ServerClock(lambda: time.time() + ahead))
    return right, await Store.open(url, POLICY, node="wrong")


@pytest.mark.parametrize("ahead", [100.0, -100.0, 3600.0])
async def test_what_one_host_sends_no_other_sends_whatever_its_clock_says(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    right, wrong = await _hosts(postgres_url, monkeypatch, ahead)
    async with right, wrong:
        await right.commit([finding(number) for number in range(16)])
        one = [await lease(right, "chat", "one", ttl=60) for _ in range(8)]
        other = [await lease(wrong, "chat", "other", ttl=60) for _ in range(8)]
        ids = [leased.id for leased in (*one, *other) if leased is not None]
        assert len(ids) == len(set(ids)) > 0
        assert abs(right.now() - wrong.now()) < 5
        assert abs(wrong.ahead - ahead) < 5
        assert abs(right.ahead) < 5


def test_between_two_answers_the_servers_clock_goes_on_by_itself() -> None:
    elapsed, wall = 10.0, 5_000.0
    clock = ServerClock(lambda: wall, lambda: elapsed)
    assert (clock(), clock.ahead()) == (5_000.0, 0.0)
    clock.set(4_000.0)
    elapsed = 12.0
    assert (clock(), clock.ahead()) == (4_002.0, 998.0)


@pytest.fixture
def limited(empty_postgres_url: str) -> Iterator[tuple[str, Any]]:
    """A role that may log in to an empty database, and who can give it more."""
    with connected(empty_postgres_url) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        admin.execute("CREATE ROLE limited LOGIN")
        try:
            yield empty_postgres_url.replace("//monitor@", "//limited@"), admin
        finally:
            admin.execute("DROP OWNED BY limited CASCADE")
            admin.execute("DROP ROLE limited")


async def test_a_role_without_the_rights_is_refused_with_what_it_lacks(limited: tuple[str, Any]) -> None:
    url, admin = limited
    with pytest.raises(StoreError, match="role limited lacks rights: it may not create tables in the schema public;"):
        await Store.open(url)
    async with await Store.open(url.replace("//limited@", "//monitor@")):
        pass
    admin.execute("GRANT CREATE ON SCHEMA public TO limited")
    with pytest.raises(StoreError, match=r"it may not read and write \w+, \w+, \w+ and \d+ more tables"):
        await Store.open(url)
    admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO limited")
    with pytest.raises(StoreError, match=r"it does not own .*, and could not upgrade them; docs"):
        await Store.open(url)
    admin.execute("GRANT monitor TO limited")
    async with await Store.open(url, POLICY) as store:
        assert await store.commit([finding("a")]) == 1


async def _speaks_tls(folder: Path) -> asyncio.Server:
    """What looks like PostgreSQL until it has shown its certificate, for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # whether TLS is spoken here
        writer.write(b"S")
        with contextlib.suppress(OSError):
            await writer.start_tls(context)
            await reader.read()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def test_a_certificate_that_is_not_trusted_is_called_one(tmp_path: Path) -> None:
    for name in ("its", "another"):
        (tmp_path / name).mkdir()
    certificate(tmp_path / "another")
    async with await _speaks_tls(tmp_path / "its") as server:
        port = server.sockets[0].getsockname()[1]
        for host, trusted, said in (
            ("127.0.0.1", "none/server.pem", r"sslrootcert\) is missing"),
            ("localhost", "its/server.pem", "for another host name"),
            ("127.0.0.1", "another/server.pem", "certificate is not trusted"),
        ):
            with pytest.raises(StoreError, match=said):
                await Store.open(
                    f"postgresql+psycopg://monitor@{host}:{port}/x?sslmode=verify-full&sslrootcert={tmp_path}/{trusted}"
                )
