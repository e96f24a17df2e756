"""The story of an incident, for the sinks that people act through: each turn that is no change of its state, as a
message of its own behind those that wait, and several that come together as one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from monitor.common.grouping import grouped
from monitor.common.text import clip
from monitor.store.outbox_rows import new_row, post
from monitor.store.rows import any_of, rows_among
from monitor.store.schema import groups, incidents, members, outbox
from monitor.store.transaction import Transaction

__all__ = ["tell"]

_SAID: Mapping[str, str] = {
    "run_adopted": "Runbook taken over",
    "run_ended": "Runbook ended",
    "run_resumed": "Runbook goes on",
    "step_claimed": "Step {step} claimed",
    "step_done": "Step {step} done",
    "step_skipped": "Step {step} skipped",
    "step_failed": "Step {step} failed",
    "step_reopened": "Step {step} reopened",
    "acted": "Action",
    "verified": "The issuer was asked",
    "silenced": "Silenced",
    "unsilenced": "Not silenced any more",
    "noted": "Note",
    "assigned": "Assigned",
}
_LINE, _TEXT = 600, 2500  # characters of one turn, and of what is told together


def tell(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """`rows` as they go into the trail. Who was never told of the incident hears nothing of its turns."""
    if not tx.policy.threads:
        return
    lines = grouped((row["incident"], _line(row)) for row in rows if row["action"] in _SAID)
    for id_, said in lines.items():
        _tell(tx, id_, said)


def _line(row: Mapping[str, Any]) -> str:
    note = f": {row['note']}" if row["note"] else ""
    return clip(f"{_SAID[row['action']].format(step=row['step'])} by {row['actor']}{note}", _LINE)


def _tell(tx: Transaction, id_: str, said: Sequence[str]) -> None:
    for sink, key, severity in _listeners(tx.connection, id_, tx.policy.threads):
        waiting = tx.connection.execute(
            select(outbox)
            .where(outbox.c.sink == sink, outbox.c.key == key, outbox.c.reason == "progress")
            .where(outbox.c.state == "pending", outbox.c.attempts == 0)
            .order_by(outbox.c.seq.desc())
        ).first()
        text = "\n".join(said)
        if waiting is not None and json.loads(waiting.incidents) == [id_] and len(waiting.text) + len(text) < _TEXT:
            more = {"text": f"{waiting.text}\n{text}"}
            tx.connection.execute(update(outbox).where(outbox.c.id == waiting.id).values(**more))
        else:
            made = new_row(
                sink=sink, key=key, reason="progress", incidents=[id_], severity=severity, now=tx.now, text=text
            )
            post(tx, [made])
    tx.announce()


def _listeners(connection: Connection, id_: str, sinks: frozenset[str]) -> list[tuple[str, str, Any]]:
    """Sinks that were told of the incident alone, the key it has there, and its severity."""
    query = (
        select(groups.c.id, groups.c.sink, groups.c.key, incidents.c.severity)
        .join(members, members.c.group == groups.c.id)
        .join(incidents, incidents.c.id == members.c.incident)
        .where(members.c.incident == id_, groups.c.sink.in_(sinks), groups.c.sent_at.is_not(None))
    )
    rows = connection.execute(query.order_by(groups.c.id)).all()
    others = select(members.c.group).where(any_of(members.c.group), members.c.incident != id_)
    crowded = {row.group for row in rows_among(connection, others, [row.id for row in rows])}
    alone = grouped((row.sink, (row.sink, row.key, row.severity)) for row in rows if row.id not in crowded)
    return [first for first, *_ in alone.values()]
