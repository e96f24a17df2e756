"""Drills: synthetic secrets that somebody plants on purpose.

What is written here beforehand decides what is one, never a label, which a log may bring along.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from monitor.common.grouping import grouped
from monitor.common.wording import moment
from monitor.store.rows import any_of, clean, rows_among
from monitor.store.schema import MONITOR, audit, drill_runs, drills, incidents
from monitor.store.trail import noted
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

__all__ = [
    "BEAT",
    "DrillHop",
    "DrillRow",
    "DrillRun",
    "Drilled",
    "Drills",
    "UnderWayError",
    "drills_among",
    "forget",
    "last_drill",
    "last_success",
    "paging",
]

BEAT = 10.0  # seconds within which who follows a drill says so again
_SILENT = 60.0  # seconds without a word, after which nobody does: it was killed

DrillHop = tuple[str, float, str]  # its name, seconds after the secret was planted, and a detail


class UnderWayError(Exception):
    """No drill was begun. The message says why."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill and how far it went: found in the log, acknowledged (once everybody was told), resolved. `at`: seconds
    since the epoch."""

    fingerprint: str
    at: float
    found: bool
    acknowledged: bool
    resolved: bool

    @property
    def hops(self) -> int:
        """How many of the three came."""
        return self.found + self.acknowledged + self.resolved


@dataclass(frozen=True, slots=True)
class DrillRun:
    """A drill that somebody follows, and the hops that came. `standing`: "left": nobody follows it any more, and nobody
    has ended it. `broken`: which hop did not come, and why."""

    by: str
    source: str
    rule: str
    hops: Sequence[DrillHop]
    standing: Literal["under way", "whole", "broken", "left"]
    broken: str = ""


@dataclass(frozen=True, slots=True)
class DrillRow:
    """As `Drilled`, for a list. `incident`: what was opened for it; empty: it was not found, or is forgotten. `run`:
    None: of a version that did not note it."""

    at: float
    incident: str
    acknowledged: bool
    resolved: bool
    run: DrillRun | None = None


class Drills(StoreRepository):
    """Drills that were planted."""

    @durably
    def plan(self, tx: Transaction, fingerprints: Sequence[str], *, pages: bool) -> None:
        """What is found with one of these fingerprints from now on is a drill. Without `pages` no pager is told."""
        _plan(tx, fingerprints, pages=pages)

    @durably
    def begin(
        self,
        tx: Transaction,
        id_: str,
        fingerprints: Sequence[str],
        *,
        pages: bool,
        by: str,
        source: str,
        rule: str,
        alone: bool,
    ) -> None:
        """As `plan`, of a drill that is followed from now on. `alone`: not beside another that is. Raises
        UnderWayError, also where this one was begun before."""
        if tx.connection.execute(select(drill_runs.c.id).where(drill_runs.c.id == id_)).first() is not None:
            raise UnderWayError("this drill was begun already")
        followed = drill_runs.c.ended.is_(None) & (drill_runs.c.alive > tx.now - _SILENT)
        if alone and (other := tx.connection.execute(select(drill_runs).where(followed)).first()) is not None:
            raise UnderWayError(
                f"a drill of {other.by} in {other.source} is under way since {moment(other.at)}: wait until it is over"
            )
        _plan(tx, fingerprints, pages=pages)
        row = {"id": id_, "at": tx.now, "by": clean(by), "source": clean(source), "rule": clean(rule)}
        tx.connection.execute(insert(drill_runs).values(**row, alive=tx.now, hops="[]", broken=""))
        noted(tx, "drill_begun", _what(source, rule, "pagers too" if pages else ""), actor=by, chain=MONITOR)

    @writes
    def goes_on(self, tx: Transaction, id_: str, hops: Sequence[DrillHop]) -> None:
        """Somebody follows it, and these hops came."""
        _follow(tx, id_, hops)

    @durably
    def end(self, tx: Transaction, id_: str, hops: Sequence[DrillHop], broken: str = "") -> None:
        """`broken`: which hop did not come, and why; empty: each came."""
        row = tx.connection.execute(select(drill_runs).where(drill_runs.c.id == id_)).first()
        if row is None:  # forgotten
            return
        _follow(tx, id_, hops, ended=tx.now, broken=clean(broken))
        noted(tx, "drill_over", _what(row.source, row.rule, broken or "every hop came"), actor=row.by, chain=MONITOR)

    @read_only
    def last(self, connection: Connection) -> Drilled | None:
        """The newest one; None: there was none, or none that is still stored."""
        return last_drill(connection)

    @read_only
    def all(self, connection: Connection) -> list[DrillRow]:
        """The newest first."""
        acked = exists().where(audit.c.incident == incidents.c.id, audit.c.action == "acknowledged")
        query = (
            select(drills.c.at, incidents.c.id, incidents.c.state, acked.label("acked"))
            .outerjoin(incidents, incidents.c.fingerprint == drills.c.fingerprint)
            .order_by(drills.c.at.desc(), incidents.c.id)
        )
        # One drill may have planted several: what one rule finds in it, and what others do.
        planted = grouped((row.at, row) for row in connection.execute(query))
        runs = {row.at: _run(row, self._session.now()) for row in connection.execute(select(drill_runs))}
        return [
            DrillRow(
                at,
                next((row.id for row in rows if row.id is not None), ""),
                any(row.id is not None and row.acked for row in rows),
                any(row.state == "resolved" for row in rows),
                runs.get(at),
            )
            for at, rows in planted.items()
        ]

    @read_only
    def among(self, connection: Connection, fingerprints: Sequence[str]) -> frozenset[str]:
        """Those that are drills."""
        return frozenset(drills_among(connection, fingerprints))


def _plan(tx: Transaction, fingerprints: Sequence[str], *, pages: bool) -> None:
    rows = [{"fingerprint": one, "pages": int(pages), "at": tx.now} for one in dict.fromkeys(fingerprints)]
    tx.connection.execute(insert(drills), rows)


def _follow(tx: Transaction, id_: str, hops: Sequence[DrillHop], **more: object) -> None:
    said = json.dumps([(clean(name), round(seconds, 3), clean(detail)) for name, seconds, detail in hops])
    tx.connection.execute(update(drill_runs).where(drill_runs.c.id == id_).values(alive=tx.now, hops=said, **more))


def _what(source: str, rule: str, more: str) -> str:
    return f"source {source}, rule {rule}{more and f': {more}'}"


def _run(row: Row[Any], now: float) -> DrillRun:
    hops: list[DrillHop] = [(name, seconds, detail) for name, seconds, detail in json.loads(row.hops)]
    if row.ended is not None:
        standing: Literal["under way", "whole", "broken", "left"] = "broken" if row.broken else "whole"
    else:
        standing = "under way" if row.alive > now - _SILENT else "left"
    return DrillRun(row.by, row.source, row.rule, hops, standing, row.broken)


def last_success(connection: Connection) -> float | None:
    """When the newest drill that went all the way was planted."""
    seen = exists().where(audit.c.incident == incidents.c.id, audit.c.action == "acknowledged")
    done = exists().where(incidents.c.fingerprint == drills.c.fingerprint, incidents.c.state == "resolved", seen)
    # From drills to incidents: the other way round, all that are resolved are looked at.
    return connection.execute(select(drills.c.at).where(done).order_by(drills.c.at.desc()).limit(1)).scalar()


def last_drill(connection: Connection) -> Drilled | None:
    """The newest one; None: there was none, or none that is still stored."""
    # One drill may have planted several: what one rule finds in it, and what others do. Any of them is followed.
    newest = connection.execute(select(drills).order_by(drills.c.at.desc(), drills.c.fingerprint).limit(1)).first()
    if newest is None:
        return None
    same = select(drills.c.fingerprint).where(drills.c.at == newest.at)
    rows = connection.execute(select(incidents).where(incidents.c.fingerprint.in_(same))).all()
    entries = select(audit.c.action).where(audit.c.incident.in_([row.id for row in rows]))
    return Drilled(
        fingerprint=rows[0].fingerprint if rows else newest.fingerprint,
        at=newest.at,
        found=bool(rows),
        acknowledged="acknowledged" in connection.execute(entries).scalars().all(),
        resolved=any(row.state == "resolved" for row in rows),
    )


_ROWS = select(drills).where(any_of(drills.c.fingerprint))


def drills_among(connection: Connection, fingerprints: Iterable[str]) -> dict[str, bool]:
    """Those that are drills, and whether pagers are told of them."""
    return {row.fingerprint: bool(row.pages) for row in rows_among(connection, _ROWS, fingerprints)}


def paging(found: dict[str, bool], fingerprint: str) -> bool:
    """Whether pagers may be told of it: of everything but a drill that does not ask for it."""
    return found.get(fingerprint, True)


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """Of incidents that go."""
    known = select(incidents.c.fingerprint).where(incidents.c.id.in_(ids))
    tx.connection.execute(delete(drills).where(drills.c.fingerprint.in_(known)))
    tx.connection.execute(delete(drill_runs).where(drill_runs.c.at.not_in(select(drills.c.at))))
