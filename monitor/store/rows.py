"""Between rows and dataclasses: text the databases accept, incidents, chunks of long IN lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    Table,
    TextClause,
    bindparam,
    func,
    literal_column,
    select,
    text,
)

from monitor.common.grouping import grouped
from monitor.common.notification import Location
from monitor.common.text import clean as encodable
from monitor.domain.incidents import Incident, Verified
from monitor.runbook.progress import RunbookRun, Task
from monitor.store.records import ActionRun
from monitor.store.schema import ASIDE, audit, findings, incidents, runs, steps

__all__ = [
    "action_from",
    "any_of",
    "apply_all",
    "chunks",
    "clean",
    "incident_by_id",
    "incident_columns",
    "incident_from",
    "latest_decision",
    "load_incidents",
    "load_locations",
    "load_runs",
    "narrowed",
    "open_handles",
    "rows_among",
    "upsert",
]

_T = TypeVar("_T")
_CHUNK = 500  # below every limit on the number of parameters


def chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Lists of at most 500, without repeats."""
    unique = list(dict.fromkeys(items))
    for start in range(0, len(unique), _CHUNK):
        yield unique[start : start + _CHUNK]


def clean(text: str) -> str:
    """Text both databases accept: no NUL, no lone surrogate (file names are bytes; Python smuggles them so)."""
    if text.isascii() and "\0" not in text:
        return text
    return encodable(text).replace("\0", "\\x00")


def any_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether it is one of `ids`, a list that comes with the execution: to build a statement takes several times as
    long as to execute one, so those that every finding needs are built once."""
    return column.in_(bindparam("ids", expanding=True))


def narrowed(query: Select[Any], *conditions: ColumnElement[bool] | None) -> Select[Any]:
    """The query, with those of the conditions that are asked for."""
    return query.where(*(one for one in conditions if one is not None))


def rows_among(connection: Connection, query: Select[Any], ids: Iterable[Any]) -> Iterator[Row[Any]]:
    """What `query`, which asks for `any_of` a column, finds of `ids`: some hundred of them at a time."""
    for chunk in chunks(ids):
        yield from connection.execute(query, {"ids": chunk}).all()


def apply_all(connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    """The statement for each of the rows; without rows nothing, where SQLAlchemy would execute it once."""
    if rows:
        connection.execute(statement, rows)


def upsert(table: Table, columns: Sequence[str], *, on: Sequence[str], changing: Sequence[str] = ()) -> TextClause:
    """INSERT of these columns that changes some of the row which is there already, or leaves it (none).

    In words that both databases take, to be built once: SQLAlchemy compiles its own at every execution.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(f":{name}" for name in columns)
    there = ", ".join(f'"{name}"' for name in on)
    change = ", ".join(f'"{name}" = excluded."{name}"' for name in changing)
    then = f"UPDATE SET {change}" if changing else "NOTHING"
    statement = text(f'INSERT INTO "{table.name}" ({names}) VALUES ({values}) ON CONFLICT ({there}) DO {then}')  # noqa: S608 # names of ours
    return statement.bindparams(*(bindparam(name, type_=table.c[name].type) for name in columns))


def incident_columns(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "fingerprint": incident.fingerprint,
        "rule": clean(incident.rule),
        "name": clean(incident.name),
        "severity": incident.severity,
        "confidence": incident.confidence,
        "state": incident.state,
        "resolution": incident.resolution,
        "masked": clean(incident.masked),
        "first_seen": incident.first_seen,
        "last_seen": incident.last_seen,
        "first_logged": incident.first_logged,
        "occurrences": incident.occurrences,
        "reopens": incident.reopens,
        "resolved_at": incident.resolved_at,
        "owner": None if incident.owner is None else clean(incident.owner),
        "runbook": None if incident.runbook is None else clean(incident.runbook),
        "labels": json.dumps(dict(incident.labels)),
        "validity": incident.verified.validity if incident.verified else None,
        "verified": _verified_column(incident.verified),
        "base_severity": incident.base,
        "merged": incident.merged,
    }


def incident_from(row: Row[Any], locations: tuple[Location, ...] = ()) -> Incident:
    return Incident(
        id=row.id,
        fingerprint=row.fingerprint,
        rule=row.rule,
        name=row.name,
        severity=row.severity,
        confidence=row.confidence,
        state=row.state,
        masked=row.masked,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        first_logged=row.first_logged,
        occurrences=row.occurrences,
        reopens=row.reopens,
        resolution=row.resolution,
        resolved_at=row.resolved_at,
        owner=row.owner,
        runbook=row.runbook,
        labels=json.loads(row.labels),
        locations=locations,
        verified=None if row.verified is None else Verified(row.validity, **json.loads(row.verified)),
        base=row.base_severity,
        merged=row.merged,
    )


def _verified_column(verified: Verified | None) -> str | None:
    if verified is None:
        return None
    facts = {clean(name): clean(text) for name, text in verified.facts.items()}
    kept = {"at": verified.at, "reason": clean(verified.reason), "provider": verified.provider, "facts": facts}
    return json.dumps(kept)


_INCIDENTS = select(incidents).where(any_of(incidents.c.id))
_OPEN_HANDLES = select(incidents).where(any_of(incidents.c.fingerprint))


def load_incidents(connection: Connection, ids: Sequence[str], *, locations: bool = False) -> list[Incident]:
    """In the order of `ids`; those that do not exist are left out."""
    places = load_locations(connection, ids) if locations else {}
    found = {row.id: incident_from(row, places.get(row.id, ())) for row in rows_among(connection, _INCIDENTS, ids)}
    return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]


def incident_by_id(connection: Connection, id_: str) -> tuple[Incident, Row[Any]]:
    """With its row. Raises LookupError."""
    row = connection.execute(_INCIDENTS, {"ids": [id_]}).first()
    if row is None:
        raise LookupError(f"there is no incident {id_}")
    return incident_from(row), row


def open_handles(connection: Connection, fingerprints: Iterable[str]) -> dict[str, Row[Any]]:
    """By fingerprint, the incident that its sightings count for: its own, or the one that was merged into."""
    own = {row.fingerprint: row for row in rows_among(connection, _OPEN_HANDLES, fingerprints)}
    merged = [row.merged for row in own.values() if row.merged is not None]
    survivors = {row.id: row for row in rows_among(connection, _INCIDENTS, merged)}
    return {fingerprint: survivors.get(row.merged, row) for fingerprint, row in own.items()}


def latest_decision() -> Select[Any]:
    """The row in the trail of the last change of state of each incident among `ids`."""
    aside: list[ColumnElement[str]] = [literal_column(f"'{action}'") for action in ASIDE]
    decisions = any_of(audit.c.incident) & audit.c.action.not_in(aside) & audit.c.step.is_(None)
    return select(func.max(audit.c.seq)).where(decisions).group_by(audit.c.incident)


_LOCATIONS = (
    select(
        findings.c.incident,
        findings.c.source,
        findings.c.node,
        findings.c.path,
        findings.c.offset,
        findings.c.line,
        findings.c.time,
        findings.c.url,
        findings.c.service,
        findings.c.logged_at,
        findings.c.context,
    )
    .where(any_of(findings.c.incident))
    .order_by(findings.c.seq.desc())
)


def load_locations(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Location, ...]]:
    """Newest first, for each incident id."""
    rows = rows_among(connection, _LOCATIONS, ids)
    by_incident = grouped((row.incident, _location(row)) for row in rows)
    return {incident: tuple(places) for incident, places in by_incident.items()}


def _location(row: Row[Any]) -> Location:
    return Location(
        source=row.source,
        path=row.path,
        offset=row.offset,
        line=row.line,
        time=datetime.fromtimestamp(row.time, UTC),
        url=row.url,
        host=row.node or None,
        service=row.service,
        logged_at=None if row.logged_at is None else datetime.fromtimestamp(row.logged_at, UTC),
        context=row.context,
    )


_RUNS = select(runs).where(any_of(runs.c.incident))
_STEPS = select(steps).where(any_of(steps.c.incident)).order_by(steps.c.incident, steps.c.place)


def load_runs(connection: Connection, ids: Iterable[str]) -> dict[str, RunbookRun]:
    """By incident; those that have none are left out."""
    by_incident = {row.incident: row for row in rows_among(connection, _RUNS, ids)}
    tasks = grouped((row.incident, _task(row)) for row in rows_among(connection, _STEPS, by_incident))
    return {
        id_: RunbookRun(
            incident=id_,
            book=row.book,
            title=row.title,
            order=row.way,
            why=row.why,
            started=row.started,
            tasks=tuple(tasks.get(id_, ())),
            ended=row.ended,
        )
        for id_, row in by_incident.items()
    }


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.step,
        title=row.title,
        phase=row.phase,
        actor=row.actor,
        within=row.within,
        deadline=row.deadline,
        since=row.since,
        needs=tuple(json.loads(row.needs)),
        claims=row.claims,
        shows=row.shows,
        quiet=row.quiet,
        state=row.state,
        owner=row.owner,
        note=row.note,
        rung=row.rung,
    )


def action_from(row: Row[Any]) -> ActionRun:
    return ActionRun(
        id=row.id,
        incident=row.incident,
        action=row.action,
        state=row.state,
        automatic=bool(row.automatic),
        needed=row.needed,
        approvals=tuple(json.loads(row.approvals)),
        planned_by=row.planned_by,
        planned_at=row.planned_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        step=row.step,
        outcome=row.outcome,
        parts=json.loads(row.parts),
    )
