"""All that a page about one incident shows, read at once, so that none of it is older than the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, case, exists, func, or_, select

from monitor.domain.incidents import Incident
from monitor.store.incidents import load_incident
from monitor.store.joins import join
from monitor.store.lowering import lowered
from monitor.store.records import AuditEntry, Joined
from monitor.store.rows import any_of, incident_from, rows_among
from monitor.store.schema import findings, incidents, merges, trails
from monitor.store.silences import SilenceRule, rules_at, silenced_among
from monitor.store.suppressed import among
from monitor.store.suppressions import Suppression
from monitor.store.trail import newest_entries
from monitor.store.transaction import StoreRepository, read_only

__all__ = ["CaseRepository", "IncidentCase", "RelatedIncident"]

_LATELY = 1000  # incidents among which related ones are looked for: those seen last
_SHOWN = 10  # related ones, by their reason


@dataclass(frozen=True, slots=True)
class RelatedIncident:
    """`why`: merged (into it), secret (the same of our own), path (seen in the same file), owner (of both secrets)."""

    incident: Incident
    why: str


@dataclass(frozen=True, slots=True)
class IncidentCase:
    """`trail`: its newest entries, oldest first, of `entries`; `silenced`: until when; `suppressed`: None, it is not.
    `lowered`: by what its rule is, for what comes. `related`: some of `others`, which are all there are among the
    incidents seen last."""

    incident: Incident
    joined: Joined
    trail: Sequence[AuditEntry]
    entries: int
    silenced: float | None
    suppressed: Suppression | None
    lowered: SilenceRule | None
    related: Sequence[RelatedIncident]
    others: int


class CaseRepository(StoreRepository):
    """Incidents with all that belongs to them."""

    @read_only
    def get(self, connection: Connection, ref: str, *, entries: int) -> IncidentCase:
        """`ref` as for `Incidents.get`; `entries`: of its trail, at most. Raises LookupError."""
        known, now = load_incident(connection, ref.strip()), self._session.now()
        row = among(connection, [known.fingerprint]).get(known.fingerprint)
        held = row is not None and row.until > now
        merged = [RelatedIncident(one, "merged") for one in _merged(connection, known)]
        related = _related(connection, known)
        return IncidentCase(
            incident=known,
            joined=join(connection, [known], acted=True),
            trail=newest_entries(connection, known.id, entries),
            entries=_turn(connection, known.id),
            silenced=silenced_among(connection, [known.id], now).get(known.id),
            suppressed=Suppression(row.reason, row.by, row.until) if row is not None and held else None,
            lowered=lowered(rules_at(connection, now), known.rule, now),
            related=[*merged, *related][:_SHOWN],
            others=len(merged) + len(related),
        )

    @read_only
    def turn(self, connection: Connection, incident: str) -> int:
        """How many entries the history of an incident has, by its id; 0: there is none."""
        return _turn(connection, incident)


def _turn(connection: Connection, incident: str) -> int:
    return connection.execute(select(trails.c.entries).where(trails.c.incident == incident)).scalar() or 0


_WENT = select(merges.c.went).where(any_of(merges.c.into))
_INCIDENTS = select(incidents).where(any_of(incidents.c.id))


def _merged(connection: Connection, known: Incident) -> list[Incident]:
    """Those that went into it, also by way of another."""
    ids: list[str] = []
    latest = [known.id]
    while latest := [row.went for row in rows_among(connection, _WENT, latest) if row.went not in ids]:
        ids += latest
    return [incident_from(row) for row in rows_among(connection, _INCIDENTS, ids)]


def _related(connection: Connection, known: Incident) -> list[RelatedIncident]:
    reasons: dict[str, ColumnElement[bool]] = {}
    lately = select(incidents).order_by(incidents.c.last_seen.desc()).limit(_LATELY).subquery()
    places = {(one.host or "", one.path) for one in known.locations[:5]}
    if label := known.labels.get("secret"):
        reasons["secret"] = lately.c.labels.contains(_pair("secret", label), autoescape=True)
    if places:
        same = or_(*((findings.c.node == host) & (findings.c.path == path) for host, path in sorted(places)))
        reasons["path"] = exists().where(findings.c.incident == lately.c.id, same)
    if label := known.labels.get("secret_owner"):
        reasons["owner"] = lately.c.labels.contains(_pair("secret_owner", label), autoescape=True)
    if not reasons:
        return []
    why = case(*((condition, name) for name, condition in reasons.items()), else_="").label("why")
    query = select(lately, why).where(lately.c.id != known.id, func.coalesce(lately.c.merged, "") != known.id)
    rows: Sequence[Row[tuple[object, ...]]] = connection.execute(query.where(or_(*reasons.values()))).all()
    order = list(reasons)
    ranked = sorted(rows, key=lambda row: (row.state == "resolved", order.index(row.why), -row.last_seen))
    return [RelatedIncident(incident_from(row), row.why) for row in ranked]


def _pair(name: str, text: str) -> str:
    """As it stands in the column, which is a JSON object."""
    return json.dumps({name: text})[1:-1]
