"""Silences of single incidents, as people set them: nobody is told of it and no deadline is missed until then."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select, update

from monitor.incidents import Incident
from monitor.store.rows import chunks, incident_from, insert_into
from monitor.store.schema import groups, incidents, members, runs, silences
from monitor.store.trail import append, entry
from monitor.store.transaction import Desk, Transaction

__all__ = ["Silences", "hush", "later", "silenced_among"]


class Silences:
    """The face of the silences. An incident is named by its id."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def set(self, incident: str, seconds: float, *, actor: str, note: str) -> float:
        """Until so many seconds from now; returns when it ends. 0: no longer. Raises LookupError."""
        return await self._desk.write(lambda tx: hush(tx, incident, seconds, actor=actor, note=note), durable=True)


def silenced_among(connection: Connection, ids: Iterable[str], now: float) -> dict[str, float]:
    """Incidents that are silenced now → until when."""
    found: dict[str, float] = {}
    for chunk in chunks(ids):
        query = select(silences.c.incident, silences.c.until).where(silences.c.incident.in_(chunk))
        found.update((row.incident, row.until) for row in connection.execute(query) if row.until > now)
    return found


def later(first: float | None, second: float | None) -> float | None:
    """Of two ends of silences; None is none."""
    return max((end for end in (first, second) if end is not None), default=None)


def hush(tx: Transaction, id_: str, seconds: float, *, actor: str, note: str) -> float:
    """Until so many seconds from now; returns when it ends. Raises LookupError."""
    connection, until = tx.connection, tx.now + seconds
    row = connection.execute(select(incidents).where(incidents.c.id == id_)).first()
    if row is None:
        raise LookupError(f"there is no incident {id_}")
    known: Incident = incident_from(row)
    connection.execute(delete(silences).where(silences.c.incident == id_))
    if seconds > 0:
        connection.execute(insert_into(connection, silences).values(incident=id_, until=until))
    append(tx, [entry(known, known, "silenced" if seconds > 0 else "unsilenced", actor=actor, note=note, now=tx.now)])

    # What it held back, or holds back from now on, is looked at anew.
    mine = select(members.c.group).where(members.c.incident == id_)
    connection.execute(update(groups).where(groups.c.id.in_(mine)).values(due_at=tx.now))
    connection.execute(update(runs).where(runs.c.incident == id_, runs.c.ended.is_(None)).values(due=tx.now))
    tx.announce()
    return until
