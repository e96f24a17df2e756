"""Where the histories of incidents end, as this host has last seen them: kept beside the database, not in it.

Who removes an incident with all that is sealed of it, or puts an older database in place, meets what is written here.
Only what was durable before is written, after the commit and without a sync of its own: after a power failure it may be
behind, which accuses nobody; ahead of the database it never is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog

__all__ = ["TOTAL", "Head", "Heads"]

log = structlog.get_logger(__name__)

TOTAL = "@"  # and the name of a host, in place of an incident: the sum over all that it has sealed

_CHUNK = 500
_TABLE = (
    "CREATE TABLE IF NOT EXISTS heads (incident TEXT PRIMARY KEY, turn INTEGER NOT NULL, entries INTEGER NOT NULL, "
    "seal TEXT NOT NULL, lost INTEGER NOT NULL DEFAULT 0, missing INTEGER NOT NULL DEFAULT 0, since REAL) WITHOUT ROWID"
)
_NOTE = (
    "INSERT INTO heads (incident, turn, entries, seal) VALUES (?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET "
    "turn = excluded.turn, entries = excluded.entries, seal = excluded.seal WHERE excluded.turn > heads.turn"
)
_LOSE = (
    "UPDATE heads SET lost = lost + MAX(1, turn - :turn), missing = missing + MAX(0, entries - :entries), "
    "since = COALESCE(since, :since), turn = :turn, entries = :entries, seal = :seal WHERE incident = :incident"
)


class Head(NamedTuple):
    """`turn`: how often it was sealed; `lost`: changes that the database knew no more when it was written to again,
    with `missing` entries of the history, `since` then (seconds since the epoch)."""

    incident: str
    turn: int
    entries: int
    seal: str
    lost: int = 0
    missing: int = 0
    since: float | None = None

    def passes(self, turn: int, seal: str) -> bool:
        """Whether more is known here than a database that is at `turn`, or something else."""
        return self.turn > turn or (self.turn == turn and self.seal != seal)


class Heads:
    """A small file of SQLite. Thread-safe. What fails costs what this host knew, never the work."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._waiting: dict[str, Sequence[Any]] = {}  # committed, and not known to be on disk
        self._file: sqlite3.Connection | None = None
        try:
            self._file = _opened(path, create)
        except sqlite3.DatabaseError as error:
            if create and not isinstance(error, sqlite3.OperationalError):
                with contextlib.suppress(OSError, sqlite3.Error):
                    os.replace(path, path.with_name(f"{path.name}.damaged"))
                    self._file = _opened(path, create)
            log.error("what this host knew of the ends of histories cannot be read", path=str(path), reason=str(error))
        except OSError as error:
            log.debug("what this host knows of the ends of histories is not stored", path=str(path), reason=str(error))

    @property
    def kept(self) -> bool:
        """Whether there is a file at all."""
        return self._file is not None

    def known(self, incidents: Iterable[str]) -> Mapping[str, Head]:
        """Of these incidents, and of sums (`TOTAL`)."""

        def read(file: sqlite3.Connection) -> dict[str, Head]:
            found: dict[str, Head] = {}
            ids = list(incidents)
            for start in range(0, len(ids), _CHUNK):
                some = ids[start : start + _CHUNK]
                query = f"SELECT * FROM heads WHERE incident IN ({', '.join('?' * len(some))})"  # noqa: S608 # marks
                found.update((row[0], Head(*row)) for row in file.execute(query, some))
            return found

        return self._do(read) or {}

    def all(self) -> Sequence[Head]:
        return (
            self._do(lambda file: [Head(*row) for row in file.execute("SELECT * FROM heads ORDER BY incident")]) or ()
        )

    def any(self) -> bool:
        return bool(self._do(lambda file: file.execute("SELECT 1 FROM heads LIMIT 1").fetchone()))

    def note(self, heads: Iterable[Head], *, durable: bool) -> None:
        """After a commit, which was `durable` or is made so by the next that is."""
        self._waiting.update((head.incident, head[:4]) for head in heads)
        if durable and self._waiting:
            rows, self._waiting = list(self._waiting.values()), {}
            self._do(lambda file: file.executemany(_NOTE, rows))

    def lose(self, found: Iterable[Head], since: float | None) -> None:
        """The database is behind: it goes on from `found`, and what is missing stays to be told."""
        self._do(lambda file: file.executemany(_LOSE, ({**head._asdict(), "since": since} for head in found)))

    def take(self, heads: Iterable[Head]) -> None:
        """Know these from now on, and nothing else."""

        def write(file: sqlite3.Connection) -> None:
            file.execute("DELETE FROM heads")
            file.executemany(_NOTE, (head[:4] for head in heads))

        self._do(write)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _do(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        with self._lock:
            if self._file is None:
                return None
            try:
                self._file.execute("BEGIN")
                try:
                    return work(self._file)
                finally:
                    self._file.execute("COMMIT")
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self._file.execute("ROLLBACK")
                log.debug("the file of the ends of histories failed", path=str(self._path), reason=str(error))
                return None


def _opened(path: Path, create: bool) -> sqlite3.Connection | None:
    if not create and not path.exists():
        return None
    if create:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=1.0, check_same_thread=False)
    try:
        file.isolation_level = None
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")  # a sync when its log is moved into the file, none at a commit
        file.execute(_TABLE)
    except BaseException:
        file.close()
        raise
    return file
