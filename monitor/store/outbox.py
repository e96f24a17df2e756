"""The outbox: pending → leased → sent | dead; a lease that runs out is pending again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    union_all,
    update,
)

from monitor.common.notification import Receipt
from monitor.common.severity import SEVERITIES
from monitor.routing.budget import ALARMS
from monitor.store.allowance import AT_ONCE, allow
from monitor.store.errors import StoreError
from monitor.store.joins import beside
from monitor.store.pages import take_over
from monitor.store.parcels import NEW_ROW, bundle, cut, new_row, part
from monitor.store.records import Leased, Notice, OutboxEntry
from monitor.store.rows import clean, load_incidents, upsert
from monitor.store.schema import outbox, receipts, unsent
from monitor.store.transaction import StoreSession, Transaction

__all__ = [
    "AT_ONCE",
    "LONGEST_WAIT",
    "Outbox",
    "abandon",
    "add_notice",
    "soonest",
    "try_at_once",
]

LONGEST_WAIT = 3700.0  # seconds: a Retry-After is cut to an hour
_LONGEST_LIST = 10_000
_PARTLY = "partly:"  # before the id of a notification: the key of what is known of an earlier try of it


class Outbox:
    """The face of the outbox: what delivery and people do with notifications."""

    def __init__(self, desk: StoreSession) -> None:
        self._desk = desk

    async def notify(self, notice: Notice) -> list[str]:
        """Put a notice in; returns the ids of its notifications."""
        return await self._desk.write(lambda tx: add_notice(tx, notice), durable=True)

    async def lease(
        self,
        sink: str,
        owner: str,
        ttl: float,
        limit: int = 1,
        *,
        most: int | None = None,
        backlog: int | None = None,
        paced: bool = False,
    ) -> Sequence[Leased]:
        """The next notifications for `sink`, the worst first, at most `limit`, ours for `ttl` seconds.

        One of more than `most` incidents is split. When more than twice `backlog` wait, the rest is told together.
        `paced`: of what the sink is told of many at once, no more than its allowance.
        """

        def run(tx: Transaction) -> Sequence[Leased]:
            if backlog is not None:
                bundle(tx, sink, backlog)
            if paced:
                allow(tx, sink)
            return _lease(tx, sink, owner, ttl, limit=limit, most=most, paced=paced)

        def give_back(job: Future[Sequence[Leased]]) -> None:
            leased = () if job.cancelled() or job.exception() else job.result()

            def put_back(tx: Transaction) -> None:
                for one in leased:
                    _put_back(tx, one.id, owner, error=None, delay=0.0)

            if leased:
                with contextlib.suppress(StoreError):  # closed: the next start sees whose it is
                    self._desk.submit(put_back)

        job = self._desk.submit(run)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # If it was being written, it is taken all the same: nobody else would send it until the lease runs out.
            job.add_done_callback(give_back)
            raise

    async def split(self, id_: str, owner: str, parts: int, *, paced: bool = False) -> int:
        """Send it in so many parts instead, the worst incidents first. Returns how many there are now."""
        return await self._desk.write(lambda tx: _split(tx, id_, owner, parts, paced=paced), durable=True)

    async def sent(self, id_: str, receipt: Receipt | None, before: Receipt | None = None) -> bool:
        """Done; returns whether its sink has more to be sent now. The receipt is kept for the updates of the same
        group; none leaves the one before. `before`: as it was given to the sink; the place that was learnt since then
        stays."""
        return await self._desk.write(lambda tx: _sent(tx, id_, receipt, before))

    async def put_back(self, id_: str, owner: str, *, error: str | None, delay: float = 0.0) -> None:
        """Try again after `delay` seconds. `error` None: it was not tried."""
        await self._desk.write(lambda tx: _put_back(tx, id_, owner, error=error, delay=delay))

    async def partly(self, id_: str, sink: str, taken: Receipt) -> None:
        """Which part of it was taken; given to `sink` with the next try. Empty: none."""
        await self._desk.write(lambda tx: _keep(tx, sink, _PARTLY + id_, taken))

    async def give_up(self, id_: str, error: str, fallback: str | None) -> str | None:
        """Dead letter; returns the id of the notification for the fallback, if there is one that has not refused it."""
        return await self._desk.write(lambda tx: _give_up(tx, id_, error, fallback), durable=True)

    async def requeue(self, id_: str) -> bool:
        """Try at once what waits for its next attempt, or was given up. False: there is none of this id."""
        return await self._desk.write(lambda tx: _requeue(tx, id_), durable=True)

    async def discard(self, id_: str) -> bool:
        """Forget what waits or was given up, unsent. False: there is none of this id, or it is being sent."""
        return await self._desk.write(lambda tx: _discard(tx, id_), durable=True)

    async def try_at_once(self, sink: str) -> None:
        """The sink works again: nothing waits for it any longer."""
        await self._desk.write(lambda tx: try_at_once(tx, sink=sink))

    async def waiting(self) -> Mapping[str, float]:
        """Sink → when it has something to send (seconds since the epoch)."""
        return await self._desk.read(soonest)

    async def unsent(self) -> int:
        """Notifications that are neither sent nor given up."""
        query = select(func.count()).where(unsent())
        return await self._desk.read(lambda connection: connection.execute(query).scalar_one())

    async def list(
        self,
        *,
        states: Collection[str] = (),
        sink: str | None = None,
        before: float | None = None,
        about: str | None = None,
        limit: int = 100,
    ) -> Sequence[OutboxEntry]:
        """Notifications, newest first. `before`: made before this time; `about`: of this incident."""
        query = select(outbox)
        if states:
            query = query.where(outbox.c.state.in_(tuple(states)))
        if sink is not None:
            query = query.where(outbox.c.sink == sink)
        if before is not None:
            query = query.where(outbox.c.created_at < before)
        if about is not None:
            query = query.where(outbox.c.incidents.contains(f'"{about}"', autoescape=True))
        query = query.order_by(outbox.c.seq.desc()).limit(min(limit, _LONGEST_LIST))
        return await self._desk.read(lambda connection: [_entry(row) for row in connection.execute(query)])


def _entry(row: Row[Any]) -> OutboxEntry:
    return OutboxEntry(
        id=row.id,
        sink=row.sink,
        reason=row.reason,
        state=row.state,
        incidents=tuple(json.loads(row.incidents)),
        title=row.title,
        created_at=row.created_at,
        next_at=row.next_at,
        attempts=row.attempts,
        error=row.error,
        finished_at=row.finished_at,
    )


def add_notice(tx: Transaction, notice: Notice) -> list[str]:
    """One row for each sink; returns their ids."""
    names = notice.sinks
    if names is None:
        seen = {
            "severity": notice.severity,
            "confidence": "high",
            "rule": notice.reason,
            "name": notice.title,
            "state": "open",
        }
        # Routes are written for incidents. When none takes it, everybody hears it: silence would hide trouble.
        names = tuple(dict.fromkeys(target.sink for target in tx.policy.targets(seen, notice.key))) or tx.policy.sinks
    rows = [
        new_row(
            sink=sink,
            key=notice.key,
            reason=notice.reason,
            incidents=notice.incidents,
            severity=notice.severity,
            now=tx.now,
            title=notice.title,
            text=notice.text,
        )
        for sink in names
    ]
    if rows:
        tx.connection.execute(NEW_ROW, rows)
        tx.announce()
    return [row["id"] for row in rows]


def _ready() -> Select[Any]:
    """At most `most` that may be sent to `sink` `now`: alarms, then digests, then what people know of. The severities
    one by one: each is a walk along the index, and none is begun once there are enough."""
    earlier = outbox.alias("earlier")
    now: BindParameter[float] = bindparam("now")
    blocked = exists().where(
        earlier.c.sink == outbox.c.sink,
        earlier.c.key == outbox.c.key,
        earlier.c.seq < outbox.c.seq,
        unsent(earlier),
    )
    sendable = or_(
        and_(outbox.c.state == "pending", outbox.c.next_at <= now),
        and_(outbox.c.state == "leased", outbox.c.leased_until < now),
    )
    ready = select(outbox.c.id).where(
        outbox.c.sink == bindparam("sink"), unsent(), outbox.c.next_at <= now, sendable, ~blocked
    )
    later = outbox.alias("later")
    after = and_(later.c.sink == outbox.c.sink, later.c.key == outbox.c.key, later.c.seq > outbox.c.seq)
    leads = exists().where(after, later.c.reason.in_(ALARMS), unsent(later))  # an alarm of its key waits for it
    urgent, digest = or_(outbox.c.reason.in_(ALARMS), leads), outbox.c.reason == "digest"
    kinds = (urgent, and_(digest, ~leads), and_(~digest, outbox.c.reason.not_in(ALARMS), ~leads))
    walks = [
        ready.where(outbox.c.severity == severity, kind)
        .order_by(outbox.c.next_at, outbox.c.seq)
        .limit(bindparam("most"))
        for kind in kinds
        for severity in reversed(SEVERITIES)
    ]
    return select(union_all(*(select(walk.subquery()) for walk in walks)).subquery()).limit(bindparam("most"))


_READY = _ready()
# One that was leased and never given back may have been sent.
_TAKE = (
    update(outbox)
    .where(outbox.c.id == bindparam("_id"))
    .values(
        state="leased",
        leased_until=bindparam("_until"),
        owner=bindparam("_owner"),
        attempts=outbox.c.attempts + case((outbox.c.state == "leased", 1), else_=0),
    )
    .returning(outbox)
)
_SENT = (
    update(outbox)
    .where(outbox.c.id == bindparam("_id"))
    .values(state="sent", leased_until=None, owner=None, finished_at=bindparam("_now"), error=None)
    .returning(outbox.c.sink, outbox.c.key)
)
_MORE = (
    select(outbox.c.seq)
    .where(outbox.c.sink == bindparam("sink"), unsent(), outbox.c.state == "pending")
    .where(outbox.c.severity.in_(SEVERITIES), outbox.c.next_at <= bindparam("now"))  # all, for the sake of the index
    .limit(1)
)
_BEHIND = select(outbox.c.incidents).where(
    outbox.c.sink == bindparam("sink"), unsent(), outbox.c.reason == bindparam("reason"), outbox.c.id != bindparam("id")
)
_RECEIPT = select(receipts.c.receipt).where(receipts.c.sink == bindparam("sink"), receipts.c.key == bindparam("key"))
_KEEP_RECEIPT = upsert(receipts, ("sink", "key", "receipt", "at"), on=("sink", "key"), changing=("receipt", "at"))


def _lease(
    tx: Transaction, sink: str, owner: str, ttl: float, *, limit: int, most: int | None, paced: bool
) -> Sequence[Leased]:
    """Take the next notifications of `sink` that may be sent now.

    Those of one key keep their order; others pass one that is backing off.
    """
    ids = list(tx.connection.execute(_READY, {"sink": sink, "now": tx.now, "most": limit}).scalars())
    if not ids:
        return []

    leased = []
    for id_ in ids:
        taken = {"_id": id_, "_until": tx.now + ttl, "_owner": owner}
        row = tx.connection.execute(_TAKE, taken).one()
        if most is not None and len(json.loads(row.incidents)) > most:
            _shorten(tx, row, most, paced=paced)
            row = tx.connection.execute(select(outbox).where(outbox.c.id == id_)).one()
        leased.append(_render(tx.connection, row, acted=row.sink in tx.policy.threads))
    return leased


def _shorten(tx: Transaction, row: Row[Any], most: int, *, paced: bool) -> int:
    """Leave the worst `most` incidents in it. Returns in how many rows they are now."""
    return cut(tx, row, most) if row.reason == "overdue" else part(tx, row, most, paced=paced)


def _split(tx: Transaction, id_: str, owner: str, parts: int, *, paced: bool) -> int:
    """Instead of one that is too large: so many of a part each, to be sent at once. Returns how many there are now."""
    ours = (outbox.c.id == id_, outbox.c.state == "leased", outbox.c.owner == owner)
    row = tx.connection.execute(select(outbox).where(*ours)).first()
    if row is None:
        return 0
    most = max(1, -(-len(json.loads(row.incidents)) // parts))
    made = _shorten(tx, row, most, paced=paced)
    _put_back(tx, id_, owner, error=None, delay=0.0)
    tx.announce()
    return made


def _render(connection: Connection, row: Row[Any], *, acted: bool) -> Leased:
    """The leased row with its incidents and receipt as they are now. `acted`: and with their actions."""
    receipt = connection.execute(_RECEIPT, {"sink": row.sink, "key": row.key}).scalar()
    again = {"sink": row.sink, "key": _PARTLY + row.id}
    partly = connection.execute(_RECEIPT, again).scalar() if row.attempts else None
    ids = json.loads(row.incidents)
    found = load_incidents(connection, ids, locations=True)
    return Leased(
        id=row.id,
        sink=row.sink,
        key=row.key,
        reason=row.reason,
        incidents=tuple(found),
        title=row.title,
        text=row.text,
        severity=row.severity,
        receipt=json.loads(receipt) if receipt else None,
        attempts=row.attempts,
        created_at=row.created_at,
        tried=tuple(json.loads(row.tried)),
        beside=beside(connection, found, acted=acted),
        partly=(json.loads(partly) or None) if partly else None,
        more=_more(connection, row),
    )


def _more(connection: Connection, row: Row[Any]) -> int:
    """How many incidents wait behind it to be told in the same words."""
    if row.reason == "overdue" or len(json.loads(row.incidents)) < 2:
        return 0
    behind = _BEHIND if row.reason == "digest" else _BEHIND.where(outbox.c.key == row.key)
    rows = connection.execute(behind, {"sink": row.sink, "reason": row.reason, "id": row.id}).scalars()
    return len({id_ for incidents in rows for id_ in json.loads(incidents)} - set(json.loads(row.incidents)))


def _sent(tx: Transaction, id_: str, receipt: Receipt | None, before: Receipt | None) -> bool:
    row = tx.connection.execute(_SENT, {"_id": id_, "_now": tx.now}).first()
    if row is None:
        return True
    if receipt:
        place = json.loads(tx.connection.execute(_RECEIPT, row._asdict()).scalar() or "{}").get("place")
        if place and place != (before or {}).get("place"):
            receipt = {**receipt, "place": place}
        _keep(tx, row.sink, row.key, receipt)
    return tx.connection.execute(_MORE, {"sink": row.sink, "now": tx.now}).first() is not None


def _keep(tx: Transaction, sink: str, key: str, receipt: Receipt) -> None:
    kept = {"sink": sink, "key": key, "receipt": json.dumps(dict(receipt)), "at": tx.now}
    tx.connection.execute(_KEEP_RECEIPT, kept)


def _put_back(tx: Transaction, id_: str, owner: str, *, error: str | None, delay: float) -> None:
    """After a failure (`error`), or unsent at shutdown (None: counts for nothing)."""
    values: dict[str, Any] = {"state": "pending", "leased_until": None, "owner": None, "next_at": tx.now + delay}
    if error is not None:
        values |= {"error": clean(error), "attempts": outbox.c.attempts + 1}
    # Only while the lease is still ours: after it ran out, somebody else may have it, or have sent it.
    ours = (outbox.c.id == id_, outbox.c.state == "leased", outbox.c.owner == owner)
    tx.connection.execute(update(outbox).where(*ours).values(**values))


def _give_up(tx: Transaction, id_: str, error: str, fallback: str | None) -> str | None:
    """Dead letter; the fallback gets a notification of its own. Returns its id."""
    row = tx.connection.execute(select(outbox).where(outbox.c.id == id_)).first()
    if row is None or row.state == "sent":
        return None
    tx.connection.execute(
        update(outbox)
        .where(outbox.c.id == id_)
        .values(
            state="dead",
            leased_until=None,
            owner=None,
            finished_at=tx.now,
            error=clean(error),
            attempts=outbox.c.attempts + 1,
        )
    )
    tried = [*json.loads(row.tried), row.sink]
    if fallback is None or fallback in tried:
        return None
    follower = new_row(
        sink=fallback,
        key=row.key,
        reason=row.reason,
        incidents=json.loads(row.incidents),
        severity=row.severity,
        now=tx.now,
        title=row.title,
        text=row.text,
        tried=tried,
    )
    tx.connection.execute(NEW_ROW, [follower])
    take_over(tx, row, fallback)
    tx.announce()
    return str(follower["id"])


def _requeue(tx: Transaction, id_: str) -> bool:
    undone = (outbox.c.id == id_, outbox.c.state.in_(("pending", "dead")))
    values = {"state": "pending", "finished_at": None, "next_at": AT_ONCE}
    tx.announce()
    return tx.connection.execute(update(outbox).where(*undone).values(**values)).rowcount == 1


def _discard(tx: Transaction, id_: str) -> bool:
    undone = (outbox.c.id == id_, outbox.c.state.in_(("pending", "dead")))
    return tx.connection.execute(delete(outbox).where(*undone)).rowcount == 1


def try_at_once(tx: Transaction, *, sink: str | None = None, beyond: float = 0.0) -> None:
    """What waits for its next attempt, for more than `beyond` seconds, need not: the sink works again, or (None) the
    clock was put back."""
    waiting = and_(outbox.c.state == "pending", outbox.c.next_at > tx.now + beyond)
    if sink is not None:
        waiting = and_(waiting, outbox.c.sink == sink)
    if tx.connection.execute(update(outbox).where(waiting).values(next_at=tx.now)).rowcount:
        tx.announce()


def abandon(tx: Transaction, sinks: Collection[str]) -> list[Row[Any]]:
    """Bury what waits for sinks that are not configured any more; returns the rows, for others to take over."""
    gone = and_(unsent(), outbox.c.sink.not_in(list(sinks)))
    rows = list(tx.connection.execute(select(outbox).where(gone)))
    if rows:
        tx.connection.execute(
            update(outbox)
            .where(gone)
            .values(
                state="dead",
                leased_until=None,
                owner=None,
                finished_at=tx.now,
                error="the sink is not configured any more",
            )
        )
    return rows


_AT = func.min(func.coalesce(outbox.c.leased_until, outbox.c.next_at)).label("at")
_SOONEST = select(outbox.c.sink, _AT).where(unsent()).group_by(outbox.c.sink)


def soonest(connection: Connection) -> Mapping[str, float]:
    """Sink → when it has something to send."""
    return {row.sink: row.at for row in connection.execute(_SOONEST)}
