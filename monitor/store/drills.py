"""Drills: synthetic secrets that somebody plants on purpose.

What is written here beforehand decides what is one, never a label, which a log may bring along.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select

from monitor.store.rows import chunks
from monitor.store.schema import drills, incidents
from monitor.store.transaction import Desk, Transaction

__all__ = ["Drills", "drills_among", "forget", "paging"]


class Drills:
    """The face of the drills."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def plan(self, fingerprints: Sequence[str], *, pages: bool) -> None:
        """What is found with one of these fingerprints from now on is a drill. Without `pages` no pager is told."""
        rows = [
            {"fingerprint": one, "pages": int(pages), "at": self._desk.now()} for one in dict.fromkeys(fingerprints)
        ]
        await self._desk.write(lambda tx: tx.connection.execute(insert(drills), rows), durable=True)


def drills_among(connection: Connection, fingerprints: Iterable[str]) -> dict[str, bool]:
    """Those that are drills, and whether pagers are told of them."""
    found = {}
    for chunk in chunks(fingerprints):
        for row in connection.execute(select(drills).where(drills.c.fingerprint.in_(chunk))):
            found[row.fingerprint] = bool(row.pages)
    return found


def paging(found: dict[str, bool], fingerprint: str) -> bool:
    """Whether pagers may be told of it: of everything but a drill that does not ask for it."""
    return found.get(fingerprint, True)


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """Of incidents that go."""
    known = select(incidents.c.fingerprint).where(incidents.c.id.in_(ids))
    tx.connection.execute(delete(drills).where(drills.c.fingerprint.in_(known)))
