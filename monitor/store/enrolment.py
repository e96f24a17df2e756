"""An incident that changed joins the groups that the routes name."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, func, insert, select, update

from monitor.common.severity import Severity, rank
from monitor.domain.incidents import Incident
from monitor.routing.notify import digest_hold
from monitor.routing.routes import IncidentPlace, Route, Target, labels
from monitor.store import pages
from monitor.store.decide import reconsider, route_of
from monitor.store.drills import drills_among, paging
from monitor.store.folds import Folds, budget_of
from monitor.store.rows import any_of, chunks, upsert
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


def enrol(tx: Transaction, touched: Sequence[ChangedIncident]) -> None:
    """Put the incidents into the groups that the routes name, and decide about each group."""
    if not touched:
        return
    work = _Enrolment(tx)
    work.load(touched)
    for item in touched:
        work.place(item)
    work.write()
    if work.joined or work.left or work.moved:
        tx.changed()
    if work.created or work.due:
        tx.announce()
    reconsider(tx, work.ready())
    pages.left(tx, work.abandoned)
    pages.follow(tx, [item.incident for item in touched if item.everywhere])
    if tx.policy.inhibitions:
        release(tx, [item.incident.id for item in touched if item.everywhere])


class _Enrolment:
    """The bookkeeping of one `enrol`: everything is read first, decided in memory, and written in bulk."""

    def __init__(self, tx: Transaction) -> None:
        self.tx, self.connection, self.policy, self.now = tx, tx.connection, tx.policy, tx.now
        self.mine: dict[str, list[Row[Any]]] = {}  # incident → its memberships with their groups
        self.known: dict[tuple[str, str], Row[Any]] = {}  # (sink, key) → group
        self.created: dict[tuple[str, str], dict[str, Any]] = {}
        self.joined: dict[tuple[str, str, str], dict[str, Any]] = {}  # (sink, key, incident) → member
        self.left: list[dict[str, Any]] = []
        self.abandoned: list[Row[Any]] = []  # memberships of digests that were told, and have lost this one
        self.moved: list[dict[str, Any]] = []
        self.decide: set[int] = set()  # group ids
        self.due: dict[int, float] = {}  # group id → earlier due_at
        # (sink, budget) → groups opened within the burst period, and the digest that still collects
        self.used: dict[tuple[str, str], int] = {}
        self.ruled: dict[tuple[str, str, str], bool] = {}  # (sink, budget, rule) → whether the burst has one of it
        self.folds = Folds(tx)
        self.digests: dict[tuple[str, str], tuple[str, str]] = {}

    def load(self, touched: Sequence[ChangedIncident]) -> None:
        for chunk in chunks(item.incident.id for item in touched):
            for row in self.connection.execute(_JOINED, {"ids": chunk}):
                self.mine.setdefault(row.incident, []).append(row)
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
        wanted = {
            target.key
            for found in self.targets.values()
            for target in found
            if (target.sink, target.key) not in self.known
        }
        for chunk in chunks(wanted):
            for row in self.connection.execute(_BY_KEY, {"ids": chunk}):
                self.known[row.sink, row.key] = row
        self.folds.load([item.incident for item in touched if self._is_new(item.incident.id, item.places)])

    def _is_new(self, incident: str, places: Sequence[IncidentPlace]) -> bool:
        """Whether a sink is to be told of it by itself that does not know it yet."""
        told = {row.sink for row in self.mine.get(incident, ())}
        leads = (target for place in places for target in self.targets[incident, place])
        return any(one.sink not in told and one.route.group_by is None and one.route.digest is None for one in leads)

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
                self._join(target, item.incident, place, alone=leaves and item.urgent)
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
        found: dict[tuple[str, str], list[tuple[Target, IncidentPlace]]] = {}
        for place in item.places:
            for target in self.targets[item.incident.id, place]:
                found.setdefault((target.sink, target.key), []).append((target, place))
        return [
            several[0]
            if len(several) == 1
            else min(several, key=lambda one: self._told_from(item.incident, one[1], one[0].sink, one[0].route))
            for several in found.values()
        ]

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

    def _muted(self, target: Target, severity: Severity) -> bool:
        return self.policy.muted_until(target.route, severity, self.now) is not None

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

    def _join(self, target: Target, incident: Incident, seen_at: IncidentPlace, *, alone: bool = False) -> None:
        """`alone`: an alarm of its own, however many there are of its shape."""
        place = (target.sink, target.key)
        group = self.known.get(place)
        if group is None and place not in self.created:
            if target.route.group_by is None and self._muted(target, incident.severity):
                place = self._gathering(target, incident.severity)
            elif target.route.digest is not None:
                place = self._daily(target, target.route.digest)
            elif not alone and (thread := self._thread(target, incident, seen_at)) is not None:
                place = thread
            elif self._room(target, incident):
                self._count(target, incident, seen_at)
                budget = target.route.budget(incident.severity)
                self.used[target.sink, budget] += 1
                self.ruled[target.sink, budget, incident.rule] = True
                kind = "group" if target.route.group_by is not None else "incident"
                self._create(place, budget, kind, self.now + target.route.group_wait)
            else:
                place = self._digest(target, incident.severity)
        elif group is not None:
            # The worse may outrank what the group was told of: then it does not wait for the interval.
            self._touch(group, target.route, urgent=rank(incident.severity) >= rank("high"))
        # One digest holds an incident once, from whichever place it came first.
        self.joined.setdefault((*place, incident.id), {"incident": incident.id, **seen_at._asdict()})

    def _thread(self, target: Target, incident: Incident, seen_at: IncidentPlace) -> tuple[str, str] | None:
        """The thread of those of its shape, where it is one too many to be told by itself."""
        asked = self.folds.ask(target.sink, incident, seen_at) if target.route.group_by is None else None
        if asked is None or not asked[1].folds:
            return None
        place = (target.sink, asked[0])
        if place in self.created or (row := self.folds.known(*place)) is None:
            return place  # it is made for the first of them
        self.known[place] = row
        self._touch(row, target.route, urgent=incident.severity == "critical")
        return place

    def _count(self, target: Target, incident: Incident, seen_at: IncidentPlace) -> None:
        asked = self.folds.ask(target.sink, incident, seen_at) if target.route.group_by is None else None
        if asked is None:
            return
        key, fold = asked
        self.folds.keep(target.sink, key, fold)
        if self.folds.known(target.sink, key) is None:  # again with each that is counted
            self._create((target.sink, key), budget_of(fold.counted), "digest", self.now)

    def _create(self, place: tuple[str, str], budget: str, kind: str, hold: float) -> None:
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

    def _digest(self, target: Target, severity: Severity) -> tuple[str, str]:
        """The digest that still collects, or a new one. A digest that was sent takes no more: it is one message."""
        bucket = (target.sink, target.route.budget(severity))
        if bucket not in self.digests:
            own = and_(groups.c.sink == target.sink, groups.c.route == bucket[1], groups.c.kind == "digest")
            row = self.connection.execute(select(groups).where(own).order_by(groups.c.id.desc()).limit(1)).first()
            if row is not None and row.sent_at is None:
                self.digests[bucket] = (row.sink, row.key)
                self.known[row.sink, row.key] = row
                self._touch(row, target.route, urgent=False)
            else:
                place = (target.sink, f"digest:{secrets.token_hex(8)}")
                last = (row.sent_at, row.hold_until - row.created_at) if row is not None else None
                self._create(place, bucket[1], "digest", digest_hold(self.now, target.route, last))
                self.digests[bucket] = place
        return self.digests[bucket]

    def _daily(self, target: Target, every: float) -> tuple[str, str]:
        """What collects for the next message of the route."""
        bucket = (target.sink, f"{target.route.id}{DAILY}")
        if bucket not in self.digests:
            own = and_(groups.c.sink == target.sink, groups.c.route == bucket[1], groups.c.sent_at.is_(None))
            row = self.connection.execute(select(groups).where(own).order_by(groups.c.id.desc()).limit(1)).first()
            place = (target.sink, f"digest:{secrets.token_hex(8)}" if row is None else row.key)
            if row is None:
                self._create(place, bucket[1], "digest", self.now + every)
            else:
                self.known[place] = row
            self.digests[bucket] = place
        return self.digests[bucket]

    def _gathering(self, target: Target, severity: Severity) -> tuple[str, str]:
        """What collects while the route is muted. It holds nothing: its members are silent until that is over."""
        bucket = (target.sink, f"{target.route.id}{MUTED}")
        if bucket not in self.digests:
            own = and_(groups.c.sink == target.sink, groups.c.route == bucket[1], groups.c.sent_at.is_(None))
            row = self.connection.execute(select(groups).where(own).order_by(groups.c.id.desc()).limit(1)).first()
            if row is None:
                place = (target.sink, f"digest:{secrets.token_hex(8)}")
                self._create(place, bucket[1], "digest", self.now)
                self.digests[bucket] = place
            else:
                self.digests[bucket] = (row.sink, row.key)
                self.known[row.sink, row.key] = row
                # What gathered before may be silenced for longer than the route is muted.
                until = self.policy.muted_until(target.route, severity, self.now)
                if until is not None and until < (float("inf") if row.due_at is None else row.due_at):
                    self.due[row.id] = until
        return self.digests[bucket]

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
        if self.left:
            self.connection.execute(delete(members).where(*mine), self.left)
        if self.moved:
            there: dict[str, Any] = {column.name: bindparam(f"_{column.name}") for column in PLACE}
            self.connection.execute(update(members).where(*mine).values(there), self.moved)
        if self.joined:
            rows = [{"group": ids[sink, key], **row} for (sink, key, _), row in self.joined.items()]
            self.connection.execute(_JOIN, rows)
        due = [{"_id": id_, "_due": at} for id_, at in self.due.items() if id_ not in self.decide]
        if due:
            self.connection.execute(
                update(groups).where(groups.c.id == bindparam("_id")).values(due_at=bindparam("_due")), due
            )

    def ready(self) -> list[int]:
        return sorted(self.decide)


def place_of(row: Row[Any]) -> IncidentPlace:
    return IncidentPlace(row.source, row.path, row.host, row.service)
