"""Seals: an incident as it stands, its actions with their approvals, what was noted of merges into it, and where its
history ends, under one keyed hash.

What a transaction is about to change is looked at before (`touch`), and sealed anew once, when all of it has happened
(`settle`). Who changed a row beside us is not helped by that: what did not fit its seal before does not fit it after.
Over the seals of all incidents every host keeps a sum of its own, so that one which is gone or was put back shows and
no host waits for another. The sum is a keyed hash of a set (MSet-XOR-Hash): of each seal a keyed part, combined by
exclusive or, under a mask that is new each time, with a count and a seal of its own. Who only sees the database learns
nothing that he could combine anew.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, select

from monitor.common.grouping import grouped
from monitor.store.chain import same, start
from monitor.store.heads import TOTAL, Head
from monitor.store.rows import any_of, chunks, upsert
from monitor.store.schema import CHAINS, actions, incidents, merges, totals, trails
from monitor.store.transaction import LoadedIncident, Transaction

__all__ = ["SealedIncident", "Total", "begin", "outdated", "part", "put", "read", "seal_of", "settle", "touch"]

_STATE = tuple(column.name for column in incidents.c if column.name != "kept")
# What its own process notes of an action under way decides nothing.
_ACTION = tuple(column.name for column in actions.c if column.name not in ("step", "owner", "started_at"))
_TOTAL = tuple(column.name for column in totals.c if column.name != "seal")
_END = ("incident", "turn", "entries", "mac", "state", "actions", "seal")

_INCIDENTS = select(*(incidents.c[name] for name in _STATE)).where(any_of(incidents.c.id))
_ENDS = select(trails).where(any_of(trails.c.incident))
_ACTIONS = select(actions).where(any_of(actions.c.incident)).order_by(actions.c.id)
_MERGES = select(merges).where(any_of(merges.c.into)).order_by(merges.c.went)
_WRITE = upsert(trails, _END, on=("incident",), changing=_END[1:])
_WRITE_TOTAL = upsert(totals, (*_TOTAL, "seal"), on=("node",), changing=(*_TOTAL[1:], "seal"))


class SealedIncident(NamedTuple):
    """What is in the database of one incident. `state`, `actions`: the keyed hashes that its seal must name, the second
    also of merges into it; empty: there is no incident, no action and no merge."""

    exists: bool
    end: Row[Any] | None
    state: str
    actions: str


@dataclass(slots=True)
class Total:
    """What one host has sealed. `incidents`: how many more it opened than it removed; `taken`: how many were accepted
    as they were at `since`, when the protection began. `sound`: its own seal holds."""

    node: str
    turn: int = 0
    incidents: int = 0
    at: float = 0.0
    since: float = 0.0
    taken: int = 0
    sum: int = 0
    seal: str = ""
    sound: bool = True

    @classmethod
    def read(cls, secret: bytes, row: Row[Any]) -> Total:
        key = _key(secret)
        sound = same(row.seal, _mac(key, "total", [row._mapping[name] for name in _TOTAL]))
        unmasked = (int(row.sum, 16) if sound else 0) ^ int(_mac(key, "mask", row.nonce), 16)
        return cls(row.node, row.turn, row.incidents, row.at, row.since, row.taken, unmasked, row.seal, sound)

    @property
    def head(self) -> Head:
        return Head(f"{TOTAL}{self.node}", self.turn, self.incidents, self.seal)

    def swap(self, secret: bytes, old: str | None, new: str | None) -> None:
        """The seal of an incident goes, another comes."""
        for seal in (old, new):
            if seal:
                self.sum ^= part(secret, seal)
        self.incidents += bool(new) - bool(old)

    def write(self, tx: Transaction) -> None:
        key = _key(tx.secret)
        self.turn, self.at = self.turn + 1, tx.now
        nonce = secrets.token_hex(16)
        row: dict[str, Any] = {
            "node": self.node,
            "turn": self.turn,
            "incidents": self.incidents,
            "at": self.at,
            "since": self.since,
            "taken": self.taken,
            "sum": f"{self.sum ^ int(_mac(key, 'mask', nonce), 16):064x}",
            "nonce": nonce,
        }
        if self.sound:  # otherwise somebody changed it: that stays to be seen
            self.seal = _mac(key, "total", [row[name] for name in _TOTAL])
        tx.connection.execute(_WRITE_TOTAL, {**row, "seal": self.seal})
        tx.learned.append(self.head)


def begin(tx: Transaction) -> None:
    """Before anything else in a transaction."""
    mine = tx.connection.execute(select(totals).where(totals.c.node == tx.node)).first()
    tx.total = Total(tx.node, at=tx.now, since=tx.now) if mine is None else Total.read(tx.secret, mine)


def touch(tx: Transaction, ids: Iterable[str]) -> None:
    """These incidents, their history or their actions are about to be changed, opened or removed."""
    fresh = [id_ for id_ in ids if id_ not in tx.touched]
    for chunk in chunks(fresh):
        for id_, stands in read(tx.connection, tx.secret, chunk).items():
            end = stands.end
            tx.touched[id_] = LoadedIncident(
                existed=stands.exists,
                sealed=end is not None,
                sound=end is not None and same(end.seal, seal_of(tx.secret, end._mapping)),
                state=None if end is None else (end.state, end.state == stands.state),
                actions=None if end is None else (end.actions, end.actions == stands.actions),
                turn=end.turn if end is not None else 0,
                end=(end.entries, end.mac) if end is not None else (0, ""),
                seal=end.seal if end is not None else "",
            )


def outdated(tx: Transaction, id_: str) -> bool:
    """Whether this host knows more of the incident than the database did before, or did once."""
    was, known = tx.touched[id_], None if tx.heads is None else tx.heads.known([id_]).get(id_)
    return known is not None and (known.lost > 0 or known.passes(was.turn, was.seal))


def settle(tx: Transaction) -> None:
    """Seal what was touched as it stands now. The last thing in a transaction."""
    total = tx.total
    if not tx.touched or not isinstance(total, Total):
        return
    _compare(tx, total)
    changed = False
    for chunk in chunks(tx.touched):
        rows = []
        for id_, stands in read(tx.connection, tx.secret, chunk).items():
            was = tx.touched[id_]
            if (row := _sealed(tx, id_, was, stands)) is not None:
                total.swap(tx.secret, was.seal or None, row["seal"])
                rows.append(row)
        put(tx, rows)
        changed = changed or bool(rows)
    if changed:
        total.write(tx)


def put(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write sealed rows of `trails`; once that is committed, this host knows them."""
    if rows:
        tx.connection.execute(_WRITE, list(rows))
        tx.learned += [Head(row["incident"], row["turn"], row["entries"], row["seal"]) for row in rows]


def read(connection: Connection, secret: bytes, ids: Sequence[str]) -> dict[str, SealedIncident]:
    """At most 500 of them."""
    key = _key(secret)
    rows = connection.execute(_INCIDENTS, {"ids": ids})
    states = {row.id: _mac(key, "incident", [_plain(value) for value in row]) for row in rows}
    ends = {row.incident: row for row in connection.execute(_ENDS, {"ids": ids})}
    acted, merged = connection.execute(_ACTIONS, {"ids": ids}), connection.execute(_MERGES, {"ids": ids})
    planned = grouped(
        (
            *((row.incident, [_plain(row._mapping[name]) for name in _ACTION]) for row in acted),
            *((row.into, [_plain(value) for value in row]) for row in merged),
        )
    )
    acts = {id_: _mac(key, "actions", rows) for id_, rows in planned.items()}
    # What was changed about users and the monitor has chains, and is no incident.
    present = states.keys() | (ends.keys() & {*CHAINS})
    return {id_: SealedIncident(id_ in present, ends.get(id_), states.get(id_, ""), acts.get(id_, "")) for id_ in ids}


def seal_of(secret: bytes, end: Mapping[Any, Any]) -> str:
    return _mac(_key(secret), "seal", [end[name] for name in _END[:-1]])


def part(secret: bytes, seal: str) -> int:
    """What a seal adds to the sum. Stored nowhere by itself."""
    return int(_mac(_key(secret), "part", seal), 16)


def _sealed(tx: Transaction, id_: str, was: LoadedIncident, stands: SealedIncident) -> dict[str, Any] | None:
    """Its row in `trails`; None: nothing changed, or it was put in beside us and is nothing we could vouch for. Of one
    that was removed by rule it stays, with no state: so others know that this was lawful."""
    if not was.sealed and (was.existed or not stands.exists):
        return None
    end = stands.end
    entries, mac = (end.entries, end.mac) if end is not None else (0, start(tx.secret, id_))
    state = stands.state if was.state is None or was.state[1] else was.state[0]
    acts = stands.actions if was.actions is None or was.actions[1] else was.actions[0]
    if was.sealed and ((entries, mac), state, acts) == (was.end, (was.state or ("",))[0], (was.actions or ("",))[0]):
        return None
    row = {"incident": id_, "turn": was.turn + 1, "entries": entries, "mac": mac, "state": state, "actions": acts}
    return {**row, "seal": seal_of(tx.secret, row) if was.sound or not was.sealed else was.seal}


def _compare(tx: Transaction, total: Total) -> None:
    """What this host knows more of than the database is told from now on, before it is written over."""
    if tx.heads is None:
        return
    found = {id_: Head(id_, was.turn, was.end[0], was.seal) for id_, was in tx.touched.items()}
    mine = total.head
    found[mine.incident] = mine
    known = tx.heads.known(found)
    if lost := [found[id_] for id_, head in known.items() if head.passes(found[id_].turn, found[id_].seal)]:
        since = known[mine.incident].since if mine.incident in known else None
        tx.heads.lose(lost, total.at if since is None else since)


def _plain(value: Any) -> Any:
    """As both databases give it back, also what somebody wrote there who should not."""
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def _key(secret: bytes) -> bytes:
    return hmac.digest(secret, b"exposure monitor: seals", "sha256")


def _mac(key: bytes, *parts: Any) -> str:
    return hmac.digest(key, orjson.dumps(parts), "sha256").hex()
