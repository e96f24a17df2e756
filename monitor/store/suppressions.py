"""Suppressions: made, listed, taken back, and over when their time is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, or_, select, update

from monitor.domain.model import Finding, Resolution
from monitor.store.findings import record
from monitor.store.incidents import change_state
from monitor.store.records import Commit
from monitor.store.rows import clean, incident_from, open_handles
from monitor.store.schema import incidents, suppressions
from monitor.store.suppressed import among, latest, lift, until_text
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Suppressed", "Suppression", "Suppressions", "Wanted", "suppress", "unsuppress"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fingerprint to be suppressed. `until`: seconds since the epoch."""

    fingerprint: str
    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a secret is suppressed, by whom, and until when."""

    reason: str
    by: str
    until: float


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A suppression as it stands. `seen`: sightings since it began; `latest`: the newest of them."""

    fingerprint: str
    reason: str
    by: str
    at: float
    until: float
    seen: int
    last_seen: float | None
    latest: Finding | None


class Suppressions(StoreRepository):
    """Suppressions as people make them."""

    @durably
    def add(
        self, tx: Transaction, wanted: Sequence[Wanted], *, actor: str, resolution: Resolution = "wont_fix"
    ) -> Sequence[str]:
        """From now on; what is suppressed already gets the new reason and end. Incidents of these secrets that are not
        resolved are resolved so; returns their ids."""
        return [id_ for item in wanted if (id_ := suppress(tx, item, actor, resolution)) is not None]

    @read_only
    def list(self, connection: Connection) -> Sequence[Suppressed]:
        """Those in force, the one that ends first before the others."""
        query = select(suppressions).where(suppressions.c.until > self._session.now())
        return [
            Suppressed(
                row.fingerprint, row.reason, row.by, row.at, row.until, row.seen, row.last_seen, latest(row),
            )
            for row in connection.execute(query.order_by(suppressions.c.until, suppressions.c.fingerprint))
        ]  # fmt: skip

    @durably
    def remove(self, tx: Transaction, fingerprints: Sequence[str], *, actor: str) -> int:
        """No longer; what was seen meanwhile is told now. Returns how many there were."""
        return unsuppress(tx, fingerprints, actor=actor)

    async def sweep(self) -> float | None:
        """Whose time is over; returns when the next one's is."""

        def due(connection: Connection) -> tuple[bool, float | None]:
            now = self._session.now()
            over = select(exists().where(suppressions.c.until <= now, or_(suppressions.c.seen > 0, _nothing_waits())))
            later = select(func.min(suppressions.c.until)).where(suppressions.c.until > now)
            return bool(connection.execute(over).scalar()), connection.execute(later).scalar()

        work, following = await self._session.read(due)
        if work:
            await self._session.write(_sweep, durable=True)
        return following


def unsuppress(tx: Transaction, fingerprints: Sequence[str], *, actor: str) -> int:
    """How many there were."""
    rows = [row for row in among(tx.connection, fingerprints).values() if row.until > tx.now]
    over = suppressions.c.fingerprint.in_([row.fingerprint for row in rows])
    tx.connection.execute(update(suppressions).where(over).values(until=tx.now))
    known = map(incident_from, open_handles(tx.connection, [row.fingerprint for row in rows]).values())
    note = "its suppression was taken back"
    append(tx, [entry(about, about, "unsuppressed", actor=actor, note=note, now=tx.now) for about in known])
    _sweep(tx)
    return len(rows)


def suppress(tx: Transaction, wanted: Wanted, actor: str, resolution: Resolution) -> str | None:
    """Returns the incident that was resolved with it; None: there was none, or it was resolved."""
    before = among(tx.connection, [wanted.fingerprint]).get(wanted.fingerprint)
    if before is not None:
        tx.connection.execute(delete(suppressions).where(suppressions.c.fingerprint == wanted.fingerprint))
    row = tx.connection.execute(select(incidents).where(incidents.c.fingerprint == wanted.fingerprint)).first()
    note = f"suppressed until {until_text(wanted.until)}: {wanted.reason}"
    closes = row is not None and row.state != "resolved"
    if row is not None and closes:
        change_state(tx, row.id, "resolve", actor=actor, resolution=resolution, note=note)
    elif row is not None:
        known = incident_from(row)
        append(tx, [entry(known, known, "suppressed", actor=actor, note=note, now=tx.now)])

    values: dict[str, Any] = {
        "fingerprint": wanted.fingerprint,
        "reason": clean(wanted.reason),
        "by": clean(actor),
        "at": tx.now,
        "until": wanted.until,
        "closed": int(closes or bool(before and before.closed)),
        "seen": before.seen if before else 0,
        "first_seen": before.first_seen if before else None,
        "last_seen": before.last_seen if before else None,
        "latest": before.latest if before else None,
    }
    tx.connection.execute(insert(suppressions).values(**values))
    return row.id if row is not None and closes else None


def _sweep(tx: Transaction) -> None:
    connection = tx.connection
    over = suppressions.c.until <= tx.now
    for row in connection.execute(select(suppressions).where(over, suppressions.c.seen > 0)).all():
        lift(tx, row)
        if (finding := latest(row)) is not None:
            record(tx, [Commit([finding])])
    connection.execute(delete(suppressions).where(over, _nothing_waits()))


def _nothing_waits() -> ColumnElement[bool]:
    """One that closed an incident and was not seen since stays: the next sighting opens it again."""
    return or_(suppressions.c.closed == 0, ~exists().where(incidents.c.fingerprint == suppressions.c.fingerprint))
