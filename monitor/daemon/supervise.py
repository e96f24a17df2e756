"""Sources under supervision: each in a task of its own, started again when it fails, ever later."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from monitor.common.backoff import backoff
from monitor.common.failure import failure
from monitor.common.scheduler import Scheduler
from monitor.common.tasks import FIRST, LONGEST, cancel, keep_up
from monitor.host import SourceIntake
from monitor.intake.ledger import Ledger
from monitor.site import Site
from monitor.sources import load_source
from monitor.sources.base import SourceConfig
from monitor.sources.reach import reach
from monitor.store import Recovery, StoreError
from monitor.store.positions import Renamed

__all__ = ["Present", "Sources", "present"]

log = structlog.get_logger(__name__)

_RESTARTS = 3  # without a word
_BEGIN = 30.0  # seconds that `begun` waits

FORGOTTEN = "forgotten"  # reason in the ledger of losses

Present = Mapping[str, Mapping[str, tuple[int, int]]]  # source → see Intake.present


def present(sources: Iterable[SourceConfig]) -> Present:
    """What is there at this moment, of the sources that can tell. Blocking."""
    tells = ((source, getattr(load_source(source.type), "present", None)) for source in sources)
    return {source.name: tell(source) for source, tell in tells if tell is not None}


class Sources:
    """The sources in force and their tasks."""

    def __init__(
        self,
        site: Site,
        present: Present,
        *,
        once: bool = False,
        over: Callable[[str, str], None] = lambda *_: None,
        schedule: Scheduler | None = None,
    ) -> None:
        """`present`: as it was when the monitor started. `once`: sources end at their present end. `over`: told the key
        of a trouble that is over, and a word about it."""
        self._site, self._over, self._present, self._once, self._schedule = site, over, present, once, schedule
        self._tasks: dict[str, tuple[SourceConfig, asyncio.Task[None]]] = {}
        self._handles: dict[str, dict[tuple[int, int], int]] = {}  # source → see Intake.handles
        self._ledgers: dict[str, Ledger] = {}
        self._forgotten = site.store.recovery is not None and site.store.recovery.kind == "forgotten"  # while down
        self._finished: set[str] = set()
        self._placing: asyncio.Task[None] | None = None  # looks for those that got another name
        self._beginning: set[str] = set()  # those of which it is not durable yet where they begin

    @property
    def names(self) -> set[str]:
        return set(self._tasks)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        return {task for _, task in self._tasks.values()}

    @property
    def failed(self) -> list[str]:
        """Whose task has ended, though not because the source came to its end."""
        return [name for name, (_, task) in self._tasks.items() if task.done() and name not in self._finished]

    def begin(self, configs: Iterable[SourceConfig]) -> None:
        """Start them all. Whoever asks where it was is answered once those that got another name have their positions;
        nobody who is sent to waits for that."""
        wanted = list(configs)
        self._placing = asyncio.create_task(self._take_over(wanted, self._names_over(wanted)), name="positions")
        for config in wanted:
            self.start(config)

    def _names_over(self, configs: Iterable[SourceConfig]) -> asyncio.Future[Renamed]:
        """Asked of the database at once, so that what is asked later comes later."""
        key = self._site.scanner.key
        return asyncio.wrap_future(
            self._site.store.positions.take_over({config.name: reach(config, key) for config in configs})
        )

    async def _take_over(self, configs: Sequence[SourceConfig], asked: asyncio.Future[Renamed]) -> None:
        """What is kept of a source that got another name, and what this process holds of it, goes with it."""
        failures = 0
        while True:
            try:
                renamed = await asked
                break
            except StoreError as error:
                failures += 1
                log.warning("positions could not be looked through", **failure(error))
                await asyncio.sleep(backoff(failures, FIRST, LONGEST))
                asked = self._names_over(configs)
        for old, new in renamed.moves.items():
            log.info("a source goes on under another name", source=new, before=old)
        for names, before in renamed.unclear:
            self._tell_unclear(", ".join(names), ", ".join(before))
        held = [(new, self._ledgers.pop(old, None), self._handles.pop(old, {})) for old, new in renamed.moves.items()]
        for new, entries, handles in held:
            if entries is not None:
                self._ledgers[new] = entries
            self._handles.setdefault(new, {}).update(handles)
        for name, entries in self._ledgers.items():
            entries.resume(name)

    def _tell_unclear(self, names: str, before: str) -> None:
        log.warning("positions are not taken over, as it is unclear by whom", sources=names, before=before)
        title = f"Positions of {before} were not taken over"
        text = (
            f"{names} read the same, and which goes on from there is not known: new ones begin as at a first start. "
            f"See docs/sources.md, under another name."
        )
        self._site.tell(title, text, key=f"renamed:{names}")

    def start(self, config: SourceConfig) -> None:
        if self._forgotten and config.name not in self._ledgers:
            self._enter(config.name)
        self._finished.discard(config.name)
        if hasattr(load_source(config.type), "present"):
            self._beginning.add(config.name)
        task = asyncio.create_task(self._supervise(config), name=f"source {config.name}")
        self._tasks[config.name] = (config, task)

    async def replace(self, configs: Iterable[SourceConfig]) -> None:
        """Go on with these: what is as it was runs on."""
        wanted = list(configs)
        ended = {name: config for name, (config, _) in self._tasks.items() if config not in wanted}
        for name in ended:
            await cancel(self._tasks.pop(name)[1])
            if name in self._ledgers:
                self._ledgers[name].pause()
        await self._take_over(wanted, self._names_over(wanted))
        for name, config in ended.items():
            if not any((other.name, other.type) == (name, config.type) for other in wanted):
                self._close_handles(name)
            self._over(_problem(name), "It is not configured like this any more.")
            now = self._site.snapshot
            for gauge in (now.backlog, now.lag, now.committed, now.quotas, now.failures):
                gauge.pop(name, None)  # a source that is no more is not late
            known = self._site.snapshot.degraded
            for part in [part for part in known if part[0] == name]:
                del known[part]  # nobody else says that it works: the next one may have no such part
        for config in wanted:
            if config.name not in self._tasks:
                self.start(config)

    def _close_handles(self, name: str) -> None:
        """Of a source that nothing of its kind goes on with."""
        for descriptor in self._handles.pop(name, {}).values():
            os.close(descriptor)

    async def again(self, recovery: Recovery) -> None:
        """The database has forgotten: those whose positions it does not take any more begin anew at what it knows. What
        others were sent, or what no log holds any more, may be lost."""
        for name, (config, task) in list(self._tasks.items()):
            self._ledger(name).again()
            if not recovery.complete:
                self._enter(name)
            with contextlib.suppress(StoreError):
                await self._site.store.commit((), self._ledger(name).changed())
            if self._site.store.stale(name) and self._tasks.get(name) == (config, task) and not task.done():
                await cancel(task)
                self.start(config)

    def _ledger(self, name: str) -> Ledger:
        """A notice may still be on its way when a source is started anew: both count in the same ledger."""
        return self._ledgers.setdefault(name, Ledger(name))

    def _enter(self, name: str) -> None:
        """That it may have lost something, which the alert about the database says of all."""
        ledger, snapshot = self._ledger(name), self._site.snapshot
        snapshot.missed[name, FORGOTTEN] += 0
        snapshot.losses[name, FORGOTTEN] += 1
        ledger.enter(FORGOTTEN, 0, "", "bytes", time.time())
        ledger.told(ledger.untold().get(FORGOTTEN, ()))

    async def stop(self) -> None:
        await asyncio.gather(*(cancel(task) for task in (*self.tasks, self._placing) if task is not None))
        for name in list(self._handles):
            self._close_handles(name)

    async def begun(self, stopped: Callable[[], bool]) -> None:
        """Wait until it is durable where every source begins: what is written after "ready" is read, come what may."""
        due = time.monotonic() + _BEGIN
        while self._beginning and not stopped():
            if time.monotonic() > due:
                log.warning("where sources begin could not be recorded yet", sources=sorted(self._beginning))
                return
            await asyncio.sleep(0.005)

    def _intake(self, config: SourceConfig) -> SourceIntake:
        name = config.name
        return SourceIntake(
            self._site,
            name,
            audit=getattr(config, "audit", None),
            environment=getattr(config, "environment", ""),
            present=self._present.get(name),
            handles=self._handles.setdefault(name, {}),
            entries=self._ledger(name),
            on_started=lambda: self._beginning.discard(name),
            schedule=self._schedule,
        )

    async def _restored(self, config: SourceConfig) -> SourceConfig:
        """The database lost what it knew of this source: it is no first start, and nothing may be skipped."""
        store = self._site.store
        if store.recovery is None or getattr(config, "start_at", None) != "end":
            return config
        if await store.positions.of(config.name):
            return config
        log.warning("positions are lost; reading from the beginning", source=config.name)
        return config.model_copy(update={"start_at": "beginning"})

    async def _supervise(self, config: SourceConfig) -> None:
        """Run one source until it comes to its end."""
        name, problem = config.name, _problem(config.name)

        def failed(error: BaseException, failures: int) -> bool:
            log.error("source failed", source=name, **failure(error))
            self._beginning.discard(name)
            self._site.snapshot.restarts[name] += 1
            self._site.snapshot.failures[name] = (time.time(), type(error).__name__)
            if failures > _RESTARTS:
                text = f"{type(error).__name__}. It is started again, after pauses of up to {LONGEST:.0f} s."
                self._site.tell(f"Source {name} keeps failing", text, key=problem)
            return failures <= _RESTARTS or not self._once

        if await keep_up(lambda: self._read(config), failed, lambda: self._over(problem, "It works again.")):
            self._finished.add(name)
            self._beginning.discard(name)
            self._over(problem, "It came to its end.")
            log.info("source ended", source=name)

    async def _read(self, config: SourceConfig) -> None:
        intake = self._intake(config)
        opening = asyncio.create_task(intake.open())  # aside: who sends to us does not wait for a database
        try:
            place = await self._restored(config)
            await load_source(config.type)(place, intake, self._site.scanner.key).run(self._once)
        finally:
            try:
                await intake.close()
            finally:
                await cancel(opening)  # two at once would enter what was kept twice


def _problem(name: str) -> str:
    """The key under which a failing source is told."""
    return f"source:{name}"
