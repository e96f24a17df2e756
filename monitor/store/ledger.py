"""Inside a transaction: findings in, incidents folded, changes of state, positions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from monitor.incidents import Action, Change, Incident, fold, transition
from monitor.model import Finding, Position, Resolution
from monitor.routing import Policy
from monitor.store import groups, outbox
from monitor.store.records import Commit
from monitor.store.rows import chunks, clean, incident_columns, incident_from, insert_into
from monitor.store.schema import audit, findings, incidents, positions

__all__ = ["KEEP", "Ingested", "apply_commits", "apply_transition", "audit_row", "position_key", "update_incidents"]

# Findings kept of one incident: so many of the newest, and the newest of so many places. The newest also answer for
# replays; everything older lies before the positions committed since.
KEEP = 100

_MAX_LABELS = 64


@dataclass(slots=True)
class Ingested:
    """New findings of each commit, and how many were known already."""

    new: list[int]
    repeated: int = 0
    opened: int = 0


@dataclass(slots=True)
class _Case:
    """An incident while findings are folded into it."""

    incident: Incident
    exists: bool
    kept: int
    added: int = 0
    # Of the findings that somebody is to hear about:
    places: dict[tuple[str, str], None] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)


def apply_commits(
    connection: Connection, policy: Policy, commits: Sequence[Commit], late: Sequence[Position], now: float
) -> Ingested:
    """Fold all findings, decide who is told, move the positions. `late` positions come after those of the commits."""
    result = Ingested([0] * len(commits))
    first: dict[str, tuple[int, Finding]] = {}
    for number, commit in enumerate(commits):
        for finding in commit.findings:
            if finding.id in first:
                result.repeated += 1
            else:
                first[finding.id] = (number, finding)
    if first:
        _ingest(connection, policy, commits, first, result=result, now=now)
    for commit in commits:
        for notice in commit.notices:
            outbox.add_notice(connection, policy, notice, now)
    _move(connection, [position for commit in commits for position in commit.positions])
    _move(connection, late)
    return result


def _ingest(
    connection: Connection,
    policy: Policy,
    commits: Sequence[Commit],
    first: Mapping[str, tuple[int, Finding]],
    *,
    result: Ingested,
    now: float,
) -> None:
    cases = _load(connection, {finding.fingerprint for _, finding in first.values()})
    ids = _allocate(connection, [finding for _, finding in first.values()], cases)
    fresh = _insert(connection, [finding for _, finding in first.values()], ids)
    result.repeated += len(first) - len(fresh)

    trail: list[dict[str, Any]] = []
    for id_, (number, finding) in first.items():
        if id_ not in fresh:
            continue
        result.new[number] += 1
        case = cases.get(finding.fingerprint)
        was = case.incident if case else None
        change = fold(was, finding)
        incident = change.incident
        if case is None:
            incident = replace(incident, id=ids[finding.fingerprint])
            case = cases[finding.fingerprint] = _Case(incident, exists=False, kept=0)
            result.opened += 1
        elif len(incident.labels) > _MAX_LABELS:
            incident = replace(incident, labels=dict(list(incident.labels.items())[-_MAX_LABELS:]))
        case.incident = incident
        case.added += 1
        if change.reason is not None and commits[number].notify:
            case.places[clean(finding.source), clean(finding.path)] = None
            case.reasons.add(change.reason)
        if change.reason in ("new", "escalated", "reopened"):
            action = "opened" if change.reason == "new" else change.reason
            trail.append(audit_row(incident, was, action, actor="monitor", note="", now=now))

    changed = [case for case in cases.values() if case.added]
    created = [_columns(case) for case in changed if not case.exists]
    if created:
        connection.execute(insert(incidents), created)
    update_incidents(connection, [_columns(case) for case in changed if case.exists])
    if trail:
        connection.execute(insert(audit), trail)
    for case in changed:
        if case.kept + case.added > 2 * KEEP:
            _prune(connection, case.incident.id)
    touched = [
        groups.Touched(
            case.incident,
            tuple(case.places),
            # When it was loud from the start, nobody has been told anything that could have changed.
            urgent=case.exists and bool(case.reasons & {"escalated", "reopened"}),
            everywhere=case.exists and bool(case.reasons & {"escalated", "reopened"}),
        )
        for case in changed
        if case.reasons
    ]
    groups.enrol(connection, policy, touched, now)


def apply_transition(
    connection: Connection,
    policy: Policy,
    incident_id: str,
    action: Action,
    *,
    actor: str,
    resolution: Resolution | None,
    note: str,
    now: float,
) -> Incident:
    """Raises LookupError (no such incident) and TransitionError."""
    row = connection.execute(select(incidents).where(incidents.c.id == incident_id)).first()
    if row is None:
        raise LookupError(f"there is no incident {incident_id}")
    was = incident_from(row)
    change: Change = transition(was, action, actor=actor, now=now, resolution=resolution)
    update_incidents(connection, [{**incident_columns(change.incident), "kept": row.kept}])
    assert change.reason is not None
    connection.execute(insert(audit), [audit_row(change.incident, was, change.reason, actor=actor, note=note, now=now)])
    places: tuple[tuple[str, str], ...] = ()
    if action == "reopen":
        query = select(findings.c.source, findings.c.path).where(findings.c.incident == incident_id)
        newest = connection.execute(query.order_by(findings.c.seq.desc()).limit(1)).first()
        places = ((newest.source, newest.path),) if newest else ()
    touched = groups.Touched(change.incident, places, urgent=action == "reopen", everywhere=True)
    groups.enrol(connection, policy, [touched], now)
    return change.incident


def position_key(key: str) -> str:
    """Keys may hold file names that are not valid Unicode: JSON escapes them, and both databases take ASCII."""
    return json.dumps(key)


def _load(connection: Connection, fingerprints: Iterable[str]) -> dict[str, _Case]:
    cases = {}
    for chunk in chunks(fingerprints):
        for row in connection.execute(select(incidents).where(incidents.c.fingerprint.in_(chunk))):
            cases[row.fingerprint] = _Case(incident_from(row), exists=True, kept=row.kept)
    return cases


def _allocate(connection: Connection, found: Sequence[Finding], cases: Mapping[str, _Case]) -> dict[str, str]:
    """Incident ids by fingerprint. Sixteen hex digits, more where they are another's (once in ages)."""
    ids = {fingerprint: case.incident.id for fingerprint, case in cases.items()}
    unknown = {
        finding.fingerprint: fold(None, finding).incident.id for finding in found if finding.fingerprint not in ids
    }
    taken: set[str] = set()
    for chunk in chunks(unknown.values()):
        taken.update(connection.execute(select(incidents.c.id).where(incidents.c.id.in_(chunk))).scalars())
    for fingerprint, id_ in unknown.items():
        if id_ in taken:
            id_ = hashlib.sha256(fingerprint.encode()).hexdigest()  # noqa: PLW2901
        taken.add(id_)
        ids[fingerprint] = id_
    return ids


def _insert(connection: Connection, found: Sequence[Finding], ids: Mapping[str, str]) -> set[str]:
    """Insert what is not known yet; returns the ids that were new."""
    rows = [
        {
            "id": finding.id,
            "incident": ids[finding.fingerprint],
            "rule": clean(finding.rule),
            "source": clean(finding.source),
            "path": clean(finding.path),
            "generation": clean(finding.generation),
            "offset": finding.offset,
            "line": finding.line,
            "time": finding.time,
            "decode": json.dumps(finding.decode) if finding.decode else None,
            "url": None if finding.url is None else clean(finding.url),
        }
        for finding in found
    ]
    statement = insert_into(connection, findings).on_conflict_do_nothing(index_elements=[findings.c.id])
    return set(connection.execute(statement.returning(findings.c.id), rows).scalars())


def _columns(case: _Case) -> dict[str, Any]:
    return {**incident_columns(case.incident), "kept": case.kept + case.added}


def update_incidents(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as `incident_columns` gives them, with `kept`."""
    if not rows:
        return
    names = [name for name in rows[0] if name not in ("id", "fingerprint")]
    statement = (
        update(incidents)
        .where(incidents.c.id == bindparam("_id"))
        .values({name: bindparam(f"_{name}") for name in names})
    )
    connection.execute(statement, [{f"_{name}": row[name] for name in ("id", *names)} for row in rows])


def _prune(connection: Connection, incident: str) -> None:
    own = findings.c.incident == incident
    newest = select(findings.c.seq).where(own).order_by(findings.c.seq.desc()).limit(KEEP)
    latest = func.max(findings.c.seq).label("latest")
    places = select(latest).where(own).group_by(findings.c.source, findings.c.path).order_by(latest.desc()).limit(KEEP)
    connection.execute(
        delete(findings).where(
            own, findings.c.seq.not_in(newest), findings.c.seq.not_in(select(places.subquery().c.latest))
        )
    )
    left = select(func.count()).select_from(findings).where(own).scalar_subquery()
    connection.execute(update(incidents).where(incidents.c.id == incident).values(kept=left))


def _move(connection: Connection, moved: Sequence[Position]) -> None:
    if not moved:
        return
    last = {(clean(position.source), position_key(position.key)): position.state for position in moved}
    gone = [{"_source": source, "_key": key} for (source, key), state in last.items() if state is None]
    rows = [
        {"source": source, "key": key, "state": json.dumps(dict(state))}
        for (source, key), state in last.items()
        if state is not None
    ]
    if rows:
        statement = insert_into(connection, positions)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[positions.c.source, positions.c.key], set_={"state": statement.excluded.state}
            ),
            rows,
        )
    if gone:
        connection.execute(
            delete(positions).where(positions.c.source == bindparam("_source"), positions.c.key == bindparam("_key")),
            gone,
        )


def audit_row(
    incident: Incident, was: Incident | None, action: str, *, actor: str, note: str, now: float
) -> dict[str, Any]:
    return {
        "at": now,
        "actor": clean(actor),
        "incident": incident.id,
        "action": action,
        "was": was.state if was else None,
        "state": incident.state,
        "resolution": incident.resolution,
        "severity": incident.severity,
        "note": clean(note),
    }
