"""One fire drill: planted, followed, and taken back, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.drill.ammunition import Ammunition
from monitor.drill.follow import Follower, Hop
from monitor.drill.plant import spot
from monitor.sources.base import SourceConfig
from monitor.store import Store

__all__ = ["FireDrill"]


@dataclass(frozen=True, slots=True)
class FireDrill:
    """`at`: where in the source; None: where it fits. `pagers`: sinks that are not told, unless it `pages`. `patience`:
    seconds for each hop; `redact`: a place, masked."""

    source: SourceConfig
    at: str | None
    shot: Ammunition
    pages: bool
    pagers: Sequence[str]
    actor: str
    patience: float
    redact: Callable[[str], str]

    async def run(self, store: Store, came: Callable[[Hop], None]) -> None:
        """`came` hears of each hop, of which to plant it is the first. Raises DrillError for the one that did not
        come."""
        place = spot(self.source, self.at)
        await store.drills.plan(self.shot.logged, pages=self.pages)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            planted = await place.plant(f"{now} INFO exposure-monitor drill, nothing leaked: {self.shot.value}")
            came(Hop("planted", 0.0, self.redact(place.place)))
            actor, left_out = f"{self.actor} (drill)", () if self.pages else self.pagers
            follower = Follower(store, actor, self.patience, came, self.source.name, place.look, left_out)
            await follower.follow(self.shot.logged[0], planted)
        finally:
            place.remove()
