"""The outbox: pending → leased → sent | dead; a lease that runs out is pending again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
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
from monitor.store.joins import join
from monitor.store.outbox_rows import BEHIND, bundle, cut, new_row, outbox_entry, part, post
from monitor.store.pages import take_over
from monitor.store.records import Leased, Notice, OutboxEntry
from monitor.store.rows import clean, load_incidents, narrowed, upsert
from monitor.store.schema import outbox, receipts, unsent
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

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


class _Parts(NamedTuple):
    """How a sink is told of many, as `Outbox.lease` has it."""

    most: int | None
    paced: bool
    read: bool


class Outbox(StoreRepository):
    """What delivery and people do with notifications."""

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
        read: bool = True,
    ) -> Sequence[Leased]:
        """The next notifications for `sink`, the worst first, at most `limit`, ours for `ttl` seconds.

        One of more than `most` incidents is split. When more than twice `backlog` wait, the rest is told together.
        `paced`: of what the sink is told of many at once, no more than its allowance; `read`: by people, so that a part
        is a message, too.
        """

        def run(tx: Transaction) -> Sequence[Leased]:
            if backlog is not None:
                bundle(tx, sink, backlog)
            if paced:
                allow(tx, sink)
            return _lease(tx, sink, owner, ttl, limit=limit, parts=_Parts(most, paced=paced, read=read))

        def give_back(job: Future[Sequence[Leased]]) -> None:
            leased = () if job.cancelled() or job.exception() else job.result()

            def put_back(tx: Transaction) -> None:
                for notification in leased:
                    _put_back(tx, notification.id, owner, error=None, delay=0.0)

            if leased:
                with contextlib.suppress(StoreError):  # closed: the next start sees whose it is
                    self._session.submit(put_back)

        job = self._session.submit(run)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # If it was being written, it is taken all the same: nobody else would send it until the lease runs out.
            job.add_done_callback(give_back)
            raise

    @durably
    def split(
        self, tx: Transaction, id_: str, owner: str, parts: int, *, paced: bool = False, read: bool = True
    ) -> int:
        """Send it in so many parts instead, the worst incidents first. Returns how many there are now."""
        row = tx.connection.execute(select(outbox).where(*_held(id_, owner))).first()
        if row is None:
            return 0
        most = max(1, -(-len(json.loads(row.incidents)) // parts))
        made = _shorten(tx, row, most, paced=paced, read=read)
        _put_back(tx, id_, owner, error=None, delay=0.0)
        tx.announce()
        return made

    @writes
    def sent(self, tx: Transaction, id_: str, receipt: Receipt | None, before: Receipt | None = None) -> bool:
        """Done; returns whether its sink has more to be sent now. The receipt is stored for the updates of the same
        group; none leaves the one before. `before`: as it was given to the sink; the place that was learnt since then
        stays."""
        row = tx.connection.execute(_SENT, {"_id": id_, "_now": tx.now}).first()
        if row is None:
            return True
        if receipt:
            place = json.loads(tx.connection.execute(_RECEIPT, row._asdict()).scalar() or "{}").get("place")
            if place and place != (before or {}).get("place"):
                receipt = {**receipt, "place": place}
            _store_receipt(tx, row.sink, row.key, receipt)
        return tx.connection.execute(_MORE, {"sink": row.sink, "now": tx.now}).first() is not None

    @writes
    def put_back(self, tx: Transaction, id_: str, owner: str, *, error: str | None, delay: float = 0.0) -> None:
        """Try again after `delay` seconds. `error` None: it was not tried."""
        _put_back(tx, id_, owner, error=error, delay=delay)

    @writes
    def partly(self, tx: Transaction, id_: str, sink: str, taken: Receipt) -> None:
        """Which part of it was taken; given to `sink` with the next try. Empty: none."""
        _store_receipt(tx, sink, _PARTLY + id_, taken)

    @durably
    def give_up(self, tx: Transaction, id_: str, error: str, fallback: str | None) -> str | None:
        """Dead letter; returns the id of the notification for the fallback, if there is one that has not refused it."""
        row = tx.connection.execute(select(outbox).where(outbox.c.id == id_)).first()
        if row is None or row.state == "sent":
            return None
        tried = {"error": clean(error), "attempts": outbox.c.attempts + 1}
        tx.connection.execute(_buried(tx.now, outbox.c.id == id_).values(**tried))
        refused = [*json.loads(row.tried), row.sink]
        if fallback is None or fallback in refused:
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
            tried=refused,
        )
        post(tx, [follower])
        take_over(tx, row, fallback)
        return str(follower["id"])

    @writes
    def try_at_once(self, tx: Transaction, sink: str) -> None:
        """The sink works again: nothing waits for it any longer."""
        try_at_once(tx, sink=sink)

    @read_only
    def unsent(self, connection: Connection) -> int:
        """Notifications that are neither sent nor given up."""
        return connection.execute(select(func.count()).where(unsent())).scalar_one()

    @read_only
    def list(
        self,
        connection: Connection,
        *,
        states: Collection[str] = (),
        sink: str | None = None,
        before: float | None = None,
        about: str | None = None,
        limit: int = 100,
    ) -> Sequence[OutboxEntry]:
        """Notifications, newest first. `before`: made before this time; `about`: of this incident."""
        query = narrowed(
            select(outbox),
            outbox.c.state.in_(tuple(states)) if states else None,
            None if sink is None else outbox.c.sink == sink,
            None if before is None else outbox.c.created_at < before,
            None if about is None else outbox.c.incidents.contains(f'"{about}"', autoescape=True),
        )
        rows = connection.execute(query.order_by(outbox.c.seq.desc()).limit(min(limit, _LONGEST_LIST)))
        return [outbox_entry(row) for row in rows]


def _held(id_: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    return outbox.c.id == id_, outbox.c.state == "leased", outbox.c.owner == owner


def _buried(now: float, which: ColumnElement[bool]) -> Update:
    return update(outbox).where(which).values(state="dead", leased_until=None, owner=None, finished_at=now)


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
    post(tx, rows)
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
_STORE_RECEIPT = upsert(receipts, ("sink", "key", "receipt", "at"), on=("sink", "key"), changing=("receipt", "at"))


def _lease(tx: Transaction, sink: str, owner: str, ttl: float, *, limit: int, parts: _Parts) -> Sequence[Leased]:
    """Take the next notifications of `sink` that may be sent now.

    Those of one key keep their order; others pass one that is backing off.
    """
    ids = tx.connection.execute(_READY, {"sink": sink, "now": tx.now, "most": limit}).scalars().all()
    leased = []
    for id_ in ids:
        row = tx.connection.execute(_TAKE, {"_id": id_, "_until": tx.now + ttl, "_owner": owner}).one()
        if parts.most is not None and len(json.loads(row.incidents)) > parts.most:
            _shorten(tx, row, parts.most, paced=parts.paced, read=parts.read)
            row = tx.connection.execute(select(outbox).where(outbox.c.id == id_)).one()
        leased.append(_render(tx.connection, row, acted=row.sink in tx.policy.threads))
    return leased


def _shorten(tx: Transaction, row: Row[Any], most: int, *, paced: bool, read: bool) -> int:
    """Leave the worst `most` incidents in it. Returns in how many rows they are now."""
    return cut(tx, row, most) if row.reason == "overdue" else part(tx, row, most, paced=paced, read=read)


def _render(connection: Connection, row: Row[Any], *, acted: bool) -> Leased:
    """The leased row with its incidents and receipt as they are now. `acted`: and with their actions."""
    receipt = connection.execute(_RECEIPT, {"sink": row.sink, "key": row.key}).scalar()
    again = {"sink": row.sink, "key": _PARTLY + row.id}
    partly = connection.execute(_RECEIPT, again).scalar() if row.attempts else None
    about = load_incidents(connection, json.loads(row.incidents), locations=True)
    return Leased(
        id=row.id,
        sink=row.sink,
        key=row.key,
        reason=row.reason,
        incidents=tuple(about),
        title=row.title,
        text=row.text,
        severity=row.severity,
        receipt=json.loads(receipt) if receipt else None,
        attempts=row.attempts,
        created_at=row.created_at,
        tried=tuple(json.loads(row.tried)),
        joined=join(connection, about, acted=acted),
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


def _store_receipt(tx: Transaction, sink: str, key: str, receipt: Receipt) -> None:
    text = json.dumps(dict(receipt))
    tx.connection.execute(_STORE_RECEIPT, {"sink": sink, "key": key, "receipt": text, "at": tx.now})


def _put_back(tx: Transaction, id_: str, owner: str, *, error: str | None, delay: float) -> None:
    """After a failure (`error`), or unsent at shutdown (None: counts for nothing)."""
    values: dict[str, Any] = {"state": "pending", "leased_until": None, "owner": None, "next_at": tx.now + delay}
    if error is None:
        values["next_at"] = case((outbox.c.next_at == BEHIND, BEHIND), else_=values["next_at"])
    else:
        values |= {"error": clean(error), "attempts": outbox.c.attempts + 1}
    # Only while the lease is still ours: after it ran out, somebody else may have it, or have sent it.
    tx.connection.execute(update(outbox).where(*_held(id_, owner)).values(**values))


def try_at_once(tx: Transaction, *, sink: str | None = None, beyond: float = 0.0) -> None:
    """What waits for its next attempt, for more than `beyond` seconds, need not: the sink works again, or (None) the
    clock was put back."""
    waiting = (outbox.c.state == "pending", outbox.c.next_at > tx.now + beyond)
    here = () if sink is None else (outbox.c.sink == sink,)
    if tx.connection.execute(update(outbox).where(*waiting, *here).values(next_at=tx.now)).rowcount:
        tx.announce()


def abandon(tx: Transaction, sinks: Collection[str]) -> list[Row[Any]]:
    """Bury what waits for sinks that are not configured any more; returns the rows, for others to take over."""
    gone = and_(unsent(), outbox.c.sink.not_in(list(sinks)))
    rows = list(tx.connection.execute(select(outbox).where(gone)))
    if rows:
        tx.connection.execute(_buried(tx.now, gone).values(error="the sink is not configured any more"))
    return rows


_AT = func.min(func.coalesce(outbox.c.leased_until, outbox.c.next_at)).label("at")
_SOONEST = select(outbox.c.sink, _AT).where(unsent()).group_by(outbox.c.sink)


def soonest(connection: Connection) -> Mapping[str, float]:
    """Sink → when it has something to send."""
    return {row.sink: row.at for row in connection.execute(_SOONEST)}
