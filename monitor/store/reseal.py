"""Everything is sealed anew at once: what somebody has looked at and accepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, union, update

from monitor.store.chain import link, start
from monitor.store.heads import Head
from monitor.store.rows import any_of, chunks
from monitor.store.schema import actions, audit, incidents, totals, trails
from monitor.store.sealing import SealedIncident, Total, part, put, read, seal_of
from monitor.store.transaction import Transaction

__all__ = ["accept", "each", "ends"]

_HISTORY = select(audit).where(any_of(audit.c.incident)).order_by(audit.c.seq)


def accept(tx: Transaction) -> int:
    """Seal everything anew as it stands. Returns how many incidents that are."""
    total = rows_sealed = count = 0
    for chunk in each(tx.connection, tx.secret):
        rows = []
        for id_, stands, history in chunk:
            if not stands.exists:
                tx.connection.execute(delete(audit).where(audit.c.incident == id_))
            end = _chained(tx, id_, history if stands.exists else ())
            rows.append(_row(tx, id_, stands, end, 1 + (stands.end.turn if stands.end is not None else 0)))
            total, count = total ^ part(tx.secret, rows[-1]["seal"]), count + stands.exists
        rows_sealed += len(rows)
        put(tx, rows)
    mine = Total(tx.node, at=tx.now)
    others = []
    for row in tx.connection.execute(select(totals)).all():
        host = Total.read(tx.secret, row)
        if host.node == tx.node:
            mine = host
            continue
        if not host.sound:
            host.sound, host.sum = True, 0
            host.write(tx)
        others.append(host)
    for host in others:
        total, rows_sealed = total ^ host.sum, rows_sealed - host.incidents
    mine.sound, mine.sum, mine.incidents, mine.since, mine.taken = True, total, rows_sealed, tx.now, count
    mine.write(tx)
    tx.total, tx.touched, tx.learned = mine, {}, []
    return count


def each(connection: Connection, secret: bytes) -> Iterator[list[tuple[str, SealedIncident, list[Row[Any]]]]]:
    """All that is known of any incident, some of them at a time, with its history."""
    known = union(*(select(column) for column in (incidents.c.id, *(table.c.incident for table in _ABOUT))))
    for ids in chunks(sorted(connection.execute(known).scalars())):
        history: dict[str, list[Row[Any]]] = {id_: [] for id_ in ids}
        for row in connection.execute(_HISTORY, {"ids": ids}):
            history[row.incident].append(row)
        yield [(id_, stands, history[id_]) for id_, stands in read(connection, secret, ids).items()]


def ends(connection: Connection, secret: bytes) -> list[Head]:
    """Where histories end, for a host that is to know it."""
    query = select(trails.c.incident, trails.c.turn, trails.c.entries, trails.c.seal).where(trails.c.seal != "")
    sums = [Total.read(secret, row).head for row in connection.execute(select(totals))]
    return [*(Head(*row) for row in connection.execute(query)), *sums]


_ABOUT = (trails, audit, actions)


def _chained(tx: Transaction, id_: str, history: Sequence[Row[Any]]) -> tuple[int, str]:
    """How many entries there are, and the hash of the last of a chain that is made to fit them."""
    mac = start(tx.secret, id_)
    for row in history:
        mac = link(tx.secret, mac, row._mapping)
        if row.mac != mac:
            tx.connection.execute(update(audit).where(audit.c.seq == row.seq).values(mac=mac))
    return len(history), mac


def _row(tx: Transaction, id_: str, stands: SealedIncident, end: tuple[int, str], turn: int) -> dict[str, Any]:
    hashes = {"mac": end[1], "state": stands.state, "actions": stands.actions}
    row = {"incident": id_, "turn": turn, "entries": end[0], **hashes}
    return {**row, "seal": seal_of(tx.secret, row)}
