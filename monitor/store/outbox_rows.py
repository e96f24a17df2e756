"""Rows of the outbox: made, parted for a sink that takes less at once, and told together to a slow one."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from monitor.common.notification import Reason
from monitor.common.severity import Severity, rank, worst
from monitor.domain.incidents import urgency
from monitor.routing.budget import BUNDLE, shares
from monitor.store.records import OutboxEntry
from monitor.store.rows import chunks, clean, load_incidents, narrowed
from monitor.store.schema import outbox, unsent
from monitor.store.transaction import Transaction

__all__ = ["BEHIND", "bundle", "cut", "new_row", "outbox_entry", "part", "post", "shown"]

BEHIND = 1.0  # next_at of a further part that waits for no turn: right behind the one before it
_NEW = insert(outbox)


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


def outbox_entry(row: Row[Any]) -> OutboxEntry:
    """A row for people."""
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
        seq=row.seq,
        text=row.text,
        severity=row.severity,
        tried=tuple(json.loads(row.tried)),
    )


def post(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into the outbox; delivery looks at it."""
    if rows:
        tx.connection.execute(_NEW, rows)
        tx.announce()


def shown(connection: Connection, id_: str, sink: str | None = None) -> list[str]:
    """Incidents of that message, where it was to `sink`; none: it is forgotten."""
    query = select(outbox.c.incidents).where(outbox.c.id == id_)
    said = connection.execute(narrowed(query, None if sink is None else outbox.c.sink == sink)).scalar()
    return list(json.loads(said)) if said else []


def cut(tx: Transaction, row: Row[Any], most: int) -> int:
    """Leave the worst `most` incidents in `row`: its title says how many there are, and all were told before. Returns
    1, as `part` does of so many."""
    ids = list(_worst_first(tx, row))[:most]
    tx.connection.execute(update(outbox).where(outbox.c.id == row.id).values(incidents=json.dumps(ids)))
    return 1


def _worst_first(tx: Transaction, row: Row[Any]) -> dict[str, Severity]:
    about = load_incidents(tx.connection, json.loads(row.incidents))
    return {one.id: one.severity for one in sorted(about, key=urgency)}


def part(tx: Transaction, row: Row[Any], most: int, *, paced: bool = False, read: bool = True) -> int:
    """Leave the worst `most` incidents in `row`, and put the others into rows of their own behind it. `paced`:
    where the sink is told so many at once in no more than its allowance, each waits for its turn if people `read` it.
    """
    severities = _worst_first(tx, row)
    ids = list(severities)
    first, *rest = [ids[start : start + most] for start in range(0, len(ids), most)] or [[]]
    if not rest:
        return 1
    tx.connection.execute(update(outbox).where(outbox.c.id == row.id).values(incidents=json.dumps(first)))
    rows = [
        new_row(
            sink=row.sink,
            key=row.key,
            reason=row.reason,
            incidents=piece,
            severity=worst(severities[id_] for id_ in piece),
            now=row.created_at,
            title=row.title,
            text=row.text,
            tried=json.loads(row.tried),
        )
        for piece in rest
    ]
    if paced and shares(row.reason, row.key, pager=row.sink in tx.policy.pagers):
        for number, one in enumerate(rows, 1):
            one["next_at"] = tx.now + number * tx.policy.pause(row.sink) if read else BEHIND
    post(tx, rows)
    return 1 + len(rest)


def bundle(tx: Transaction, sink: str, keep: int) -> None:
    """For a sink that takes one message after the other: what is new beyond `keep` is told together.

    Nothing that was tried is touched, as it may have arrived, and no bundle, or it would never get its turn.
    """
    query = select(outbox).where(
        outbox.c.sink == sink,
        unsent(),
        outbox.c.state == "pending",
        outbox.c.attempts == 0,
        outbox.c.next_at <= tx.now,
        outbox.c.reason.in_(("new", "digest")),
        ~outbox.c.key.startswith(BUNDLE, autoescape=True),
    )
    rows = list(tx.connection.execute(query.order_by(outbox.c.seq)))
    if len(rows) <= 2 * keep:  # not for each one that comes
        return
    rows.sort(key=lambda row: -rank(row.severity))
    for severity, group in itertools.groupby(rows[keep:], key=lambda row: row.severity):
        folded = list(group)
        if len(folded) < 2:
            continue
        for chunk in chunks(row.id for row in folded):
            tx.connection.execute(delete(outbox).where(outbox.c.id.in_(chunk)))
        made = new_row(
            sink=sink,
            key=f"{BUNDLE}{uuid.uuid4().hex[:16]}",
            reason="digest",
            incidents=list(dict.fromkeys(id_ for row in folded for id_ in json.loads(row.incidents))),
            severity=severity,
            now=min(row.created_at for row in folded),
        )
        post(tx, [made])
