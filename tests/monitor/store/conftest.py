from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from monitor.routing import Policy
from monitor.store import Store
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
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
        control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-s", "-l", str(folder / "server.log")]
        _as_postgres([*control, "-o", options, "start"], folder)
        try:
            yield f"postgresql+psycopg://monitor@/{{database}}?host={folder}"
        finally:
            _as_postgres([*control, "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database, which is dropped afterwards: hundreds would take minutes to remove at the end."""
    import psycopg

    admin = postgres_server.replace("+psycopg", "").format(database="postgres")
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.format(database=name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "state.db")
    return str(request.getfixturevalue("postgres_url"))


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
