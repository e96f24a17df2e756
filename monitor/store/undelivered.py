"""What is not delivered, for people: how much of it there is, and a page of it at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Select, func, literal_column, select, union_all

from monitor.store.outbox_rows import outbox_entry
from monitor.store.records import OutboxEntry
from monitor.store.schema import outbox, unsent
from monitor.store.transaction import StoreRepository, read_only

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


def _places(states: Collection[str], sink: str | None) -> Select[Any]:
    """Numbers of rows. Each part goes along its own index: the table holds far more that was sent."""
    wanted: list[Select[Any]] = []
    if waiting := [state for state in states if state in _WAITING]:
        wanted.append(select(outbox.c.seq).where(unsent(), outbox.c.state.in_(waiting)))
    if "dead" in states:
        wanted.append(select(outbox.c.seq).where(_DEAD))
    parts = [part if sink is None else part.where(outbox.c.sink == sink) for part in wanted]
    return select(union_all(*parts).subquery().c.seq)
