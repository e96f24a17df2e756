"""What keeps a sink from hearing of an incident for a while: silences, mute times, and a worse incident beside it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.incidents import Incident
from monitor.inhibition import Inhibitors, Standing
from monitor.routing import Route, labels
from monitor.store.drills import drills_among
from monitor.store.rows import incident_from
from monitor.store.schema import groups, incidents, members, unresolved
from monitor.store.silences import audible, later, silenced_among
from monitor.store.transaction import Transaction

__all__ = ["Quiet"]

_LOOK_AGAIN = 3600.0  # seconds: what is held back is woken when the worse one changes, and by then at the latest
_MOST = 1000  # that may hold others back in a sink, the worst and last seen first; beyond it more is told, not less


class Quiet:
    """Asked within one transaction, after what it changes is written."""

    @classmethod
    def within(cls, tx: Transaction) -> Quiet:
        """The same until incidents, their groups or silences change."""
        if not isinstance(tx.quiet, cls):
            tx.quiet = cls(tx)
        return tx.quiet

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._beside: dict[str, _Beside] = {}  # by sink

    def of(
        self, incident: Incident, seen: Mapping[str, str], sink: str, route: Route | None, hushed: float | None
    ) -> tuple[float | None, str | None]:
        """Until when the sink is not told of it (None: it is told), and for which incident it is held back.

        `seen`: what matchers see of it; `hushed`: until when it is silenced by itself.
        """
        tx = self._tx
        muted = None if route is None else tx.policy.muted_until(route, incident.severity, tx.now)
        until = later(later(audible(tx).silenced_until(seen, tx.now), hushed), muted)
        if until is not None or not tx.policy.inhibitions or incident.state == "resolved":
            return until, None
        if not any(inhibition.takes(seen) for inhibition in tx.policy.inhibitions):
            return None, None
        beside = self._beside.setdefault(sink, _Beside(tx, sink))
        held = beside.worse(incident.severity).holder(Standing(incident.id, incident.severity, seen))
        return (None, None) if held is None else (tx.now + _LOOK_AGAIN, held.by)

    def everywhere(self, incident: Incident, seen: Mapping[str, str], hushed: float | None) -> float | None:
        """Until when no sink at all that its routes lead to is told of it; None: one is."""
        tx = self._tx
        until = later(audible(tx).silenced_until(seen, tx.now), hushed)
        if until is not None or not (tx.policy.mutes or tx.policy.inhibitions):
            return until
        ends = [
            self.of(incident, seen, target.sink, target.route, None)[0]
            for target in tx.policy.targets(seen, incident.id, tx.now)
        ]
        return None if not ends or None in ends else min(end for end in ends if end is not None)


class _Beside:
    """What one sink hears of, the worst first, and only as far as it is asked for."""

    def __init__(self, tx: Transaction, sink: str) -> None:
        self._tx = tx
        self._sink = sink
        self._known = Inhibitors(tx.policy.inhibitions)
        self._left = [severity for severity in SEVERITIES if severity != "info"]  # ascending; not read yet
        self._room = _MOST

    def worse(self, severity: Severity) -> Inhibitors:
        while self._left and rank(self._left[-1]) > rank(severity):
            self._known.add(self._standing(self._left.pop()))
        return self._known

    def _standing(self, severity: Severity) -> list[Standing]:
        """A drill, or what the sink is not told itself for now, stands for nothing."""
        tx = self._tx
        # Their keys first: what is sorted is small then.
        newest = (
            select(members.c.group, members.c.incident, incidents.c.last_seen)
            .join(incidents, incidents.c.id == members.c.incident)
            .join(groups, groups.c.id == members.c.group)
            .where(groups.c.sink == self._sink, unresolved(), incidents.c.severity == severity)
            .order_by(incidents.c.last_seen.desc())
            .limit(self._room)
            .subquery()
        )
        query = (
            select(members.c.source, members.c.path, members.c.host, members.c.service, incidents)
            .join(newest, (newest.c.group == members.c.group) & (newest.c.incident == members.c.incident))
            .join(incidents, incidents.c.id == newest.c.incident)
        )
        rows = list(tx.connection.execute(query)) if self._room else []
        self._room -= len(rows)

        drills = drills_among(tx.connection, {row.fingerprint for row in rows})
        hushed = silenced_among(tx.connection, {row.id for row in rows}, tx.now)
        found = []
        for row in rows:
            if row.fingerprint in drills or row.id in hushed:
                continue
            incident = incident_from(row)
            seen = labels(incident, row.source, row.path, row.host, row.service)
            if audible(tx).silenced_until(seen, tx.now) is None and self._told(incident, seen):
                found.append(Standing(incident.id, incident.severity, seen))
        return found

    def _told(self, incident: Incident, seen: Mapping[str, str]) -> bool:
        policy, now = self._tx.policy, self._tx.now
        return any(
            target.sink == self._sink and policy.muted_until(target.route, incident.severity, now) is None
            for target in policy.targets(seen, incident.id, now)
        )
