"""Positions: how far each source has come. Written with the findings up to there, or alone.

Hosts that share a server have positions of their own each, by node. A file of SQLite is one host's alone, whatever that
host is called today (a container has another name each time): there the node is always empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, literal, select

from monitor.model import Position
from monitor.store.rows import clean, upsert
from monitor.store.schema import positions
from monitor.store.transaction import Desk, Transaction

__all__ = ["Positions", "move"]


_MOVE = upsert(positions, ("node", "source", "key", "state"), on=("node", "source", "key"), changing=("state",))
_FORGET = delete(positions).where(
    positions.c.node == bindparam("_node"),
    positions.c.source == bindparam("_source"),
    positions.c.key == bindparam("_key"),
)


class Positions:
    """The face of the positions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def of(self, source: str) -> dict[str, Mapping[str, Any]]:
        """Key → state on this host, with all that was committed up to now."""
        return await self._desk.write(lambda tx: _restore(tx, clean(source)), durable=True)

    async def all(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """Source → key → state, on this host. Only reads."""
        return await self._desk.read(lambda connection: _all(connection, _here(connection, self._desk.node)))


def move(tx: Transaction, moved: Sequence[Position]) -> None:
    """Keep the last of each key; forget those without a state."""
    if not moved:
        return
    node = _node(tx)
    last = {(clean(position.source), _key(position.key)): position.state for position in moved}
    gone = [{"_node": node, "_source": source, "_key": key} for (source, key), state in last.items() if state is None]
    rows = [
        {"node": node, "source": source, "key": key, "state": json.dumps(dict(state))}
        for (source, key), state in last.items()
        if state is not None
    ]
    if rows:
        tx.connection.execute(_MOVE, rows)
    if gone:
        tx.connection.execute(_FORGET, gone)


def _restore(tx: Transaction, source: str) -> dict[str, Mapping[str, Any]]:
    node = _node(tx)
    found = _load(tx.connection, node, source)
    if not found and node:
        # From before nodes were told apart: nobody knows whose they are. Each host begins with all of them, as it did
        # until then; to begin at the end of its files instead could lose something.
        columns = positions.c
        unclaimed = select(literal(node), columns.source, columns.key, columns.state).where(
            columns.node == "", columns.source == source
        )
        tx.connection.execute(insert(positions).from_select(["node", "source", "key", "state"], unclaimed))
        found = _load(tx.connection, node, source)
    return found


def _load(connection: Connection, node: str, source: str) -> dict[str, Mapping[str, Any]]:
    query = select(positions.c.key, positions.c.state).where(positions.c.node == node, positions.c.source == source)
    return {json.loads(key): json.loads(state) for key, state in connection.execute(query)}


def _all(connection: Connection, node: str) -> dict[str, dict[str, Mapping[str, Any]]]:
    query = select(positions.c.source, positions.c.key, positions.c.state).where(positions.c.node == node)
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for source, key, state in connection.execute(query):
        found.setdefault(source, {})[json.loads(key)] = json.loads(state)
    return found


def _node(tx: Transaction) -> str:
    return _here(tx.connection, tx.node)


def _here(connection: Connection, node: str) -> str:
    return "" if connection.dialect.name == "sqlite" else clean(node)


def _key(key: str) -> str:
    """Keys may hold file names that are not valid Unicode: JSON escapes them, and both databases take ASCII."""
    return json.dumps(key)
