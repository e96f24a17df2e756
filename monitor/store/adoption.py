"""Everything is sealed at once: what nothing was sealed of before, and what somebody looked at and accepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Row, delete, select, union, update

from monitor.store.chain import link, mac_of, parted, same, start
from monitor.store.heads import Head
from monitor.store.rows import any_of, chunks
from monitor.store.schema import actions, audit, incidents, meta, totals, trails
from monitor.store.sealing import SealedIncident, Total, part, put, read, seal_of
from monitor.store.transaction import Transaction

__all__ = ["SUM_BEFORE", "accept", "begin", "each", "ends"]

log = structlog.get_logger(__name__)

SUM_BEFORE = "trail"  # key in `meta`: the sum over all trails, from before there were seals; left where it did not fit

_HISTORY = select(audit).where(any_of(audit.c.incident)).order_by(audit.c.seq)


def begin(tx: Transaction) -> None:
    """Before anything else in a transaction. Where nothing is sealed yet, all that is there is."""
    mine = tx.connection.execute(select(totals).where(totals.c.node == tx.node)).first()
    if mine is not None:
        tx.total = Total.read(tx.secret, mine)
        return
    tx.total = total = Total(tx.node, at=tx.now, since=tx.now)
    others = tx.connection.execute(select(totals.c.node).limit(1)).first()
    if others is None and not (tx.heads is not None and tx.heads.any()):
        _adopt(tx, total)


def accept(tx: Transaction) -> int:
    """Seal everything anew as it stands. Returns how many incidents that are."""
    total = rows_sealed = count = 0
    for chunk in each(tx.connection, tx.secret):
        rows = []
        for id_, stands, history in chunk:
            if not stands.exists:
                tx.connection.execute(delete(audit).where(audit.c.incident == id_))
            end = _chained(tx, id_, history if stands.exists else ())
            turn = stands.end.turn if stands.end is not None else 0
            rows.append(_row(tx, id_, stands, end, turn + 1))
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
    tx.connection.execute(delete(meta).where(meta.c.key == SUM_BEFORE))
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


def _adopt(tx: Transaction, total: Total) -> None:
    """A history that was not whole by its own seals stays so."""
    before = 0
    for chunk in each(tx.connection, tx.secret):
        rows = []
        for id_, stands, history in chunk:
            if (end := stands.end) is not None:
                before ^= int(mac_of(tx.secret, "part", id_, end.entries, end.mac), 16)
            if stands.exists:
                rows.append(_row(tx, id_, stands, _ended(tx.secret, id_, history, end), 1))
                total.swap(tx.secret, None, rows[-1]["seal"])
        put(tx, rows)
    was = tx.connection.execute(select(meta.c.value).where(meta.c.key == SUM_BEFORE)).scalar() or "0"
    if was == f"{before:064x}":
        tx.connection.execute(delete(meta).where(meta.c.key == SUM_BEFORE))
    total.taken = total.incidents
    total.write(tx)
    if total.taken:
        log.info("sealed the incidents that were there, their histories and actions", incidents=total.taken)


def _ended(secret: bytes, id_: str, history: Sequence[Row[Any]], end: Row[Any] | None) -> tuple[int, str]:
    """How many entries are chained and the hash of the last, by the seal that trails had of their own before."""
    if end is None:
        old, chained = parted(history)
        return 0, "" if chained else start(secret, id_, [row._mapping for row in old])
    return end.entries, end.mac if same(end.seal, mac_of(secret, "end", id_, end.entries, end.mac)) else ""


def _chained(tx: Transaction, id_: str, history: Sequence[Row[Any]]) -> tuple[int, str]:
    """The same of a chain that is made to fit what is there."""
    old, chained = parted(history)
    mac = start(tx.secret, id_, [row._mapping for row in old])
    for row in chained:
        mac = link(tx.secret, mac, row._mapping)
        if row.mac != mac:
            tx.connection.execute(update(audit).where(audit.c.seq == row.seq).values(mac=mac))
    return len(chained), mac


def _row(tx: Transaction, id_: str, stands: SealedIncident, end: tuple[int, str], turn: int) -> dict[str, Any]:
    row = {"incident": id_, "turn": turn, "entries": end[0], "mac": end[1], "state": stands.state}
    row["actions"] = stands.actions
    return {**row, "seal": seal_of(tx.secret, row)}
