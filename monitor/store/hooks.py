"""Hooks: what another system announced, and other work a source has put off, until the source has dealt with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from monitor.common.inbound import HookDelivery
from monitor.store.rows import apply_all, clean, upsert
from monitor.store.schema import hooks
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

__all__ = ["Hooks", "settle"]

_ENTER = upsert(hooks, [column.name for column in hooks.c], on=("id",))


class Hooks(StoreRepository):
    """Hooks until their source has dealt with them."""

    @durably
    def enqueue(self, tx: Transaction, delivery: HookDelivery) -> bool:
        """Store a verified hook until its source has dealt with it; False: one of its id is known."""
        return tx.connection.execute(_ENTER, _row(delivery, tx.now)).rowcount == 1

    @read_only
    def due(self, connection: Connection, source: str, limit: int = 50) -> list[HookDelivery]:
        """Hooks of `source` to deal with, oldest first."""
        due = (hooks.c.done_at.is_(None), hooks.c.due <= self._session.now())
        query = select(hooks).where(hooks.c.source == clean(source), *due)
        return [
            HookDelivery(row.id, row.source, row.event, row.repo, row.number, row.due, row.attempts)
            for row in connection.execute(query.order_by(hooks.c.due, hooks.c.id).limit(limit))
        ]

    @writes
    def postpone(self, tx: Transaction, id_: str, seconds: float) -> None:
        """Try again in so many seconds."""
        later = {"due": tx.now + seconds, "attempts": hooks.c.attempts + 1}
        tx.connection.execute(update(hooks).where(hooks.c.id == clean(id_)).values(**later))


def settle(tx: Transaction, handled: Sequence[str], again: Sequence[HookDelivery]) -> None:
    """Those of the ids `handled` are done; `again` is work for later."""
    apply_all(tx.connection, _ENTER, [_row(delivery, tx.now) for delivery in again])
    done = update(hooks).where(hooks.c.id == bindparam("_id")).values(done_at=tx.now)
    apply_all(tx.connection, done, [{"_id": clean(name)} for name in handled])


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
