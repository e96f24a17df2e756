"""Findings: what is new is folded into incidents, and decides who is told; with the positions it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from monitor.domain.incidents import Incident, fold
from monitor.domain.model import Finding, Position
from monitor.routing.routes import IncidentPlace
from monitor.store import access, groups, runs
from monitor.store.canaries import watch
from monitor.store.drills import drills_among
from monitor.store.incidents import update_incidents
from monitor.store.lowering import lower
from monitor.store.outbox import add_notice
from monitor.store.positions import move
from monitor.store.records import Commit
from monitor.store.rows import any_of, apply_all, clean, incident_columns, incident_from, open_handles, rows_among
from monitor.store.schema import findings, incidents
from monitor.store.sealing import touch
from monitor.store.suppressed import sift
from monitor.store.trail import entry
from monitor.store.transaction import Transaction

__all__ = ["KEEP", "record"]

# Findings kept of one incident: so many of the newest, and the newest of so many places. The newest also answer for
# replays; everything older lies before the positions committed since.
KEEP = 100

_MAX_LABELS = 64

_TAKEN = select(incidents.c.id).where(any_of(incidents.c.id))
_OPEN = insert(incidents)
_KNOWN = select(findings.c.id).where(any_of(findings.c.id))
_FOUND = insert(findings)


@dataclass(slots=True)
class _Case:
    """An incident while findings are folded into it."""

    incident: Incident
    exists: bool
    kept: int
    added: int = 0
    reopened: bool = False
    # Of the findings that somebody is to hear about:
    places: dict[IncidentPlace, None] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)


def record(tx: Transaction, commits: Sequence[Commit], late: Sequence[Position] = ()) -> list[int]:
    """Fold all findings, decide who is told, move the positions. `late` positions come after those of the commits.

    Returns the number of new findings of each commit.
    """
    new = [0] * len(commits)
    first: dict[str, tuple[int, Finding]] = {}
    # What is read anew is found anew, and under other names where the database forgot what they came from.
    commits = [
        replace(commit, findings=(), readings=())
        if any(tx.history.stale(position.source) for position in commit.positions)
        else commit
        for commit in commits
    ]
    for number, commit in enumerate(commits):
        for finding in (*commit.findings, *access.take(tx, commit.source, commit.readings)):
            if finding.id in first:
                tx.counts.repeated += 1
            else:
                first[finding.id] = (number, finding)
    if first and (told := sift(tx, watch(tx, first))):
        _ingest(tx, commits, *lower(tx, told), new)
    for commit in commits:
        for notice in commit.notices:
            add_notice(tx, notice)
    move(tx, [*(position for commit in commits for position in commit.positions), *late])
    return new


def _ingest(
    tx: Transaction,
    commits: Sequence[Commit],
    first: Mapping[str, tuple[int, Finding]],
    lowered: Mapping[str, str],
    new: list[int],
) -> None:
    """Load the incidents, fold into them what is new, and write what became of them. `lowered`: why findings are less
    severe than their rules have it, by their ids."""
    found = [finding for _, finding in first.values()]
    cases = _load(tx.connection, {finding.fingerprint for finding in found})
    drills = drills_among(tx.connection, {finding.fingerprint for finding in found} - cases.keys())
    ids = _allocate(tx.connection, found, cases)
    merged = {print_ for print_, case in cases.items() if case.incident.fingerprint != print_}
    fresh = _insert(tx, found, ids, merged)
    tx.counts.repeated += len(first) - len(fresh)

    trail: list[dict[str, Any]] = []
    for id_, (number, finding) in first.items():
        if id_ not in fresh:
            continue
        new[number] += 1
        tx.counts.findings[finding.rule, finding.severity] += 1
        case = cases.get(finding.fingerprint)
        was = case.incident if case else None
        change = fold(was, finding)
        if case is None:
            opened = replace(change.incident, id=ids[finding.fingerprint])
            if finding.fingerprint in drills:
                opened = replace(opened, labels={**opened.labels, "drill": "true"})
            case = cases[finding.fingerprint] = _Case(opened, exists=False, kept=0)
            tx.counts.opened += 1
        else:
            case.incident = _bounded(change.incident)
        case.added += 1
        if change.reason is not None and commits[number].notify:
            where = (finding.source, finding.path, tx.node, finding.service or "")
            case.places[IncidentPlace(*map(clean, where))] = None
            case.reasons.add(change.reason)
        if change.reason in ("new", "escalated", "reopened"):
            action = "opened" if change.reason == "new" else change.reason
            trail.append(entry(case.incident, was, action, actor="monitor", note=lowered.get(id_, ""), now=tx.now))
            case.reopened |= change.reason == "reopened"
    _write(tx, list({case.incident.id: case for case in cases.values() if case.added}.values()), trail)


def _bounded(incident: Incident) -> Incident:
    if len(incident.labels) <= _MAX_LABELS:
        return incident
    return replace(incident, labels=dict(list(incident.labels.items())[-_MAX_LABELS:]))


def _write(tx: Transaction, changed: Sequence[_Case], trail: Sequence[dict[str, Any]]) -> None:
    """The incidents, their runs, and who is told."""
    created = [{**incident_columns(case.incident), "kept": case.added} for case in changed if not case.exists]
    if created:
        touch(tx, [row["id"] for row in created])
        tx.connection.execute(_OPEN, created)
    update_incidents(tx, [(case.incident, case.kept + case.added) for case in changed if case.exists])
    runs.follow(tx, [_turn(case) for case in changed], trail)
    for case in changed:
        if case.kept + case.added > 2 * KEEP:
            _prune(tx.connection, case.incident.id)
    touched = []
    for case in changed:
        # When it was loud from the start, nobody has been told anything that could have changed.
        loud = case.exists and bool(case.reasons & {"escalated", "reopened"})
        if case.reasons:
            touched.append(groups.ChangedIncident(case.incident, tuple(case.places), urgent=loud, everywhere=loud))
    groups.enrol(tx, touched)


def _turn(case: _Case) -> runs.RunTrigger:
    place = next(iter(case.places), IncidentPlace())
    starts = bool(case.reasons & {"new", "escalated", "reopened"})
    return runs.RunTrigger(case.incident, place, starts=starts, reopened="seen" if case.reopened else None)


def _load(connection: Connection, fingerprints: Iterable[str]) -> dict[str, _Case]:
    held = open_handles(connection, fingerprints)
    cases = {row.id: _Case(incident_from(row), exists=True, kept=row.kept) for row in held.values()}
    return {fingerprint: cases[row.id] for fingerprint, row in held.items()}


def _allocate(connection: Connection, found: Sequence[Finding], cases: Mapping[str, _Case]) -> dict[str, str]:
    """Incident ids by fingerprint. Sixteen hex digits, more where they are another's (once in ages)."""
    ids = {fingerprint: case.incident.id for fingerprint, case in cases.items()}
    unknown = {
        finding.fingerprint: fold(None, finding).incident.id for finding in found if finding.fingerprint not in ids
    }
    taken = {row.id for row in rows_among(connection, _TAKEN, unknown.values())}
    for fingerprint, id_ in unknown.items():
        if id_ in taken:
            id_ = hashlib.sha256(fingerprint.encode()).hexdigest()  # noqa: PLW2901
        taken.add(id_)
        ids[fingerprint] = id_
    return ids


def _insert(tx: Transaction, given: Sequence[Finding], ids: Mapping[str, str], merged: Collection[str]) -> set[str]:
    """Insert what is not known yet; returns the ids that were new. `merged`: fingerprints that count for another's."""
    rows: list[dict[str, Any]] = [
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
            "node": tx.node,
            "service": None if finding.service is None else clean(finding.service),
            "logged_at": finding.logged_at,
            "context": None if finding.context is None else clean(finding.context),
            "fingerprint": finding.fingerprint if finding.fingerprint in merged else None,
        }
        for finding in given
    ]
    # Nobody else writes meanwhile: what is not there now is new.
    known = {row.id for row in rows_among(tx.connection, _KNOWN, [row["id"] for row in rows])}
    fresh = [row for row in rows if row["id"] not in known]
    apply_all(tx.connection, _FOUND, fresh)
    return {row["id"] for row in fresh}


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
