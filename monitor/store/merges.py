"""One incident goes into another: what is known of it, and every later sighting."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from monitor.domain.incidents import Incident, IncidentChange, TransitionError, merge
from monitor.routing.routes import IncidentPlace
from monitor.store import groups, runs
from monitor.store.actions import abort
from monitor.store.changes import places_among
from monitor.store.drills import drills_among
from monitor.store.incidents import update_incidents
from monitor.store.rows import incident_by_id
from monitor.store.schema import alerts, asks, findings, incidents, merges, silences
from monitor.store.sealing import touch
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Merges", "absorb", "gone_into"]


class Merges(StoreRepository):
    """Merging. Incidents are named by their ids."""

    @durably
    def merge(self, tx: Transaction, into: str, others: Sequence[str], *, actor: str, note: str = "") -> Incident:
        """All of `others`, or none. Returns the one that stays. Raises LookupError, TransitionError and ActionError."""
        for other in dict.fromkeys(others):
            stays = absorb(tx, into, other, actor, note)
        return stays

    @read_only
    def into(self, connection: Connection, incident: str) -> Sequence[str]:
        """Fingerprints of those that were merged into it."""
        return gone_into(connection, incident)


def gone_into(connection: Connection, incident: str) -> Sequence[str]:
    """Fingerprints of those that were merged into it."""
    query = select(incidents.c.fingerprint).where(incidents.c.merged == incident).order_by(incidents.c.id)
    return connection.execute(query).scalars().all()


def absorb(tx: Transaction, into: str, other: str, actor: str, note: str) -> Incident:
    """`other` goes into `into`, which is returned. Raises LookupError, TransitionError and ActionError."""
    connection = tx.connection
    stayed, stays_row = incident_by_id(connection, into)
    went, went_row = incident_by_id(connection, other)
    change, gone = merge(stayed, went, tx.now)
    if len(drills_among(connection, [stayed.fingerprint, went.fingerprint])) == 1:
        raise TransitionError("a drill cannot be merged with what is none: pagers are not alerted to drills")
    abort(tx, other, f"its incident was merged into {into}")

    touch(tx, [into])
    newest = connection.execute(select(func.max(findings.c.seq))).scalar() or 0
    before = {"went": other, "into": into, "seq": newest, "before": json.dumps(dict(stays_row._mapping))}
    connection.execute(insert(merges), [before])
    places = tuple(places_among(connection, [other]).get(other, ()))
    runs.adopt(tx, other, change.incident)
    _move(tx, went_row, into)
    update_incidents(tx, [(change.incident, stays_row.kept + went_row.kept), (gone, 0)])
    _tell(tx, (stayed, change), (went, gone), places, actor=actor, note=note)
    return change.incident


def _move(tx: Transaction, row: Row[tuple[object, ...]], into: str) -> None:
    """What belongs to the one that goes, and the ones that went into it before."""
    connection = tx.connection
    own = (findings.c.incident == row.id, findings.c.fingerprint.is_(None))
    connection.execute(update(findings).where(*own).values(fingerprint=row.fingerprint))
    for table in (findings, alerts):
        connection.execute(update(table).where(table.c.incident == row.id).values(incident=into))
    before = incidents.c.merged == row.id
    touch(tx, connection.execute(select(incidents.c.id).where(before)).scalars().all())
    connection.execute(update(incidents).where(before).values(merged=into))
    for table in (asks, silences):
        connection.execute(delete(table).where(table.c.incident == row.id))


def _tell(
    tx: Transaction,
    stays: tuple[Incident, IncidentChange],
    goes: tuple[Incident, Incident],
    places: tuple[IncidentPlace, ...],
    *,
    actor: str,
    note: str,
) -> None:
    """The trails of both, their runs, and who knows them."""
    (stayed, change), (went, gone) = stays, goes
    because = f": {note}" if note else ""
    trail = [
        entry(gone, went, "merged", actor=actor, note=f"merged into incident {stayed.id}{because}", now=tx.now),
        entry(change.incident, stayed, "absorbed", actor=actor, note=f"incident {went.id}{because}", now=tx.now),
    ]
    worse = change.reason == "escalated"
    if worse:
        trail.append(entry(change.incident, stayed, "escalated", actor=actor, note="", now=tx.now))
    append(tx, trail)

    runs.follow(
        tx,
        [
            runs.RunTrigger(gone),
            runs.RunTrigger(change.incident, places[0] if places else IncidentPlace(), starts=worse),
        ],
    )
    groups.enrol(
        tx,
        [
            groups.ChangedIncident(gone, (), everywhere=True),
            groups.ChangedIncident(change.incident, places, urgent=worse, everywhere=True),
        ],
    )
