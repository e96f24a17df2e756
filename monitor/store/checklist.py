"""Steps of runbooks that are to be done, over all incidents that are not resolved; drills aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, select, tuple_

from monitor.common.severity import Severity
from monitor.store.rows import narrowed
from monitor.store.schema import drills, incidents, open_steps, runs, steps, unresolved
from monitor.store.transaction import StoreRepository, read_only

__all__ = ["Checklist", "DueStep", "real", "undone"]


@dataclass(frozen=True, slots=True)
class DueStep:
    """A step that is not done. `deadline`: seconds since the epoch; `number`: its place in the run."""

    incident: str
    name: str
    severity: Severity
    step: str
    title: str
    owner: str | None
    deadline: float
    number: int

    @property
    def place(self) -> str:
        """Behind which the next one comes."""
        return f"{self.deadline!r}_{self.incident}_{self.number}"


class Checklist(StoreRepository):
    """The first to be due first; of one deadline as the run has them."""

    @read_only
    def page(
        self, connection: Connection, *, owner: str = "", after: str = "", limit: int = 50
    ) -> tuple[int, list[DueStep]]:
        """How many there are, and some of them. `owner`: those that somebody holds; `after`: the place behind which.
        Raises ValueError where it is none."""
        # Counted in the same pass, and by what the index has: to look for each step is what takes long.
        keys = (steps.c.deadline, steps.c.incident, steps.c.place)
        every = narrowed(undone().with_only_columns(*keys), steps.c.owner == owner if owner else None)
        counted = every.add_columns(func.count().over().label("total")).subquery()
        order = (counted.c.deadline, counted.c.incident, counted.c.place)
        listed = select(counted).order_by(*order).limit(limit)
        if after:
            listed = listed.where(tuple_(*order) > tuple_(*map(literal, _place(after))))
        rows = connection.execute(listed).all()
        if not rows:
            return connection.execute(select(func.count()).select_from(every.subquery())).scalar_one(), []
        shown = tuple_(steps.c.incident, steps.c.place).in_([(row.incident, row.place) for row in rows])
        due = connection.execute(undone().where(shown).order_by(*keys)).all()
        return rows[0].total, [DueStep(*row) for row in due]


def _place(text: str) -> tuple[float, str, int]:
    try:
        deadline, incident, number = text.split("_", 2)
        return float(deadline), incident, int(number[:9])
    except ValueError:
        raise ValueError("it names no place in this list") from None


def real() -> ColumnElement[bool]:
    """No drill, nor one that counts for another since people took both for one."""
    return and_(incidents.c.fingerprint.not_in(select(drills.c.fingerprint)), incidents.c.merged.is_(None))


def undone() -> Select[Any]:
    """The columns of `DueStep`."""
    return (
        select(
            incidents.c.id.label("incident"),
            *(incidents.c.name, incidents.c.severity, steps.c.step, steps.c.title, steps.c.owner, steps.c.deadline),
            steps.c.place,
        )
        .join(runs, runs.c.incident == incidents.c.id)
        .join(steps, steps.c.incident == incidents.c.id)
        # In the words of the partial index: few are unresolved.
        .where(unresolved(), real(), runs.c.ended.is_(None), open_steps())
    )
