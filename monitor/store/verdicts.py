"""What issuers say of secrets: an answer is kept with its incident, and who is still to be asked waits here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from monitor.common.severity import Severity
from monitor.incidents import Incident, Verified, judge
from monitor.routing import labels
from monitor.runbook.book import Proof
from monitor.store import groups, runs
from monitor.store.incidents import update_incidents
from monitor.store.rows import clean, incident_columns, incident_from, insert_into, load_locations
from monitor.store.schema import asks, audit, findings, incidents, meta
from monitor.store.trail import append, entry
from monitor.store.transaction import Desk, Transaction

__all__ = ["Ask", "Verdicts", "Worth", "record_verdict"]

Worth = Callable[[dict[str, str]], Severity | None]  # labels of an incident → its severity, None: its own
_AT_A_TIME = 500  # rows of the trail looked at in one transaction


@dataclass(frozen=True, slots=True)
class Ask:
    """An incident whose issuer is to be asked. `attempts`: without an answer so far."""

    incident: Incident
    attempts: int


class Verdicts:
    """The face of the answers. The queue is this host's: it has the log that the secret stands in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def record(
        self, incident: str, verified: Verified, *, actor: str, worth: Worth = lambda labels: None
    ) -> Incident:
        """Keep an answer; the trail has it in the same transaction. Raises LookupError."""
        return await self._desk.write(
            lambda tx: record_verdict(tx, incident, verified, actor=actor, worth=worth), durable=True
        )

    async def gather(self, wanted: Callable[[dict[str, str]], bool]) -> bool:
        """Queue what was opened or came back since the last time, if `wanted` says so of its labels. The first time
        nothing is: what is old is no news. Returns whether there is more."""
        newest = f"verdicts:{self._desk.node}"

        def behind(connection: Connection) -> bool:
            seen = connection.execute(select(meta.c.value).where(meta.c.key == newest)).scalar()
            last = connection.execute(select(func.max(audit.c.seq))).scalar() or 0
            return seen is None or last > int(seen)

        # Asked often, and mostly in vain: a read is cheaper than a transaction.
        if not await self._desk.read(behind):
            return False
        return await self._desk.write(lambda tx: _gather(tx, newest, wanted))

    async def due(self, limit: int = 20) -> list[Ask]:
        """Who is to be asked now, oldest first."""
        node, now = self._desk.node, self._desk.now()
        return await self._desk.read(lambda connection: _due(connection, node, now, limit))

    async def next_due(self) -> float | None:
        """When there is somebody to be asked."""
        query = select(func.min(asks.c.due)).where(asks.c.node == self._desk.node)
        return await self._desk.read(lambda connection: connection.execute(query).scalar())

    async def postpone(self, incident: str, seconds: float) -> None:
        """Ask again in so many seconds."""

        def run(tx: Transaction) -> None:
            later = {"due": tx.now + seconds, "attempts": asks.c.attempts + 1}
            tx.connection.execute(update(asks).where(_row(incident, tx.node)).values(**later))

        await self._desk.write(run)

    async def drop(self, incident: str) -> None:
        """Do not ask any more."""

        def run(tx: Transaction) -> None:
            tx.connection.execute(delete(asks).where(_row(incident, tx.node)))

        await self._desk.write(run)


def record_verdict(tx: Transaction, incident_id: str, verified: Verified, *, actor: str, worth: Worth) -> Incident:
    """Raises LookupError."""
    connection = tx.connection
    row = connection.execute(select(incidents).where(incidents.c.id == incident_id)).first()
    if row is None:
        raise LookupError(f"there is no incident {incident_id}")
    was = incident_from(row)
    newest = _newest_place(connection, incident_id)
    seen = labels(was, *newest) | {"validity": verified.validity, "severity": was.own_severity}
    change = judge(was, verified, worth(seen))
    if change.incident != was:
        update_incidents(connection, [{**incident_columns(change.incident), "kept": row.kept}])

    trail = [entry(change.incident, was, "verified", actor=actor, note=_said(verified), now=tx.now)]
    if change.reason == "escalated":
        trail.append(entry(change.incident, was, "escalated", actor=actor, note="", now=tx.now))
    append(tx, trail)
    proofs: dict[Proof, float] = {"refused": tx.now} if verified.validity == "refused" else {}
    turn = runs.Turn(change.incident, *newest, starts=change.reason == "escalated", proofs=proofs)
    runs.follow(tx, [turn])
    # Answered: it waits no more, on whichever host it was asked.
    if verified.validity != "unknown":
        connection.execute(delete(asks).where(asks.c.incident == incident_id))
    if change.reason is not None:
        urgent = change.reason == "escalated"
        groups.enrol(tx, [groups.Touched(change.incident, (newest,), urgent=urgent, everywhere=True)])
    return change.incident


def _said(verified: Verified) -> str:
    facts = ", ".join(f"{name} {text}" for name, text in verified.facts.items())
    return f"{verified.validity}: {verified.reason}" + (f"; {facts}" if facts else "")


def _newest_place(connection: Connection, incident: str) -> tuple[str, str]:
    """Source and path of its newest finding, by which routes look."""
    query = select(findings.c.source, findings.c.path).where(findings.c.incident == incident)
    row = connection.execute(query.order_by(findings.c.seq.desc()).limit(1)).first()
    return (row.source, row.path) if row else ("", "")


def _gather(tx: Transaction, newest: str, wanted: Callable[[dict[str, str]], bool]) -> bool:
    connection = tx.connection
    seen = connection.execute(select(meta.c.value).where(meta.c.key == newest)).scalar()
    if seen is None:
        last = connection.execute(select(func.max(audit.c.seq))).scalar() or 0
        connection.execute(insert(meta).values(key=newest, value=str(last)))
        return False

    rows = list(
        connection.execute(
            select(audit.c.seq, audit.c.incident, audit.c.action)
            .where(audit.c.seq > int(seen))
            .order_by(audit.c.seq)
            .limit(_AT_A_TIME)
        )
    )
    news = dict.fromkeys(row.incident for row in rows if row.action in ("opened", "reopened"))
    queued = [incident for incident in _of_node(connection, news, tx.node) if wanted(_labels(connection, incident))]
    if queued:
        fresh = [{"incident": one, "node": tx.node, "due": tx.now, "attempts": 0} for one in queued]
        statement = insert_into(connection, asks).on_conflict_do_nothing(index_elements=[asks.c.incident, asks.c.node])
        connection.execute(statement, fresh)
    if rows:
        connection.execute(update(meta).where(meta.c.key == newest).values(value=str(rows[-1].seq)))
    return len(rows) == _AT_A_TIME


def _of_node(connection: Connection, news: Iterable[str], node: str) -> Sequence[str]:
    """Those of the incidents that this host has seen in its own sources."""
    query = select(findings.c.incident).where(findings.c.incident.in_(list(news)), findings.c.node == clean(node))
    return list(connection.execute(query.distinct()).scalars())


def _labels(connection: Connection, incident: str) -> dict[str, str]:
    row = connection.execute(select(incidents).where(incidents.c.id == incident)).one()
    return labels(incident_from(row), *_newest_place(connection, incident))


def _due(connection: Connection, node: str, now: float, limit: int) -> list[Ask]:
    query = (
        select(incidents, asks.c.attempts)
        .join(asks, asks.c.incident == incidents.c.id)
        .where(asks.c.node == node, asks.c.due <= now)
        .order_by(asks.c.due, incidents.c.id)
        .limit(limit)
    )
    rows = list(connection.execute(query))
    places = load_locations(connection, [row.id for row in rows])
    return [Ask(incident_from(row, places.get(row.id, ())), row.attempts) for row in rows]


def _row(incident: str, node: str) -> ColumnElement[bool]:
    return (asks.c.incident == incident) & (asks.c.node == node)
