"""How many incidents of each shape a sink was told by themselves: kept in the group of their thread, which is
there from the first of them on, without a member, and is told nothing before it has one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from monitor.domain.incidents import Incident
from monitor.routing.fold import FOLD, Fold, FoldCount, count, fold_key, shape_of
from monitor.routing.routes import IncidentPlace
from monitor.store.rows import any_of, apply_all, rows_among
from monitor.store.schema import findings, groups
from monitor.store.transaction import Transaction

__all__ = ["Folds", "budget_of"]

_LINES = (
    select(findings.c.incident, findings.c.source, findings.c.context)
    .where(any_of(findings.c.incident), findings.c.context.is_not(None))
    .order_by(findings.c.seq.desc())
)
_THREADS = select(groups).where(any_of(groups.c.key))
_COUNT = (
    update(groups)
    .where(groups.c.id == bindparam("_id"))
    .values(route=bindparam("_route"), created_at=bindparam("_since"))
)


def budget_of(counted: FoldCount) -> str:
    """What a group of a thread counts against: how many of its shape were told by themselves."""
    return f"{FOLD}{counted.alone}"


def counted_in(budget: str, since: float, folded_at: float | None) -> FoldCount:
    return FoldCount(int(budget.removeprefix(FOLD)), since, folded_at)


class Folds:
    """Within one transaction. What keeps no line has no shape, and is folded by `burst` alone."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._keys: dict[tuple[str, str], str] = {}  # (incident, source) → key of its shape
        self._known: dict[tuple[str, str], Row[Any]] = {}  # (sink, key) → group
        self._counted: dict[tuple[str, str], FoldCount] = {}

    def load(self, items: Collection[Incident]) -> None:
        by_id = {incident.id: incident for incident in items}
        for id_, source, context in rows_among(self._tx.connection, _LINES, by_id):
            about = by_id[id_]
            if (id_, source) not in self._keys:
                shape = shape_of(context, about.masked)
                self._keys[id_, source] = fold_key(about.rule, source, about.severity, shape)
        for row in rows_among(self._tx.connection, _THREADS, self._keys.values()):
            self._known[row.sink, row.key] = row
            self._counted[row.sink, row.key] = counted_in(row.route, row.created_at, row.sent_at)

    def ask(self, sink: str, incident: Incident, place: IncidentPlace) -> tuple[str, Fold] | None:
        """The key of its thread, and what would become of it there; None: its shape is not known."""
        key = self._keys.get((incident.id, place.source))
        return None if key is None else (key, count(self._counted.get((sink, key)), self._tx.now))

    def known(self, sink: str, key: str) -> Row[Any] | None:
        """The group that is told of the shape; None: it is to be made."""
        return self._known.get((sink, key))

    def keep(self, sink: str, key: str, fold: Fold) -> None:
        """It is counted."""
        self._counted[sink, key] = fold.counted

    def write(self) -> None:
        """What is counted in groups that are there. `created_at` is since when."""
        pairs = [(row, self._counted[place]) for place, row in self._known.items()]
        rows = [
            {"_id": row.id, "_route": budget_of(counted), "_since": counted.since}
            for row, counted in pairs
            if (budget_of(counted), counted.since) != (row.route, row.created_at)
        ]
        apply_all(self._tx.connection, _COUNT, rows)
