"""What issuers say of secrets: an answer is kept with its incident, and who is still to be asked waits here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from monitor.common.severity import Severity
from monitor.domain.incidents import Incident, Verified, judge
from monitor.routing.routes import labels
from monitor.runbook.book import Proof
from monitor.store import groups, runs
from monitor.store.actions import complete
from monitor.store.changes import gather, labels_of, newest_place
from monitor.store.incidents import update_incidents
from monitor.store.rows import apply_all, incident_by_id, incident_from, load_locations, upsert
from monitor.store.schema import asks, incidents
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

__all__ = ["Ask", "Verdicts", "Worth"]

_ASK = upsert(asks, ("incident", "node", "due", "attempts"), on=("incident", "node"))

Worth = Callable[[dict[str, str]], Severity | None]  # labels of an incident → its severity, None: its own


@dataclass(frozen=True, slots=True)
class Ask:
    """An incident whose issuer is to be asked. `attempts`: without an answer so far."""

    incident: Incident
    attempts: int


class Verdicts(StoreRepository):
    """Answers of issuers. The queue is this host's: it has the log that the secret stands in."""

    @durably
    def record(
        self, tx: Transaction, incident: str, verified: Verified, *, actor: str, worth: Worth = lambda labels: None
    ) -> Incident:
        """Store an answer; the trail has it in the same transaction. Raises LookupError."""
        connection = tx.connection
        was, row = incident_by_id(connection, incident)
        newest = newest_place(connection, incident)
        seen = labels(was, *newest) | {"validity": verified.validity, "severity": was.own_severity}
        change = judge(was, verified, worth(seen))
        if change.incident != was:
            update_incidents(tx, [(change.incident, row.kept)])

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
            complete(tx, incident, _said(verified))
        # Answered: it waits no more, on whichever host it was asked.
        if verified.validity != "unknown":
            connection.execute(delete(asks).where(asks.c.incident == incident))
        if change.reason is not None:
            urgent = change.reason == "escalated"
            groups.enrol(tx, [groups.ChangedIncident(change.incident, (newest,), urgent=urgent, everywhere=True)])
        return change.incident

    async def gather(self, wanted: Callable[[dict[str, str]], bool]) -> bool:
        """Queue what was opened or came back since the last time, if `wanted` says so of its labels. The first time
        nothing is: what is old is not new. Returns whether there is more."""

        def queue(tx: Transaction, fresh: Sequence[str]) -> None:
            asked = [incident for incident in fresh if wanted(labels_of(tx.connection, incident))]
            row = {"node": tx.node, "due": tx.now, "attempts": 0}
            apply_all(tx.connection, _ASK, [{"incident": incident, **row} for incident in asked])

        return await gather(self._session, "verdicts", queue)

    @read_only
    def due(self, connection: Connection, limit: int = 20) -> list[Ask]:
        """Who is to be asked now, oldest first."""
        query = (
            select(incidents, asks.c.attempts)
            .join(asks, asks.c.incident == incidents.c.id)
            .where(asks.c.node == self._session.node, asks.c.due <= self._session.now())
            .order_by(asks.c.due, incidents.c.id)
            .limit(limit)
        )
        rows = connection.execute(query).all()
        places = load_locations(connection, [row.id for row in rows])
        return [Ask(incident_from(row, places.get(row.id, ())), row.attempts) for row in rows]

    @read_only
    def next_due(self, connection: Connection) -> float | None:
        """When there is somebody to be asked."""
        return connection.execute(select(func.min(asks.c.due)).where(asks.c.node == self._session.node)).scalar()

    @writes
    def postpone(self, tx: Transaction, incident: str, seconds: float) -> None:
        """Ask again in so many seconds."""
        later = {"due": tx.now + seconds, "attempts": asks.c.attempts + 1}
        tx.connection.execute(update(asks).where(_row(incident, tx.node)).values(**later))

    @writes
    def drop(self, tx: Transaction, incident: str) -> None:
        """Do not ask any more."""
        tx.connection.execute(delete(asks).where(_row(incident, tx.node)))


def _said(verified: Verified) -> str:
    facts = ", ".join(f"{name} {text}" for name, text in verified.facts.items())
    return f"{verified.validity}: {verified.reason}" + (f"; {facts}" if facts else "")


def _row(incident: str, node: str) -> ColumnElement[bool]:
    return (asks.c.incident == incident) & (asks.c.node == node)
