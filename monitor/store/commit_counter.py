"""How far this host's history in a database had come: counted beside it, so that a database that forgets is noticed.

Of a file of SQLite the transactions that are on disk are counted: one that lost its end counts fewer inside. In
PostgreSQL each host counts its own in a row of its own, so that what others write since hides nothing. The number
never goes back: after a loss it goes on far above all that was ever counted, so that the way back to the server of
before is noticed too.
"""

from __future__ import annotations

import contextlib
import os
import struct
import uuid
from pathlib import Path

from sqlalchemy import Connection

__all__ = ["CommitCounter", "ForgottenError", "NumberFile"]

_NUMBER = struct.Struct("<Q")
_NEXT = (
    "INSERT INTO meta VALUES (%s, '1') ON CONFLICT (key) DO UPDATE SET value = (meta.value::bigint + 1)::text "
    "RETURNING value"
)
_SET = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_GET = "SELECT value FROM meta WHERE key = %s"
_IDENTITY = "identity"
_LEAP = 1 << 32  # more than a host ever counts


class ForgottenError(Exception):
    """The database knows less of this host than was on its disk: `known` is its last transaction there, and `lost` are
    gone; 0: nobody knows how many, as both sides counted on since."""

    def __init__(self, known: int, reached: int) -> None:
        super().__init__("transactions are gone")
        self.known = known
        self.lost = reached - known if known // _LEAP == reached // _LEAP else 0


class NumberFile:
    """A file with one number. It is not forced to the disk: after a power failure it may be too low, which accuses
    nobody; too high it never is, because only what was durable before is counted."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Without a file it counts nothing and reads 0: a place for the database is all the store insists on."""
        self._descriptor: int | None = None
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        with contextlib.suppress(OSError):
            self._descriptor = os.open(path, flags, 0o600)

    def read(self) -> int:
        data = b""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # after a commit: an error would have the transaction done again
                data = os.pread(self._descriptor, _NUMBER.size, 0)
        return int(_NUMBER.unpack(data)[0]) if len(data) == _NUMBER.size else 0

    def reached(self, number: int) -> None:
        """Another process may be further already."""
        if number > self.read():
            self.set(number)

    def set(self, number: int) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _NUMBER.pack(number), 0)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class CommitCounter:
    """Of one host in one PostgreSQL database. `number`: the last transaction that was on the server's disk."""

    def __init__(self, connection: Connection, node: str, folder: Path | None, *, create: bool) -> None:
        """`folder`: where it is kept beside; None: only in memory. `create`: it may be made there."""
        self._key = f"commits:{node}"
        self._file: NumberFile | None = None
        if folder is not None:
            # By the database's own name: another one, whose history begins anew, has lost nothing.
            self._file = NumberFile(folder / f"database-{identity(connection)}.mark", create=create)
        self.number = max(self._file.read() if self._file else 0, 0)

    def stored(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql(_GET, (self._key,)).scalar() or 0)

    def next(self, connection: Connection) -> int:
        """Count a transaction at its begin. Raises ForgottenError."""
        number = int(connection.exec_driver_sql(_NEXT, (self._key,)).scalar_one())
        if number <= self.number:
            raise ForgottenError(number - 1, self.number)
        return number

    def reached(self, number: int) -> None:
        """That one is on disk."""
        self.number = max(self.number, number)
        if self._file is not None:
            self._file.reached(number)

    def go_on(self, connection: Connection, above: int) -> int:
        """Of a database that has forgotten: count on from here, the number that is then to be `reached`."""
        number = (max(above, self.number) // _LEAP + 1) * _LEAP
        connection.exec_driver_sql(_SET, (self._key, str(number)))
        return number

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def identity(connection: Connection) -> str:
    """The database's own name, given to it by the first who asks; copies have the same."""
    connection.exec_driver_sql("INSERT INTO meta VALUES (%s, %s) ON CONFLICT DO NOTHING", (_IDENTITY, uuid.uuid4().hex))
    return str(connection.exec_driver_sql(_GET, (_IDENTITY,)).scalar_one())
