"""Alerts of another system, and what they do to incidents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.domain.incidents import Incident, IncidentChange, fold_alert
from monitor.domain.model import Alert, Finding, KnownAlert, WriteBack
from monitor.routing.routes import IncidentPlace
from monitor.store import findings as findings_room
from monitor.store import groups, runs
from monitor.store.changes import newest_of
from monitor.store.hooks import settle
from monitor.store.incidents import change_state, update_incidents
from monitor.store.outbox import add_notice
from monitor.store.records import AlertBatch, Commit, Notice
from monitor.store.rows import chunks, clean, holders, incident_columns, incident_from, insert_into
from monitor.store.schema import alerts, drills, findings, incidents, members
from monitor.store.sealing import touch
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreSession, Transaction

__all__ = ["Alerts"]


class Alerts:
    """The face of the alerts."""

    def __init__(self, desk: StoreSession) -> None:
        self._desk = desk

    async def record(self, batch: AlertBatch) -> int:
        """Alerts with their findings, positions and hooks in one transaction; returns how many findings were new."""
        return await self._desk.write(lambda tx: _record(tx, batch), durable=True)

    async def known(self, ids: Iterable[str]) -> dict[str, KnownAlert]:
        """Those of `ids` that were recorded."""
        wanted = list(ids)
        return await self._desk.read(lambda connection: _known(connection, wanted))

    async def write_backs(self, source: str, limit: int = 50) -> list[WriteBack]:
        """Alerts open where they came from whose incident is resolved as revoked."""
        return await self._desk.read(lambda connection: _write_backs(connection, source, limit))


def _record(tx: Transaction, batch: AlertBatch) -> int:
    """Findings, alerts, positions and hooks of one batch; returns how many findings were new."""
    tx.history.moves_apart(batch.source)
    connection = tx.connection
    before = _rows(connection, [alert.id for alert in batch.alerts])
    taken = [_settled(alert, before.get(alert.id)) for alert in batch.alerts if _newer(alert, before.get(alert.id))]
    current = {alert.id: alert for alert in taken}
    found = [
        replace(finding, fingerprint=current[finding.generation].fingerprint)
        for finding in batch.findings
        if finding.generation in current
    ]
    for alert in current.values():
        row = before.get(alert.id)
        if row is not None and row.fingerprint != alert.fingerprint:
            _rename(tx, alert, row, [one for one in found if one.generation == alert.id])

    quiet = {alert.id for alert in current.values() if alert.quiet or alert.state == "resolved"}
    quiet -= _worse(connection, [alert for alert in current.values() if alert.quiet], before)
    new = findings_room.record(
        tx,
        [
            Commit([finding for finding in found if finding.generation not in quiet], tuple(batch.positions)),
            Commit([finding for finding in found if finding.generation in quiet], notify=False),
        ],
    )
    _store(connection, current.values())
    _fold(tx, current.values(), before)
    settle(tx, batch.handled, batch.again)
    if batch.summary is not None and (notice := _summary(connection, batch.source, batch.summary)) is not None:
        add_notice(tx, notice)
    return sum(new)


def _worse(connection: Connection, taken: Sequence[Alert], before: Mapping[str, Row[Any]]) -> set[str]:
    """Those that know worse than we did: of an alert, or of a secret that somebody was told of (a log showed it)."""
    held = holders(connection, [alert.fingerprint for alert in taken if alert.state == "open"])
    grouped: set[str] = set()
    for chunk in chunks(row.id for row in held.values() if row.state != "resolved"):
        grouped.update(connection.execute(select(members.c.incident).where(members.c.incident.in_(chunk))).scalars())
    told: dict[str, Severity] = {one: row.severity for one, row in held.items() if row.id in grouped}
    known = {one.id: before[one.id].severity if one.id in before else told.get(one.fingerprint) for one in taken}
    return {
        one.id for one in taken if one.state == "open" and (was := known[one.id]) and rank(one.severity) > rank(was)
    }


def _newer(alert: Alert, row: Row[Any] | None) -> bool:
    """Answers can overtake each other: what is older than what we have is no news."""
    return row is None or alert.updated >= row.updated


def _settled(alert: Alert, row: Row[Any] | None) -> Alert:
    """What was decided about an alert stays: a value once known, and whether it opened quietly."""
    if row is None:
        return alert
    if alert.provisional and not row.provisional:
        alert = replace(alert, fingerprint=row.fingerprint, provisional=False)
    return replace(alert, quiet=bool(row.quiet))


def _rows(connection: Connection, ids: Iterable[str]) -> dict[str, Row[Any]]:
    found = {}
    for chunk in chunks(ids):
        for row in connection.execute(select(alerts).where(alerts.c.id.in_(chunk))):
            found[row.id] = row
    return found


def _rename(tx: Transaction, alert: Alert, row: Row[Any], found: Sequence[Finding]) -> None:
    """The value of an alert has become known: its findings move to the incident of the value.

    When that does not exist yet, the incident by place becomes it and keeps its id, its history and its pages.
    """
    connection = tx.connection
    own = (findings.c.incident == row.incident) & (findings.c.generation == clean(alert.id))
    size, first, last = connection.execute(
        select(func.count(), func.min(findings.c.time), func.max(findings.c.time)).where(own)
    ).one()
    kept = connection.execute(select(incidents.c.kept).where(incidents.c.id == row.incident)).scalar() or 0
    absorbed = select(func.count()).where(incidents.c.merged == row.incident)
    alone = kept == size and not connection.execute(absorbed).scalar()
    target = holders(connection, [alert.fingerprint]).get(alert.fingerprint)
    by_place = connection.execute(select(incidents).where(incidents.c.fingerprint == row.fingerprint)).first()
    touch(tx, [row.incident, *(one.id for one in (target, by_place) if one is not None)])
    if by_place is not None and by_place.merged is not None:  # its places are with another, and stay there
        if target is None:
            known = update(incidents).where(incidents.c.id == by_place.id)
            connection.execute(known.values(fingerprint=alert.fingerprint))
            mine = update(findings).where(findings.c.fingerprint == row.fingerprint)
            connection.execute(mine.values(fingerprint=alert.fingerprint))  # by which they are found to be taken back
        return
    old = update(incidents).where(incidents.c.id == row.incident)
    if target is None and alone:
        values: dict[str, Any] = {"fingerprint": alert.fingerprint}
        if found:
            one = found[0]
            values |= {"rule": clean(one.rule), "name": clean(one.name), "masked": clean(one.masked)}
            values |= {"confidence": one.confidence, "runbook": one.runbook}
        connection.execute(old.values(values))
        return
    if not size:
        return
    less = {"kept": incidents.c.kept - size}
    if not alone:  # an incident without an occurrence would be none
        less["occurrences"] = incidents.c.occurrences - size
    connection.execute(old.values(less))
    if target is None:
        connection.execute(delete(findings).where(own))  # they come again, as findings of the new incident
        return
    connection.execute(update(findings).where(own).values(incident=target.id))
    connection.execute(
        update(incidents)
        .where(incidents.c.id == target.id)
        .values(
            occurrences=incidents.c.occurrences + size,
            kept=incidents.c.kept + size,
            first_seen=min(target.first_seen, first),
            last_seen=max(target.last_seen, last),
        )
    )
    state = connection.execute(select(incidents.c.state).where(incidents.c.id == row.incident)).scalar()
    if alone and state != "resolved":
        # Resolved and not removed: a pager that rang for it must hear that it is over.
        note = f"the same secret as incident {target.id}, which holds its places now"
        actor = alert.system.lower()
        change_state(tx, row.incident, "resolve", actor=actor, resolution="wont_fix", note=note)
    joined = incident_from(connection.execute(select(incidents).where(incidents.c.id == target.id)).one())
    if joined.state != "resolved" and alert.state == "open" and not alert.quiet:
        groups.enrol(tx, [groups.ChangedIncident(joined, _places(connection, alert))])


def _store(connection: Connection, taken: Iterable[Alert]) -> None:
    ids = holders(connection, [alert.fingerprint for alert in taken])
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
    if not rows:
        return
    statement = insert_into(connection, alerts)
    kept = ("id", "quiet", "summarised")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[alerts.c.id],
            set_={column.name: statement.excluded[column.name] for column in alerts.c if column.name not in kept},
        ),
        rows,
    )


def _fold(tx: Transaction, taken: Iterable[Alert], before: Mapping[str, Row[Any]]) -> None:
    connection = tx.connection
    rows = holders(connection, [alert.fingerprint for alert in taken])
    current = {row.id: incident_from(row) for row in rows.values()}
    of = {fingerprint: row.id for fingerprint, row in rows.items()}
    ends = [alert for alert in taken if alert.state == "resolved"]
    elsewhere = _elsewhere(connection, [of[one.fingerprint] for one in ends if one.fingerprint in of])
    still_open = _open(connection, [of[one.fingerprint] for one in ends if one.fingerprint in of])
    trail: list[dict[str, Any]] = []
    touched: list[groups.ChangedIncident] = []
    changed: dict[str, Incident] = {}
    again: set[str] = set()
    for alert in taken:
        if alert.fingerprint not in of:
            continue
        was = current[of[alert.fingerprint]]
        row = before.get(alert.id)
        change: IncidentChange = fold_alert(
            was,
            alert,
            was_state=row.state if row else None,
            was_resolution=row.resolution if row else None,
            elsewhere=elsewhere.get(was.id),
            others_open=bool(still_open.get(was.id, set()) - {alert.id}),
        )
        if change.incident != was:
            current[was.id] = changed[was.id] = change.incident
        if change.reason is None:
            continue
        note = f"{alert.system}: {alert.url or alert.id} is {alert.resolution or alert.state}"
        actor = alert.system.lower()
        trail.append(entry(change.incident, was, change.reason, actor=actor, note=note, now=tx.now))
        if change.reason == "reopened":
            again.add(change.incident.id)
        loud = change.reason in ("escalated", "reopened", "reopened_by_hand")
        touched.append(
            groups.ChangedIncident(
                change.incident, _places(connection, alert) if loud else (), urgent=loud, everywhere=True
            )
        )
    kept = {row.id: row.kept for row in rows.values()}
    update_incidents(tx, [{**incident_columns(one), "kept": kept[one.id]} for one in changed.values()])
    append(tx, trail)
    runs.follow(tx, [runs.RunTrigger(one, reopened="seen" if one.id in again else None) for one in changed.values()])
    groups.enrol(tx, touched)


def _places(connection: Connection, alert: Alert) -> tuple[IncidentPlace, ...]:
    """Where routes look: at the alert's newest finding."""
    return (newest_of(connection, findings.c.generation == clean(alert.id)) or IncidentPlace(clean(alert.source)),)


def _elsewhere(connection: Connection, ids: Iterable[str]) -> dict[str, float]:
    """Incident → when it was last seen outside of alerts (in a log, say)."""
    found: dict[str, float] = {}
    for chunk in chunks(ids):
        query = (
            select(findings.c.incident, func.max(findings.c.time))
            .outerjoin(alerts, alerts.c.id == findings.c.generation)
            .where(findings.c.incident.in_(chunk), alerts.c.id.is_(None))
            .group_by(findings.c.incident)
        )
        found.update((incident, last) for incident, last in connection.execute(query))
    return found


def _open(connection: Connection, ids: Iterable[str]) -> dict[str, set[str]]:
    """Incident → its alerts that are open where they came from."""
    found: dict[str, set[str]] = {}
    for chunk in chunks(ids):
        query = select(alerts.c.incident, alerts.c.id).where(alerts.c.incident.in_(chunk), alerts.c.state == "open")
        for incident, id_ in connection.execute(query):
            found.setdefault(incident, set()).add(id_)
    return found


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


def _known(connection: Connection, ids: Iterable[str]) -> dict[str, KnownAlert]:
    about = incidents.c
    query = select(alerts, about.rule, about.name, about.masked, about.confidence, about.runbook).join(
        incidents, about.id == alerts.c.incident
    )
    found = {}
    for chunk in chunks(ids):
        for row in connection.execute(query.where(alerts.c.id.in_(chunk))):
            found[row.id] = KnownAlert(
                row.fingerprint, bool(row.provisional), row.updated, row.incident, row.base,
                row.rule, row.name, row.masked, row.confidence, row.runbook, row.read,
            )  # fmt: skip
    return found


def _write_backs(connection: Connection, source: str, limit: int) -> list[WriteBack]:
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
