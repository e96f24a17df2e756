"""Groups: which of them an incident belongs to."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from sqlalchemy import Connection, and_, func, or_, select, update

from monitor.common.grouping import grouped
from monitor.store.decide import reconsider
from monitor.store.enrolment import PLACE, ChangedIncident, enrol, place_of
from monitor.store.leases import release_lost
from monitor.store.outbox import LONGEST_WAIT, abandon, soonest, try_at_once
from monitor.store.rows import chunks, load_incidents
from monitor.store.schema import asks, groups, hooks, incidents, members, requests
from monitor.store.transaction import Cached, StoreRepository, StoreSession, Transaction, durably, read_only

__all__ = ["ChangedIncident", "Groups", "enrol", "next_due"]

_CLOCK_SLACK = 60.0
_LONGEST = 90_000.0  # seconds; nothing is put off for longer than a day
_AT_A_TIME = 200  # groups decided in one transaction of the tick


class Groups(StoreRepository):
    """Groups of incidents."""

    def __init__(self, session: StoreSession) -> None:
        super().__init__(session)
        self._agenda: Cached[tuple[float | None, Mapping[str, float]]] = Cached()

    async def tick(self, *, flush: bool = False, since: float = 0.0) -> None:
        """Put into the outbox what has become due; `flush`: also what is still held back for its group.

        Nothing where it is earlier than `since` by now: the clock was put back, and `look_again` comes first.
        """

        def run(tx: Transaction, after: int) -> int | None:
            return reconsider_due(tx, after=after, flush=flush) if tx.now >= since else None

        after: int | None = 0
        while after is not None:
            after = await self._session.write(partial(run, after=after), durable=True)

    async def agenda(self) -> tuple[float | None, Mapping[str, float]]:
        """When a group must be looked at again, and sink → when it has something to send, in one read: it is asked for
        every second."""
        return await self._session.read(lambda connection: (next_due(connection), soonest(connection)), self._agenda)

    @read_only
    def held(self, connection: Connection, incident: str) -> Mapping[str, str]:
        """Sinks that are not told of it for now, and for which worse incident (by id)."""
        query = select(groups.c.sink, members.c.held).join(members, members.c.group == groups.c.id)
        query = query.where(members.c.incident == incident, members.c.held.is_not(None))
        return {row.sink: row.held for row in connection.execute(query)}

    @durably
    def look_again(self, tx: Transaction) -> None:
        """The clock was put back: nothing waits for what it said before."""
        # What was sent then was sent just now: nothing is repeated for the clock.
        tx.connection.execute(update(groups).where(groups.c.sent_at > tx.now).values(sent_at=tx.now))
        try_at_once(tx)
        wait_no_longer(tx)
        reconsider_later(tx)

    async def adopt(self, owner: str, sinks: Collection[str]) -> tuple[int, int]:
        """At start and reload: take over leases of the dead, and what waits for sinks that are gone.

        The latter goes to the sinks that the routes name now. Returns both numbers. So does what was held back until
        now, and every group that is still alive is looked at anew, because routes and silences may have changed.
        """

        def run(tx: Transaction) -> tuple[int, int]:
            released = release_lost(tx, owner)
            try_at_once(tx, beyond=LONGEST_WAIT)  # from before the clock was put back
            wait_no_longer(tx, beyond=_LONGEST)
            orphans = abandon(tx, sinks)
            rehome(tx, (incident for row in orphans for incident in json.loads(row.incidents)))
            reconsider_later(tx)
            return released, len(orphans)

        numbers = await self._session.write(run, durable=True)
        after: str | None = ""
        while after is not None:
            after = await self._session.write(partial(rehome_untold, after=after), durable=True)
        return numbers


def rehome(tx: Transaction, ids: Iterable[str]) -> None:
    """These incidents go where the routes lead now, unless that sink knows them."""
    for chunk in chunks(ids):
        query = select(members.c.incident, *PLACE).where(members.c.incident.in_(chunk))
        places = grouped((row.incident, place_of(row)) for row in tx.connection.execute(query))
        moved = load_incidents(tx.connection, list(places))
        enrol(tx, [ChangedIncident(one, tuple(dict.fromkeys(places[one.id])), moves=True) for one in moved])


def rehome_untold(tx: Transaction, *, after: str) -> str | None:
    """`rehome` those that a sink has not been told of yet: silenced, muted, held back, or waiting for their group.

    What comes back after it was told is news, too. Returns the last one's id; None: that was all.
    """
    waits = select(members.c.group).where(
        members.c.incident == incidents.c.id,
        or_(members.c.told_state.is_(None), members.c.told_reopens < incidents.c.reopens),
    )
    query = select(incidents.c.id).where(incidents.c.id > after, incidents.c.state != "resolved", waits.exists())
    ids = list(tx.connection.execute(query.order_by(incidents.c.id).limit(_AT_A_TIME)).scalars())
    rehome(tx, ids)
    return ids[-1] if len(ids) == _AT_A_TIME else None


def reconsider_due(tx: Transaction, *, after: int, flush: bool = False) -> int | None:
    """Decide about groups whose time has come; `flush`: also about those never told and still held back.

    Returns the last one's id, to go on after; None: that was all. Each is decided once: what is silent remains so.
    """
    # The second half: a clock that was put back must not silence anything for as long.
    ahead = and_(groups.c.sent_at > tx.now + _CLOCK_SLACK, groups.c.due_at.is_not(None))
    ready = or_(groups.c.due_at <= tx.now, ahead)
    if flush:
        ready = or_(ready, and_(groups.c.sent_at.is_(None), groups.c.due_at.is_not(None)))
    query = select(groups.c.id).where(groups.c.id > after, ready).order_by(groups.c.id).limit(_AT_A_TIME)
    ids = list(tx.connection.execute(query).scalars())
    reconsider(tx, ids, flush=flush)
    return ids[-1] if len(ids) == _AT_A_TIME else None


def reconsider_later(tx: Transaction) -> None:
    """The policy may have changed (an interval, a silence that was taken back): look at all that is still alive."""
    alive = (
        select(members.c.group)
        .join(incidents, incidents.c.id == members.c.incident)
        .where(members.c.group == groups.c.id, incidents.c.state != "resolved")
    )
    later = or_(groups.c.due_at.is_(None), groups.c.due_at > tx.now)
    tx.connection.execute(update(groups).where(later, alive.exists()).values(due_at=tx.now))
    tx.announce()


def wait_no_longer(tx: Transaction, *, beyond: float = 0.0) -> None:
    """Who is to be asked, what was announced and what people are to be told is due now, if not within so long."""
    for table in (asks, hooks, requests):
        tx.connection.execute(update(table).where(table.c.due > tx.now + beyond).values(due=tx.now))


_NEXT_DUE = select(func.min(groups.c.due_at))


def next_due(connection: Connection) -> float | None:
    """When the next group is due."""
    return connection.execute(_NEXT_DUE).scalar()
