"""What keeps a sink from hearing of an incident for a while: silences, mute times, and a worse incident beside it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from monitor.incidents import Incident
from monitor.inhibition import Inhibitors, Standing
from monitor.routing import Route, labels
from monitor.store.drills import drills_among
from monitor.store.rows import incident_from
from monitor.store.schema import groups, incidents, members
from monitor.store.silences import audible, later, silenced_among
from monitor.store.transaction import Transaction

__all__ = ["Quiet"]

_LOOK_AGAIN = 3600.0  # seconds: what is held back is woken when the worse one changes, and by then at the latest
_MOST = 1000  # incidents of a sink that may hold others back, the last seen first; beyond it more is told, not less


class Quiet:
    """Asked within one transaction, after what it changes is written."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._inhibitors: dict[str, Inhibitors] = {}  # by sink

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
        held = self._of(sink).holder(Standing(incident.id, incident.severity, seen))
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

    def _of(self, sink: str) -> Inhibitors:
        if sink not in self._inhibitors:
            self._inhibitors[sink] = Inhibitors(self._tx.policy.inhibitions, self._standing(sink))
        return self._inhibitors[sink]

    def _standing(self, sink: str) -> list[Standing]:
        """What this sink hears of. A drill, or what it is not told itself for now, stands for nothing."""
        tx = self._tx
        query = (
            select(members.c.source, members.c.path, members.c.host, members.c.service, incidents)
            .join(members, members.c.incident == incidents.c.id)
            .join(groups, groups.c.id == members.c.group)
            .where(groups.c.sink == sink, incidents.c.state != "resolved", incidents.c.severity != "info")
        )
        rows = list(tx.connection.execute(query.order_by(incidents.c.last_seen.desc()).limit(_MOST)))
        drills = drills_among(tx.connection, {row.fingerprint for row in rows})
        hushed = silenced_among(tx.connection, {row.id for row in rows}, tx.now)
        found = []
        for row in rows:
            if row.fingerprint in drills or row.id in hushed:
                continue
            incident = incident_from(row)
            seen = labels(incident, row.source, row.path, row.host, row.service)
            if audible(tx).silenced_until(seen, tx.now) is not None:
                continue
            route = next((one.route for one in tx.policy.targets(seen, incident.id) if one.sink == sink), None)
            if route is not None and tx.policy.muted_until(route, incident.severity, tx.now) is None:
                found.append(Standing(incident.id, incident.severity, seen))
        return found
