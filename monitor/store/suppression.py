"""What keeps a sink from hearing of an incident for a while: silences, mute times, and a worse one that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from monitor.common.grouping import grouped
from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.domain.incidents import Incident
from monitor.routing.inhibit import Inhibitors, OpenIncident
from monitor.routing.routes import IncidentPlace, Route, labels
from monitor.store.drills import drills_among
from monitor.store.rows import load_incidents
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
        self._heard = _Heard(tx)
        self._worse: dict[str, _WorseIncidents] = {}  # by sink

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
        worse = self._worse.setdefault(sink, _WorseIncidents(tx, sink, self._heard))
        held = worse.than(incident.severity).holder(OpenIncident(incident.id, incident.severity, seen))
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


class _Heard:
    """Which sinks hear of incidents now, by the place where those were seen; the same for every sink that asks."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._known: dict[tuple[str, IncidentPlace], tuple[OpenIncident, frozenset[str]]] = {}

    def of(self, keys: Sequence[tuple[str, IncidentPlace]]) -> list[tuple[OpenIncident, frozenset[str]]]:
        """A drill, or what is silenced, nobody hears of."""
        tx = self._tx
        places = grouped(key for key in keys if key not in self._known)
        found = load_incidents(tx.connection, list(places))
        drills = drills_among(tx.connection, [incident.fingerprint for incident in found])
        hushed = silenced_among(tx.connection, places, tx.now)
        for incident in found:
            silent = incident.fingerprint in drills or incident.id in hushed
            for place in places[incident.id]:
                seen = labels(incident, *place)
                sinks = frozenset() if silent else self._sinks(incident, seen)
                self._known[incident.id, place] = (OpenIncident(incident.id, incident.severity, seen), sinks)
        return [self._known[key] for key in keys]

    def _sinks(self, incident: Incident, seen: Mapping[str, str]) -> frozenset[str]:
        policy, now = audible(self._tx), self._tx.now
        silenced = policy.silenced_until(seen, now) is not None
        targets = () if silenced else policy.targets(seen, incident.id, now)
        return frozenset(one.sink for one in targets if policy.muted_until(one.route, incident.severity, now) is None)


class _WorseIncidents:
    """What one sink hears of, the worst first, and only as far as it is asked for."""

    def __init__(self, tx: Transaction, sink: str, heard: _Heard) -> None:
        self._tx, self._sink, self._heard = tx, sink, heard
        self._known = Inhibitors(tx.policy.inhibitions)
        self._left = [severity for severity in SEVERITIES if severity != "info"]  # ascending; not read yet
        self._room = _MOST

    def than(self, severity: Severity) -> Inhibitors:
        while self._left and rank(self._left[-1]) > rank(severity):
            self._known.add(self._standing(self._left.pop()))
        return self._known

    def _standing(self, severity: Severity) -> list[OpenIncident]:
        if not self._room:
            return []
        query = (
            select(members.c.incident, members.c.source, members.c.path, members.c.host, members.c.service)
            .join(incidents, incidents.c.id == members.c.incident)
            .join(groups, groups.c.id == members.c.group)
            .where(groups.c.sink == self._sink, unresolved(), incidents.c.severity == severity)
            .order_by(incidents.c.last_seen.desc())
            .limit(self._room)
        )
        keys = [
            (row.incident, IncidentPlace(row.source, row.path, row.host, row.service))
            for row in self._tx.connection.execute(query)
        ]
        self._room -= len(keys)
        return [one for one, sinks in self._heard.of(list(dict.fromkeys(keys))) if self._sink in sinks]
