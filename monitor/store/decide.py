"""Groups are decided about: what their sinks must be told goes into the outbox."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, func, not_, select, update

from monitor.common.notification import Reason
from monitor.common.severity import worst
from monitor.domain.incidents import Incident
from monitor.routing.budget import shares
from monitor.routing.fold import FOLD
from monitor.routing.notify import Group, Member, NotifiedState, Settled, settle, stronger
from monitor.routing.routes import IncidentPlace, Policy, Route, labels
from monitor.store.changes import places_among
from monitor.store.outbox_rows import new_row, post
from monitor.store.rows import any_of, apply_all, chunks, incident_from, latest_decision, rows_among
from monitor.store.schema import audit, groups, incidents, members, outbox
from monitor.store.silences import silenced_among
from monitor.store.suppression import Quiet
from monitor.store.transaction import Transaction

__all__ = ["reconsider", "route_of"]

_GROUPS = select(groups).where(any_of(groups.c.id))
_INSIDE = (
    select(members, incidents)
    .join(incidents, incidents.c.id == members.c.incident)
    .where(any_of(members.c.group))
    # What is resolved and known to be resolved says nothing any more.
    .where(not_(and_(incidents.c.state == "resolved", func.coalesce(members.c.told_state, "") == "resolved")))
)
# Those whose last change of state that was.
_BY_HAND = select(audit.c.incident).where(audit.c.seq.in_(latest_decision()), audit.c.action == "reopened_by_hand")
# Notifications nobody has tried to send yet. One that was tried may have arrived: its receiver would take a second one
# of the same id for a repeat, and miss what was added. What is overdue has words of its own.
_WAITING = (
    select(outbox)
    .where(any_of(outbox.c.key), outbox.c.state == "pending", outbox.c.attempts == 0)
    .where(outbox.c.reason.not_in(("overdue", "progress")))
    .order_by(outbox.c.seq)
)
_MEMBER = update(members).where(members.c.group == bindparam("_group"), members.c.incident == bindparam("_incident"))
_MOVED = _MEMBER.values({name: bindparam(f"_{name}") for name in IncidentPlace._fields})
_HELD = _MEMBER.values(held=bindparam("_held"))
_TOLD = _MEMBER.values(
    told_state=bindparam("_state"),
    told_severity=bindparam("_severity"),
    told_occurrences=bindparam("_occurrences"),
    told_reopens=bindparam("_reopens"),
    told_validity=bindparam("_validity"),
)
_DECIDED = (
    update(groups).where(groups.c.id == bindparam("_id")).values(sent_at=bindparam("_sent"), due_at=bindparam("_due"))
)


class _Standing(NamedTuple):
    """An incident in a group. `until`: its sink is not told of it, perhaps `by` which worse one; `place`: where it
    stands from now on."""

    row: Row[Any]
    incident: Incident
    route: Route | None
    until: float | None
    by: str | None
    place: IncidentPlace | None = None


class _Inside(NamedTuple):
    incident: Incident
    member: Member


def reconsider(tx: Transaction, ids: Iterable[int], *, flush: bool = False) -> None:
    """Decide about these groups and put into the outbox what their sinks must be told."""
    for chunk in chunks(ids):
        _reconsider(tx, chunk, flush)


def _reconsider(tx: Transaction, ids: list[int], flush: bool) -> None:
    rows = {row.id: row for row in tx.connection.execute(_GROUPS, {"ids": ids})}
    joined = list(tx.connection.execute(_INSIDE, {"ids": list(rows)}))
    standing = _standing(tx, rows, joined)
    inside = _members(tx.connection, rows, joined, standing)
    decided = {
        id_: settle(_group(row, flush), [one.member for one in inside[id_]], tx.now) for id_, row in rows.items()
    }
    _write_places(tx, standing)
    _write_notifications(tx, rows, inside, decided)
    _write_decisions(tx, inside, decided)


def _group(row: Row[Any], flush: bool) -> Group:
    hold = row.hold_until if not flush else float("-inf")
    return Group(row.kind, hold, row.sent_at, fold=row.key.startswith(FOLD), flush=flush)


def _members(
    connection: Connection, rows: Iterable[int], joined: Sequence[Row[Any]], standing: Iterable[_Standing]
) -> dict[int, list[_Inside]]:
    """Of each group who is in it, as a decision sees them."""
    undone = [row.id for row in joined if row.state == "open" and row.told_state in ("acknowledged", "resolved")]
    by_hand = {row.incident for row in rows_among(connection, _BY_HAND, undone)}
    inside: dict[int, list[_Inside]] = {id_: [] for id_ in rows}
    for row, incident, route, until, _, _ in standing:
        member = Member(
            state=incident.state,
            severity=incident.severity,
            occurrences=incident.occurrences,
            reopens=incident.reopens,
            validity=incident.verified.validity if incident.verified else None,
            told=_told(row) if row.told_state is not None else None,
            route=route,
            by_hand=incident.id in by_hand,
            silenced_until=until,
        )
        inside[row.group].append(_Inside(incident, member))
    return inside


def _told(row: Row[Any]) -> NotifiedState:
    return NotifiedState(row.told_state, row.told_severity, row.told_occurrences, row.told_reopens, row.told_validity)


def _write_places(tx: Transaction, standing: Iterable[_Standing]) -> None:
    """Where each stands from now on, and which worse one holds it back."""
    held: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for row, incident, _, _, by, place in standing:
        if by != row.held:
            held.append({"_group": row.group, "_incident": incident.id, "_held": by})
        if place is not None:
            now_at = {f"_{name}": value for name, value in place._asdict().items()}
            moved.append({"_group": row.group, "_incident": incident.id, **now_at})
    apply_all(tx.connection, _MOVED, moved)
    if moved:
        tx.changed()
    apply_all(tx.connection, _HELD, held)


def _write_notifications(
    tx: Transaction, rows: Mapping[int, Row[Any]], inside: Mapping[int, list[_Inside]], decided: Mapping[int, Settled]
) -> None:
    keys = {row.key for row in rows.values()}
    waiting = {(row.sink, row.key): row for row in rows_among(tx.connection, _WAITING, keys)}
    added: list[dict[str, Any]] = []
    for id_, row in rows.items():
        reason = decided[id_].reason
        if reason is None:
            continue
        about = [each.incident for each, shown in zip(inside[id_], decided[id_].shown, strict=True) if shown]
        pending = waiting.get((row.sink, row.key))
        if pending is None:
            level = worst(incident.severity for incident in about)
            ids = [incident.id for incident in about]
            added.append(new_row(sink=row.sink, key=row.key, reason=reason, incidents=ids, severity=level, now=tx.now))
        else:
            quiet = all(each.member.state != "open" for each in inside[id_])
            _join(tx, row, pending, reason, about, quiet=quiet)
    post(tx, added)


def _join(
    tx: Transaction, row: Row[Any], pending: Row[Any], reason: Reason, about: Sequence[Incident], *, quiet: bool
) -> None:
    """One is not sent yet, so it says it all: it shows the incidents as they are when it leaves. `quiet`: nothing of
    the group is open."""
    pager = row.sink in tx.policy.pagers
    if not (pager and quiet):  # where nobody need be called any more, that does not wait for a turn
        reason = stronger([pending.reason, reason])
    everyone = dict.fromkeys([*json.loads(pending.incidents), *(incident.id for incident in about)])
    tx.connection.execute(
        update(outbox)
        .where(outbox.c.id == pending.id)
        .values(
            reason=reason,
            next_at=pending.next_at if shares(reason, row.key, pager=pager) else tx.now,
            incidents=json.dumps(list(everyone)),
            severity=worst([pending.severity, *(incident.severity for incident in about)]),
        )
    )


def _write_decisions(tx: Transaction, inside: Mapping[int, list[_Inside]], decided: Mapping[int, Settled]) -> None:
    """What each sink knows now, and when to look again."""
    told = [
        {
            "_group": id_,
            "_incident": incident.id,
            "_state": member.state,
            "_severity": member.severity,
            "_occurrences": member.occurrences,
            "_reopens": member.reopens,
            "_validity": member.validity,
        }
        for id_, settled in decided.items()
        for (incident, member), shown in zip(inside[id_], settled.shown, strict=True)
        if shown
    ]
    apply_all(tx.connection, _TOLD, told)
    rows = [{"_id": id_, "_sent": settled.sent_at, "_due": settled.due} for id_, settled in decided.items()]
    apply_all(tx.connection, _DECIDED, rows)


def _standing(tx: Transaction, rows: Mapping[int, Row[Any]], joined: Sequence[Row[Any]]) -> list[_Standing]:
    """Each where it stands; what its sink was never told of, and may not be there, in another place of it that is
    heard of."""
    hushed = silenced_among(tx.connection, (row.incident for row in joined), tx.now)
    quiet = Quiet.within(tx)
    standing = []
    for row in joined:
        incident, group = incident_from(row), rows[row.group]
        seen = labels(incident, row.source, row.path, row.host, row.service)
        route = route_of(tx.policy, incident, seen, group, tx.now)
        standing.append(
            _Standing(row, incident, route, *quiet.of(incident, seen, group.sink, route, hushed.get(row.id)))
        )

    untold = {
        one.incident.id
        for one in standing
        if one.until is not None and one.row.told_state is None and one.row.state != "resolved"
    } - hushed.keys()
    places = places_among(tx.connection, untold)
    for at, one in enumerate(standing):
        if one.until is not None and one.row.told_state is None:
            loud = _loud(tx, one.incident, rows[one.row.group], places.get(one.incident.id, ()))
            if loud is not None:
                standing[at] = _Standing(one.row, one.incident, loud[1], None, None, loud[0])
    return standing


def _loud(
    tx: Transaction, incident: Incident, group: Row[Any], places: Sequence[IncidentPlace]
) -> tuple[IncidentPlace, Route] | None:
    """The first place by which the group's sink is told of it now, and the route that leads there."""
    for place in places:
        seen = labels(incident, *place)
        route = route_of(tx.policy, incident, seen, group, tx.now)
        if route is not None and Quiet.within(tx).of(incident, seen, group.sink, route, None)[0] is None:
            return place, route
    return None


def route_of(policy: Policy, incident: Incident, seen: Mapping[str, str], group: Row[Any], now: float) -> Route | None:
    """The route that leads the incident into the group now; None: none does any more."""
    leads = (target for target in policy.targets(seen, incident.id, now) if target.sink == group.sink)
    return next((target.route for target in leads if target.key == group.key or group.kind == "digest"), None)
