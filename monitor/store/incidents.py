"""Incidents: questions about them, and changes of their state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)

from monitor.common.notification import State
from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.common.text import clean
from monitor.domain.incidents import Action, Incident, IncidentChange, Validity, transition, urgency
from monitor.domain.incidents import assign as hand_to
from monitor.domain.model import Confidence, Resolution
from monitor.routing.routes import IncidentPlace
from monitor.store import groups, runs
from monitor.store.changes import newest_of
from monitor.store.joins import join
from monitor.store.outbox_rows import shown
from monitor.store.partings import take_back
from monitor.store.records import Activity, AuditEntry, Joined, ListPage
from monitor.store.rows import (
    any_of,
    incident_by_id,
    incident_columns,
    incident_from,
    load_locations,
    narrowed,
    rows_among,
)
from monitor.store.schema import audit, drills, findings, incidents, suppressions
from monitor.store.sealing import touch
from monitor.store.trail import append, entries_of, entry
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = [
    "Filter",
    "Incidents",
    "Order",
    "change_state",
    "cursor",
    "hand_over",
    "load_incident",
    "remark",
    "update_incidents",
]

_LONGEST_LIST = 10_000
_OPENED = ("opened", "reopened", "reopened_by_hand", "escalated")
_CHANGING = tuple(column.name for column in incidents.c if column.name not in ("id", "fingerprint"))
_UPDATE = (
    update(incidents)
    .where(incidents.c.id == bindparam("_id"))
    .values({name: bindparam(f"_{name}") for name in _CHANGING})
)
_PREVIEWS = select(incidents.c.fingerprint, incidents.c.masked).where(any_of(incidents.c.fingerprint))


Order = Literal["urgent", "recent"]  # as `urgency` says; last seen first


class Filter(TypedDict, total=False):
    """What is asked for; what is empty takes all."""

    states: Collection[State]
    severities: Collection[Severity]
    confidences: Collection[Confidence]
    rules: Collection[str]
    owner: str | None
    validity: Validity | None
    drill: bool | None
    source: str | None
    host: str | None
    service: str | None
    repository: str | None  # seen in its history
    since: float | None  # seen at or after
    first_since: float | None  # seen for the first time at or after
    first_before: float | None  # seen for the first time before
    but_rules: Collection[str]  # not of these
    told: str | None  # shown by the message with this id
    search: str | None  # in name, rule, path, preview; begins an id or a fingerprint


class Incidents(StoreRepository):
    """Incidents as they stand. `ref`: an id, a fingerprint, or a start of either that fits only one."""

    @read_only
    def find(
        self,
        connection: Connection,
        *,
        limit: int = 100,
        offset: int = 0,
        locations: bool = False,
        order: Order = "urgent",
        after: str = "",
        **filters: Unpack[Filter],
    ) -> list[Incident]:
        """`after`: where the list goes on, as `cursor` names a place in that order. Raises ValueError where it names
        none."""
        query = _ordered(connection, filters, order, after).limit(min(limit, _LONGEST_LIST)).offset(offset)
        return _loaded(connection, query, locations=locations)

    @read_only
    def ids(
        self, connection: Connection, *, limit: int, order: Order = "urgent", **filters: Unpack[Filter]
    ) -> list[str]:
        """Those of the first in that order."""
        query = _ordered(connection, filters, order, "").with_only_columns(incidents.c.id)
        return list(connection.execute(query.limit(min(limit, _LONGEST_LIST))).scalars())

    @read_only
    def page(
        self,
        connection: Connection,
        *,
        limit: int,
        order: Order,
        after: str = "",
        activity: Activity = Activity(),
        **filters: Unpack[Filter],
    ) -> ListPage:
        """As `find`, with what is needed to say how many more there are, all of it of one moment. `activity`: as it was
        known last."""
        incidents = _loaded(connection, _ordered(connection, filters, order, after).limit(limit + 1), locations=True)
        more, shown = len(incidents) > limit, incidents[:limit]
        total = _count(connection, filters) if more or after else len(shown)
        return ListPage(shown, total, more, join(connection, shown), _activity(connection, activity))

    @read_only
    def count(self, connection: Connection, **filters: Unpack[Filter]) -> int:
        """How many there are with these filters."""
        return _count(connection, filters)

    @read_only
    def activity(self, connection: Connection, known: Activity) -> Activity:
        """As it is now; only what came since `known` is counted, so that this takes next to nothing."""
        return _activity(connection, known)

    @read_only
    def fresh(
        self, connection: Connection, revision: int, *, most: int = 1000, **filters: Unpack[Filter]
    ) -> int | None:
        """How many there are with these filters of those that were opened since that revision of the trail. None: more
        than `most` were opened, and looking at them all would take too long."""
        since = select(audit.c.incident).where(audit.c.seq > revision, audit.c.action.in_(_OPENED)).limit(most + 1)
        opened = set(connection.execute(since).scalars())
        return _count(connection, filters, opened) if len(opened) <= most else None

    @read_only
    def unresolved(self, connection: Connection) -> Mapping[Severity, int]:
        """How many of each severity are not resolved; of none there is no number."""
        state, severity = incidents.c.state, incidents.c.severity
        query = select(severity, func.count()).where(state.in_(("open", "acknowledged"))).group_by(severity)
        return {row[0]: row[1] for row in connection.execute(query)}

    @read_only
    def get(self, connection: Connection, ref: str) -> Incident:
        """With its locations. Raises LookupError."""
        return load_incident(connection, ref.strip())

    @read_only
    def joined(self, connection: Connection, incidents: Sequence[Incident]) -> Joined:
        """What is shown with them (monitor.report.view)."""
        return join(connection, incidents)

    @read_only
    def previews(self, connection: Connection, fingerprints: Collection[str]) -> Mapping[str, str]:
        """Of those that incidents have: their masked secrets, by fingerprint."""
        return {row.fingerprint: row.masked for row in rows_among(connection, _PREVIEWS, fingerprints)}

    @read_only
    def history(self, connection: Connection, ref: str) -> list[AuditEntry]:
        """Every change of state, answer of its issuer and step of its run, oldest first. Raises LookupError."""
        return entries_of(connection, load_incident(connection, ref.strip()).id)

    @durably
    def transition(
        self,
        tx: Transaction,
        ref: str,
        action: Action,
        *,
        actor: str,
        resolution: Resolution | None = None,
        note: str = "",
    ) -> Incident:
        """Raises LookupError and TransitionError."""
        known = load_incident(tx.connection, ref.strip())
        return change_state(tx, known.id, action, actor=actor, resolution=resolution, note=note)

    @durably
    def assign(self, tx: Transaction, ref: str, person: str, *, actor: str, note: str = "") -> Incident:
        """Raises LookupError and TransitionError."""
        return hand_over(tx, load_incident(tx.connection, ref.strip()).id, person, actor=actor, note=note)

    @durably
    def note(self, tx: Transaction, ref: str, note: str, *, actor: str) -> None:
        """Into its history, unless it stands there: what notes may do so again after a crash. Raises LookupError."""
        known = load_incident(tx.connection, ref.strip())
        if not any(made.action == "noted" and made.note == note for made in entries_of(tx.connection, known.id)):
            remark(tx, known, actor=actor, note=note)


def hand_over(tx: Transaction, incident_id: str, person: str, *, actor: str, note: str) -> Incident:
    """Raises LookupError and TransitionError."""
    was, row = incident_by_id(tx.connection, incident_id)
    now = hand_to(was, person)
    update_incidents(tx, [(now, row.kept)])
    said = f"to {person}" + (f", from {was.owner}" if was.owner else "") + (f": {note}" if note else "")
    append(tx, [entry(now, was, "assigned", actor=actor, note=said, now=tx.now)])
    tx.announce()
    return now


def remark(tx: Transaction, known: Incident, *, actor: str, note: str) -> None:
    append(tx, [entry(known, known, "noted", actor=actor, note=note, now=tx.now)])


def change_state(
    tx: Transaction,
    incident_id: str,
    action: Action,
    *,
    actor: str,
    resolution: Resolution | None,
    note: str,
) -> Incident:
    """Raises LookupError (no such incident) and TransitionError."""
    connection = tx.connection
    was, row = incident_by_id(connection, incident_id)
    parted = take_back(tx, was) if action == "reopen" and was.merged is not None else None
    change: IncidentChange = transition(
        parted.went if parted else was, action, actor=actor, now=tx.now, resolution=resolution
    )
    update_incidents(tx, [(change.incident, parted.went_kept if parted else row.kept)])
    assert change.reason is not None
    append(tx, [entry(change.incident, was, change.reason, actor=actor, note=note, now=tx.now)])
    runs.follow(tx, [runs.RunTrigger(change.incident, reopened="hand" if action == "reopen" else None)])
    places: tuple[IncidentPlace, ...] = ()
    if action == "reopen":
        connection.execute(delete(suppressions).where(suppressions.c.fingerprint == was.fingerprint))
        newest = newest_of(connection, findings.c.incident == incident_id)
        places = (newest,) if newest else ()
    touched = [groups.ChangedIncident(change.incident, places, urgent=action == "reopen", everywhere=True)]
    if parted is not None:
        update_incidents(tx, [(parted.stays, parted.stays_kept)])
        said = f"incident {incident_id} counts for itself again{f': {note}' if note else ''}"
        append(tx, [entry(parted.stays, parted.was, "parted", actor=actor, note=said, now=tx.now)])
        touched.append(groups.ChangedIncident(parted.stays, (), everywhere=True))
    groups.enrol(tx, touched)
    return change.incident


def update_incidents(tx: Transaction, changed: Sequence[tuple[Incident, int]]) -> None:
    """Each as it is from now on, with how many of its findings are stored."""
    if not changed:
        return
    tx.changed()
    touch(tx, [incident.id for incident, _ in changed])
    rows = [{**incident_columns(incident), "kept": stored} for incident, stored in changed]
    tx.connection.execute(_UPDATE, [{f"_{name}": row[name] for name in ("id", *_CHANGING)} for row in rows])


def load_incident(connection: Connection, ref: str) -> Incident:
    """As `Incidents.get`. Raises LookupError."""
    columns = incidents.c
    rows = list(connection.execute(select(incidents).where((columns.id == ref) | (columns.fingerprint == ref))))
    if not rows and ref:
        either = columns.id.startswith(ref, autoescape=True) | columns.fingerprint.startswith(ref, autoescape=True)
        rows = list(connection.execute(select(incidents).where(either).limit(9)))
    if not rows:
        raise LookupError(f"there is no incident {ref!r}; `monitor incidents list` shows them")
    if len(rows) > 1:
        ids = [row.id for row in rows]
        fitting = f"{', '.join(ids[:8])}{' and more' if len(ids) > 8 else ''}"
        raise LookupError(f"{ref!r} fits several incidents; give more of the id: {fitting}")
    row = rows[0]
    return incident_from(row, load_locations(connection, [row.id]).get(row.id, ()))


# `urgency`, in SQL.
_URGENCY = case({state: 10 * n for n, state in enumerate(get_args(State))}, value=incidents.c.state) - case(
    {severity: rank(severity) for severity in SEVERITIES}, value=incidents.c.severity
)
_ORDERS: Mapping[Order, Sequence[ColumnElement[Any]]] = {
    "recent": (incidents.c.last_seen.desc(), incidents.c.id),
    "urgent": (_URGENCY, incidents.c.first_seen, incidents.c.id),
}


def cursor(order: Order, last: Incident) -> str:
    """The place behind this one in a list of that order."""
    if order == "recent":
        return f"{last.last_seen!r}_{last.id}"
    urgent, seen, id_ = urgency(last)
    return f"{urgent}_{seen!r}_{id_}"


def _behind(order: Order, after: str) -> ColumnElement[bool]:
    *said, last = after.split("_")
    try:
        *urgency, seen = map(float, said)
        if len(urgency) != len(_ORDERS[order]) - 2:
            raise ValueError
    except ValueError:
        raise ValueError("it names no place in this list") from None
    if order == "recent":
        return (incidents.c.last_seen < seen) | ((incidents.c.last_seen == seen) & (incidents.c.id > last))
    place = tuple_(_URGENCY, incidents.c.first_seen, incidents.c.id)
    return place > tuple_(literal(urgency[0]), literal(seen), literal(last))


def _ordered(connection: Connection, filters: Filter, order: Order, after: str) -> Select[Any]:
    query = _filtered(connection, filters).order_by(*_ORDERS[order])
    return query.where(_behind(order, after)) if after else query


def _loaded(connection: Connection, query: Select[Any], *, locations: bool) -> list[Incident]:
    rows = connection.execute(query).all()
    places = load_locations(connection, [row.id for row in rows]) if locations else {}
    return [incident_from(row, places.get(row.id, ())) for row in rows]


def _count(connection: Connection, filters: Filter, among: Collection[str] | None = None) -> int:
    query = select(func.count()).select_from(_filtered(connection, filters, among).subquery())
    return connection.execute(query).scalar_one()


def _activity(connection: Connection, known: Activity) -> Activity:
    revision = connection.execute(select(func.max(audit.c.seq))).scalar() or 0
    if revision == known.revision:
        return known
    opened = select(func.count()).where(audit.c.seq > known.revision, audit.c.action.in_(_OPENED))
    return Activity(revision, known.opened + connection.execute(opened).scalar_one())


def _filtered(connection: Connection, filters: Filter, among: Collection[str] | None = None) -> Select[Any]:
    """`among`: of these few alone."""
    columns = incidents.c

    def seen(where: ColumnElement[bool]) -> ColumnElement[bool]:
        few = None if among is None else findings.c.incident.in_(among)
        return columns.id.in_(narrowed(select(findings.c.incident).where(where), few))

    query = narrowed(select(incidents), None if among is None else columns.id.in_(among))
    for column, wanted in (
        (columns.state, filters.get("states")),
        (columns.severity, filters.get("severities")),
        (columns.confidence, filters.get("confidences")),
        (columns.rule, filters.get("rules")),
    ):
        if wanted:
            # An expression: of a column itself SQLite 3.53 expects few rows to match, and reads and sorts them all.
            query = query.where((column + "").in_(list(wanted)))
    if but := filters.get("but_rules"):
        query = query.where(columns.rule.not_in(list(but)))
    since, drill = filters.get("since"), filters.get("drill")
    first_since, first_before = filters.get("first_since"), filters.get("first_before")
    planted = columns.fingerprint.in_(select(drills.c.fingerprint))
    places = (("source", findings.c.source), ("host", findings.c.node), ("service", findings.c.service))
    query = narrowed(
        query,
        None if since is None else columns.last_seen >= since,
        None if first_since is None else columns.first_seen >= first_since,
        None if first_before is None else columns.first_seen < first_before,
        None if drill is None else planted if drill else ~planted,
        *(columns[name] == said for name in ("owner", "validity") if (said := filters.get(name)) is not None),
        *(seen(column == said) for name, column in places if (said := filters.get(name)) is not None),
    )
    if repository := filters.get("repository"):
        begin = clean(f"{repository}:")  # exactly: LIKE takes `Code` for `code`
        query = query.where(
            seen((findings.c.source == "git") & (func.substr(findings.c.generation, 1, len(begin)) == begin))
        )
    if told := filters.get("told"):
        query = query.where(columns.id.in_(shown(connection, told)[:_LONGEST_LIST]))
    if search := filters.get("search"):
        # SQLite's LIKE disregards case by itself; with lower() around both it takes twice as long.
        within = ColumnElement.contains if connection.dialect.name == "sqlite" else ColumnElement.icontains
        query = query.where(
            within(columns.name, search, autoescape=True)
            | within(columns.rule, search, autoescape=True)
            | within(columns.masked, search, autoescape=True)
            | columns.id.startswith(search, autoescape=True)
            | columns.fingerprint.startswith(search, autoescape=True)
            | seen(within(findings.c.path, search, autoescape=True))
        )
    return query
