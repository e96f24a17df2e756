"""Every key under which a pager was woken about an incident hears what becomes of it: that of its group, and also the
page of an overdue step, one that a fallback took over, and a digest that its last member has left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from monitor.common.notification import Reason
from monitor.common.severity import worst
from monitor.domain.incidents import Incident
from monitor.store.outbox_rows import new_row, post
from monitor.store.reminders import OVERDUE, TOGETHER
from monitor.store.rows import apply_all, chunks, load_incidents, upsert
from monitor.store.schema import groups, incidents, members, outbox, receipts, unsent
from monitor.store.transaction import Transaction

__all__ = ["follow", "left", "take_over", "together"]

_TOLD = ("told_state", "told_severity", "told_occurrences", "told_reopens", "told_validity")
_JOIN = upsert(members, ("group", "incident", "source", "path", *_TOLD), on=("group", "incident"))


def follow(tx: Transaction, changed: Sequence[Incident]) -> None:
    """Whoever was woken for an overdue step of these hears that they are acknowledged or resolved now."""
    if not tx.policy.pagers or not any(incident.state != "open" for incident in changed):
        return
    closed = {f"{OVERDUE}{incident.id}": incident for incident in changed if incident.state != "open"}
    rows = []
    for sink, key in _woken(tx, [*closed, TOGETHER]):
        about = [closed[key]] if key in closed else load_incidents(tx.connection, together(tx.connection, sink))
        if not about or any(incident.state == "open" for incident in about):
            continue
        waits = [incident for incident in about if incident.state != "resolved"]
        reason: Reason = "acknowledged" if waits else "recovered"
        if _last(tx.connection, sink, key) not in (reason, "recovered"):
            told = [incident.id for incident in waits or about]
            severity = worst(incident.severity for incident in waits or about)
            rows.append(new_row(sink=sink, key=key, reason=reason, incidents=told, severity=severity, now=tx.now))
    post(tx, rows)


def together(connection: Connection, sink: str) -> list[str]:
    """Incidents of the last page about many overdue steps at once."""
    query = select(outbox.c.incidents).where(outbox.c.sink == sink, outbox.c.key == TOGETHER)
    last = connection.execute(query.where(outbox.c.reason == "overdue").order_by(outbox.c.seq.desc()).limit(1)).scalar()
    return list(json.loads(last)) if last else []


def _woken(tx: Transaction, keys: Iterable[str]) -> list[tuple[str, str]]:
    """Sink and key, of these, of what was sent to a pager or waits for it."""
    pagers = sorted(tx.policy.pagers)
    woken: list[tuple[str, str]] = []
    for chunk in chunks(keys):
        sent = select(receipts.c.sink, receipts.c.key).where(receipts.c.sink.in_(pagers), receipts.c.key.in_(chunk))
        waits = select(outbox.c.sink, outbox.c.key).where(outbox.c.sink.in_(pagers), outbox.c.key.in_(chunk), unsent())
        woken += [(row.sink, row.key) for row in tx.connection.execute(sent.union(waits))]
    return woken


def _last(connection: Connection, sink: str, key: str) -> str | None:
    """Why it was told last under this key. None: nobody knows any more."""
    query = select(outbox.c.reason).where(outbox.c.sink == sink, outbox.c.key == key)
    return connection.execute(query.order_by(outbox.c.seq.desc()).limit(1)).scalar()


def take_over(tx: Transaction, row: Row[Any], sink: str) -> None:
    """`sink` is told what another has refused, under the key of that one: it hears of those incidents from now on."""
    ids = json.loads(row.incidents)
    if not ids or row.key.startswith(OVERDUE):
        return
    known = select(groups.c.id).where(groups.c.sink == sink, groups.c.key == row.key)
    group = tx.connection.execute(known).scalar()
    if group is None:
        # No digest: that would be led to by every route of the sink.
        kind = "incident" if row.key.startswith("incident:") else "group"
        made = {"sink": sink, "key": row.key, "route": "", "kind": kind, "created_at": tx.now, "hold_until": tx.now}
        group = tx.connection.execute(insert(groups).values(**made, sent_at=tx.now).returning(groups.c.id)).scalar_one()
    apply_all(tx.connection, _JOIN, [_member(group, incident) for incident in load_incidents(tx.connection, ids)])
    tx.changed()


def _member(group: int, incident: Incident) -> dict[str, Any]:
    return {
        "group": group,
        "incident": incident.id,
        "source": "",
        "path": "",
        "told_state": incident.state,
        "told_severity": incident.severity,
        "told_occurrences": incident.occurrences,
        "told_reopens": incident.reopens,
        "told_validity": incident.verified.validity if incident.verified else None,
    }


def left(tx: Transaction, gone: Iterable[Row[Any]]) -> None:
    """Digests (rows of groups) that an incident has left, to be told by itself: where nothing else in them is open,
    the page is closed, or acknowledged."""
    rows = []
    for group in gone:
        if group.sink not in tx.policy.pagers or group.sent_at is None:
            continue
        query = select(incidents.c.id, incidents.c.state, incidents.c.severity)
        query = query.join(members, members.c.incident == incidents.c.id).where(members.c.group == group.id)
        rest = [one for one in tx.connection.execute(query) if one.state != "resolved"]
        if any(one.state == "open" for one in rest):
            continue
        reason: Reason = "acknowledged" if rest else "recovered"
        about = [one.id for one in rest] or [group.incident]
        severity = worst(one.severity for one in rest) if rest else "info"
        rows.append(
            new_row(sink=group.sink, key=group.key, reason=reason, incidents=about, severity=severity, now=tx.now)
        )
    post(tx, rows)
