"""What was opened or came back since somebody looked last: the trail is read on from a mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from monitor.common.grouping import grouped
from monitor.routing.routes import IncidentPlace, labels
from monitor.store.rows import any_of, clean, incident_by_id, rows_among
from monitor.store.schema import audit, findings, meta
from monitor.store.transaction import StoreSession, Transaction

__all__ = [
    "behind",
    "gather",
    "labels_of",
    "newest_of",
    "newest_place",
    "newest_places",
    "opened_since",
    "places_among",
    "rewind",
]

_READERS = ("actions:", "verdicts:")  # starts of the marks
_AT_A_TIME = 500  # rows of the trail looked at in one transaction
_PLACE = (findings.c.source, findings.c.path, findings.c.node, func.coalesce(findings.c.service, ""))
_NEWEST = select(func.max(findings.c.seq)).where(any_of(findings.c.incident)).group_by(findings.c.incident)
_NEWEST_PLACES = select(findings.c.incident, *_PLACE).where(findings.c.seq.in_(_NEWEST))
_PLACES = (
    select(findings.c.incident, *_PLACE)
    .where(any_of(findings.c.incident))
    .group_by(findings.c.incident, *_PLACE)
    .order_by(func.max(findings.c.seq).desc())
)


def behind(connection: Connection, mark: str) -> bool:
    """Whether there is anything new for the reader of this mark. Asked often, and mostly in vain."""
    seen = connection.execute(select(meta.c.value).where(meta.c.key == mark)).scalar()
    last = connection.execute(select(func.max(audit.c.seq))).scalar() or 0
    return seen is None or last > int(seen)


async def gather(
    session: StoreSession, reader: str, take: Callable[[Transaction, Sequence[str]], None], *, durable: bool = False
) -> bool:
    """Hand `take` what this host has seen opened, or come back, since this reader looked last, in the transaction in
    which its mark moves on. Returns whether there is more. Nothing where there is nothing new, as is most often so."""
    mark = f"{reader}:{session.node}"
    if not await session.read(lambda connection: behind(connection, mark)):
        return False

    def run(tx: Transaction) -> bool:
        fresh, more = opened_since(tx, mark)
        take(tx, fresh)
        return more

    return await session.write(run, durable=durable)


def opened_since(tx: Transaction, mark: str) -> tuple[Sequence[str], bool]:
    """Ids of incidents that this host has seen in its own sources, and whether there is more. The mark moves on.

    The first time there are none: what is old is not new.
    """
    connection = tx.connection
    seen = connection.execute(select(meta.c.value).where(meta.c.key == mark)).scalar()
    if seen is None:
        last = connection.execute(select(func.max(audit.c.seq))).scalar() or 0
        connection.execute(insert(meta).values(key=mark, value=str(last)))
        return [], False

    query = select(audit.c.seq, audit.c.incident, audit.c.action).where(audit.c.seq > int(seen))
    rows = list(connection.execute(query.order_by(audit.c.seq).limit(_AT_A_TIME)))
    if rows:
        connection.execute(update(meta).where(meta.c.key == mark).values(value=str(rows[-1].seq)))
    fresh = list(dict.fromkeys(row.incident for row in rows if row.action in ("opened", "reopened")))
    here = select(findings.c.incident).where(findings.c.incident.in_(fresh), findings.c.node == clean(tx.node))
    known = set(connection.execute(here.distinct()).scalars())
    return [incident for incident in fresh if incident in known], len(rows) == _AT_A_TIME


def rewind(tx: Transaction) -> None:
    """Rows of the trail are gone. SQLite gives out the numbers of the last ones again, and what comes with them must
    not look as if it had been seen."""
    last = tx.connection.execute(select(func.max(audit.c.seq))).scalar() or 0
    for row in tx.connection.execute(select(meta)).all():
        if row.key.startswith(_READERS) and int(row.value) > last:
            tx.connection.execute(update(meta).where(meta.c.key == row.key).values(value=str(last)))


def labels_of(connection: Connection, incident: str) -> dict[str, str]:
    """What matchers see of an incident, at its newest place."""
    known, _ = incident_by_id(connection, incident)
    return labels(known, *newest_place(connection, incident))


def newest_place(connection: Connection, incident: str) -> IncidentPlace:
    """Where its newest finding is, by which routes look."""
    return newest_of(connection, findings.c.incident == incident) or IncidentPlace()


def newest_places(connection: Connection, ids: Iterable[str]) -> dict[str, IncidentPlace]:
    """The same of each of these, in one question for hundreds. Those without a finding are left out."""
    return {incident: IncidentPlace(*place) for incident, *place in rows_among(connection, _NEWEST_PLACES, ids)}


def places_among(connection: Connection, ids: Iterable[str]) -> dict[str, list[IncidentPlace]]:
    """Incident → each place of it, the newest first."""
    return grouped((incident, IncidentPlace(*place)) for incident, *place in rows_among(connection, _PLACES, ids))


def newest_of(connection: Connection, which: ColumnElement[bool]) -> IncidentPlace | None:
    """The place of the newest of these findings; None: there are none."""
    row = connection.execute(select(*_PLACE).where(which).order_by(findings.c.seq.desc()).limit(1)).first()
    return None if row is None else IncidentPlace(*row)
