"""How far this host's history in a database had come: kept outside it, so that a database that forgets is noticed.

Each host counts its own transactions in a row of its own, so that what others write since hides nothing. The number
never goes back: after a loss it goes on far above all that was ever counted, so that the way back to the server of
before is noticed too.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from sqlalchemy import Connection

from monitor.store.tally import NumberFile

__all__ = ["CommitCounter", "ForgottenError"]

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
