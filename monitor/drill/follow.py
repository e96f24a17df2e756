"""A fire drill, seen through to its end, hop by hop.

The monitor that runs does all of it; here somebody only looks, acknowledges and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from monitor.domain.incidents import Incident, TransitionError
from monitor.domain.model import Resolution
from monitor.drill.plant import DrillError
from monitor.store import OutboxEntry, Store

__all__ = ["Follower", "Hop"]

_T = TypeVar("_T")
_LOOK = 0.1  # seconds between looks at the database
_CHANGES = 5.0  # seconds within which news of a known incident goes out, unless its group collects


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop that came, `seconds` after the secret was planted."""

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Follower:
    """`came` hears of each hop. `patience`: seconds for each of them; `source`: the one that is to find it; `look`:
    what to look at when it does not; `pagers`: sinks that are left out."""

    store: Store
    actor: str
    patience: float
    came: Callable[[Hop], None]
    source: str
    look: str = ""
    pagers: Sequence[str] = ()

    async def follow(self, fingerprint: str, planted: float) -> None:
        """See it through: detected, routed, told, acknowledged, closed. Raises DrillError; it is closed then, too."""

        def hop(name: str, detail: str = "", at: float | None = None) -> None:
            self.came(Hop(name, max((at if at is not None else time.time()) - planted, 0.0), detail))

        try:
            incident = await self._detected(fingerprint)
            history = await self.store.incidents.history(incident.id)
            opened = next((entry.at for entry in history if entry.action == "opened"), None)
            where = next(one.path for one in incident.locations if one.source == self.source)
            hop("detected", f"{incident.rule} in {where}", incident.first_seen)
            hop("incident", f"{incident.id}, {incident.severity}", opened)

            told = await self._routed(incident)
            hop("routed", ", ".join(dict.fromkeys(one.sink for one in told)), min(one.created_at for one in told))
            for one in await self._sent(incident, {row.id for row in told}):
                hop(f"alerted {one.sink}", "", one.finished_at)
            hop("acknowledged", await self._move(incident, "ack"))
        except (DrillError, asyncio.CancelledError):  # the latter: Ctrl-C
            with contextlib.suppress(LookupError, TransitionError):  # nothing found it; or somebody has closed it
                await self._decide(await self.store.incidents.get(fingerprint), "resolve")
            raise
        hop("closed", await self._move(incident, "resolve"))

    async def _detected(self, fingerprint: str) -> Incident:
        others: set[str] = set()

        async def look() -> Incident | None:
            try:
                incident = await self.store.incidents.get(fingerprint)
            except LookupError:
                return None
            seen = {one.source for one in incident.locations}
            others.update(seen - {self.source})
            return incident if self.source in seen else None

        detected = await _until(look, self.patience)
        if detected is None and others:
            who = f"source {', '.join(sorted(others))} has found it, source {self.source} has not"
            raise DrillError("detected", f"{who} within {self.patience:g} s: {self.look}")
        if detected is None:
            raise DrillError(
                "detected",
                f"source {self.source} has not found it within {self.patience:g} s: is `monitor run` running on this "
                f"state? `monitor sources` shows how far each source is; {self.look}",
            )
        return detected

    async def _routed(self, incident: Incident) -> Sequence[OutboxEntry]:
        found = await _until(lambda: self._changes(incident, set()), self.patience)
        if found is None:
            left_out = (
                f"; pagers are left out ({', '.join(self.pagers)}): --page alerts them, too" if self.pagers else ""
            )
            why = f"`monitor routes test --incident {incident.id}` says why"
            raise DrillError("routed", f"nobody is alerted to incident {incident.id}{left_out}; {why}")
        return found

    async def _sent(self, incident: Incident, ids: set[str]) -> Sequence[OutboxEntry]:
        """Wait until these notifications are with their sinks."""
        rows: list[OutboxEntry] = []

        async def look() -> Sequence[OutboxEntry] | None:
            rows[:] = [one for one in await self.store.outbox.list(about=incident.id, limit=1000) if one.id in ids]
            return rows if all(one.state in ("sent", "dead") for one in rows) else None

        await _until(look, self.patience)
        for one in rows:
            if one.state != "sent":
                why = one.error or "it has not answered"
                hint = f"`monitor sinks test {one.sink}` tries it alone"
                late = f"sink {one.sink} has not taken it within {self.patience:g} s"
                raise DrillError(f"alerted {one.sink}", f"{late}: {why}; {hint}")
        return rows

    async def _move(self, incident: Incident, action: Literal["ack", "resolve"]) -> str:
        """Acknowledge or close it, as somebody would, and see that the sinks hear of it. Returns who was told; somebody
        who was told of the drill may well be quicker."""
        before = {notification.id for notification in await self.store.outbox.list(about=incident.id, limit=1000)}
        try:
            await self._decide(incident, action)
        except TransitionError as error:
            if (await self.store.incidents.get(incident.id)).state == (
                "acknowledged" if action == "ack" else "resolved"
            ):
                return "somebody was quicker"
            raise DrillError("acknowledged" if action == "ack" else "closed", str(error)) from None
        changes = await _until(lambda: self._changes(incident, before), min(_CHANGES, self.patience))
        if changes is None:
            return "the group reports it later"
        rows = await self._sent(incident, {notification.id for notification in changes})
        return f"alerted {', '.join(dict.fromkeys(notification.sink for notification in rows))}"

    async def _decide(self, incident: Incident, action: Literal["ack", "resolve"]) -> None:
        resolution: Resolution | None = "used_in_tests" if action == "resolve" else None
        await self.store.incidents.transition(
            incident.id, action, actor=self.actor, resolution=resolution, note="drill"
        )

    async def _changes(self, incident: Incident, known: set[str]) -> Sequence[OutboxEntry] | None:
        """Notifications about it that are not `known`; None: there are none."""
        rows = await self.store.outbox.list(about=incident.id, limit=1000)
        return [one for one in rows if one.id not in known] or None


async def _until(look: Callable[[], Awaitable[_T | None]], patience: float) -> _T | None:
    """What `look` gives once it gives something; None when it does not in time."""
    deadline = time.monotonic() + patience
    while True:
        if (found := await look()) is not None:
            return found
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(_LOOK)
