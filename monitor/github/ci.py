"""Logs of GitHub Actions, followed: of each job once it has ended. Set-up, cost and limits: docs/ci.md.

A webhook names a job that has ended; polling finds those of which none came. GitHub lists runs for each repository
alone, so a repository is asked the more seldom the longer it has run nothing; an answer that has not changed costs
nothing of the quota. A run that goes on is remembered until it is over, as it may go on for a month. What is run again
is far back in the listing: once a day all is looked at that can still be run again.

A job whose log cannot be read for now becomes work for later, as hooks are: no listing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import Field, model_validator

from monitor.clients.storage import Storage, StorageError
from monitor.common.duration import Duration
from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.common.problems import refuse
from monitor.domain.model import Position
from monitor.github.listing import ADVICE, RunListing
from monitor.github.login import GitHubLogin
from monitor.github.redeliver import redeliver
from monitor.github.runs import SECTION, EndedJob, Run, labels, path, step_at
from monitor.github.watch import OVERLAP, SWEEP, WatchedRepository, WatchProgress
from monitor.intake.protocol import AlertIntake
from monitor.intake.rounds import later
from monitor.sources.base import SourceConfig
from monitor.sources.joblog import CiJob, JobLogs, where

__all__ = ["EVENT", "ActionsLogsConfig", "GitHubActionsSource", "job_of"]

log = structlog.get_logger(__name__)

EVENT = "workflow_job"
LISTED = 600.0  # seconds between looks for new repositories
AT_ONCE = 4  # logs
SETTLES = 900.0  # seconds for which a log may be on its way after its job has ended
SOON = 20.0  # seconds until it is looked for again
TRIES = 9  # of one log, of which the last is a day after the first
REMEMBERED = 256  # runs of jobs that hooks announced
_LISTED, _REPOSITORY = "repositories", "repository:"  # keys of positions
_LOG = "log:"  # begins the id of work for later
REDELIVER_EVERY = 600.0  # seconds, as for alerts


EXAMPLE = """
# Logs of jobs of GitHub Actions, each once it has ended. docs/ci.md explains each key.
#[[sources]]
#name = "ci"
#type = "github-actions"
#org = "acme"                   # or a list; at least one of org and repo
#repo = ["other/web"]
#token = "env:GITHUB_TOKEN"     # or an App, below
#base_url = "https://api.github.com"    # GitHub Enterprise Server: https://HOST/api/v3
#insecure = false               # true: the token may travel unencrypted
#interval = "5m"
#since = "30d"                  # how far back a first start reads; none: start_at
#webhook_secret = "credential:github-webhook-secret"
#environment = "ci"             # default: "", as for files

#[[sources]]
#name = "ci-app"
#type = "github-actions"
#org = "acme"
#app = { id = 12345, private_key = "file:/etc/exposure-monitor/github-app.pem", installation = 67890 }
#start_at = "end"               # or "beginning"
"""


class ActionsLogsConfig(GitHubLogin):
    """Reads the logs of jobs of GitHub Actions, each once it has ended ([ci](ci.md)).

    - `interval`: pause between looks at a repository that runs much
    - `start_at`, `since` (`"end"`): a first start reads what ends from then on, or from the `"beginning"`, or the last
      `since`, such as `"30d"`
    - `environment`: as for sources of lines

    **Reads** exactly once: that a job was read is committed with what was found in its log. **Can lose** logs whose
    retention is over, or that were deleted, before they could be read ([ci](ci.md#what-can-be-lost)), in logs:
    `expired`, `deleted`, `unreadable`; and `too_large`.
    """

    type: Literal["github-actions"]
    interval: Annotated[Duration, Field(ge=1)] = 300.0
    start_at: Literal["end", "beginning"] = "end"
    since: Annotated[Duration, Field(gt=0)] | None = None  # how far back a first start reads
    environment: str = ""

    @model_validator(mode="after")
    def _whole(self) -> ActionsLogsConfig:
        refuse(
            (not (self.org or self.repo), "give at least one of org and repo"),
            (self.since is not None and "start_at" in self.model_fields_set, "give one of since and start_at"),
        )
        return self

    def began(self, now: float) -> float:
        """From when on jobs are read, at a first start."""
        if self.since is not None:
            return now - self.since
        return now if self.start_at == "end" else 0.0


class _LaterError(Exception):
    """A log that cannot be read for now, which is nobody else's trouble. The message is safe to show. `early`: nothing
    is wrong, it is on its way; `alone`: since it failed first, others were read."""

    def __init__(self, message: str, *, early: bool = False, alone: bool = False) -> None:
        super().__init__(message)
        self.early, self.alone = early, alone


class GitHubActionsSource:
    """Polls, and answers hooks."""

    Config: ClassVar[type[SourceConfig]] = ActionsLogsConfig

    def __init__(self, config: ActionsLogsConfig, intake: AlertIntake, key: bytes) -> None:
        self.config, self.intake = config, intake
        self._rounds = config.rounds(intake)
        self.client = config.client(on_wait=self._rounds.waiting, advice=ADVICE)
        intake.quotas(self.client.quotas)
        self._storage = Storage(private=not config.cloud, clear=urlsplit(config.base_url).scheme == "http")
        self._listing = RunListing(self.client, self._storage, intake.malformed)
        self._logs = JobLogs(config.name, intake, SECTION, parts=2)
        self._watched: dict[str, WatchedRepository] = {}
        self._progress: dict[str, WatchProgress] = {}  # also of repositories that are not there for now
        self._listed: float | None = None  # when repositories were looked for last
        self._born = time.monotonic()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._postponed: set[str] = set()  # those that are work for later
        self._asked: int | None = None  # up to which delivery of a hook GitHub was asked to repeat it
        self._runs: OrderedDict[tuple[str, int, int], Run | None] = OrderedDict()

    where = staticmethod(where)  # how far it has come, for people

    async def run(self, once: bool) -> None:
        try:
            await self._restore()
            if once:
                await self._rounds.guarded("repositories", self._list)
                for one in self._watched.values():
                    await self._turn(one)
                await self._answer_hooks()
                return
            await self._follow()
        finally:
            await self._storage.close()
            await self.client.close()

    async def _restore(self) -> None:
        saved = await self.intake.positions()
        self._logs.restore(saved)
        for key, state in saved.items():
            if key.startswith(_REPOSITORY):
                with contextlib.suppress(ValueError):
                    self._progress[key.removeprefix(_REPOSITORY)] = WatchProgress.restored(state)
        listed = saved.get(_LISTED, {}).get("at")
        self._listed = float(listed) if isinstance(listed, int | float) else None

    async def _follow(self) -> None:
        config, followed = self.config, dict[str, asyncio.Task[None]]()
        async with asyncio.TaskGroup() as tasks:

            async def listed() -> None:
                await self._rounds.guarded("repositories", self._list)
                for key in followed.keys() - self._watched.keys():
                    followed.pop(key).cancel()
                for key in self._watched.keys() - followed.keys():
                    turn = functools.partial(self._turn, self._watched[key])
                    followed[key] = tasks.create_task(self.intake.every(config.interval, turn))

            tasks.create_task(self.intake.every(min(LISTED, config.interval), listed))
            if config.webhook_secret is not None and config.app is not None:
                guarded = functools.partial(self._rounds.guarded, "redelivery", self._redeliver)
                tasks.create_task(self.intake.every(REDELIVER_EVERY, guarded))
            tasks.create_task(self._rounds.hooks(self._answer_hooks, announced=config.webhook_secret is not None))

    async def _redeliver(self) -> None:
        self._asked = await redeliver(self.client, self.intake, self.config.name, EVENT, self._asked)

    def _now(self) -> float:
        """By GitHub's clock."""
        return time.time() + self.client.skew

    # --- repositories ---------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        """Which repositories there are. One that is new in an organisation is read from the last look on."""
        if self._watched and (not self.config.org or -OVERLAP <= self._now() - (self._listed or 0.0) < LISTED):
            return
        in_orgs = {name.lower(): name for org in self.config.org for name in await self._listing.repositories(org)}
        named = {name.lower(): name for name in self.config.repo}
        if named.keys() - self._progress.keys():
            await self._ask_the_time()
        now = self._now()
        began = self.config.began(now - (time.monotonic() - self._born))
        fresh = dict.fromkeys(
            in_orgs, began if self._listed is None else self._looked({*in_orgs, *named}, self._listed)
        )
        fresh |= dict.fromkeys(named, began)
        new = {key: WatchProgress.fresh(since) for key, since in fresh.items() if key not in self._progress}
        rows = [self._row(key, progress) for key, progress in new.items()]
        await self.intake.record((), [*rows, Position(self.config.name, _LISTED, {"at": now})])
        self._progress |= new
        self._listed = now
        self._watch(in_orgs | named)

    def _looked(self, names: set[str], listed: float) -> float:
        """From when on one that is new in an organisation is read: it may be one of those that are there no more, which
        was renamed since somebody looked at it last."""
        known = self._progress | {key: one.progress for key, one in self._watched.items()}
        gone = (one.mark for key, one in known.items() if key not in names and one.mark > listed - SWEEP)
        return min([listed, *gone]) - OVERLAP

    async def _ask_the_time(self) -> None:
        """A first start reads from now on, by GitHub's clock: ours may be ahead of it."""
        try:
            await self.client.get("/rate_limit")
        except RemoteError as error:
            if not error.status:  # any answer tells the time
                raise

    def _watch(self, names: Mapping[str, str]) -> None:
        for key in self._watched.keys() - names.keys():
            self.intake.degraded(self._watched.pop(key).name, None)
        for key in names.keys() - self._watched.keys():
            self._watched[key] = WatchedRepository(
                names[key], self._progress[key], self._listing, self._take, self._save
            )

    async def _turn(self, one: WatchedRepository) -> None:
        await self._rounds.guarded(one.name, functools.partial(one.turn, self._now()))

    async def _save(self, one: WatchedRepository) -> None:
        key = one.name.lower()
        swept = one.progress.swept != self._progress[key].swept
        gone = self._logs.forget(key, one.progress.floor) if swept else ()
        await self.intake.record((), [self._row(key, one.progress), *gone])
        self._progress[key] = one.progress

    def _row(self, key: str, progress: WatchProgress) -> Position:
        return Position(self.config.name, f"{_REPOSITORY}{key}", progress.row())

    # --- logs -----------------------------------------------------------------------------------------------------

    async def _take(self, ended: EndedJob, of: Run | None) -> None:
        """Of a listing, which goes on whatever becomes of one log."""
        if ended.key in self._postponed:
            return
        try:
            await self._read(ended, of)
        except _LaterError as error:
            log.info("log for later", source=self.config.name, job=ended.id, reason=str(error))
            due = time.time() + later(0)
            again = HookDelivery(f"{_LOG}{ended.key}:{int(due)}", self.config.name, EVENT, ended.repo, ended.id, due, 1)
            await self.intake.record_alerts([], [], [], again=[again])
            self._postponed.add(ended.key)

    async def _read(self, ended: EndedJob, of: Run | None) -> None:
        """Raises _LaterError, and RemoteError where it is not about this log alone."""
        if ended.silent or self._logs.knows(ended.key):
            return
        job = job_of(ended, of, self.config.host)
        async with self._slots:
            try:
                await self._logs.read(job, self._listing.log(ended))
            except StorageError as error:
                failure = _LaterError(str(error), alone=self._logs.failed(ended.key))
            except RemoteError as error:
                early = error.status == 404 and self._now() - ended.ended <= SETTLES
                if error.status == 404 and not early and not await self._listing.shows(ended.repo):
                    raise
                if error.status in (404, 410) and not early:
                    await self._lose(job, "expired" if error.status == 410 else "deleted")
                    return
                if error.status in (0, 401, 403):
                    raise
                alone = not early and self._logs.failed(ended.key)
                failure = _LaterError(str(error), early=early, alone=alone)
            else:
                self._postponed.discard(ended.key)
                return
        raise failure

    async def _lose(self, job: CiJob, reason: str) -> None:
        await self._logs.lose(job, reason)
        self._postponed.discard(job.key)

    # --- hooks ----------------------------------------------------------------------------------------------------

    async def _answer_hooks(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for delivery in await self.intake.deliveries():
                part = f"job {delivery.number} of {delivery.repo}"
                tasks.create_task(self._rounds.deal(part, delivery, self._deliver))

    async def _deliver(self, delivery: HookDelivery) -> None:
        """A hook only names a job, whose present state is read from the API. Raises RemoteError: try again later."""
        ended = None
        try:
            ended = await self._listing.job(delivery.repo, delivery.number)
        except RemoteError as error:
            if error.status not in (404, 410):
                raise
            if not await self._gone(delivery):
                await self.intake.postpone(delivery.id, later(delivery.attempts))
                return
        if ended is not None and not self._logs.knows(ended.key):
            try:
                await self._read(ended, await self._run_of(ended))
            except _LaterError as error:
                if error.early:
                    await self.intake.postpone(delivery.id, SOON if not delivery.attempts else later(delivery.attempts))
                    return
                if delivery.attempts < TRIES or not error.alone:
                    raise RemoteError(str(error), retry=True) from None
                await self._lose(job_of(ended, None, self.config.host), "unreadable")
        await self.intake.record_alerts([], [], [], handled=[delivery.id])

    async def _gone(self, delivery: HookDelivery) -> bool:
        """Whether a job that GitHub does not show is dealt with. Where its repository is shown, it was deleted; where
        it is not, the right to read may come back: it is given up once nothing lists the repository any more."""
        shown, repo = await self._listing.shows(delivery.repo), delivery.repo.lower()
        if not shown and not delivery.id.startswith(_LOG):
            return True  # announced, and not for us, or a look finds it
        if delivery.attempts < (1 if shown else TRIES) or (not shown and repo in self._watched):
            return False
        if not self._logs.has(repo, str(delivery.number)):
            unknown = CiJob(f"{repo}/{delivery.number}", self.config.host, delivery.repo, self._now())
            await self._logs.lose(unknown, "deleted")
        ours = [key for key in self._postponed if key.startswith(f"{repo}/") and key.endswith(f"/{delivery.number}")]
        self._postponed.difference_update(ours)
        return True

    async def _run_of(self, ended: EndedJob) -> Run | None:
        key = ended.repo, ended.run, ended.attempt
        if key not in self._runs:
            self._runs[key] = await self._listing.run(*key)
            if len(self._runs) > REMEMBERED:
                self._runs.popitem(last=False)
        return self._runs[key]


def job_of(ended: EndedJob, of: Run | None, host: str) -> CiJob:
    """What is read of it. `of`: its run, where that attempt is known; `host`: how ids name the server."""
    step = functools.partial(step_at, ended.steps)
    return CiJob(ended.key, host, path(ended, of), ended.ended, labels(ended, of), ended.url, step)
