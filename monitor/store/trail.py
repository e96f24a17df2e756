"""The trail: who changed what and when, each entry chained to the one before it by a keyed hash.

Every incident has a chain of its own, so that old ones can be forgotten and hosts do not wait for each other. Where it
ends is sealed with the incident as it stands (monitor.store.sealing); monitor.store.proof looks at all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from monitor.domain.incidents import Incident
from monitor.store.chain import COLUMNS, link, start
from monitor.store.conversation import tell
from monitor.store.heads import Head
from monitor.store.proof import TrailVerdict, examine
from monitor.store.records import AuditEntry
from monitor.store.reseal import accept, ends
from monitor.store.rows import any_of, apply_all, clean, narrowed, rows_among, upsert
from monitor.store.schema import ACCOUNTS, MONITOR, audit, trails
from monitor.store.sealing import touch
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Trail", "TrailRow", "TrailVerdict", "append", "entries_of", "entry", "forget", "newest_entries", "noted"]

_ENDS = select(trails.c.incident, trails.c.entries, trails.c.mac).where(any_of(trails.c.incident))
_ABOUT = {ACCOUNTS: "users", MONITOR: "the monitor"}
_WRITE = insert(audit)
# The seal follows when all of the transaction has happened.
_END = upsert(trails, ("incident", "entries", "mac", "seal"), on=("incident",), changing=("entries", "mac"))
_CUT = update(trails).where(trails.c.incident == bindparam("_incident")).values(entries=0, mac=bindparam("_mac"))


class TrailRow(NamedTuple):
    """`seq`: its place among all; `about`: a word for it, where it is about no incident."""

    seq: int
    entry: AuditEntry
    about: str


class Trail(StoreRepository):
    """The trail as a whole."""

    @read_only
    def page(
        self,
        connection: Connection,
        *,
        actor: str = "",
        incident: str = "",
        after: str = "",
        limit: int = 50,
        accounts: bool = False,
    ) -> tuple[int, list[TrailRow]]:
        """How many entries there are, and some of them, the newest first. `after`: the place behind which; raises
        ValueError where it is none. `accounts`: also what was changed about users."""
        if after and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise ValueError("it names no place in this list")
        query = narrowed(
            select(audit),
            audit.c.actor == actor if actor else None,
            audit.c.incident == incident if incident else None,
            None if accounts else audit.c.incident != ACCOUNTS,
        )
        total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        listed = narrowed(query, audit.c.seq < int(after) if after else None).order_by(audit.c.seq.desc()).limit(limit)
        return total, [
            TrailRow(row.seq, _entry(row), _ABOUT.get(row.incident, "")) for row in connection.execute(listed)
        ]

    @durably
    def note(self, tx: Transaction, action: str, note: str, *, actor: str) -> None:
        """What was done about the monitor itself."""
        noted(tx, action, note, actor=actor, chain=MONITOR)

    async def verify(self) -> TrailVerdict:
        """Read all of it and say whether anything was edited, removed, added, moved or put back."""
        secret, heads = self._session.secret, self._session.heads
        known: Sequence[Head] | None = None if heads is None or not heads.kept else heads.all()
        return await self._session.read(lambda connection: examine(connection, secret, known))

    async def accept(self) -> int:
        """Seal everything anew as it stands, and forget what this host knew: whoever says so has looked at it.
        Returns how many incidents that are."""
        count = await self._session.write(accept, durable=True)
        await self._learn()
        return count

    async def ready(self) -> None:
        """At the start: know where histories end."""
        heads = self._session.heads
        if heads is not None and heads.kept and not heads.any():
            await self._learn()

    async def _learn(self) -> None:
        heads, secret = self._session.heads, self._session.secret
        if heads is not None:
            heads.take(await self._session.read(lambda connection: ends(connection, secret)))


def entry(
    incident: Incident,
    was: Incident | None,
    action: str,
    *,
    actor: str,
    note: str,
    now: float,
    step: str | None = None,
) -> dict[str, Any]:
    """A row for `append`. `was`: the incident before; None: there was none."""
    return {
        "at": now,
        "actor": clean(actor),
        "incident": incident.id,
        "action": action,
        "was": was.state if was else None,
        "state": incident.state,
        "resolution": incident.resolution,
        "severity": incident.severity,
        "note": clean(note),
        "step": step,
    }


def append(tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
    """Write entries, in this order, each into the chain of its incident."""
    if not rows:
        return
    ids = list(dict.fromkeys(row["incident"] for row in rows))
    touch(tx, ids)
    ends = {row.incident: (row.entries, row.mac) for row in rows_among(tx.connection, _ENDS, ids)}
    ends |= {id_: (0, start(tx.secret, id_)) for id_ in ids if id_ not in ends}

    for row in rows:
        count, mac = ends[row["incident"]]
        row["mac"] = link(tx.secret, mac, row)
        ends[row["incident"]] = (count + 1, row["mac"])
    tx.connection.execute(_WRITE, list(rows))
    tell(tx, rows)
    changed = [{"incident": id_, "entries": count, "mac": mac, "seal": ""} for id_, (count, mac) in ends.items()]
    tx.connection.execute(_END, changed)


def noted(tx: Transaction, action: str, note: str, *, actor: str, chain: str = ACCOUNTS) -> None:
    """In a chain that is about no incident."""
    row: dict[str, Any] = {
        "at": tx.now,
        "actor": clean(actor),
        "incident": chain,
        "action": action,
        "was": None,
        "state": "",
        "resolution": None,
        "severity": "info",
        "note": clean(note),
        "step": None,
    }
    append(tx, [row])


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """The trails of incidents whose details go. That they went stays, sealed, as long as the incident does."""
    touch(tx, ids)
    tx.connection.execute(delete(audit).where(audit.c.incident.in_(ids)))
    apply_all(tx.connection, _CUT, [{"_incident": id_, "_mac": start(tx.secret, id_)} for id_ in ids])


def newest_entries(connection: Connection, incident: str, limit: int) -> list[AuditEntry]:
    """At most so many, oldest first."""
    rows = connection.execute(
        select(audit).where(audit.c.incident == incident).order_by(audit.c.seq.desc()).limit(limit)
    )
    return [AuditEntry(**{name: getattr(row, name) for name in COLUMNS}) for row in rows][::-1]


def entries_of(connection: Connection, incident: str) -> list[AuditEntry]:
    """Oldest first."""
    rows = connection.execute(select(audit).where(audit.c.incident == incident).order_by(audit.c.seq))
    return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(**{name: getattr(row, name) for name in COLUMNS})
