"""One incident goes into another: what is known of it, and every later sighting."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Row, delete, func, insert, select, update

from monitor.domain.incidents import Incident, IncidentChange, TransitionError, merge
from monitor.routing.routes import IncidentPlace
from monitor.store import groups, runs
from monitor.store.actions import abort
from monitor.store.drills import drills_among
from monitor.store.incidents import update_incidents
from monitor.store.rows import incident_columns, incident_from
from monitor.store.schema import alerts, asks, findings, incidents, merges, silences
from monitor.store.sealing import touch
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreSession, Transaction

__all__ = ["Merges"]


class Merges:
    """The face of merging. Incidents are named by their ids."""

    def __init__(self, desk: StoreSession) -> None:
        self._desk = desk

    async def merge(self, into: str, others: Sequence[str], *, actor: str, note: str = "") -> Incident:
        """All of `others`, or none. Returns the one that stays. Raises LookupError, TransitionError and ActionError."""

        def run(tx: Transaction) -> Incident:
            for other in dict.fromkeys(others):
                stays = _merge(tx, into, other, actor, note)
            return stays

        return await self._desk.write(run, durable=True)

    async def into(self, incident: str) -> Sequence[str]:
        """Fingerprints of those that were merged into it."""
        query = select(incidents.c.fingerprint).where(incidents.c.merged == incident).order_by(incidents.c.id)
        return await self._desk.read(lambda connection: list(connection.execute(query).scalars()))


def _merge(tx: Transaction, into: str, other: str, actor: str, note: str) -> Incident:
    connection = tx.connection
    rows = {row.id: row for row in connection.execute(select(incidents).where(incidents.c.id.in_([into, other])))}
    for id_ in (into, other):
        if id_ not in rows:
            raise LookupError(f"there is no incident {id_}")
    stayed, went = incident_from(rows[into]), incident_from(rows[other])
    change, gone = merge(stayed, went, tx.now)
    if len(drills_among(connection, [stayed.fingerprint, went.fingerprint])) == 1:
        raise TransitionError("a drill cannot be merged with what is none: pagers are not told of drills")
    abort(tx, other, f"its incident was merged into {into}")

    touch(tx, [into])
    newest = connection.execute(select(func.max(findings.c.seq))).scalar() or 0
    before = {"went": other, "into": into, "seq": newest, "before": json.dumps(dict(rows[into]._mapping))}
    connection.execute(insert(merges), [before])
    places = _places(tx, other)
    runs.adopt(tx, other, change.incident)
    _move(tx, rows[other], into)
    kept = rows[into].kept + rows[other].kept
    update_incidents(
        tx,
        [{**incident_columns(change.incident), "kept": kept}, {**incident_columns(gone), "kept": 0}],
    )
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
    if change.reason == "escalated":
        trail.append(entry(change.incident, stayed, "escalated", actor=actor, note="", now=tx.now))
    append(tx, trail)

    worse = change.reason == "escalated"
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


def _places(tx: Transaction, id_: str) -> tuple[IncidentPlace, ...]:
    """Where routes look: each place of an incident, the newest first."""
    newest = func.max(findings.c.seq).label("newest")
    where = (findings.c.source, findings.c.path, findings.c.node, func.coalesce(findings.c.service, ""))
    query = select(*where, newest).where(findings.c.incident == id_)
    return tuple(
        IncidentPlace(*row[:4]) for row in tx.connection.execute(query.group_by(*where).order_by(newest.desc()))
    )
