"""Inside a transaction: the outbox. pending → leased → sent | dead; a lease that runs out is pending again."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, or_, select, update

from monitor.common.notification import Reason, Receipt
from monitor.common.severity import Severity
from monitor.routing import Policy
from monitor.store.records import Leased, Notice
from monitor.store.rows import announce, clean, insert_into, load_incidents
from monitor.store.schema import outbox, receipts, unsent

__all__ = [
    "LONGEST_WAIT",
    "abandon",
    "add_notice",
    "give_up",
    "lease",
    "new_row",
    "owner_name",
    "put_back",
    "release_lost",
    "render",
    "requeue",
    "sent",
    "soonest",
    "tidy",
    "try_at_once",
]

LONGEST_WAIT = 3700.0  # seconds: a Retry-After is cut to an hour
KEEP_SENT, KEEP_SENT_ROWS = 7 * 86_400.0, 10_000
KEEP_DEAD = 90 * 86_400.0


def new_row(
    *,
    sink: str,
    key: str,
    reason: Reason,
    incidents: Sequence[str],
    severity: Severity,
    now: float,
    title: str = "",
    text: str = "",
    tried: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "sink": sink,
        "key": key,
        "reason": reason,
        "incidents": json.dumps(list(incidents)),
        "title": clean(title),
        "text": clean(text),
        "severity": severity,
        "state": "pending",
        "created_at": now,
        "next_at": now,
        "attempts": 0,
        "tried": json.dumps(list(tried)),
    }


def add_notice(connection: Connection, policy: Policy, notice: Notice, now: float) -> list[str]:
    """One row for each sink; returns their ids."""
    names = notice.sinks
    if names is None:
        seen = {"severity": notice.severity, "rule": notice.reason, "name": notice.title, "state": "open"}
        # Routes are written for incidents. When none takes it, everybody hears it: silence would hide trouble.
        names = tuple(dict.fromkeys(target.sink for target in policy.targets(seen, notice.key))) or policy.sinks
    rows = [
        new_row(
            sink=sink,
            key=notice.key,
            reason=notice.reason,
            incidents=notice.incidents,
            severity=notice.severity,
            now=now,
            title=notice.title,
            text=notice.text,
        )
        for sink in names
    ]
    if rows:
        connection.execute(insert(outbox), rows)
        announce(connection)
    return [row["id"] for row in rows]


def owner_name() -> str:
    """Names this process in leases: host, pid, and something no later process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def lease(connection: Connection, sink: str, owner: str, ttl: float, now: float) -> Row[Any] | None:
    """Take the next notification of `sink` that may be sent now.

    Those of one key keep their order; others pass one that is backing off.
    """
    earlier = outbox.alias("earlier")
    blocked = exists().where(
        earlier.c.sink == outbox.c.sink,
        earlier.c.key == outbox.c.key,
        earlier.c.seq < outbox.c.seq,
        unsent(earlier),
    )
    query = (
        select(outbox)
        .where(outbox.c.sink == sink, unsent(), outbox.c.next_at <= now, _sendable(now), ~blocked)
        .order_by(outbox.c.next_at, outbox.c.seq)
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    connection.execute(
        update(outbox).where(outbox.c.id == row.id).values(state="leased", leased_until=now + ttl, owner=owner)
    )
    return row


def render(connection: Connection, row: Row[Any]) -> Leased:
    """The leased row with its incidents and receipt as they are now."""
    receipt = connection.execute(
        select(receipts.c.receipt).where(receipts.c.sink == row.sink, receipts.c.key == row.key)
    ).scalar()
    return Leased(
        id=row.id,
        sink=row.sink,
        key=row.key,
        reason=row.reason,
        incidents=tuple(load_incidents(connection, json.loads(row.incidents), locations=True)),
        title=row.title,
        text=row.text,
        severity=row.severity,
        receipt=json.loads(receipt) if receipt else None,
        attempts=row.attempts,
        created_at=row.created_at,
        tried=tuple(json.loads(row.tried)),
    )


def sent(connection: Connection, id_: str, receipt: Receipt | None, now: float) -> None:
    """Done. The receipt is kept for the updates of the same group; none leaves the one before."""
    row = connection.execute(select(outbox.c.sink, outbox.c.key).where(outbox.c.id == id_)).first()
    if row is None:
        return
    connection.execute(
        update(outbox)
        .where(outbox.c.id == id_)
        .values(state="sent", leased_until=None, owner=None, finished_at=now, error=None)
    )
    if receipt:
        statement = insert_into(connection, receipts).values(
            sink=row.sink, key=row.key, receipt=json.dumps(dict(receipt)), at=now
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[receipts.c.sink, receipts.c.key],
                set_={"receipt": statement.excluded.receipt, "at": statement.excluded.at},
            )
        )


def put_back(connection: Connection, id_: str, owner: str, *, error: str | None, next_at: float) -> None:
    """After a failure (`error`), or unsent at shutdown (None: counts for nothing)."""
    values: dict[str, Any] = {"state": "pending", "leased_until": None, "owner": None, "next_at": next_at}
    if error is not None:
        values |= {"error": clean(error), "attempts": outbox.c.attempts + 1}
    # Only while the lease is still ours: after it ran out, somebody else may have it, or have sent it.
    connection.execute(
        update(outbox).where(outbox.c.id == id_, outbox.c.state == "leased", outbox.c.owner == owner).values(**values)
    )


def give_up(connection: Connection, id_: str, error: str, fallback: str | None, now: float) -> str | None:
    """Dead letter; the fallback gets a notification of its own. Returns its id."""
    row = connection.execute(select(outbox).where(outbox.c.id == id_)).first()
    if row is None or row.state == "sent":
        return None
    connection.execute(
        update(outbox)
        .where(outbox.c.id == id_)
        .values(
            state="dead",
            leased_until=None,
            owner=None,
            finished_at=now,
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
        now=now,
        title=row.title,
        text=row.text,
        tried=tried,
    )
    connection.execute(insert(outbox), [follower])
    announce(connection)
    return str(follower["id"])


def requeue(connection: Connection, id_: str, now: float) -> bool:
    """A dead letter is tried again."""
    result = connection.execute(
        update(outbox)
        .where(outbox.c.id == id_, outbox.c.state == "dead")
        .values(state="pending", finished_at=None, next_at=now)
    )
    announce(connection)
    return result.rowcount == 1


def try_at_once(connection: Connection, now: float, *, sink: str | None = None, beyond: float = 0.0) -> None:
    """What waits for its next attempt, for more than `beyond` seconds, need not: the sink works again, or (None) the
    clock was put back."""
    waiting = and_(outbox.c.state == "pending", outbox.c.next_at > now + beyond)
    if sink is not None:
        waiting = and_(waiting, outbox.c.sink == sink)
    if connection.execute(update(outbox).where(waiting).values(next_at=now)).rowcount:
        announce(connection)


def abandon(connection: Connection, sinks: Collection[str], now: float) -> list[Row[Any]]:
    """Bury what waits for sinks that are not configured any more; returns the rows, for others to take over."""
    gone = and_(unsent(), outbox.c.sink.not_in(list(sinks)))
    rows = list(connection.execute(select(outbox).where(gone)))
    if rows:
        connection.execute(
            update(outbox)
            .where(gone)
            .values(
                state="dead",
                leased_until=None,
                owner=None,
                finished_at=now,
                error="the sink is not configured any more",
            )
        )
    return rows


def release_lost(connection: Connection, owner: str, now: float) -> int:
    """At start: leases of processes of this host that are gone need not run out first. Returns their number."""
    host, pid, _ = owner.rsplit(":", 2)
    holders = connection.execute(select(outbox.c.owner).where(outbox.c.state == "leased").distinct()).scalars()
    lost = [holder for holder in holders if holder != owner and _is_gone(holder, host, pid)]
    if not lost:
        return 0
    result = connection.execute(
        update(outbox)
        .where(outbox.c.state == "leased", outbox.c.owner.in_(lost))
        .values(state="pending", leased_until=None, owner=None, next_at=now)
    )
    return result.rowcount


def soonest(connection: Connection) -> Mapping[str, float]:
    """Sink → when it has something to send."""
    at = func.min(func.coalesce(outbox.c.leased_until, outbox.c.next_at)).label("at")
    query = select(outbox.c.sink, at).where(unsent()).group_by(outbox.c.sink)
    return {row.sink: row.at for row in connection.execute(query)}


def tidy(connection: Connection, now: float) -> int:
    """Forget what was sent long ago, and all beyond the newest ten thousand; dead letters stay longer."""
    newest = (
        select(outbox.c.seq)
        .where(outbox.c.state == "sent")
        .order_by(outbox.c.seq.desc())
        .offset(KEEP_SENT_ROWS)
        .limit(1)
        .scalar_subquery()
    )
    result = connection.execute(
        delete(outbox).where(
            or_(
                and_(
                    outbox.c.state == "sent",
                    or_(outbox.c.finished_at < now - KEEP_SENT, outbox.c.seq <= newest),
                ),
                and_(outbox.c.state == "dead", outbox.c.finished_at < now - KEEP_DEAD),
            )
        )
    )
    return result.rowcount


def _sendable(now: float) -> Any:
    return or_(
        and_(outbox.c.state == "pending", outbox.c.next_at <= now),
        and_(outbox.c.state == "leased", outbox.c.leased_until < now),
    )


def _is_gone(holder: str, host: str, own_pid: str) -> bool:
    try:
        there, pid, _ = holder.rsplit(":", 2)
        number = int(pid)
    except ValueError:
        return True
    if there != host:
        return False
    if pid == own_pid:
        return True  # our number, not our name: an earlier life (in a container every life has the same number)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
