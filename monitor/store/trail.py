"""The trail: who changed what and when, each entry chained to the one before it by a keyed hash.

Every incident has a chain of its own, so that old ones can be forgotten. Where a chain ends is sealed beside it, and
over all ends there is one sum: an entry that was edited, moved, added or cut off shows, and so does a chain that is
gone. Who has the key can forge all of it, and who puts back a whole older copy of the database is not seen here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from monitor.incidents import Incident
from monitor.store.records import AuditEntry
from monitor.store.rows import any_of, chunks, clean, upsert
from monitor.store.schema import audit, meta, trails
from monitor.store.threads import tell
from monitor.store.transaction import Desk, Transaction

__all__ = ["Trail", "Verdict", "amend", "append", "entries_of", "entry", "forget"]

_SUM = "trail"  # key in `meta`
_COLUMNS = ("at", "actor", "incident", "action", "was", "state", "resolution", "severity", "note", "step")

_ENDS = select(trails).where(any_of(trails.c.incident))
_EARLIER = select(audit).where(any_of(audit.c.incident)).order_by(audit.c.seq)
_WRITE = insert(audit)
_END = upsert(trails, ("incident", "entries", "mac", "seal"), on=("incident",), changing=("entries", "mac", "seal"))
_READ_SUM = select(meta.c.value).where(meta.c.key == bindparam("key"))
_WRITE_SUM = upsert(meta, ("key", "value"), on=("key",), changing=("value",))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at all trails found. `before`: entries from before trails were chained, which nothing protects until
    their incident's next one. `problems`: incident (empty: all of them) and what is wrong."""

    incidents: int = 0
    entries: int = 0
    before: int = 0
    problems: Sequence[tuple[str, str]] = field(default_factory=tuple)


class Trail:
    """The face of the trail."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def verify(self) -> Verdict:
        """Read all of it and say whether anything was edited, removed, added or moved."""
        secret = self._desk.secret
        return await self._desk.read(lambda connection: _verify(connection, secret))


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
    connection, key = tx.connection, _key(tx.secret)
    ends = _ends(connection, [row["incident"] for row in rows])
    fresh = [id_ for id_ in dict.fromkeys(row["incident"] for row in rows) if id_ not in ends]
    was = dict(ends)
    for id_, earlier in _earlier(connection, fresh).items():
        ends[id_] = (0, _start(key, id_, earlier))

    for row in rows:
        count, mac = ends[row["incident"]]
        row["mac"] = _link(key, mac, row)
        ends[row["incident"]] = (count + 1, row["mac"])
    connection.execute(_WRITE, list(rows))
    tell(tx, rows)

    changed = [
        {"incident": id_, "entries": count, "mac": mac, "seal": _seal(key, id_, count, mac)}
        for id_, (count, mac) in ends.items()
    ]
    connection.execute(_END, changed)
    _add(
        connection, [_part(key, id_, *end) for id_, end in was.items()] + [_part(key, id_, *ends[id_]) for id_ in ends]
    )


def amend(tx: Transaction, id_: str, notes: Mapping[int, str]) -> None:
    """Give entries of one incident, by number, other notes. A chain that is whole stays so, and no other becomes so."""
    connection, key = tx.connection, _key(tx.secret)
    rows = list(connection.execute(_EARLIER, {"ids": [id_]}))
    old, chained = _parted(rows)
    end = next(iter(connection.execute(_ENDS, {"ids": [id_]})), None)
    whole = end is not None and bool(chained) and _broken(key, id_, old, chained, end) is None
    after = [dict(row._mapping) | ({"note": notes[row.seq]} if row.seq in notes else {}) for row in rows]
    mac = _mac(key, "start", id_, [_values(row) for row in after[: len(old)]])
    for row in after[len(old) :] if whole else ():
        mac = row["mac"] = _link(key, mac, row)
    for row in after:
        values = {"note": row["note"], "mac": row["mac"]}
        connection.execute(update(audit).where(audit.c.seq == row["seq"]).values(values))
    if whole and end is not None:
        seal = _seal(key, id_, end.entries, mac)
        connection.execute(_END, [{"incident": id_, "entries": end.entries, "mac": mac, "seal": seal}])
        _add(connection, [_part(key, id_, end.entries, end.mac), _part(key, id_, end.entries, mac)])


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """The trails of incidents whose details go."""
    key = _key(tx.secret)
    parts = [_part(key, id_, *end) for id_, end in _ends(tx.connection, ids).items()]
    tx.connection.execute(delete(audit).where(audit.c.incident.in_(ids)))
    tx.connection.execute(delete(trails).where(trails.c.incident.in_(ids)))
    if parts:
        _add(tx.connection, parts)


def entries_of(connection: Connection, incident: str) -> list[AuditEntry]:
    """Oldest first."""
    rows = connection.execute(select(audit).where(audit.c.incident == incident).order_by(audit.c.seq))
    return [AuditEntry(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows]


def _verify(connection: Connection, secret: bytes) -> Verdict:
    key = _key(secret)
    ends = {row.incident: row for row in connection.execute(select(trails))}
    problems: list[tuple[str, str]] = []
    counted = before = 0
    seen: set[str] = set()
    for id_, rows in _by_incident(connection):
        seen.add(id_)
        old, chained = _parted(rows)
        counted += len(chained)
        before += len(old)
        if (wrong := _broken(key, id_, old, chained, ends.get(id_))) is not None:
            problems.append((id_, wrong))
    problems += [(id_, "all its entries are gone") for id_ in sorted(ends.keys() - seen)]

    total = 0
    for id_, row in ends.items():
        total ^= int(_part(key, id_, row.entries, row.mac), 16)
    stored = connection.execute(select(meta.c.value).where(meta.c.key == _SUM)).scalar()
    if total != _number(stored):
        problems.append(("", "a whole trail was removed or added, or the sum over all of them was changed"))
    return Verdict(len(seen | ends.keys()), counted + before, before, tuple(problems))


def _broken(key: bytes, id_: str, old: list[Row[Any]], chained: list[Row[Any]], end: Row[Any] | None) -> str | None:
    """What is wrong with one chain; None: nothing."""
    if end is None:
        return "where its trail ends is not sealed" if chained else None
    if not hmac.compare_digest(end.seal, _seal(key, id_, end.entries, end.mac)):
        return "the seal at its end was changed, or made with another key"
    mac = _start(key, id_, old)
    for place, row in enumerate(chained, len(old) + 1):
        if row.mac is None or not hmac.compare_digest(row.mac, _link(key, mac, row._mapping)):
            return f"entry {place} was changed, moved or added, or one before it is gone"
        mac = row.mac
    if end.entries != len(chained) or end.mac != mac:
        return f"entries after the {len(old) + len(chained)}th are gone"
    return None


def _by_incident(connection: Connection) -> Iterable[tuple[str, list[Row[Any]]]]:
    rows: list[Row[Any]] = []
    query = select(audit).order_by(audit.c.incident, audit.c.seq).execution_options(yield_per=1000)
    for row in connection.execute(query):
        if rows and rows[0].incident != row.incident:
            yield rows[0].incident, rows
            rows = []
        rows.append(row)
    if rows:
        yield rows[0].incident, rows


def _parted(rows: list[Row[Any]]) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """Those from before chains, and those that are chained."""
    first = next((place for place, row in enumerate(rows) if row.mac is not None), len(rows))
    return rows[:first], rows[first:]


def _ends(connection: Connection, ids: Iterable[str]) -> dict[str, tuple[int, str]]:
    found = {}
    for chunk in chunks(ids):
        for row in connection.execute(_ENDS, {"ids": chunk}):
            found[row.incident] = (row.entries, row.mac)
    return found


def _earlier(connection: Connection, ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """What was written of these incidents before there were chains."""
    found: dict[str, list[Row[Any]]] = {id_: [] for id_ in ids}
    for chunk in chunks(ids):
        for row in connection.execute(_EARLIER, {"ids": chunk}):
            found[row.incident].append(row)
    return found


def _key(secret: bytes) -> bytes:
    return hmac.digest(secret, b"exposure monitor: trail", "sha256")


def _start(key: bytes, id_: str, earlier: Sequence[Row[Any]]) -> str:
    return _mac(key, "start", id_, [_values(row._mapping) for row in earlier])


def _link(key: bytes, before: str, row: Mapping[Any, Any]) -> str:
    return _mac(key, "entry", before, _values(row))


def _seal(key: bytes, id_: str, count: int, mac: str) -> str:
    return _mac(key, "end", id_, count, mac)


def _part(key: bytes, id_: str, count: int, mac: str) -> str:
    """What a chain adds to the sum; not stored anywhere, so that nobody can take it away again."""
    return _mac(key, "part", id_, count, mac)


def _values(row: Mapping[Any, Any]) -> list[Any]:
    return [row[name] for name in _COLUMNS]


def _mac(key: bytes, *parts: Any) -> str:
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def _number(stored: str | None) -> int:
    try:
        return int(stored or "0", 16)
    except ValueError:
        return -1


def _add(connection: Connection, parts: Iterable[str]) -> None:
    """Exclusive or: what was added is taken away by adding it again."""
    total = _number(connection.execute(_READ_SUM, {"key": _SUM}).scalar())
    if total < 0:
        return  # somebody changed it: that stays to be seen
    for part in parts:
        total ^= int(part, 16)
    connection.execute(_WRITE_SUM, {"key": _SUM, "value": f"{total:064x}"})
