"""Positions: how far each source has come. Written with the findings up to there, or alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from monitor.model import Position
from monitor.store.rows import clean, insert_into
from monitor.store.schema import positions
from monitor.store.transaction import Desk, Transaction

__all__ = ["Positions", "move"]


class Positions:
    """The face of the positions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def of(self, source: str) -> dict[str, Mapping[str, Any]]:
        """Key → state, with all that was committed up to now."""
        await self._desk.write(lambda tx: None, durable=True)

        def run(connection: Connection) -> dict[str, Mapping[str, Any]]:
            query = select(positions.c.key, positions.c.state).where(positions.c.source == clean(source))
            return {json.loads(key): json.loads(state) for key, state in connection.execute(query)}

        return await self._desk.read(run)


def move(tx: Transaction, moved: Sequence[Position]) -> None:
    """Keep the last of each key; forget those without a state."""
    if not moved:
        return
    last = {(clean(position.source), _key(position.key)): position.state for position in moved}
    gone = [{"_source": source, "_key": key} for (source, key), state in last.items() if state is None]
    rows = [
        {"source": source, "key": key, "state": json.dumps(dict(state))}
        for (source, key), state in last.items()
        if state is not None
    ]
    if rows:
        statement = insert_into(tx.connection, positions)
        tx.connection.execute(
            statement.on_conflict_do_update(
                index_elements=[positions.c.source, positions.c.key], set_={"state": statement.excluded.state}
            ),
            rows,
        )
    if gone:
        tx.connection.execute(
            delete(positions).where(positions.c.source == bindparam("_source"), positions.c.key == bindparam("_key")),
            gone,
        )


def _key(key: str) -> str:
    """Keys may hold file names that are not valid Unicode: JSON escapes them, and both databases take ASCII."""
    return json.dumps(key)
