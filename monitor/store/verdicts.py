"""What issuers say of secrets: an answer is kept with its incident, and who is still to be asked waits here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from monitor.common.severity import Severity
from monitor.domain.incidents import Incident, Verified, judge
from monitor.routing.routes import labels
from monitor.runbook.book import Proof
from monitor.store import groups, runs
from monitor.store.actions import complete
from monitor.store.changes import behind, labels_of, newest_place, news
from monitor.store.incidents import update_incidents
from monitor.store.reviews import review, reviewed
from monitor.store.rows import incident_columns, incident_from, insert_into, load_locations
from monitor.store.schema import asks, incidents
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreSession, Transaction

__all__ = ["Ask", "Verdicts", "Worth", "record_verdict"]

Worth = Callable[[dict[str, str]], Severity | None]  # labels of an incident → its severity, None: its own


@dataclass(frozen=True, slots=True)
class Ask:
    """An incident whose issuer is to be asked. `attempts`: without an answer so far."""

    incident: Incident
    attempts: int


class Verdicts:
    """The face of the answers. The queue is this host's: it has the log that the secret stands in."""

    def __init__(self, desk: StoreSession) -> None:
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
        mark = f"verdicts:{self._desk.node}"
        if not await self._desk.read(lambda connection: behind(connection, mark)):
            return False
        return await self._desk.write(lambda tx: _gather(tx, mark, wanted))

    async def review(
        self, stands: Collection[str], wanted: Callable[[dict[str, str]], bool], worth: Worth = lambda labels: None
    ) -> None:
        """Once for a database: see `reviews`. Goes on where it was interrupted."""
        more = not await self._desk.read(reviewed)
        while more:
            more = await self._desk.write(lambda tx: review(tx, stands, wanted, worth), durable=True)

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
    newest = newest_place(connection, incident_id)
    seen = labels(was, *newest) | {"validity": verified.validity, "severity": was.own_severity}
    change = judge(was, verified, worth(seen))
    if change.incident != was:
        update_incidents(tx, [{**incident_columns(change.incident), "kept": row.kept}])

    trail = [entry(change.incident, was, "verified", actor=actor, note=_said(verified), now=tx.now)]
    if change.reason == "escalated":
        trail.append(entry(change.incident, was, "escalated", actor=actor, note="", now=tx.now))
    append(tx, trail)
    proofs: dict[Proof, float] = {"refused": tx.now} if verified.validity == "refused" else {}
    turn = runs.RunTrigger(
        change.incident, newest, starts=change.reason == "escalated", proofs=proofs, provider=verified.provider
    )
    runs.follow(tx, [turn])
    if verified.validity == "refused":
        complete(tx, incident_id, _said(verified))
    # Answered: it waits no more, on whichever host it was asked.
    if verified.validity != "unknown":
        connection.execute(delete(asks).where(asks.c.incident == incident_id))
    if change.reason is not None:
        urgent = change.reason == "escalated"
        groups.enrol(tx, [groups.ChangedIncident(change.incident, (newest,), urgent=urgent, everywhere=True)])
    return change.incident


def _said(verified: Verified) -> str:
    facts = ", ".join(f"{name} {text}" for name, text in verified.facts.items())
    return f"{verified.validity}: {verified.reason}" + (f"; {facts}" if facts else "")


def _gather(tx: Transaction, mark: str, wanted: Callable[[dict[str, str]], bool]) -> bool:
    fresh, more = news(tx, mark)
    queued = [incident for incident in fresh if wanted(labels_of(tx.connection, incident))]
    if queued:
        rows = [{"incident": one, "node": tx.node, "due": tx.now, "attempts": 0} for one in queued]
        statement = insert_into(tx.connection, asks).on_conflict_do_nothing(
            index_elements=[asks.c.incident, asks.c.node]
        )
        tx.connection.execute(statement, rows)
    return more


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
