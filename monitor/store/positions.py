"""Positions: how far each source has come. Written with the findings up to there, or alone.

Hosts that share a server have positions of their own each, by node. A file of SQLite is one host's alone, whatever that
host is called today (a container has another name each time): there the node is always empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, select, update

from monitor.common.grouping import grouped
from monitor.domain.model import Position
from monitor.intake.ledger import place
from monitor.store.rows import apply_all, clean, upsert
from monitor.store.schema import alerts, hooks, positions
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Positions", "Renamed", "move", "renamed"]

_REACH = "@reach"  # key of the row beside the ledger that says what the source reads


_MOVE = upsert(positions, ("node", "source", "key", "state"), on=("node", "source", "key"), changing=("state",))
_FORGET = delete(positions).where(
    positions.c.node == bindparam("_node"),
    positions.c.source == bindparam("_source"),
    positions.c.key == bindparam("_key"),
)


@dataclass(frozen=True, slots=True)
class Renamed:
    """`moves`: former name → name of the source that goes on from there. `unclear`: names of which more than one may be
    it, with the former ones that read the same."""

    moves: Mapping[str, str] = field(default_factory=dict)
    unclear: Sequence[tuple[Sequence[str], Sequence[str]]] = ()


def renamed(known: Mapping[str, str], wanted: Mapping[str, str]) -> Renamed:
    """Pure. Which sources go on under another name: name → reach, as it was and as it shall be."""
    former, new = _by_reach(known, wanted), _by_reach(wanted, known)
    both = [(former[reach], new[reach]) for reach in sorted(former.keys() & new.keys())]
    moves = {old[0]: now[0] for old, now in both if len(old) == len(now) == 1}
    return Renamed(moves, [(now, old) for old, now in both if len(old) > 1 or len(now) > 1])


def _by_reach(those: Mapping[str, str], others: Mapping[str, str]) -> dict[str, list[str]]:
    """Of `those` that are not in `others` as they are."""
    return grouped((reach, name) for name, reach in sorted(those.items()) if others.get(name) != reach)


class Positions(StoreRepository):
    """How far sources have come."""

    @durably
    def of(self, tx: Transaction, source: str) -> dict[str, Mapping[str, Any]]:
        """Key → state on this host, with all that was committed up to now."""
        tx.history.read(source)
        mine = (positions.c.node == _here(tx.connection, tx.node), positions.c.source == clean(source))
        rows = tx.connection.execute(select(positions.c.key, positions.c.state).where(*mine))
        return {json.loads(key): json.loads(state) for key, state in rows}

    def take_over(self, reaches: Mapping[str, str]) -> Future[Renamed]:
        """The sources in force from now on, name → reach: one that got another name keeps its positions, its ledger and
        what it has to do. In one transaction; what is asked of them afterwards is asked of the new names."""
        wanted = {clean(name): reach for name, reach in reaches.items()}
        return self._session.submit(lambda tx: _take_over(tx, wanted), durable=True)

    @read_only
    def all(self, connection: Connection) -> dict[str, dict[str, Mapping[str, Any]]]:
        """Source → key → state, on this host. Only reads."""
        here = positions.c.node == _here(connection, self._session.node)
        by_source: dict[str, dict[str, Mapping[str, Any]]] = {}
        for source, key, state in connection.execute(
            select(positions.c.source, positions.c.key, positions.c.state).where(here)
        ):
            by_source.setdefault(source, {})[json.loads(key)] = json.loads(state)
        return by_source


def move(tx: Transaction, moved: Sequence[Position]) -> None:
    """Keep the last of each key; forget those without a state. What a source knew before the database forgot is left
    out: it begins anew at what there is."""
    moved = [position for position in moved if not tx.history.stale(position.source)]
    if not moved:
        return
    node = _here(tx.connection, tx.node)
    last = {(clean(position.source), _key(position.key)): position.state for position in moved}
    gone = [{"_node": node, "_source": source, "_key": key} for (source, key), state in last.items() if state is None]
    rows = [
        {"node": node, "source": source, "key": key, "state": json.dumps(dict(state))}
        for (source, key), state in last.items()
        if state is not None
    ]
    apply_all(tx.connection, _MOVE, rows)
    apply_all(tx.connection, _FORGET, gone)


def _take_over(tx: Transaction, wanted: Mapping[str, str]) -> Renamed:
    node = _here(tx.connection, tx.node)
    columns = positions.c
    query = select(columns.source, columns.state).where(columns.node == node, columns.key == _key(_REACH))
    rows = tx.connection.execute(query)
    known = {source.removeprefix("@"): str(json.loads(state).get("reach")) for source, state in rows}
    found = renamed(known, wanted)
    if found.moves:
        _rename(tx, node, {**found.moves, **{place(old): place(new) for old, new in found.moves.items()}})
        for table in (alerts, hooks):
            names = case(dict(found.moves), value=table.c.source)
            tx.connection.execute(update(table).where(table.c.source.in_(list(found.moves))).values(source=names))
    move(tx, [Position(place(name), _REACH, {"reach": reach}) for name, reach in wanted.items()])
    return found


def _rename(tx: Transaction, node: str, moves: Mapping[str, str]) -> None:
    """All are taken out before any is put back, as two may have changed their names with each other."""
    of = (positions.c.node == node) & positions.c.source.in_(list(moves))
    taken = tx.connection.execute(select(positions.c.source, positions.c.key, positions.c.state).where(of)).all()
    tx.connection.execute(delete(positions).where(of))
    rows = [{"node": node, "source": moves[source], "key": key, "state": state} for source, key, state in taken]
    apply_all(tx.connection, _MOVE, rows)


def _here(connection: Connection, node: str) -> str:
    return "" if connection.dialect.name == "sqlite" else clean(node)


def _key(key: str) -> str:
    """Keys may hold file names that are not valid Unicode: JSON escapes them, and both databases take ASCII."""
    return json.dumps(key)
