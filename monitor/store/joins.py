"""What is shown with incidents: who decided about them last, their runs, whether they are drills, their actions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from monitor.common.grouping import grouped
from monitor.domain.incidents import Incident
from monitor.store.drills import drills_among
from monitor.store.records import Joined
from monitor.store.rows import action_from, any_of, latest_decision, load_runs, rows_among
from monitor.store.schema import actions, audit

__all__ = ["join"]

_DECIDED = select(audit.c.incident, audit.c.actor, audit.c.note, audit.c.at).where(audit.c.seq.in_(latest_decision()))
_ACTIONS = select(actions).where(any_of(actions.c.incident)).order_by(actions.c.planned_at.desc())


def join(connection: Connection, incidents: Sequence[Incident], *, acted: bool = False) -> Joined:
    """`acted`: with their actions."""
    ids = [one.id for one in incidents]
    return Joined(
        decided={row.incident: (row.actor, row.note, row.at) for row in rows_among(connection, _DECIDED, ids)},
        runs=load_runs(connection, ids),
        drills=frozenset(drills_among(connection, (one.fingerprint for one in incidents))),
        actions=grouped(
            (row.incident, action_from(row)) for row in rows_among(connection, _ACTIONS, ids if acted else ())
        ),
    )
