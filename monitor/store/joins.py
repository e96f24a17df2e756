"""What is shown with incidents: who decided about them last, their runs, whether they are drills, their actions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from monitor.domain.incidents import Incident
from monitor.store.drills import drills_among
from monitor.store.records import ActionRun, Beside
from monitor.store.rows import action_from, chunks, latest_decision, load_runs
from monitor.store.schema import actions, audit

__all__ = ["beside"]

_DECIDED = select(audit.c.incident, audit.c.actor, audit.c.note).where(audit.c.seq.in_(latest_decision()))


def beside(connection: Connection, incidents: Sequence[Incident], *, acted: bool = False) -> Beside:
    """`acted`: with their actions."""
    ids = [one.id for one in incidents]
    return Beside(
        decided=_decided(connection, ids),
        runs=load_runs(connection, ids),
        drills=frozenset(drills_among(connection, (one.fingerprint for one in incidents))),
        actions=_actions(connection, ids) if acted else {},
    )


def _actions(connection: Connection, ids: Sequence[str]) -> dict[str, list[ActionRun]]:
    found: dict[str, list[ActionRun]] = {}
    for chunk in chunks(ids):
        query = select(actions).where(actions.c.incident.in_(chunk)).order_by(actions.c.planned_at.desc())
        for row in connection.execute(query):
            found.setdefault(row.incident, []).append(action_from(row))
    return found


def _decided(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Incident → who changed its state last, and what they said."""
    found: dict[str, tuple[str, str]] = {}
    for chunk in chunks(ids):
        rows = connection.execute(_DECIDED, {"ids": chunk})
        found.update((row.incident, (row.actor, row.note)) for row in rows)
    return found
