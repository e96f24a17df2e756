"""A merge that was a mistake is taken back: each has its places and its count again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from monitor.domain.incidents import Incident, TransitionError, part
from monitor.store.rows import incident_columns, incident_from
from monitor.store.schema import alerts, findings, incidents, merges
from monitor.store.sealing import touch
from monitor.store.transaction import Transaction

__all__ = ["Parted", "take_back"]


@dataclass(frozen=True, slots=True)
class Parted:
    """`went`: what was merged, without its merge; `stays`: the one it was in, which `was`; how many places each has."""

    went: Incident
    went_kept: int
    was: Incident
    stays: Incident
    stays_kept: int


def take_back(tx: Transaction, went: Incident) -> Parted | None:
    """Move what belongs to it back. None: nobody noted how it was before. Raises TransitionError."""
    connection = tx.connection
    merge = connection.execute(select(merges).where(merges.c.went == went.id)).first()
    if merge is None:
        return None
    row = connection.execute(select(incidents).where(incidents.c.id == merge.into)).one()
    if row.merged is not None:
        raise TransitionError(
            f"incident {went.id} went into {merge.into}, which went into {row.merged}: reopen {merge.into} first"
        )
    touch(tx, [merge.into])
    noted = tx.touched[merge.into].actions
    if noted is not None and not noted[1]:
        raise TransitionError(
            f"what was noted when {went.id} was merged into {merge.into} was changed beside the monitor, or an action "
            "was: see `monitor incidents verify`, then seal what you have looked at: monitor incidents verify --accept"
        )
    _move(tx, went, merge.into)
    stays = _parted(tx, merge, incident_from(row), went)
    connection.execute(delete(merges).where(merges.c.went == went.id))
    back, theirs = _seen(tx, went.id, merge.seq), _seen(tx, merge.into, merge.seq)
    seen = went.last_seen if back.last is None else max(went.last_seen, back.last)
    left = max(1, theirs.kept, stays.occurrences - back.later)
    last = stays.last_seen if theirs.last is None else max(theirs.last, stays.first_seen)
    return Parted(
        went=replace(went, occurrences=went.occurrences + back.later, last_seen=seen, merged=None),
        went_kept=back.kept,
        was=incident_from(row),
        stays=replace(stays, occurrences=left, last_seen=last),
        stays_kept=theirs.kept,
    )


def _move(tx: Transaction, went: Incident, into: str) -> None:
    """Its findings and alerts, and those of what had gone into it before."""
    connection = tx.connection
    below = _below(tx, went.id)
    prints = [went.fingerprint]
    if below:
        prints += connection.execute(select(incidents.c.fingerprint).where(incidents.c.id.in_(below))).scalars()
        touch(tx, below)
        connection.execute(update(incidents).where(incidents.c.id.in_(below)).values(merged=went.id))
    mine = findings.c.fingerprint.in_(prints)
    connection.execute(update(findings).where(findings.c.incident == into, mine).values(incident=went.id))
    own = (findings.c.incident == went.id, findings.c.fingerprint == went.fingerprint)
    connection.execute(update(findings).where(*own).values(fingerprint=None))
    theirs = (alerts.c.incident == into, alerts.c.fingerprint.in_(prints))
    connection.execute(update(alerts).where(*theirs).values(incident=went.id))


def _below(tx: Transaction, id_: str) -> list[str]:
    """What went into it, and into those."""
    found: list[str] = []
    look = [id_]
    while look:
        look = list(tx.connection.execute(select(merges.c.went).where(merges.c.into.in_(look))).scalars())
        found += look
    return found


def _parted(tx: Transaction, merge: Row[Any], current: Incident, went: Incident) -> Incident:
    """The one that stayed, without what this merge made of it; so are the notes of later ones."""
    all_ = sorted(tx.connection.execute(select(merges).where(merges.c.into == merge.into)), key=_order)
    later = [row for row in all_ if _order(row) > _order(merge)]
    rows = tx.connection.execute(select(incidents).where(incidents.c.id.in_([row.went for row in later])))
    others = {row.id: incident_from(row) for row in rows}
    chain = [(_before(merge), went), *((_before(row), others[row.went]) for row in later)]
    stays, befores = part(current, chain)
    for row, before in zip(later, befores, strict=True):
        kept = json.dumps(json.loads(row.before) | incident_columns(before))
        tx.connection.execute(update(merges).where(merges.c.went == row.went).values(before=kept))
    return stays


def _order(merge: Row[Any]) -> int:
    """Each merge adds to the one that stays."""
    return int(json.loads(merge.before)["occurrences"])


def _before(merge: Row[Any]) -> Incident:
    return incident_from(SimpleNamespace(**json.loads(merge.before)))  # type: ignore[arg-type]  # read by its names


def _seen(tx: Transaction, id_: str, since: int) -> Row[Any]:
    """Of the places that are kept: how many, how many since then, and when it was seen last."""
    later = func.count().filter(findings.c.seq > since).label("later")
    query = select(func.count().label("kept"), later, func.max(findings.c.time).label("last"))
    return tx.connection.execute(query.where(findings.c.incident == id_)).one()
