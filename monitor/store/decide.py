"""Groups are decided about: what their sinks must be told goes into the outbox."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, func, not_, select, update

from monitor.common.severity import worst
from monitor.folding import FOLD
from monitor.incidents import Incident
from monitor.pacing import shares
from monitor.routing import Group, Member, Place, Policy, Route, Told, labels, needs_notify, speaks, stronger
from monitor.store.held import Quiet
from monitor.store.parcels import NEW_ROW, new_row
from monitor.store.rows import any_of, chunks, incident_from, latest_decision
from monitor.store.schema import audit, findings, groups, incidents, members, outbox
from monitor.store.silences import silenced_among
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
_BY_HAND = select(audit.c.incident).where(audit.c.seq.in_(latest_decision()), audit.c.action == "reopened_by_hand")
_WAITING = (
    select(outbox)
    .where(any_of(outbox.c.key), outbox.c.state == "pending", outbox.c.attempts == 0)
    .where(outbox.c.reason.not_in(("overdue", "progress")))
    .order_by(outbox.c.seq)
)
_MEMBER = update(members).where(members.c.group == bindparam("_group"), members.c.incident == bindparam("_incident"))
_MOVED = _MEMBER.values({name: bindparam(f"_{name}") for name in Place._fields})
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
    place: Place | None = None


def reconsider(tx: Transaction, ids: Iterable[int], *, flush: bool = False) -> None:
    """Decide about these groups and put into the outbox what their sinks must be told."""
    for chunk in chunks(ids):
        _reconsider(tx, chunk, flush)


def _reconsider(tx: Transaction, ids: list[int], flush: bool) -> None:
    connection, now = tx.connection, tx.now
    rows = {row.id: row for row in connection.execute(_GROUPS, {"ids": ids})}
    inside: dict[int, list[tuple[Incident, Row[Any], Member]]] = {id_: [] for id_ in rows}
    joined = list(connection.execute(_INSIDE, {"ids": list(rows)}))
    undone = [row.id for row in joined if row.state == "open" and row.told_state in ("acknowledged", "resolved")]
    by_hand = _reopened_by_hand(connection, undone)
    held: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for row, incident, route, until, by, place in _standing(tx, rows, joined):
        if by != row.held:
            held.append({"_group": row.group, "_incident": incident.id, "_held": by})
        if place is not None:
            now_at = {f"_{name}": value for name, value in place._asdict().items()}
            moved.append({"_group": row.group, "_incident": incident.id, **now_at})
        told = None
        if row.told_state is not None:
            told = Told(row.told_state, row.told_severity, row.told_occurrences, row.told_reopens, row.told_validity)
        member = Member(
            state=incident.state,
            severity=incident.severity,
            occurrences=incident.occurrences,
            reopens=incident.reopens,
            validity=incident.verified.validity if incident.verified else None,
            told=told,
            route=route,
            by_hand=incident.id in by_hand,
            silenced_until=until,
        )
        inside[row.group].append((incident, row, member))

    if moved:
        connection.execute(_MOVED, moved)
        tx.changed()
    if held:
        connection.execute(_HELD, held)

    waiting = _waiting(connection, {row.key for row in rows.values()})
    added: list[dict[str, Any]] = []
    told_rows: list[dict[str, Any]] = []
    group_rows: list[dict[str, Any]] = []
    for id_, row in rows.items():
        found = inside[id_]
        hold = row.hold_until if not flush else float("-inf")
        group = Group(row.kind, hold, row.sent_at, fold=row.key.startswith(FOLD))
        decision = needs_notify(group, [member for _, _, member in found], now)
        sent_at, due = row.sent_at, decision.due
        if decision.reason is not None:
            about = [incident for incident, _, member in found if speaks(group, member, decision.reason)]
            pending = waiting.get((row.sink, row.key))
            if pending is not None:
                # Not sent yet, so one message says it all: it shows the incidents as they are when it leaves.
                reason = stronger([pending.reason, decision.reason])
                pager = row.sink in tx.policy.pagers
                if pager and all(member.state != "open" for _, _, member in found):
                    reason = decision.reason  # nobody need be called: that does not wait for a turn
                everyone = dict.fromkeys([*json.loads(pending.incidents), *(incident.id for incident in about)])
                connection.execute(
                    update(outbox)
                    .where(outbox.c.id == pending.id)
                    .values(
                        reason=reason,
                        next_at=pending.next_at if shares(reason, row.key, pager=pager) else now,
                        incidents=json.dumps(list(everyone)),
                        severity=worst([pending.severity, *(incident.severity for incident in about)]),
                    )
                )
            else:
                added.append(
                    new_row(
                        sink=row.sink,
                        key=row.key,
                        reason=decision.reason,
                        incidents=[incident.id for incident in about],
                        severity=worst(incident.severity for incident in about),
                        now=now,
                    )
                )
            names = {incident.id for incident in about}
            after = []
            for incident, _, member in found:
                if incident.id not in names:
                    after.append(member)
                    continue
                after.append(
                    replace(
                        member,
                        told=Told(member.state, member.severity, member.occurrences, member.reopens, member.validity),
                    )
                )
                told_rows.append(
                    {
                        "_group": id_,
                        "_incident": incident.id,
                        "_state": member.state,
                        "_severity": member.severity,
                        "_occurrences": member.occurrences,
                        "_reopens": member.reopens,
                        "_validity": member.validity,
                    }
                )
            sent_at = now
            following = needs_notify(replace(group, sent_at=now), after, now)
            # Nothing is left to say at this instant; a reason here would be a decision that does not settle.
            due = following.due if following.reason is None else now + 1.0
        group_rows.append({"_id": id_, "_sent": sent_at, "_due": due})

    if added:
        connection.execute(NEW_ROW, added)
        tx.announce()
    if told_rows:
        connection.execute(_TOLD, told_rows)
    if group_rows:
        connection.execute(_DECIDED, group_rows)


def _reopened_by_hand(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those whose last change of state that was."""
    found: set[str] = set()
    for chunk in chunks(ids):
        found.update(connection.execute(_BY_HAND, {"ids": chunk}).scalars())
    return found


def _standing(tx: Transaction, rows: Mapping[int, Row[Any]], joined: Sequence[Row[Any]]) -> list[_Standing]:
    """Each where it stands; what its sink was never told of, and may not be there, in another place of it that is
    heard of."""
    hushed = silenced_among(tx.connection, (row.incident for row in joined), tx.now)
    quiet = Quiet.within(tx)
    found = []
    for row in joined:
        incident, group = incident_from(row), rows[row.group]
        seen = labels(incident, row.source, row.path, row.host, row.service)
        route = route_of(tx.policy, incident, seen, group, tx.now)
        found.append(_Standing(row, incident, route, *quiet.of(incident, seen, group.sink, route, hushed.get(row.id))))

    untold = {
        one.incident.id
        for one in found
        if one.until is not None and one.row.told_state is None and one.row.state != "resolved"
    } - hushed.keys()
    places = _seen_at(tx.connection, untold)
    for at, one in enumerate(found):
        if one.until is not None and one.row.told_state is None:
            loud = _loud(tx, one.incident, rows[one.row.group], places.get(one.incident.id, ()))
            if loud is not None:
                found[at] = _Standing(one.row, one.incident, loud[1], None, None, loud[0])
    return found


def _seen_at(connection: Connection, ids: Iterable[str]) -> dict[str, list[Place]]:
    """Incident → each place of it, the newest first."""
    found: dict[str, list[Place]] = {}
    where = (findings.c.source, findings.c.path, findings.c.node, func.coalesce(findings.c.service, ""))
    for chunk in chunks(ids):
        query = select(findings.c.incident, *where).where(findings.c.incident.in_(chunk))
        query = query.group_by(findings.c.incident, *where).order_by(func.max(findings.c.seq).desc())
        for id_, *place in connection.execute(query):
            found.setdefault(id_, []).append(Place(*place))
    return found


def _loud(tx: Transaction, incident: Incident, group: Row[Any], places: Sequence[Place]) -> tuple[Place, Route] | None:
    """The first place by which the group's sink is told of it now, and the route that leads there."""
    for place in places:
        seen = labels(incident, *place)
        route = route_of(tx.policy, incident, seen, group, tx.now)
        if route is not None and Quiet.within(tx).of(incident, seen, group.sink, route, None)[0] is None:
            return place, route
    return None


def _waiting(connection: Connection, keys: Iterable[str]) -> dict[tuple[str, str], Row[Any]]:
    """Notifications nobody has tried to send yet. One that was tried may have arrived: its receiver would take a
    second one of the same id for a repeat, and miss what was added. What is overdue has words of its own."""
    found = {}
    for chunk in chunks(keys):
        for row in connection.execute(_WAITING, {"ids": chunk}):
            found[row.sink, row.key] = row
    return found


def route_of(policy: Policy, incident: Incident, seen: Mapping[str, str], group: Row[Any], now: float) -> Route | None:
    """The route that leads the incident into the group now; None: none does any more."""
    for target in policy.targets(seen, incident.id, now):
        if target.sink == group.sink and (target.key == group.key or group.kind == "digest"):
            return target.route
    return None
