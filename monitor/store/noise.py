"""Noise: how much of what each rule found was no secret, and how often people were told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from monitor.common.outcome import HARMLESS
from monitor.store.checklist import real
from monitor.store.schema import incidents, members
from monitor.store.transaction import StoreRepository, read_only

__all__ = ["Noise", "NoiseRepository", "RuleNoise"]

_DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class RuleNoise:
    """Of the incidents of one rule that were first seen within a window. `alerts`: of how many incidents each sink was
    told, added up; a repeat is none. `harmless`: of the `resolved` those that were no secret, or one of tests."""

    rule: str
    name: str = ""
    incidents: int = 0
    unresolved: int = 0
    resolved: int = 0
    harmless: int = 0
    sightings: int = 0
    alerts: int = 0

    @property
    def share(self) -> float | None:
        """Of what was resolved how much was no secret; None: nothing was."""
        return self.harmless / self.resolved if self.resolved else None


@dataclass(frozen=True, slots=True)
class Noise:
    """As it was `at` (seconds since the epoch)."""

    at: float
    rules: Sequence[RuleNoise]


class NoiseRepository(StoreRepository):
    """Asked for seldom: it looks at all incidents of a window, and what asks keeps the answer for a while."""

    @read_only
    def within(self, connection: Connection, days: int) -> Noise:
        """By rule; drills, and what counts for another incident, aside."""
        now = self._session.now()
        since = now - days * _DAY
        told = select(func.count()).where(members.c.incident == incidents.c.id, members.c.told_state.is_not(None))
        closed = incidents.c.state == "resolved"
        query = (
            select(
                incidents.c.rule,
                func.max(incidents.c.name),
                func.count(),
                _count(~closed),
                _count(closed),
                _count(and_(closed, incidents.c.resolution.in_(HARMLESS))),
                func.sum(incidents.c.occurrences),
                func.sum(told.scalar_subquery()),
            )
            # Nothing was first seen after it was last: by this the index serves where most is older.
            .where(incidents.c.last_seen >= since, incidents.c.first_seen >= since, real())
            .group_by(incidents.c.rule)
        )
        return Noise(now, [RuleNoise(row[0], row[1], *map(int, row[2:])) for row in connection.execute(query)])


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
