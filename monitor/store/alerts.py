"""Alerts of another system, and what they do to incidents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from monitor.common.grouping import grouped
from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.domain.incidents import Incident, IncidentChange, fold_alert
from monitor.domain.model import Alert, Finding, KnownAlert, WriteBack
from monitor.routing.routes import IncidentPlace
from monitor.store import findings as findings_room
from monitor.store import groups, runs
from monitor.store.changes import newest_of
from monitor.store.hooks import settle
from monitor.store.incidents import change_state, update_incidents
from monitor.store.lowering import lowered_severity
from monitor.store.outbox import add_notice
from monitor.store.records import AlertBatch, Commit, Notice
from monitor.store.rows import (
    any_of,
    apply_all,
    clean,
    incident_by_id,
    incident_from,
    open_handles,
    rows_among,
    upsert,
)
from monitor.store.schema import alerts, drills, findings, incidents, members
from monitor.store.sealing import touch
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Alerts"]

_ALERTS = select(alerts).where(any_of(alerts.c.id))
_ABOUT = (incidents.c.rule, incidents.c.name, incidents.c.masked, incidents.c.confidence, incidents.c.runbook)
_KNOWN = select(alerts, *_ABOUT).join(incidents, incidents.c.id == alerts.c.incident).where(any_of(alerts.c.id))
_COLUMNS = tuple(column.name for column in alerts.c)
_STORE = upsert(
    alerts, _COLUMNS, on=("id",), changing=[name for name in _COLUMNS if name not in ("id", "quiet", "summarised")]
)
_GROUPED = select(members.c.incident).where(any_of(members.c.incident))
# When each was last seen outside of alerts (in a log, say); and its alerts that are open where they came from.
_ELSEWHERE = (
    select(findings.c.incident, func.max(findings.c.time).label("last"))
    .outerjoin(alerts, alerts.c.id == findings.c.generation)
    .where(any_of(findings.c.incident), alerts.c.id.is_(None))
    .group_by(findings.c.incident)
)
_OPEN = select(alerts.c.incident, alerts.c.id).where(any_of(alerts.c.incident), alerts.c.state == "open")


class Alerts(StoreRepository):
    """Alerts of other systems."""

    @durably
    def record(self, tx: Transaction, batch: AlertBatch) -> int:
        """Alerts with their findings, positions and hooks in one transaction; returns how many findings were new."""
        tx.history.moves_apart(batch.source)
        connection = tx.connection
        before = {row.id: row for row in rows_among(connection, _ALERTS, [alert.id for alert in batch.alerts])}
        # Answers can overtake each other: what is older than what we have says nothing new.
        newer = [alert for alert in batch.alerts if alert.id not in before or alert.updated >= before[alert.id].updated]
        current = {alert.id: _settled(alert, before.get(alert.id)) for alert in newer}
        fresh = [
            replace(finding, fingerprint=current[finding.generation].fingerprint)
            for finding in batch.findings
            if finding.generation in current
        ]
        for alert in current.values():
            row = before.get(alert.id)
            if row is not None and row.fingerprint != alert.fingerprint:
                _rename(tx, alert, row, [one for one in fresh if one.generation == alert.id])

        quiet = {alert.id for alert in current.values() if alert.quiet or alert.state == "resolved"}
        quiet -= _worse(connection, [alert for alert in current.values() if alert.quiet], before)
        new = findings_room.record(
            tx,
            [
                Commit([finding for finding in fresh if finding.generation not in quiet], tuple(batch.positions)),
                Commit([finding for finding in fresh if finding.generation in quiet], notify=False),
            ],
        )
        _store(connection, current.values())
        _fold(tx, current.values(), before)
        settle(tx, batch.handled, batch.again)
        if batch.summary is not None and (notice := _summary(connection, batch.source, batch.summary)) is not None:
            add_notice(tx, notice)
        return sum(new)

    @read_only
    def known(self, connection: Connection, ids: Collection[str]) -> dict[str, KnownAlert]:
        """Those of `ids` that were recorded."""
        return {
            row.id: KnownAlert(
                row.fingerprint, bool(row.provisional), row.updated, row.incident, row.base,
                row.rule, row.name, row.masked, row.confidence, row.runbook, row.read,
            )
            for row in rows_among(connection, _KNOWN, ids)
        }  # fmt: skip

    @read_only
    def write_backs(self, connection: Connection, source: str, limit: int = 50) -> list[WriteBack]:
        """Alerts open where they came from whose incident is resolved as revoked."""
        query = (
            select(alerts.c.id, alerts.c.incident)
            .join(incidents, incidents.c.id == alerts.c.incident)
            .where(alerts.c.source == clean(source), alerts.c.state == "open")
            .where(incidents.c.state == "resolved", incidents.c.resolution == "revoked")
            .where(incidents.c.fingerprint.not_in(select(drills.c.fingerprint)))
            .order_by(alerts.c.id)
            .limit(limit)
        )
        return [WriteBack(id_, incident) for id_, incident in connection.execute(query)]


def _worse(connection: Connection, taken: Sequence[Alert], before: Mapping[str, Row[Any]]) -> set[str]:
    """Those that know worse than we did: of an alert, or of a secret that somebody was told of (a log showed it)."""
    held = open_handles(connection, [alert.fingerprint for alert in taken if alert.state == "open"])
    unresolved = [row.id for row in held.values() if row.state != "resolved"]
    grouped = {id_ for (id_,) in rows_among(connection, _GROUPED, unresolved)}
    told: dict[str, Severity] = {one: row.severity for one, row in held.items() if row.id in grouped}
    known = {one.id: before[one.id].severity if one.id in before else told.get(one.fingerprint) for one in taken}
    return {
        one.id for one in taken if one.state == "open" and (was := known[one.id]) and rank(one.severity) > rank(was)
    }


def _settled(alert: Alert, row: Row[Any] | None) -> Alert:
    """What was decided about an alert stays: a value once known, and whether it opened quietly."""
    if row is None:
        return alert
    if alert.provisional and not row.provisional:
        alert = replace(alert, fingerprint=row.fingerprint, provisional=False)
    return replace(alert, quiet=bool(row.quiet))


def _rename(tx: Transaction, alert: Alert, row: Row[Any], matching: Sequence[Finding]) -> None:
    """The value of an alert has become known: its findings move to the incident of the value.

    When that does not exist yet, the incident by place becomes it and keeps its id, its history and its pages.
    """
    connection = tx.connection
    own = (findings.c.incident == row.incident) & (findings.c.generation == clean(alert.id))
    times = (func.min(findings.c.time).label("first"), func.max(findings.c.time).label("last"))
    seen = connection.execute(select(func.count().label("size"), *times).where(own)).one()
    stored = connection.execute(select(incidents.c.kept).where(incidents.c.id == row.incident)).scalar() or 0
    absorbed = select(func.count()).where(incidents.c.merged == row.incident)
    alone = stored == seen.size and not connection.execute(absorbed).scalar()
    target = open_handles(connection, [alert.fingerprint]).get(alert.fingerprint)
    by_place = connection.execute(select(incidents).where(incidents.c.fingerprint == row.fingerprint)).first()
    touch(tx, [row.incident, *(one.id for one in (target, by_place) if one is not None)])
    old = update(incidents).where(incidents.c.id == row.incident)
    if by_place is not None and by_place.merged is not None:  # its places are with another, and stay there
        if target is None:
            known = update(incidents).where(incidents.c.id == by_place.id)
            connection.execute(known.values(fingerprint=alert.fingerprint))
            mine = update(findings).where(findings.c.fingerprint == row.fingerprint)
            connection.execute(mine.values(fingerprint=alert.fingerprint))  # by which they are found to be taken back
    elif target is None and alone:
        connection.execute(old.values(fingerprint=alert.fingerprint, **_shown(matching)))
    elif seen.size:
        less = {"kept": incidents.c.kept - seen.size}
        if not alone:  # an incident without an occurrence would be none
            less["occurrences"] = incidents.c.occurrences - seen.size
        connection.execute(old.values(less))
        if target is None:
            connection.execute(delete(findings).where(own))  # they come again, as findings of the new incident
        else:
            connection.execute(update(findings).where(own).values(incident=target.id))
            _gain(tx, alert, row.incident, target, seen, alone=alone)


def _shown(found: Sequence[Finding]) -> dict[str, Any]:
    """What an incident shows of its first finding."""
    if not found:
        return {}
    first = found[0]
    texts = {"rule": clean(first.rule), "name": clean(first.name), "masked": clean(first.masked)}
    return {**texts, "confidence": first.confidence, "runbook": first.runbook}


def _gain(tx: Transaction, alert: Alert, old: str, target: Row[Any], seen: Row[Any], *, alone: bool) -> None:
    """The incident `target` has the findings now that were of `old`; `alone`: which has no others."""
    connection = tx.connection
    connection.execute(
        update(incidents)
        .where(incidents.c.id == target.id)
        .values(
            occurrences=incidents.c.occurrences + seen.size,
            kept=incidents.c.kept + seen.size,
            first_seen=min(target.first_seen, seen.first),
            last_seen=max(target.last_seen, seen.last),
        )
    )
    state = connection.execute(select(incidents.c.state).where(incidents.c.id == old)).scalar()
    if alone and state != "resolved":
        # Resolved and not removed: a pager that rang for it must hear that it is over.
        note = f"the same secret as incident {target.id}, which holds its places now"
        change_state(tx, old, "resolve", actor=alert.system.lower(), resolution="wont_fix", note=note)
    joined, _ = incident_by_id(connection, target.id)
    if joined.state != "resolved" and alert.state == "open" and not alert.quiet:
        groups.enrol(tx, [groups.ChangedIncident(joined, _places(connection, alert))])


def _store(connection: Connection, taken: Iterable[Alert]) -> None:
    ids = open_handles(connection, [alert.fingerprint for alert in taken])
    rows = [
        {
            "id": alert.id,
            "source": clean(alert.source),
            "incident": ids[alert.fingerprint].id,
            "fingerprint": alert.fingerprint,
            "provisional": int(alert.provisional),
            "url": clean(alert.url),
            "severity": alert.severity,
            "base": alert.base,
            "state": alert.state,
            "resolution": alert.resolution,
            "created": alert.created,
            "updated": alert.updated,
            "read": alert.read,
            "quiet": int(alert.quiet),
            "summarised": 0,
        }
        for alert in taken
        if alert.fingerprint in ids
    ]
    apply_all(connection, _STORE, rows)


def _fold(tx: Transaction, taken: Iterable[Alert], before: Mapping[str, Row[Any]]) -> None:
    connection = tx.connection
    rows = open_handles(connection, [alert.fingerprint for alert in taken])
    current = {row.id: incident_from(row) for row in rows.values()}
    of = {fingerprint: row.id for fingerprint, row in rows.items()}
    ended = [of[alert.fingerprint] for alert in taken if alert.state == "resolved" and alert.fingerprint in of]
    elsewhere = {row.incident: row.last for row in rows_among(connection, _ELSEWHERE, ended)}
    still_open = grouped((other.incident, other.id) for other in rows_among(connection, _OPEN, ended))
    trail: list[dict[str, Any]] = []
    touched: list[groups.ChangedIncident] = []
    changed: dict[str, Incident] = {}
    again: set[str] = set()
    for alert in taken:
        if alert.fingerprint not in of:
            continue
        was = current[of[alert.fingerprint]]
        row = before.get(alert.id)
        # What makes it worse than its kind, that it works or is public, is no noise.
        own = alert.severity == alert.base
        change: IncidentChange = fold_alert(
            was,
            replace(alert, severity=lowered_severity(tx, was.rule, alert.severity)) if own else alert,
            was_state=row.state if row else None,
            was_resolution=row.resolution if row else None,
            elsewhere=elsewhere.get(was.id),
            others_open=any(id_ != alert.id for id_ in still_open.get(was.id, ())),
        )
        if change.incident != was:
            current[was.id] = changed[was.id] = change.incident
        if change.reason is None:
            continue
        note = f"{alert.system}: {alert.url or alert.id} is {alert.resolution or alert.state}"
        trail.append(entry(change.incident, was, change.reason, actor=alert.system.lower(), note=note, now=tx.now))
        if change.reason == "reopened":
            again.add(change.incident.id)
        loud = change.reason in ("escalated", "reopened", "reopened_by_hand")
        touched.append(
            groups.ChangedIncident(
                change.incident, _places(connection, alert) if loud else (), urgent=loud, everywhere=True
            )
        )
    stored = {row.id: row.kept for row in rows.values()}
    update_incidents(tx, [(incident, stored[incident.id]) for incident in changed.values()])
    append(tx, trail)
    runs.follow(tx, [runs.RunTrigger(one, reopened="seen" if one.id in again else None) for one in changed.values()])
    groups.enrol(tx, touched)


def _places(connection: Connection, alert: Alert) -> tuple[IncidentPlace, ...]:
    """Where routes look: at the alert's newest finding."""
    return (newest_of(connection, findings.c.generation == clean(alert.id)) or IncidentPlace(clean(alert.source)),)


def _summary(connection: Connection, source: str, title: str) -> Notice | None:
    """One notice about all alerts that opened quietly and were not told of yet; None when there are none."""
    fresh = (alerts.c.source == clean(source)) & (alerts.c.quiet == 1) & (alerts.c.summarised == 0)
    query = select(alerts.c.state, alerts.c.severity, func.count()).where(fresh)
    counts: Counter[str] = Counter()
    for state, severity, number in connection.execute(query.group_by(alerts.c.state, alerts.c.severity)):
        counts["resolved" if state == "resolved" else severity] += number
    if not counts:
        return None
    connection.execute(update(alerts).where(fresh).values(summarised=1))
    parts = [f"{counts[name]} {name}" for name in (*reversed(SEVERITIES), "resolved") if counts[name]]
    total = sum(counts.values())
    text = (
        f"{total} alerts are older than quiet_after and were opened without a notification each: {', '.join(parts)}. "
        f"`monitor incidents list --source {source}` shows them."
    )
    return Notice(title, text, "info", key=f"alerts:{source}")
