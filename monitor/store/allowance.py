"""The stage that all a sink is sent passes before it is leased: of what it is told of many at once one message a minute
goes on, with all that is new in it. It looks at the outbox alone, so it holds over restarts and hosts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, exists, insert, select, update

from monitor.common.notification import Reason
from monitor.common.severity import worst
from monitor.routing.budget import ALARMS, PACED, PAUSE, Waiting, next_of, opens, shares
from monitor.routing.fold import FOLD
from monitor.store.decide import reconsider
from monitor.store.enrolment import DAILY, MUTED
from monitor.store.outbox_rows import BEHIND, new_row, post
from monitor.store.rows import apply_all, chunks, upsert
from monitor.store.schema import groups, members, outbox, unsent
from monitor.store.transaction import Transaction

__all__ = ["AT_ONCE", "allow"]

AT_ONCE = 0.0  # next_at of what somebody has asked for: its sink rests no longer
_LATELY = 2 * PAUSE  # so long ago, and it says whose turn it was last

_near = outbox.alias("near")
_of_its_key = (_near.c.sink == outbox.c.sink, _near.c.key == outbox.c.key, unsent(_near))
_DUE = (
    select(outbox)
    .where(outbox.c.sink == bindparam("sink"), unsent(), outbox.c.state == "pending")
    .where(outbox.c.next_at <= bindparam("now"), outbox.c.next_at > BEHIND, outbox.c.reason.in_(PACED))
    # What waits for another of its key is not next; what an alarm of its key waits for goes at once.
    .where(~exists().where(*_of_its_key, _near.c.seq < outbox.c.seq))
    .where(~exists().where(*_of_its_key, _near.c.seq > outbox.c.seq, _near.c.reason.in_(ALARMS)))
    .order_by(outbox.c.seq)
)
_BEFORE = select(outbox.c.reason, outbox.c.key, outbox.c.finished_at).where(outbox.c.sink == bindparam("sink"))
_SENT = _BEFORE.where(outbox.c.state == "sent", outbox.c.finished_at > bindparam("since"))
_UNDER_WAY = _BEFORE.where(unsent(), outbox.c.state == "leased", outbox.c.leased_until >= bindparam("now"))
_COLLECTING = select(groups.c.id).where(
    groups.c.sink == bindparam("sink"),
    groups.c.kind == "digest",
    groups.c.sent_at.is_(None),
    groups.c.due_at.is_not(None),
    ~groups.c.route.endswith(DAILY),
    ~groups.c.route.endswith(MUTED),
)
_THREADS = select(groups.c.id).where(
    groups.c.sink == bindparam("sink"),
    groups.c.key.startswith(FOLD),
    groups.c.sent_at.is_not(None),
    groups.c.due_at.is_not(None),
    exists().where(members.c.group == groups.c.id, members.c.told_state.is_(None)),
)
_GATHERED = (
    select(members.c.incident).where(members.c.group.in_(_COLLECTING), members.c.told_state.is_(None)).distinct()
)
_ANNOUNCING = select(outbox.c.incidents).where(
    outbox.c.sink == bindparam("sink"), unsent(), outbox.c.reason.in_((*ALARMS, "digest"))
)
_JOIN = upsert(members, [column.name for column in members.c], on=("group", "incident"))
_LATER = update(outbox).where(outbox.c.id == bindparam("_id")).values(next_at=bindparam("_at"))


def allow(tx: Transaction, sink: str) -> None:
    """Of what shares the allowance of `sink` leave one that may be sent now, or none; the others wait."""
    due = _announced(tx, sink, _sharing(tx, _DUE, sink))
    if not due:
        return
    sent = _sharing(tx, _SENT.order_by(outbox.c.finished_at), sink)
    under_way = [tx.now for _ in _sharing(tx, _UNDER_WAY, sink)]
    pause = tx.policy.pause(sink)
    at = opens([*(row.finished_at for row in sent), *under_way], pause, tx.now)
    if at > tx.now:
        _postpone(tx, due, at)
        return
    last = sent[-1].reason if sent else None
    first = _first(due, last)
    if first.reason == "digest":
        # What still collects, for a digest of its own or the next message of a thread, goes with this one.
        gathered = [
            group for query in (_COLLECTING, _THREADS) for group in tx.connection.execute(query, {"sink": sink})
        ]
        reconsider(tx, [group.id for group in gathered], flush=True)
        due = _announced(tx, sink, _sharing(tx, _DUE, sink))
        first = _first(due, last)
    # One that was tried may have arrived: nothing is added to it.
    goes = [row for row in due if row.reason == "digest" and not row.attempts] if not first.attempts else []
    if first.id not in {row.id for row in goes}:
        goes = [first]
    if len(goes) > 1:
        _join(tx, sink, goes)
    _postpone(tx, [row for row in due if row not in goes], tx.now + pause)


def _announced(tx: Transaction, sink: str, due: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Those that remind of nothing that the sink is yet to be told of; the others wait."""
    reminders = {row.id: set(json.loads(row.incidents)) for row in due if row.reason in ("overdue", "repeat")}
    if not reminders:
        return list(due)
    about = {"sink": sink}
    untold = set(tx.connection.execute(_GATHERED, about).scalars())
    untold.update(*map(json.loads, tx.connection.execute(_ANNOUNCING, about).scalars()))
    early = [row for row in due if not untold.isdisjoint(reminders.get(row.id, ()))]
    _postpone(tx, early, tx.now + tx.policy.pause(sink))
    return [row for row in due if row not in early]


def _first(due: Sequence[Row[Any]], last: Reason | None) -> Row[Any]:
    first = next_of([Waiting(row.id, row.reason, row.created_at) for row in due], last)
    return next(row for row in due if row.id == first.id)


def _sharing(tx: Transaction, query: Select[Any], sink: str) -> list[Row[Any]]:
    about = {"sink": sink, "now": tx.now, "since": tx.now - _LATELY}
    pager = sink in tx.policy.pagers
    return [row for row in tx.connection.execute(query, about) if shares(row.reason, row.key, pager=pager)]


def _postpone(tx: Transaction, rows: Iterable[Row[Any]], at: float) -> None:
    apply_all(tx.connection, _LATER, [{"_id": row.id, "_at": at} for row in rows])


def _join(tx: Transaction, sink: str, rows: Sequence[Row[Any]]) -> None:
    """One message instead of these, and from now on one thread: of what becomes of its incidents that hears."""
    ids = list(dict.fromkeys(id_ for row in rows for id_ in json.loads(row.incidents)))
    key = FOLD + secrets.token_hex(12)
    made = {"sink": sink, "key": key, "route": "", "kind": "digest", "created_at": tx.now, "hold_until": tx.now}
    thread = tx.connection.execute(insert(groups).values(**made, sent_at=tx.now).returning(groups.c.id)).scalar_one()
    _move(tx, [row.key for row in rows], sink, ids, thread)
    for chunk in chunks(row.id for row in rows):
        tx.connection.execute(delete(outbox).where(outbox.c.id.in_(chunk)))
    severity, since = worst(row.severity for row in rows), min(row.created_at for row in rows)
    post(tx, [new_row(sink=sink, key=key, reason="digest", incidents=ids, severity=severity, now=since)])
    tx.changed()
    reconsider(tx, [thread])  # when it is to be looked at again


def _move(tx: Transaction, keys: Sequence[str], sink: str, ids: Sequence[str], thread: int) -> None:
    """Those of `ids` that the groups of `keys` have into the group `thread`."""
    left = (
        tx.connection.execute(select(groups.c.id).where(groups.c.sink == sink, groups.c.key.in_(keys))).scalars().all()
    )
    for chunk in chunks(ids):
        here = (members.c.group.in_(left), members.c.incident.in_(chunk))
        rows = [{**row._mapping, "group": thread} for row in tx.connection.execute(select(members).where(*here))]
        apply_all(tx.connection, _JOIN, rows)
        tx.connection.execute(delete(members).where(*here))
