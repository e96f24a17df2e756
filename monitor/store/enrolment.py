"""An incident that changed joins the groups that the routes name: loaded, decided about, written, and then each group
decides what its sink is told (monitor.store.decide)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from monitor.common.grouping import grouped
from monitor.common.severity import rank
from monitor.domain.incidents import Incident
from monitor.routing.fold import Fold
from monitor.routing.notify import digest_hold
from monitor.routing.routes import IncidentPlace, Route, Target, labels
from monitor.store import pages
from monitor.store.decide import reconsider, route_of
from monitor.store.drills import drills_among, paging
from monitor.store.folds import Folds, budget_of
from monitor.store.rows import any_of, apply_all, rows_among, upsert
from monitor.store.schema import groups, incidents, members
from monitor.store.silences import release
from monitor.store.suppression import Quiet
from monitor.store.transaction import Transaction

__all__ = ["DAILY", "MUTED", "PLACE", "ChangedIncident", "enrol", "place_of"]

_CLOCK_SLACK = 60.0
MUTED = ":muted"  # after the id of a route: what collects while it is muted
_RESERVE = 5  # critical ones beyond a burst that are told by themselves, of rules that the burst has none of
DAILY = ":digest"  # likewise: what a route tells in one message, once in so long
PLACE = (members.c.source, members.c.path, members.c.host, members.c.service)

_JOINED = (
    select(members.c.incident, members.c.told_state, *PLACE, groups)
    .join(groups, groups.c.id == members.c.group)
    .where(any_of(members.c.incident))
)
_BY_KEY = select(groups).where(any_of(groups.c.key))
_COUNTED = (
    groups.c.sink == bindparam("sink"),
    groups.c.route == bindparam("route"),
    groups.c.kind != "digest",
    groups.c.created_at > bindparam("since"),
    groups.c.created_at <= bindparam("until"),
)
_USED = select(func.count()).where(*_COUNTED)
_OF_ITS_RULE = (
    select(groups.c.id)
    .join(members, members.c.group == groups.c.id)
    .join(incidents, incidents.c.id == members.c.incident)
    .where(*_COUNTED, incidents.c.rule == bindparam("rule"))
    .limit(1)
)
_STILL_OPEN = (
    select(members.c.incident)
    .join(incidents, incidents.c.id == members.c.incident)
    .where(members.c.group == bindparam("group"), incidents.c.state == "open")
    .limit(1)
)
# The newest one that was not sent yet, else the one that was sent last.
_DIGEST = (
    select(groups)
    .where(groups.c.sink == bindparam("sink"), groups.c.route == bindparam("route"), groups.c.kind == "digest")
    .order_by(groups.c.sent_at.is_(None).desc(), groups.c.id.desc())
    .limit(1)
)
_WAIT = update(groups).where(groups.c.id == bindparam("_id")).values(due_at=bindparam("_due"))
_CREATE = insert(groups).returning(groups.c.id, groups.c.sink, groups.c.key)
_JOIN = upsert(members, ("group", "incident", "source", "path", "host", "service"), on=("group", "incident"))


@dataclass(frozen=True, slots=True)
class ChangedIncident:
    """An incident that changed. `places`: those of its new findings. `urgent`: does not wait for an interval.

    `everywhere`: also groups that no route leads to any more must hear of it. `moves`: nothing happened to it, but the
    routes may have changed: it joins groups of sinks that do not know it, and leaves those that would tell it no more.
    """

    incident: Incident
    places: tuple[IncidentPlace, ...]
    urgent: bool = False
    everywhere: bool = False
    moves: bool = False


_Place = tuple[str, str]  # a group: sink and key


class _Joining(NamedTuple):
    """An incident that goes to a sink which does not know it. `alone`: an alarm of its own, however many there are of
    its shape."""

    target: Target
    incident: Incident
    seen_at: IncidentPlace
    alone: bool = False


def enrol(tx: Transaction, touched: Sequence[ChangedIncident]) -> None:
    """Put the incidents into the groups that the routes name, and decide about each group."""
    if not touched:
        return
    work = _Enrolment(tx)
    work.load(touched)
    for item in touched:
        work.place(item)
    work.write()
    reconsider(tx, sorted(work.decide))
    pages.left(tx, work.abandoned)
    pages.follow(tx, [item.incident for item in touched if item.everywhere])
    if tx.policy.inhibitions:
        release(tx, [item.incident.id for item in touched if item.everywhere])


class _Enrolment:
    """The bookkeeping of one `enrol`: read in bulk (what only floods need, when it is asked for), decided in memory,
    written in bulk."""

    def __init__(self, tx: Transaction) -> None:
        self.tx, self.connection, self.policy, self.now = tx, tx.connection, tx.policy, tx.now
        self.mine: dict[str, list[Row[Any]]] = {}  # incident → its memberships with their groups
        self.known: dict[_Place, Row[Any]] = {}
        self.created: dict[_Place, dict[str, Any]] = {}
        self.joined: dict[tuple[str, str, str], dict[str, Any]] = {}  # (sink, key, incident) → member
        self.left: list[dict[str, Any]] = []
        self.abandoned: list[Row[Any]] = []  # memberships of digests that were told, and have lost this one
        self.moved: list[dict[str, Any]] = []
        self.decide: set[int] = set()  # group ids
        self.due: dict[int, float] = {}  # group id → earlier due_at
        self.used: dict[tuple[str, str], int] = {}  # (sink, budget) → groups opened within the burst period
        self.ruled: dict[tuple[str, str, str], bool] = {}  # (sink, budget, rule) → whether the burst has one of it
        self.folds = Folds(tx)
        self.digests: dict[tuple[str, str], _Place] = {}  # (sink, budget) → what still collects

    def load(self, touched: Sequence[ChangedIncident]) -> None:
        rows = rows_among(self.connection, _JOINED, [item.incident.id for item in touched])
        self.mine = grouped((row.incident, row) for row in rows)
        drills = drills_among(self.connection, (item.incident.fingerprint for item in touched))
        self.targets = {
            (item.incident.id, place): [
                target
                for target in self.policy.targets(labels(item.incident, *place), item.incident.id, self.now)
                if target.sink not in self.policy.pagers or paging(drills, item.incident.fingerprint)
            ]
            for item in touched
            for place in item.places
        }
        for item in touched:
            if item.moves:
                self._move(item)
        # Of those that one is in others may come to be.
        self.known |= {(row.sink, row.key): row for rows in self.mine.values() for row in rows}
        keys = {
            target.key
            for targets in self.targets.values()
            for target in targets
            if (target.sink, target.key) not in self.known
        }
        self.known |= {(row.sink, row.key): row for row in rows_among(self.connection, _BY_KEY, keys)}
        self.folds.load([item.incident for item in touched if self._is_new(item.incident.id, item.places)])

    def _is_new(self, incident: str, places: Sequence[IncidentPlace]) -> bool:
        """Whether a sink is to be told of it by itself that does not know it yet."""
        told = {row.sink for row in self.mine.get(incident, ())}
        leads = (target for place in places for target in self.targets[incident, place])
        return any(
            target.sink not in told and target.route.group_by is None and target.route.digest is None
            for target in leads
        )

    def _move(self, item: ChangedIncident) -> None:
        """Leave it only the targets whose sinks do not know it, nor will by a group that a route still leads to.

        Where that group holds it back, it joins the sink's others, as if it were new."""
        leads = {place: self.targets[item.incident.id, place] for place in item.places}
        known: set[str] = set()  # sinks that know it, or will by a group where nothing holds it back
        stays: list[Row[Any]] = []
        lost: list[tuple[Row[Any], bool]] = []
        for row in self.mine.get(item.incident.id, []):
            place = place_of(row)
            to = [target for target in leads[place] if target.sink == row.sink]
            through = next((target for target in to if target.key == row.key or row.kind == "digest"), None)
            if row.told_state is None and through is None:
                lost.append((row, bool(to)))
                continue
            stays.append(row)
            if row.told_state is not None or (through and self._tells_now(item.incident, place, through)):
                known.add(row.sink)

        missing = {
            place: [target for target in targets if target.sink not in known] for place, targets in leads.items()
        }
        joins = {(target.sink, target.key) for targets in missing.values() for target in targets}
        for row, elsewhere in lost:
            # Else it would be told twice, should its old group be led to again. Where its place leads nowhere in this
            # sink it stays: the place is known from nowhere else.
            if elsewhere or (row.sink, row.key) in joins:
                self.left.append({"_group": row.id, "_incident": item.incident.id})
        self.mine[item.incident.id] = stays
        self.targets |= {(item.incident.id, place): targets for place, targets in missing.items()}

    def place(self, item: ChangedIncident) -> None:
        mine = self.mine.get(item.incident.id, [])
        handled: set[int] = set()
        for target, place in self._wanted(item):
            member = next((row for row in mine if (row.sink, row.key) == (target.sink, target.key)), None)
            digest = next((row for row in mine if row.sink == target.sink and row.kind == "digest"), None)
            leaves = False
            if member is None and digest is not None and self._leaves(digest, target, item, place):
                # It was one of many, or could wait; now it is an alarm of its own.
                self.left.append({"_group": digest.id, "_incident": item.incident.id})
                self.abandoned.append(digest)
                mine = [row for row in mine if row is not digest]
                digest, leaves = None, True
            if member is None:
                member = digest
            if member is None:
                self._join(_Joining(target, item.incident, place, alone=leaves and item.urgent))
            elif member.id not in handled:
                handled.add(member.id)
                self._stand(member, target, item.incident, place)
                self._touch(member, target.route, item.urgent)
        if item.everywhere:
            for row in mine:
                if row.id not in handled:
                    handled.add(row.id)
                    seen = labels(item.incident, row.source, row.path, row.host, row.service)
                    route = route_of(self.policy, item.incident, seen, row, self.now)
                    at_once = item.urgent or row.kind == "incident" or self._settled(row, item.incident)
                    self._touch(row, route, at_once)

    def _settled(self, group: Row[Any], incident: Incident) -> bool:
        """Whether nothing in the group is open any more: whom it woke hears so at once."""
        if incident.state == "open" or group.sink not in self.policy.pagers:
            return False
        return self.connection.execute(_STILL_OPEN, {"group": group.id}).first() is None

    def _wanted(self, item: ChangedIncident) -> list[tuple[Target, IncidentPlace]]:
        """Each group that it leads to once, with the place from which it is told first."""
        ways = grouped(
            ((target.sink, target.key), (target, place))
            for place in item.places
            for target in self.targets[item.incident.id, place]
        )

        def told_from(way: tuple[Target, IncidentPlace]) -> float:
            return self._told_from(item.incident, way[1], way[0].sink, way[0].route)

        return [several[0] if len(several) == 1 else min(several, key=told_from) for several in ways.values()]

    def _told_from(self, incident: Incident, place: IncidentPlace, sink: str, route: Route | None) -> float:
        """When the sink is told of what is seen there: minus infinity for now; infinity: never, or no route leads."""
        if route is None:
            return float("inf")
        until, _ = Quiet.within(self.tx).of(incident, labels(incident, *place), sink, route, None)
        return float("-inf") if until is None else until

    def _stand(self, member: Row[Any], target: Target, incident: Incident, place: IncidentPlace) -> None:
        """It stands there for the new place, where the sink would hear of the old one later, or not at all."""
        old = place_of(member)
        if old == place:
            return
        route = route_of(self.policy, incident, labels(incident, *old), member, self.now)
        was = self._told_from(incident, old, member.sink, route)
        if was > self.now and self._told_from(incident, place, member.sink, target.route) < was:
            names = {f"_{name}": value for name, value in place._asdict().items()}
            self.moved.append({"_group": member.id, "_incident": incident.id, **names})

    def _leaves(self, digest: Row[Any], target: Target, item: ChangedIncident, place: IncidentPlace) -> bool:
        gathers = digest.sent_at is None and digest.route.endswith(MUTED)
        gathers |= digest.route.endswith(DAILY) and target.route.digest is None  # the routes take it for more now
        if not gathers and not (item.urgent and self._room(target, item.incident)):
            return False
        return self._tells_now(item.incident, place, target)

    def _tells_now(self, incident: Incident, place: IncidentPlace, target: Target) -> bool:
        return self._told_from(incident, place, target.sink, target.route) <= self.now

    def _touch(self, group: Row[Any], route: Route | None, urgent: bool) -> None:
        """Decide now, or only when the interval has passed: then nothing has to be read."""
        later = None
        if group.sent_at is None:
            later = group.hold_until
        elif not urgent and route is not None and group.sent_at <= self.now + _CLOCK_SLACK:
            later = group.sent_at + route.group_interval
        if later is None or later <= self.now:
            self.decide.add(group.id)
        elif group.due_at is None or later < group.due_at:
            self.due[group.id] = later

    def _join(self, joining: _Joining) -> None:
        target, incident = joining.target, joining.incident
        place = (target.sink, target.key)
        group = self.known.get(place)
        if group is not None:
            # The worse may outrank what the group was told of: then it does not wait for the interval.
            self._touch(group, target.route, urgent=rank(incident.severity) >= rank("high"))
        elif place not in self.created:
            place = next(chosen for way in _WAYS if (chosen := way(self, joining)) is not None)
        # One digest holds an incident once, from whichever place it came first.
        self.joined.setdefault((*place, incident.id), {"incident": incident.id, **joining.seen_at._asdict()})

    # The ways in which a sink hears of an incident that no group of it has. Each says in which, or nothing.

    def muted(self, joining: _Joining) -> _Place | None:
        """While its route is muted, with what else collects then. That holds nothing: its members are silent until it
        is over."""
        target, severity = joining.target, joining.incident.severity
        until = self.policy.muted_until(target.route, severity, self.now)
        if until is None or target.route.group_by is not None:
            return None
        place, row = self._collecting(target.sink, f"{target.route.id}{MUTED}", lambda last: self.now)
        # What gathered before may be silenced for longer than the route is muted.
        if row is not None and until < (float("inf") if row.due_at is None else row.due_at):
            self.due[row.id] = until
        return place

    def daily(self, joining: _Joining) -> _Place | None:
        """With all that the route tells in its next message, where it tells once in so long."""
        target, every = joining.target, joining.target.route.digest
        if every is None:
            return None
        return self._collecting(target.sink, f"{target.route.id}{DAILY}", lambda last: self.now + every)[0]

    def folded(self, joining: _Joining) -> _Place | None:
        """In the thread of those of its shape, where it is one too many to be told by itself."""
        asked = None if joining.alone else self._fold(joining)
        if asked is None or not asked[1].folds:
            return None
        place = (joining.target.sink, asked[0])
        if place in self.created or (row := self.folds.known(*place)) is None:
            return place  # it is made for the first of them
        self.known[place] = row
        self._touch(row, joining.target.route, urgent=joining.incident.severity == "critical")
        return place

    def single(self, joining: _Joining) -> _Place | None:
        """By itself, or with those that the route groups, as long as there is room in the burst."""
        target, incident = joining.target, joining.incident
        if not self._room(target, incident):
            return None
        if (asked := self._fold(joining)) is not None:
            self.folds.keep(target.sink, *asked)
            if self.folds.known(target.sink, asked[0]) is None:  # again with each that is counted
                self._create((target.sink, asked[0]), budget_of(asked[1].counted), "digest", self.now)
        budget = target.route.budget(incident.severity)
        self.used[target.sink, budget] += 1
        self.ruled[target.sink, budget, incident.rule] = True
        kind = "group" if target.route.group_by is not None else "incident"
        self._create((target.sink, target.key), budget, kind, self.now + target.route.group_wait)
        return target.sink, target.key

    def beyond(self, joining: _Joining) -> _Place:
        """With the others that a burst has no room for. A digest that was sent takes no more: it is one message."""
        target = joining.target

        def hold(last: Row[Any] | None) -> float:
            before = None if last is None else (last.sent_at, last.hold_until - last.created_at)
            return digest_hold(self.now, target.route, before)

        place, row = self._collecting(target.sink, target.route.budget(joining.incident.severity), hold)
        if row is not None:
            self._touch(row, target.route, urgent=False)
        return place

    def _fold(self, joining: _Joining) -> tuple[str, Fold] | None:
        """The key of the thread of its shape, and what would become of it there."""
        target = joining.target
        grouped = target.route.group_by is not None
        return None if grouped else self.folds.ask(target.sink, joining.incident, joining.seen_at)

    def _collecting(
        self, sink: str, budget: str, hold: Callable[[Row[Any] | None], float]
    ) -> tuple[_Place, Row[Any] | None]:
        """The digest that still collects, and its row where that was met just now; else a new one, held until `hold`
        says of the last that was sent."""
        bucket = (sink, budget)
        if bucket in self.digests:
            return self.digests[bucket], None
        last = self.connection.execute(_DIGEST, {"sink": sink, "route": budget}).first()
        if last is not None and last.sent_at is None:
            self.digests[bucket] = (last.sink, last.key)
            self.known[last.sink, last.key] = last
            return self.digests[bucket], last
        self.digests[bucket] = (sink, f"digest:{secrets.token_hex(8)}")
        self._create(self.digests[bucket], budget, "digest", hold(last))
        return self.digests[bucket], None

    def _create(self, place: _Place, budget: str, kind: str, hold: float) -> None:
        self.created[place] = {
            "sink": place[0],
            "key": place[1],
            "route": budget,
            "kind": kind,
            "created_at": self.now,
            "hold_until": hold,
        }

    def _room(self, target: Target, incident: Incident) -> bool:
        """Whether one more may be told by itself. A flood of another severity is nothing to it, nor, where it is
        critical, one of other rules."""
        bucket = (target.sink, target.route.budget(incident.severity))
        span = {"since": self.now - target.route.burst.period, "until": self.now + _CLOCK_SLACK}
        about = {"sink": target.sink, "route": bucket[1], **span}
        if bucket not in self.used:
            self.used[bucket] = self.connection.execute(_USED, about).scalar_one()
        over = self.used[bucket] - target.route.burst.count
        if over < 0 or incident.severity != "critical" or over >= _RESERVE:
            return over < 0
        here = (*bucket, incident.rule)
        if here not in self.ruled:
            self.ruled[here] = (
                self.connection.execute(_OF_ITS_RULE, {**about, "rule": incident.rule}).first() is not None
            )
        return not self.ruled[here]

    def write(self) -> None:
        ids = {place: row.id for place, row in self.known.items()}
        self.folds.write()
        inside = {(sink, key) for sink, key, _ in self.joined}
        if self.created:
            for place, made in self.created.items():
                made["due_at"] = made["hold_until"] if place in inside else None  # a count tells nothing
            for row in self.connection.execute(_CREATE, list(self.created.values())):
                ids[row.sink, row.key] = row.id
                if (row.sink, row.key) in inside and self.created[row.sink, row.key]["hold_until"] <= self.now:
                    self.decide.add(row.id)
        mine = (members.c.group == bindparam("_group"), members.c.incident == bindparam("_incident"))
        apply_all(self.connection, delete(members).where(*mine), self.left)
        now_at: dict[str, Any] = {column.name: bindparam(f"_{column.name}") for column in PLACE}
        apply_all(self.connection, update(members).where(*mine).values(now_at), self.moved)
        rows = [{"group": ids[sink, key], **row} for (sink, key, _), row in self.joined.items()]
        apply_all(self.connection, _JOIN, rows)
        due = [{"_id": id_, "_due": at} for id_, at in self.due.items() if id_ not in self.decide]
        apply_all(self.connection, _WAIT, due)
        if self.joined or self.left or self.moved:
            self.tx.changed()
        if self.created or self.due:
            self.tx.announce()


# In this order: the first that has a place for it.
_WAYS: tuple[Callable[[_Enrolment, _Joining], _Place | None], ...] = (
    _Enrolment.muted,
    _Enrolment.daily,
    _Enrolment.folded,
    _Enrolment.single,
    _Enrolment.beyond,
)


def place_of(row: Row[Any]) -> IncidentPlace:
    return IncidentPlace(row.source, row.path, row.host, row.service)
