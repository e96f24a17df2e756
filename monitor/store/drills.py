"""Drills: synthetic secrets that somebody plants on purpose.

What is written here beforehand decides what is one, never a label, which a log may bring along.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, insert, select

from monitor.common.grouping import grouped
from monitor.store.rows import any_of, rows_among
from monitor.store.schema import audit, drills, incidents
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["DrillRow", "Drilled", "Drills", "drills_among", "forget", "last_drill", "last_success", "paging"]


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill and how far it went: found in the log, acknowledged (once everybody was told), resolved. `at`: seconds
    since the epoch."""

    fingerprint: str
    at: float
    found: bool
    acknowledged: bool
    resolved: bool

    @property
    def hops(self) -> int:
        """How many of the three came."""
        return self.found + self.acknowledged + self.resolved


@dataclass(frozen=True, slots=True)
class DrillRow:
    """As `Drilled`, for a list. `incident`: what was opened for it; empty: it was not found, or is forgotten."""

    at: float
    incident: str
    acknowledged: bool
    resolved: bool


class Drills(StoreRepository):
    """Drills that were planted."""

    @durably
    def plan(self, tx: Transaction, fingerprints: Sequence[str], *, pages: bool) -> None:
        """What is found with one of these fingerprints from now on is a drill. Without `pages` no pager is told."""
        rows = [{"fingerprint": one, "pages": int(pages), "at": tx.now} for one in dict.fromkeys(fingerprints)]
        tx.connection.execute(insert(drills), rows)

    @read_only
    def last(self, connection: Connection) -> Drilled | None:
        """The newest one; None: there was none, or none that is still stored."""
        return last_drill(connection)

    @read_only
    def all(self, connection: Connection) -> list[DrillRow]:
        """The newest first."""
        acked = exists().where(audit.c.incident == incidents.c.id, audit.c.action == "acknowledged")
        query = (
            select(drills.c.at, incidents.c.id, incidents.c.state, acked.label("acked"))
            .outerjoin(incidents, incidents.c.fingerprint == drills.c.fingerprint)
            .order_by(drills.c.at.desc(), incidents.c.id)
        )
        # One drill may have planted several: what one rule finds in it, and what others do.
        planted = grouped((row.at, row) for row in connection.execute(query))
        return [
            DrillRow(
                at,
                next((row.id for row in rows if row.id is not None), ""),
                any(row.id is not None and row.acked for row in rows),
                any(row.state == "resolved" for row in rows),
            )
            for at, rows in planted.items()
        ]

    @read_only
    def among(self, connection: Connection, fingerprints: Sequence[str]) -> frozenset[str]:
        """Those that are drills."""
        return frozenset(drills_among(connection, fingerprints))


def last_success(connection: Connection) -> float | None:
    """When the newest drill that went all the way was planted."""
    seen = exists().where(audit.c.incident == incidents.c.id, audit.c.action == "acknowledged")
    done = exists().where(incidents.c.fingerprint == drills.c.fingerprint, incidents.c.state == "resolved", seen)
    # From drills to incidents: the other way round, all that are resolved are looked at.
    return connection.execute(select(drills.c.at).where(done).order_by(drills.c.at.desc()).limit(1)).scalar()


def last_drill(connection: Connection) -> Drilled | None:
    """The newest one; None: there was none, or none that is still stored."""
    # One drill may have planted several: what one rule finds in it, and what others do. Any of them is followed.
    newest = connection.execute(select(drills).order_by(drills.c.at.desc(), drills.c.fingerprint).limit(1)).first()
    if newest is None:
        return None
    same = select(drills.c.fingerprint).where(drills.c.at == newest.at)
    rows = connection.execute(select(incidents).where(incidents.c.fingerprint.in_(same))).all()
    entries = select(audit.c.action).where(audit.c.incident.in_([row.id for row in rows]))
    return Drilled(
        fingerprint=rows[0].fingerprint if rows else newest.fingerprint,
        at=newest.at,
        found=bool(rows),
        acknowledged="acknowledged" in connection.execute(entries).scalars().all(),
        resolved=any(row.state == "resolved" for row in rows),
    )


_ROWS = select(drills).where(any_of(drills.c.fingerprint))


def drills_among(connection: Connection, fingerprints: Iterable[str]) -> dict[str, bool]:
    """Those that are drills, and whether pagers are told of them."""
    return {row.fingerprint: bool(row.pages) for row in rows_among(connection, _ROWS, fingerprints)}


def paging(found: dict[str, bool], fingerprint: str) -> bool:
    """Whether pagers may be told of it: of everything but a drill that does not ask for it."""
    return found.get(fingerprint, True)


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """Of incidents that go."""
    known = select(incidents.c.fingerprint).where(incidents.c.id.in_(ids))
    tx.connection.execute(delete(drills).where(drills.c.fingerprint.in_(known)))
