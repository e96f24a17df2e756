"""Figures over all incidents but drills: what stands open, what is late, how long answers took, for how long secrets
were exposed. Each is one question of the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)

from monitor.common.notification import State
from monitor.common.outcome import HARMLESS
from monitor.common.severity import Severity
from monitor.store.checklist import DueStep, real, undone
from monitor.store.schema import audit, incidents, steps, unresolved
from monitor.store.transaction import StoreRepository, read_only

__all__ = ["DAYS", "Figures", "FiguresRepository", "Took", "took"]

DAYS = (7, 30, 90)  # windows that end now
_DAY = 86_400.0  # seconds
_SHOWN = 10  # of what is oldest and latest


@dataclass(frozen=True, slots=True)
class Took:
    """How long something took of `count` incidents, in seconds: half of them at most `median`, nine of ten `p90`."""

    count: int
    median: float
    p90: float


@dataclass(frozen=True, slots=True)
class Figures:
    """`unacknowledged`: the oldest of those that are open: id, name, severity, first seen. `late`: of `late_steps`, the
    latest first. `took`: acknowledge, revoke and close, by window, from first seen; None: of none. `exposed`: hours in
    which secrets were, by window."""

    at: float
    standing: Mapping[tuple[Severity, State], int]
    unacknowledged: Sequence[tuple[str, str, Severity, float]]
    late_steps: int
    late: Sequence[DueStep]
    took: Mapping[str, Mapping[int, Took | None]]
    exposed: Mapping[int, float]


class FiguresRepository(StoreRepository):
    """Asked for seldom: what asks keeps them for a while."""

    @read_only
    def all(self, connection: Connection) -> Figures:
        now = self._session.now()
        latest = connection.execute(_late(now)).all()
        counted = select(incidents.c.severity, incidents.c.state, func.count()).where(unresolved(), real())
        open_ = select(incidents.c.id, incidents.c.name, incidents.c.severity, incidents.c.first_seen)
        # In the words of the partial index: few are unresolved.
        open_ = open_.where(unresolved(), incidents.c.state == "open", real()).order_by(incidents.c.first_seen)
        asked = {"acknowledge": _acknowledged(), "revoke": _revoked(), "close": _closed()}
        since = now - DAYS[-1] * _DAY
        return Figures(
            at=now,
            standing={
                (severity, state): count
                for severity, state, count in connection.execute(
                    counted.group_by(incidents.c.severity, incidents.c.state)
                )
            },
            unacknowledged=[
                (row.id, row.name, row.severity, row.first_seen) for row in connection.execute(open_.limit(_SHOWN))
            ],
            late_steps=latest[0].total if latest else 0,
            late=[DueStep(*row[:-1]) for row in latest],
            took={name: took(connection.execute(query, {"since": since}), now) for name, query in asked.items()},
            exposed=_exposed(connection, now),
        )


def took(rows: Iterable[Sequence[Any]], now: float) -> dict[int, Took | None]:
    """By window. `rows`: when it happened, and how long it had taken."""
    known = [(at, max(seconds, 0.0)) for at, seconds in rows]
    return {days: _share([seconds for at, seconds in known if at >= now - days * _DAY]) for days in DAYS}


def _share(seconds: list[float]) -> Took | None:
    if not seconds:
        return None
    seconds.sort()
    count = len(seconds)
    return Took(count, seconds[(count - 1) // 2], seconds[-(-count * 9 // 10) - 1])


def _late(now: float) -> Select[Any]:
    late = undone().where(steps.c.deadline < now).add_columns(func.count().over().label("total"))
    return late.order_by(steps.c.deadline, incidents.c.id, steps.c.place).limit(_SHOWN)


# Of each incident, when it happened and how many seconds that was after it was first seen.

_SINCE: BindParameter[float] = bindparam("since")
_REVOKED = func.coalesce(
    case((steps.c.state == "done", steps.c.since)),
    case((incidents.c.resolution == "revoked", incidents.c.resolved_at)),
)


def _with_revocation(*columns: ColumnElement[Any]) -> Select[Any]:
    """Incidents with their step `revoke`, where their run has one."""
    its = and_(steps.c.incident == incidents.c.id, steps.c.step == "revoke")
    return select(*columns).select_from(incidents.outerjoin(steps, its)).where(real())


def _acknowledged() -> Select[Any]:
    # Of those of which it may be: many histories are long.
    lately = or_(incidents.c.state == "acknowledged", incidents.c.resolved_at >= _SINCE, incidents.c.reopens > 0)
    at = func.min(audit.c.at)
    return (
        select(at, at - incidents.c.first_seen)
        .join(incidents, incidents.c.id == audit.c.incident)
        .where(audit.c.action == "acknowledged", lately, real())
        .group_by(incidents.c.id, incidents.c.first_seen)
        .having(at >= _SINCE)
    )


def _revoked() -> Select[Any]:
    return _with_revocation(_REVOKED, _REVOKED - incidents.c.first_seen).where(_REVOKED >= _SINCE)


def _closed() -> Select[Any]:
    seconds = incidents.c.resolved_at - incidents.c.first_seen
    return select(incidents.c.resolved_at, seconds).where(incidents.c.resolved_at >= _SINCE, real())


def _exposed(connection: Connection, now: float) -> Mapping[int, float]:
    """Hours from when each was first logged or seen until it was revoked, as far as that is within the window."""
    logged, seen = incidents.c.first_logged, incidents.c.first_seen
    begin = case((logged < seen, logged), else_=seen)
    end = func.coalesce(_REVOKED, now)
    exposed = _with_revocation(begin.label("begin"), end.label("end")).where(
        or_(incidents.c.resolution.is_(None), incidents.c.resolution.not_in(HARMLESS)),
        end >= now - DAYS[-1] * _DAY,
    )
    c = exposed.subquery().c
    sums = []
    for since in (now - days * _DAY for days in DAYS):
        within = c.end - case((c.begin < since, literal(since)), else_=c.begin)
        sums.append(func.coalesce(func.sum(case((within > 0, within), else_=0.0)), 0.0))
    row = connection.execute(select(*sums)).one()
    return {days: seconds / 3600 for days, seconds in zip(DAYS, row, strict=True)}
