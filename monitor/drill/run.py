"""One fire drill: planted, followed, and taken back, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitor.common.tasks import cancel, within
from monitor.drill.ammunition import Ammunition
from monitor.drill.follow import Follower, Hop
from monitor.drill.plant import DrillError, spot
from monitor.sources.base import SourceConfig
from monitor.store import Store, StoreError
from monitor.store.drills import BEAT

__all__ = ["FireDrill"]


@dataclass(frozen=True, slots=True)
class FireDrill:
    """`at`: where in the source; None: where it fits. `pagers`: sinks that are not told, unless it `pages`. `patience`:
    seconds for each hop; `redact`: what is stored of it, masked. `alone`: not beside another; `id`: what a repeat is
    known by."""

    source: SourceConfig
    at: str | None
    rule: str
    shot: Ammunition
    pages: bool
    pagers: Sequence[str]
    actor: str
    patience: float
    redact: Callable[[str], str]
    alone: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    async def run(self, store: Store, came: Callable[[Hop], None]) -> None:
        """`came` hears of each hop, of which to plant it is the first. Raises DrillError for the one that did not come,
        and UnderWayError."""
        place = await asyncio.to_thread(spot, self.source, self.at)  # it may look into many folders
        facts = {"by": self.actor, "source": self.source.name, "rule": self.rule}
        await store.drills.begin(self.id, self.shot.logged, pages=self.pages, alone=self.alone, **facts)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        async with self._noted(store, came) as hop:
            try:
                planted = await place.plant(f"{now} INFO exposure-monitor drill, nothing leaked: {self.shot.value}")
                hop(Hop("planted", 0.0, self.redact(place.place)))
                actor, left_out = f"{self.actor} (drill)", () if self.pages else self.pagers
                follower = Follower(store, actor, self.patience, hop, self.source.name, place.look, left_out)
                await follower.follow(self.shot.logged[0], planted)
            finally:
                place.remove()

    @contextlib.asynccontextmanager
    async def _noted(self, store: Store, came: Callable[[Hop], None]) -> AsyncIterator[Callable[[Hop], None]]:
        """Each hop, that somebody follows it, and how it ends is stored, as well as the database takes it."""
        hops: list[tuple[str, float, str]] = []
        news = asyncio.Event()

        def hop(one: Hop) -> None:
            hops.append((one.name, one.seconds, self.redact(one.detail)))
            news.set()
            came(one)

        async def beat() -> None:
            while True:
                await within(BEAT, news.wait())  # wait_for may lose a cancellation that comes with the news
                news.clear()
                with contextlib.suppress(StoreError):
                    await store.drills.goes_on(self.id, hops)

        beating, broken = asyncio.create_task(beat()), "it was cut short"
        try:
            yield hop
            broken = ""
        except DrillError as error:
            broken = self.redact(f"{error.hop}: {error}")
            raise
        finally:
            await cancel(beating)
            with contextlib.suppress(StoreError):
                await store.drills.end(self.id, hops, broken)
