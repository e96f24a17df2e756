"""What is not delivered, for people: how much of it there is, a page of it at a time, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Delete, Row, Select, Update, delete, func, literal_column, select, union_all, update

from monitor.store.allowance import AT_ONCE
from monitor.store.outbox_rows import outbox_entry
from monitor.store.records import OutboxEntry
from monitor.store.rows import any_of, chunks, load_incidents
from monitor.store.schema import MONITOR, outbox, unsent
from monitor.store.trail import append, entry, noted
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["SinkBacklog", "Undelivered", "UndeliveredPage", "UndeliveredState"]

UndeliveredState = Literal["pending", "leased", "dead"]
_WAITING = ("pending", "leased")
_DEAD = outbox.c.state == literal_column("'dead'")


@dataclass(frozen=True, slots=True)
class UndeliveredPage:
    """Newest first, of `total`. `next`: what the page after it begins behind; empty: there is none."""

    entries: Sequence[OutboxEntry]
    total: int
    next: str = ""


@dataclass(frozen=True, slots=True)
class SinkBacklog:
    """Of one sink. `oldest`: when the oldest that waits was made (seconds since the epoch)."""

    waiting: int = 0
    dead: int = 0
    oldest: float | None = None


class Undelivered(StoreRepository):
    """What waits (pending), is being sent (leased) or was refused (dead)."""

    @read_only
    def by_sink(self, connection: Connection) -> Mapping[str, SinkBacklog]:
        """Of every sink that has any, by its name."""
        of_sink = select(outbox.c.sink, func.count(), func.min(outbox.c.created_at)).group_by(outbox.c.sink)
        dead = {sink: count for sink, count, _ in connection.execute(of_sink.where(_DEAD))}
        waiting = {sink: (count, oldest) for sink, count, oldest in connection.execute(of_sink.where(unsent()))}
        return {
            sink: SinkBacklog(count, dead.get(sink, 0), oldest)
            for sink in sorted(dead.keys() | waiting.keys())
            for count, oldest in [waiting.get(sink, (0, None))]
        }

    @read_only
    def page(
        self,
        connection: Connection,
        *,
        states: Collection[UndeliveredState] = (),
        sink: str | None = None,
        after: str = "",
        limit: int = 50,
    ) -> UndeliveredPage:
        """`after`: `next` of the page before. Raises ValueError where it names no place."""
        if after and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise ValueError("it names no place in this list")
        places = _places(states or get_args(UndeliveredState), sink)
        total = connection.execute(select(func.count()).select_from(places.subquery())).scalar_one()
        query = select(outbox).where(outbox.c.seq.in_(places)).order_by(outbox.c.seq.desc())
        if after:
            query = query.where(outbox.c.seq < int(after))
        rows = [outbox_entry(row) for row in connection.execute(query.limit(limit + 1))]
        more, rows = len(rows) > limit, rows[:limit]
        return UndeliveredPage(rows, total, str(rows[-1].seq) if more else "")

    @read_only
    def get(self, connection: Connection, id_: str) -> OutboxEntry:
        """Also of one that was sent. Raises LookupError."""
        row = connection.execute(select(outbox).where(outbox.c.id == id_)).first()
        if row is None:
            raise LookupError("there is no such notification: it was sent and forgotten since, or discarded")
        return outbox_entry(row)

    @read_only
    def ids(self, connection: Connection, *, states: Collection[UndeliveredState], sink: str) -> Sequence[str]:
        """All of a sink."""
        return connection.execute(select(outbox.c.id).where(outbox.c.seq.in_(_places(states, sink)))).scalars().all()

    @durably
    def retry(self, tx: Transaction, ids: Collection[str], *, actor: str, note: str = "") -> Sequence[str]:
        """Try at once what waits for its next attempt, or was given up. Returns of which ids there is one."""
        tx.announce()
        rows = _changed(tx, update(outbox).values(state="pending", finished_at=None, next_at=AT_ONCE), ids)
        _enter(tx, rows, "alert_retried", actor, note)
        return [row.id for row in rows]

    @durably
    def discard(self, tx: Transaction, ids: Collection[str], *, actor: str, note: str = "") -> Sequence[str]:
        """Forget what waits or was given up, unsent. Returns of which ids there was one that is not being sent."""
        rows = _changed(tx, delete(outbox), ids)
        _enter(tx, rows, "alert_discarded", actor, note)
        return [row.id for row in rows]


def _changed(tx: Transaction, change: Update | Delete, ids: Collection[str]) -> Sequence[Row[Any]]:
    undone = change.where(any_of(outbox.c.id), outbox.c.state.in_(("pending", "dead"))).returning(outbox)
    return [row for chunk in chunks(ids) for row in tx.connection.execute(undone, {"ids": chunk})]


def _enter(tx: Transaction, rows: Sequence[Row[Any]], action: str, actor: str, note: str) -> None:
    """Into the history of each incident, once, to which sinks it was to go; into that of the monitor what is about
    none."""
    for row in rows:
        if not json.loads(row.incidents):
            said = f"to {row.sink}: {row.title or row.reason}{note and f': {note}'}"
            noted(tx, action, said, actor=actor, chain=MONITOR)
    sinks: dict[str, dict[str, None]] = {}
    for row in rows:
        for id_ in json.loads(row.incidents):
            sinks.setdefault(id_, {})[row.sink] = None
    append(
        tx,
        [
            entry(
                known,
                known,
                action,
                actor=actor,
                note=f"to {', '.join(sinks[known.id])}{note and f': {note}'}",
                now=tx.now,
            )
            for known in load_incidents(tx.connection, list(sinks))
        ],
    )


def _places(states: Collection[str], sink: str | None) -> Select[Any]:
    """Numbers of rows. Each part goes along its own index: the table holds far more that was sent."""
    wanted: list[Select[Any]] = []
    if waiting := [state for state in states if state in _WAITING]:
        wanted.append(select(outbox.c.seq).where(unsent(), outbox.c.state.in_(waiting)))
    if "dead" in states:
        wanted.append(select(outbox.c.seq).where(_DEAD))
    parts = [part if sink is None else part.where(outbox.c.sink == sink) for part in wanted]
    return select(union_all(*parts).subquery().c.seq)
