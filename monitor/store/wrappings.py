"""What is wrapped: by which wrapping token which secret is got, as only the record of who put it there says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, select

from detectors.fingerprint import fingerprint
from monitor.access.reading import BEARER, Reading
from monitor.store.rows import clean, insert_into
from monitor.store.schema import marks, wrappings
from monitor.store.transaction import Transaction

__all__ = ["named"]

_Wrapped = tuple[str, str]  # the secret, empty for what is none of ours, and who had it wrapped


def named(tx: Transaction, readings: Iterable[Reading]) -> list[Reading]:
    """Those that count, with the secret that was got by a wrapping token in place of the token's path. Who has shown
    nothing but the token acts for whoever had it made."""
    return [one for one in (_named(tx, reading) for reading in readings) if one.counts]


def _named(tx: Transaction, reading: Reading) -> Reading:
    known = _known(tx, reading) if reading.unwraps else None
    if known is not None:
        who = known[1] if reading.principal == BEARER else reading.principal
        reading = replace(reading, secret=known[0] or reading.secret, principal=who, counts=bool(known[0]))
    if reading.wraps:
        _keep(tx, reading)
    return reading


def _known(tx: Transaction, reading: Reading) -> _Wrapped | None:
    query = select(wrappings.c.secret, wrappings.c.principal).where(wrappings.c.token == _hash(tx, reading.unwraps))
    if row := tx.connection.execute(query).first():
        return row.secret, row.principal
    if secret := _by_value(tx.connection, [fingerprint(tx.secret, mark.encode()) for mark in reading.marks]):
        return secret, reading.principal
    return None


def _by_value(connection: Connection, hashed: list[str]) -> str | None:
    """The one secret that was read before with the same values."""
    query = select(marks.c.secret).where(marks.c.mark.in_(hashed)).distinct().limit(2)
    secrets = connection.execute(query).scalars().all() if hashed else ()
    return secrets[0] if len(secrets) == 1 else None


def _keep(tx: Transaction, reading: Reading) -> None:
    row = {
        "token": _hash(tx, reading.wraps),
        "secret": clean(reading.secret) if reading.counts else "",
        "principal": clean(reading.principal),
        "at": tx.now,
    }
    tx.connection.execute(insert_into(tx.connection, wrappings).on_conflict_do_nothing(), row)


def _hash(tx: Transaction, token: str) -> str:
    return fingerprint(tx.secret, b"wrapping\0" + token.encode())
