from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from monitor.routing import Policy
from monitor.store import Store
from monitor.store.database import Database
from tests.monitor.store.helpers import Clock


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    name = shutil.which("initdb")
    return Path(name).parent if name else None


def _as_postgres(command: list[str], folder: Path) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    # Output to a file: the server inherits it, and a pipe would never end.
    with (folder / "commands.log").open("ab") as output:
        done = subprocess.run(
            [*prefix, *command], check=False, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/"
        )
    if done.returncode:
        raise RuntimeError((folder / "commands.log").read_text(errors="replace")[-2000:])


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of our own on a socket in a temporary folder; gives the URL without the database."""
    binaries = _binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL's programs are missing; install the package postgresql")
        pytest.skip("PostgreSQL's programs are not installed")
    # Not below pytest's folder: that is closed to other users, and too long for a socket.
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/pg-XXXXXX"], text=True).strip())
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        _as_postgres([str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "monitor", "-N"], folder)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c autovacuum=off -c max_connections=60"
        control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-s", "-l", str(folder / "server.log")]
        _as_postgres([*control, "-o", options, "start"], folder)
        try:
            yield f"postgresql+psycopg://monitor@/{{database}}?host={folder}"
        finally:
            _as_postgres([*control, "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _database(server: str, name: str, template: str = "template1") -> Iterator[str]:
    """The URL of a copy of `template`, dropped at the end: hundreds would take minutes to remove at the end of all."""
    import psycopg

    admin = server.replace("+psycopg", "").format(database="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.format(database=name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _prepare(url: str) -> None:
    database = Database(url)
    database.prepare()
    database.dispose()


# To make the tables takes longer than most tests do: they are made once, and copied.
@pytest.fixture(scope="session")
def prepared_postgres(postgres_server: str) -> Iterator[str]:
    with _database(postgres_server, "prepared") as url:
        _prepare(url)
        yield "prepared"


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "state.db"
    _prepare(str(path))
    return path


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database without tables."""
    with _database(postgres_server, "test") as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str, prepared_postgres: str) -> Iterator[str]:
    """The URL of a database as the first start leaves it."""
    with _database(postgres_server, "test", prepared_postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database in turn, before its first start."""
    if request.param == "sqlite":
        return str(tmp_path / "state.db")
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database in turn, as its first start leaves it."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    prepared: Path = request.getfixturevalue("prepared_sqlite")
    for path in prepared.parent.iterdir():
        shutil.copy(path, tmp_path)
    return str(tmp_path / prepared.name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def opener(url: str, clock: Clock) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    stores: list[Store] = []

    async def open_(policy: Policy | None = None) -> Store:
        store = await Store.open(url, policy or Policy(sinks=("chat",)), clock=clock)
        stores.append(store)
        return store

    yield open_
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opener) -> Store:  # type: ignore[no-untyped-def]
    return await opener()
