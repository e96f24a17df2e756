from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.database import Database
from tests.detectors import texts
from tests.monitor.store.helpers import Clock

_ALONE = frozenset((Path(__file__).parent / "sqlite_alone.txt").read_text(encoding="utf-8").split("\n"))


@pytest.hookimpl(tryfirst=True)  # before those of a mark are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What `sqlite_alone.txt` names runs on PostgreSQL in the campaign only."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent:
            values = item.callspec.params.values() if hasattr(item, "callspec") else ()
            if "postgres" in values and f"{item.path.name}::{item.originalname}" in _ALONE:
                item.add_marker("campaign")


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


def _cluster(binaries: Path, folder: Path) -> None:
    """As initdb makes it, which takes a second of CPU: once for all processes of a test session."""
    with texts.shared("postgres") as common:
        made = common.with_suffix(".tar") if common else None  # a file, which no later session gets
        if made is not None and made.exists():
            subprocess.run(["tar", "-xf", made, "-C", folder], check=True)
            return
        command = [binaries / "initdb", "-D", folder / "data", "-A", "trust", "-U", "monitor", "-N"]
        _as_postgres([str(word) for word in command], folder)
        if made is not None:
            subprocess.run(["tar", "-cf", made, "-C", folder, "data"], check=True)


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
        _cluster(binaries, folder)
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
def _database(server: str, name: str) -> Iterator[str]:
    """The URL of a new database, dropped at the end: hundreds would take minutes to remove at the end of all."""
    admin = server.format(database="postgres")
    with _connected(admin) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.format(database=name)
    with _connected(admin) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _prepare(url: str) -> None:
    database = Database(url)
    database.prepare()
    database.dispose()


class _Prepared:
    """A database as the first start leaves it. To make the tables, or to copy them, costs more than most tests do: they
    are made once, and one copy is emptied for each test."""

    _ROOM = 1 << 20  # bytes by which it may grow: rows that are gone stay in its files

    def __init__(self, server: str) -> None:
        self._url, self._admin = server.format(database="test"), server.format(database="postgres")
        self._tables: list[str] = []
        self._rows: dict[str, bytes] = {}
        self._sequences: list[tuple[str, int, bool]] = []
        self._shape: tuple[str, int] = "", 0
        self._held: Any = None  # a connection: what one costs that begins anew is four fifths of the work

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def url(self) -> str:
        if not self._tables or not self._emptied():
            self._copy()
        return self._url

    def _copy(self) -> None:
        self.close()
        with _connected(self._admin) as connection:
            connection.execute("DROP DATABASE IF EXISTS test WITH (FORCE)")
            connection.execute("CREATE DATABASE test TEMPLATE prepared")
        with _connected(self._url) as connection:
            of_ours = "SELECT relname FROM pg_class WHERE relkind = %s AND relnamespace = 'public'::regnamespace"
            self._tables = [name for (name,) in connection.execute(of_ours, ["r"])]
            for table in self._tables:
                with connection.cursor().copy(f"COPY {table} TO STDOUT") as rows:
                    self._rows[table] = b"".join(map(bytes, rows))
            names = [name for (name,) in connection.execute(of_ours, ["S"])]
            states = [connection.execute(f"SELECT last_value, is_called FROM {name}").fetchone() for name in names]
            self._sequences = [(name, *state) for name, state in zip(names, states, strict=True)]
            self._shape = _shape(connection)

    def _emptied(self) -> bool:
        """Whether it is as it was; not, when its tables are others, or large."""
        import psycopg

        try:
            return self._empty(self._held or _connected(self._url))
        except psycopg.OperationalError:  # a test has ended all connections
            self.close()
            return self._empty(_connected(self._url))

    def _empty(self, connection: Any) -> bool:
        self._held = connection
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        shape, size = _shape(connection)
        if shape != self._shape[0] or size > self._shape[1] + self._ROOM:
            return False
        connection.execute("SET session_replication_role = replica")  # rows go in any order
        connection.execute("; ".join(f"DELETE FROM {table}" for table in self._tables))
        for table, rows in self._rows.items():
            if rows:
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(rows)
        for sequence in self._sequences:
            connection.execute("SELECT setval(%s, %s, %s)", sequence)
        return True


def _connected(url: str) -> Any:
    import psycopg

    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def _shape(connection: Any) -> tuple[str, int]:
    """What changes with each definition that is made or changed; bytes of all."""
    definitions = " UNION ALL ".join(
        f"SELECT format('{catalog} %s %s', {key}, xmin) AS one FROM {catalog} WHERE {of} IN"
        " (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
        for catalog, key, of in (
            ("pg_class", "oid", "oid"),
            ("pg_attribute", "attrelid", "attrelid"),
            ("pg_constraint", "oid", "conrelid"),
            ("pg_trigger", "oid", "tgrelid"),
        )
    )
    query = f"SELECT md5(string_agg(one, ' ' ORDER BY one)), pg_database_size(current_database()) FROM ({definitions})"
    [found] = connection.execute(f"{query} AS definitions")
    return found


@pytest.fixture(scope="session")
def prepared_postgres(postgres_server: str) -> Iterator[_Prepared]:
    with _database(postgres_server, "prepared") as url:
        _prepare(url)
        prepared = _Prepared(postgres_server)
        yield prepared
        prepared.close()


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "state.db"
    _prepare(str(path))
    return path


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database without tables."""
    with _database(postgres_server, "empty") as url:
        yield url


@pytest.fixture
def postgres_url(prepared_postgres: _Prepared) -> str:
    """The URL of a database as the first start leaves it."""
    return prepared_postgres.url()


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
