"""What the daemon does in the background by itself: one table, run under one group of tasks.

Tasks that come and go with what is configured are with those who start them: sources (supervise), channels of sinks
(monitor.delivery), what sinks hear (listeners) and readings of an inventory (monitor.inventory.enrol).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, Self

import structlog

from monitor.common.failure import failure
from monitor.common.scheduler import Scheduler
from monitor.common.tasks import LONGEST, cancel, keep_up
from monitor.site import Site
from monitor.store import StoreError

if TYPE_CHECKING:
    from monitor.daemon.issuers import Issuers
    from monitor.daemon.reload import Reload, Running
    from monitor.daemon.requests import RequestWorker
    from monitor.inventory.enrol import Enrolment
    from monitor.rotation.automatic import Rotations

__all__ = ["JOBS", "BackgroundJob", "EndedError", "Jobs", "Parts"]

log = structlog.get_logger(__name__)

# `again`: its failure is told as "The monitor's NAME failed", and it is begun anew after growing pauses. `ends`: nobody
# can be told anything without it; the monitor ends with 1, and whoever started it starts it again.
Policy = Literal["again", "ends"]


class Parts(Protocol):
    """The daemon, as far as jobs need it. Each part is there from the phase on in which they begin."""

    site: Site
    reloading: Reload
    rotations: Rotations
    issuers: Issuers
    enrolment: Enrolment
    requests: RequestWorker

    @property
    def running(self) -> Running: ...


@dataclass(frozen=True, slots=True)
class BackgroundJob:
    """`phase`: in which it begins. `every`: seconds from one round of `work` to the next, the first at once; None:
    `work` comes round by itself."""

    name: str
    phase: str
    work: Callable[[Parts], Awaitable[object]]
    policy: Policy = "again"
    every: float | None = None


# Those of a phase end in the other order.
JOBS = (
    BackgroundJob("delivery", "delivery", lambda daemon: daemon.running.delivery.run(), "ends"),
    BackgroundJob("heartbeat", "inventory", lambda daemon: daemon.running.health.beat()),
    # A reload under way at the end is given up: it may wait for a sink longer than we have.
    BackgroundJob("reload", "watching", lambda daemon: daemon.reloading.run()),
    BackgroundJob("look at the configuration", "watching", lambda daemon: daemon.reloading.watch()),
    BackgroundJob("deadlines", "watching", lambda daemon: daemon.running.deadlines.run()),
    BackgroundJob(
        "retention",
        "watching",
        lambda daemon: daemon.site.store.retention.sweep(daemon.running.config.retention),
        every=3600.0,
    ),
    BackgroundJob(
        "rotations", "watching", lambda daemon: daemon.rotations.sweep(), every=900.0
    ),  # as the inventory is read
    BackgroundJob("actions", "watching", lambda daemon: daemon.issuers.operator.run_all()),
    BackgroundJob("verification", "watching", lambda daemon: daemon.issuers.asker.run()),
    BackgroundJob("inventory", "watching", lambda daemon: daemon.enrolment.run()),
    BackgroundJob("answers", "watching", lambda daemon: daemon.requests.answer()),
    BackgroundJob("requests", "watching", lambda daemon: daemon.requests.run()),
)


class EndedError(Exception):
    """A job has ended that does not end by itself; out of Jobs: one that nothing goes on without."""


class Jobs:
    """Those of the table, each for as long as its phase lasts. As a context it raises EndedError."""

    def __init__(
        self,
        parts: Parts,
        schedule: Scheduler,
        tell: Callable[[str, str, str], object],
        over: Callable[[str, str], object],
        table: Sequence[BackgroundJob] = JOBS,
    ) -> None:
        """`tell`: given a title, a text and the key of the trouble. `over`: the key, and a word about it."""
        self._parts, self._schedule, self._tell, self._over = parts, schedule, tell, over
        self._table = table
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._group.__aexit__(*error)  # type: ignore[arg-type]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # what the body raised is as it was

    @contextlib.asynccontextmanager
    async def during(self, phase: str) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
        """Run those of this phase."""
        mine = [job for job in self._table if job.phase == phase]
        tasks = [self._group.create_task(self._run(job), name=job.name) for job in mine]
        try:
            yield tasks
        finally:
            for task in reversed(tasks):
                await cancel(task)

    async def _run(self, job: BackgroundJob) -> None:
        problem = f"part:{job.name}"

        def failed(error: BaseException, failures: int) -> bool:
            log.error("a part of the monitor failed", part=job.name, **failure(error))
            if job.policy == "ends":
                raise EndedError(job.name)
            text = f"{type(error).__name__}. It is begun anew, after pauses of up to {LONGEST:.0f} s."
            self._tell(f"The monitor's {job.name} failed", text, problem)
            return True

        await keep_up(partial(self._work, job), failed, lambda: self._over(problem, "It works again."))

    async def _work(self, job: BackgroundJob) -> None:
        if job.every is not None:
            await self._schedule.every(job.every, partial(self._round, job))
        await job.work(self._parts)
        raise EndedError(job.name)

    async def _round(self, job: BackgroundJob) -> None:
        try:
            await job.work(self._parts)
        except StoreError as error:  # the database reports its trouble itself; the next round is early enough
            log.debug("a round is left out", part=job.name, reason=str(error))
