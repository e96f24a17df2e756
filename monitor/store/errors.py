"""What can be wrong with a database: kinds of failure, words for people, and what was done about a bad file."""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

__all__ = [
    "NO_ROOM",
    "AwayError",
    "DriverError",
    "Failure",
    "Recovery",
    "StoreError",
    "classify",
    "explain",
    "refusal",
]


class StoreError(Exception):
    """The store cannot do it. The message names the database and says what to do next; it is safe to show."""


class AwayError(StoreError):
    """The server is not there at present, or the disk is full: waiting for it is right."""


class DriverError(StoreError):
    """What talks to the server is not installed."""


class Failure(Enum):
    """What kind of trouble an error of the database is."""

    RETRY = "retry"  # full, locked, gone for now: wait, and do the same again
    CORRUPT = "corrupt"  # the file is damaged
    FATAL = "fatal"  # the statement itself is wrong


@dataclass(frozen=True, slots=True)
class Recovery:
    """Something was wrong with the database, and what was done about it."""

    kind: Literal["damaged", "removed", "replaced", "shortened", "forgotten"]
    path: Path | str  # damaged: where the old file is kept; otherwise the database
    reason: str
    carried: dict[str, int] = field(default_factory=dict)  # damaged: rows carried over from each table
    complete: bool = False  # nothing is missing
    lost: int = 0  # shortened, forgotten: transactions that are gone
    known: int = 0  # forgotten: the last that is left of this host

    @property
    def title(self) -> str:
        return {
            "damaged": "The state database was damaged and has been replaced",
            "removed": "The state database was removed while it was open and has been written anew",
            "replaced": "The state database was exchanged for another file while it was open",
            "shortened": "The state database has lost its last transactions",
            "forgotten": "The state database has lost its last transactions",
        }[self.kind]

    @property
    def text(self) -> str:
        """What is true of it, for people."""
        if self.kind == "damaged":
            rows = ", ".join(f"{count} {table}" for table, count in self.carried.items()) or "nothing"
            whole = "Every table could be read." if self.complete else "Some rows could not be read."
            return f"{self.reason}. The old file is stored at {self.path}. Carried over: {rows}. {whole}"
        if self.kind == "removed" and self.complete:
            return f"{self.reason}. The monitor still had it open and wrote all of it to {self.path} again."
        if self.kind == "forgotten":
            amount = self.lost or "an unknown number of"
            again = (
                "What this host had read since was written again from memory"
                if self.complete
                else "Sources are read again from the last positions it knows. What was pushed since, or is in no log "
                "any more, may be missing: nobody can count it; and what is read again may count twice"
            )
            return (
                f"{self.reason}: {amount} transactions of this host are gone. {again}. Acknowledgements, resolutions "
                "and silences made since are lost, and alerts may come twice."
            )
        if self.kind == "shortened":
            return (
                f"{self.reason}: {self.lost} transactions are gone. Sources are read again from the last positions it "
                "knows, or from their beginning, so that what was found since is found again, but for what they no "
                "longer hold, which nobody can count; acknowledgements and resolutions made since are lost, and alerts "
                "may come twice."
            )
        return f"{self.reason}. The monitor goes on with the file at {self.path}; what only the old one held is gone."


_SQLITE_RETRY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_SQLITE_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# The disk is full or failing, or nothing more can be opened: waiting may mend it.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE})
# Signs in the server's or libpq's words, the first that fits. A refused login has no SQLSTATE, only these.
_REFUSED = {
    "certificate verify failed": "the server's certificate is not trusted (sslrootcert), or has expired",
    "does not match host name": "the server's certificate is for another host name",
    "root certificate file": "the file of trusted certificates (sslrootcert) is missing or cannot be read",
    "server does not support SSL": "the server speaks no TLS, and sslmode demands it",
    "SSL error": "the TLS connection failed: see the server's certificate, sslrootcert and sslmode",
    "password authentication failed": "the server refuses the password",
    "no password supplied": "the server wants a password and none is given",
    "no pg_hba.conf entry": "the server does not let this role in from here (pg_hba.conf)",
    "does not exist": "the database or the role does not exist",
    "permission denied": "the role may not connect",
}
# Classes of SQLSTATE: connection, transaction rollback, resources, operator intervention, system error; and single
# codes: lock not available, read-only transaction (a failover in progress), a transaction that idled too long, a table
# that is not there while a backup is restored.
_POSTGRES_RETRY = ("08", "40", "53", "57", "58", "55P03", "25006", "25P03", "42P01")


def classify(error: BaseException) -> Failure:
    if isinstance(error, PoolTimeoutError):
        return Failure.RETRY
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _SQLITE_CORRUPT:
            return Failure.CORRUPT
        return Failure.RETRY if code in _SQLITE_RETRY else Failure.FATAL
    if not isinstance(error, DBAPIError):
        return Failure.FATAL
    state = getattr(original, "sqlstate", None)
    if error.connection_invalidated or (state is None and type(original).__name__ == "OperationalError"):
        return Failure.RETRY
    return Failure.RETRY if state and state.startswith(_POSTGRES_RETRY) else Failure.FATAL


def explain(error: BaseException) -> str:
    """One line without parameters, statements or passwords."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return str(original)
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    if primary:
        return str(primary)
    state = getattr(original, "sqlstate", None)
    if state is None and (refused := refusal(original)):
        return refused
    return f"{type(original).__name__}{f' ({state})' if state else ''}"


def refusal(original: BaseException | None) -> str | None:
    """Why a server does not let us in, in words of ours: its own may quote what it was given."""
    return next((why for sign, why in _REFUSED.items() if sign in str(original)), None)
