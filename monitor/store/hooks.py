"""Hooks: what another system announced, and other work a source has put off, until the source has dealt with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from monitor.common.inbound import HookDelivery
from monitor.store.rows import clean, insert_into
from monitor.store.schema import hooks
from monitor.store.transaction import StoreSession, Transaction

__all__ = ["Hooks", "settle"]


class Hooks:
    """The face of the hooks."""

    def __init__(self, desk: StoreSession) -> None:
        self._desk = desk

    async def enqueue(self, delivery: HookDelivery) -> bool:
        """Keep a verified hook until its source has dealt with it; False: one of its id is known."""
        return await self._desk.write(lambda tx: _enqueue(tx, delivery), durable=True)

    async def due(self, source: str, limit: int = 50) -> list[HookDelivery]:
        """Hooks of `source` to deal with, oldest first."""
        now = self._desk.now()
        return await self._desk.read(lambda connection: _due(connection, source, now, limit))

    async def postpone(self, id_: str, seconds: float) -> None:
        """Try again in so many seconds."""
        await self._desk.write(lambda tx: _postpone(tx, id_, seconds))


def settle(tx: Transaction, handled: Sequence[str], again: Sequence[HookDelivery]) -> None:
    """Those of the ids `handled` are done; `again` is work for later."""
    if again:
        rows = [_row(delivery, tx.now) for delivery in again]
        tx.connection.execute(
            insert_into(tx.connection, hooks).on_conflict_do_nothing(index_elements=[hooks.c.id]), rows
        )
    if handled:
        done = update(hooks).where(hooks.c.id == bindparam("_id")).values(done_at=tx.now)
        tx.connection.execute(done, [{"_id": clean(name)} for name in handled])


def _row(delivery: HookDelivery, now: float) -> dict[str, Any]:
    return {
        "id": clean(delivery.id),
        "source": clean(delivery.source),
        "event": clean(delivery.event),
        "repo": clean(delivery.repo),
        "number": delivery.number,
        "due": delivery.due or now,
        "attempts": delivery.attempts,
        "received_at": now,
        "done_at": None,
    }


def _enqueue(tx: Transaction, delivery: HookDelivery) -> bool:
    statement = insert_into(tx.connection, hooks).on_conflict_do_nothing(index_elements=[hooks.c.id])
    return tx.connection.execute(statement.returning(hooks.c.id), [_row(delivery, tx.now)]).first() is not None


def _postpone(tx: Transaction, delivery: str, seconds: float) -> None:
    later = {"due": tx.now + seconds, "attempts": hooks.c.attempts + 1}
    tx.connection.execute(update(hooks).where(hooks.c.id == clean(delivery)).values(**later))


def _due(connection: Connection, source: str, now: float, limit: int) -> list[HookDelivery]:
    query = select(hooks).where(hooks.c.source == clean(source), hooks.c.done_at.is_(None), hooks.c.due <= now)
    return [
        HookDelivery(row.id, row.source, row.event, row.repo, row.number, row.due, row.attempts)
        for row in connection.execute(query.order_by(hooks.c.due, hooks.c.id).limit(limit))
    ]
