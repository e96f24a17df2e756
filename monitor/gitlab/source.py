"""Logs of GitLab's jobs as they end, by webhooks, and looked for besides, so that a hook that is lost loses none.

What ended is found by its pipeline, which changes with it, also where a job is played by hand weeks later. How far a
project has come is the time of its newest pipeline that was read whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from monitor.clients.client import ServiceError
from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.fields import LISTED, LocalPath, ServerUrl
from monitor.common.inbound import HookDelivery
from monitor.common.outside import number, text, when
from monitor.domain.model import Position
from monitor.gitlab.client import GitLab, GoneError, encoded
from monitor.gitlab.jobs import ENDED, SECTION, job_of, key_of
from monitor.intake.protocol import AlertIntake
from monitor.intake.rounds import Rounds
from monitor.sources.base import SourceConfig
from monitor.sources.joblog import CiJob, JobLogs, where

__all__ = ["GitLabConfig", "GitLabSource"]

_LISTED, _PROJECT = "projects", "project:"  # keys of positions
_OVERLAP = 600.0  # seconds before the newest pipeline that are looked at again: clocks, and transactions under way
_STORED = 14 * 86_400.0  # seconds for which a job is known by itself as read
_SETTLED = 60.0  # seconds for which the runner of a job that was cancelled may still write
_PATIENCE = 86_400.0  # seconds for which a log that cannot be read is tried again
_AT_ONCE = 4  # projects


_Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")]


EXAMPLE = """
# Logs of GitLab's jobs, as they end: of groups with all below them, and of projects. docs/ci.md#gitlab
#[[sources]]
#name = "gitlab"
#type = "gitlab-ci"
#group = "acme"                 # or a list; at least one of group and project
#project = ["other/web"]
#token = "env:GITLAB_TOKEN"     # with read_api
#base_url = "https://gitlab.com"
#ca_file = "gitlab-ca.pem"      # default: the system's
#interval = "1m"
#webhook_secret = "credential:gitlab-webhook-secret"
#start_at = "end"               # or "beginning": also what ended before the very first start
"""


class GitLabConfig(SourceConfig):
    """Reads the logs of GitLab's jobs as they end ([ci](ci.md#gitlab)).

    - `group`, `project` (at least one): what to follow, a group with all below it; one full path or a list
    - `token`: with the scope `read_api`
    - `base_url`: of an instance of your own, with the path that it is under
    - `ca_file` (the system's): certificates that the instance is trusted by
    - `interval`: pause between looks
    - `webhook_secret`: the secret token of the webhook at `/hooks/gitlab`
    - `start_at`: what ended before the very first start is left alone; or `"beginning"`

    **Reads** exactly once: that a log was read is committed with the last of what was found in it. **Can lose** logs
    that were erased or are gone before they could be read, in logs: `erased`, `expired`, `unreadable` (tried for a
    day); and what is beyond 1 GiB of one: `too_large`.
    """

    reach: ClassVar[tuple[str, ...]] = ("group", "project", "base_url")
    type: Literal["gitlab-ci"]
    group: Annotated[tuple[_Path, ...], LISTED] = ()
    project: Annotated[tuple[_Path, ...], LISTED] = ()
    token: Credential
    base_url: ServerUrl = "https://gitlab.com"
    ca_file: LocalPath | None = None
    interval: Annotated[Duration, Field(ge=1)] = 60.0
    webhook_secret: Credential | None = None
    start_at: Literal["end", "beginning"] = "end"

    @model_validator(mode="after")
    def _something(self) -> GitLabConfig:
        if not self.group and not self.project:
            raise ValueError("give at least one of group and project")
        return self

    @property
    def server(self) -> str:
        """How findings name it."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc}{parts.path}"

    def follows(self, project: str) -> bool:
        """Whether that project is one of them, by its full path."""
        name = project.lower()
        groups = (f"{group.lower()}/" for group in self.group)
        return name in (one.lower() for one in self.project) or any(name.startswith(one) for one in groups)


class GitLabSource:
    """Looks on a schedule and answers hooks; each log is known as read with its findings."""

    Config: ClassVar[type[SourceConfig]] = GitLabConfig

    def __init__(self, config: GitLabConfig, intake: AlertIntake, key: bytes) -> None:
        self.config, self._intake = config, intake
        self._gitlab = GitLab(f"source {config.name}", config.base_url, config.token, config.ca_file)
        self._rounds = Rounds(config.name, intake, "GitLab", (ServiceError,))
        self._logs = JobLogs(config.name, intake, SECTION, parts=1)
        # Project → its pipelines of late that were read whole, as of when.
        self._seen: dict[int, Mapping[int, str]] = {}
        self._places: dict[int, tuple[float, float]] = {}  # project → from when on it is read, and how far it was
        self._listed: float | None = None  # when each project that there was then was known
        self._failing: dict[str, float] = {}  # job → since when its log cannot be read

    where = staticmethod(where)  # how far it has come, for people

    async def run(self, once: bool) -> None:
        try:
            await self._restore()
            if once:
                await self.look()
                await self._answer_hooks()
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._intake.every(self.config.interval, self.look))
                if self.config.webhook_secret is not None:
                    tasks.create_task(self._rounds.hooks(self._answer_hooks, announced=True))
        finally:
            await self._gitlab.close()

    async def _restore(self) -> None:
        saved = await self._intake.positions()
        self._logs.restore(saved)
        listed = saved.get(_LISTED, {}).get("at")
        self._listed = float(listed) if isinstance(listed, int | float) else None
        for key, state in saved.items():
            began, upto = state.get("from"), state.get("upto")
            if key.startswith(_PROJECT) and isinstance(began, int | float) and isinstance(upto, int | float):
                self._places[int(key.removeprefix(_PROJECT))] = float(began), float(upto)

    async def look(self) -> None:
        """One round. Trouble is reported and never ends the source."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def in_turn(project: int, path: str) -> Exception | None:
            async with gate:
                return await self._rounds.tried(partial(self._project, project, path))

        projects: dict[int, str] = {}
        errors = [await self._rounds.tried(partial(self._projects, projects))]
        listed = self._gitlab.now
        errors += await asyncio.gather(*(in_turn(project, path) for project, path in projects.items()))
        if errors[0] is None and projects.keys() <= self._places.keys():
            await self._note(listed)
        problems = [self._rounds.words(error) for error in errors if error is not None]
        more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        self._intake.degraded("jobs", f"{problems[0]}{more}" if problems else None)

    async def _note(self, listed: float) -> None:
        if self._listed is None or abs(listed - self._listed) >= _OVERLAP / 2:
            await self._intake.record((), [Position(self.config.name, _LISTED, {"at": listed})])
            self._listed = listed

    async def _projects(self, paths: dict[int, str]) -> None:
        """Id → path. Those that could be listed are in it even where others could not."""
        failure = None
        for path in self.config.project:
            try:
                self._project_of(await self._gitlab.one(f"project {path}", f"projects/{encoded(path)}"), paths)
            except ServiceError as error:
                failure = failure or error
        for path in self.config.group:
            place = f"groups/{encoded(path)}/projects"
            asked = {"include_subgroups": "true", "with_shared": "false", "archived": "false"}
            try:
                async for rows in self._gitlab.pages(f"projects of {path}", place, **asked):
                    for row in rows:
                        self._project_of(row, paths)
            except ServiceError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _project_of(self, row: Mapping[str, Any], found: dict[int, str]) -> None:
        project, path = number(row, "id"), text(row, "path_with_namespace")
        if not project or not path:
            self._intake.malformed("project")
        elif row.get("builds_access_level") != "disabled":
            found[project] = path

    async def _project(self, project: int, path: str) -> None:
        """What has ended there since. Raises ServiceError where that is not all."""
        if project not in self._places:
            first = self._first(path)
            await self._keep(project, first, first)
        began, upto = self._places[project]
        before, seen = self._seen.get(project, {}), dict[int, str]()
        newest, failure = upto, None
        async for row in self._pipelines(project, path, upto - _OVERLAP):
            pipeline, changed = number(row, "id"), when(row, "updated_at")
            if not pipeline or changed is None:
                self._intake.malformed("pipeline")
                continue
            newest = max(newest, min(changed, self._gitlab.now))  # of what lies ahead nothing would be asked for
            if before.get(pipeline) != row["updated_at"]:
                try:
                    if not await self._pipeline(project, path, pipeline, max(began, upto - _STORED)):
                        continue
                except ServiceError as error:
                    failure = failure or error
                    continue
            seen[pipeline] = row["updated_at"]
        self._seen[project] = seen
        if failure is not None:
            raise failure
        if newest > upto:
            await self._keep(project, began, newest)

    def _first(self, path: str) -> float:
        """From when on a project is read that is not known yet: from its first job on, where it is new in a group."""
        if self.config.start_at == "beginning":
            return 0.0
        if self._listed is None or path.lower() in (one.lower() for one in self.config.project):
            return self._gitlab.now
        return min(self._listed, self._gitlab.now) - _OVERLAP

    async def _pipelines(self, project: int, path: str, since: float) -> AsyncIterator[Mapping[str, Any]]:
        """Those that changed since. Raises ServiceError."""
        after = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(0.0, since)))
        asked = {"updated_after": after, "order_by": "id", "sort": "desc"}
        what, place = f"pipelines of {path}", f"projects/{project}/pipelines"
        known: set[int] = set()
        for source in ({}, {"source": "parent_pipeline"}):  # child pipelines are listed only where they are asked for
            new = True
            # One that is deleted while we read moves another to a page that was read: so once more, until none is new.
            while new:
                pages, new = 0, False
                async for rows in self._gitlab.pages(what, place, **asked, **source):
                    pages += 1
                    for row in rows:
                        if (pipeline := number(row, "id")) not in known:
                            known.add(pipeline)
                            new = True
                            yield row
                new = new and pages > 1

    async def _keep(self, project: int, began: float, upto: float) -> None:
        """How far it has come; jobs that no look asks for from there on are known by themselves no longer."""
        place = Position(self.config.name, f"{_PROJECT}{project}", {"from": began, "upto": upto})
        await self._intake.record((), [place, *self._logs.forget(str(project), upto - _STORED - _OVERLAP)])
        self._places[project] = began, upto

    async def _pipeline(self, project: int, path: str, pipeline: int, began: float) -> bool:
        """Jobs of it that ended after `began`; False: for one it is too early. Raises ServiceError where one could not
        be read, after the others."""
        whole, failure = True, None
        place = f"projects/{project}/pipelines/{pipeline}/jobs"
        asked = {"scope": ",".join(ENDED), "include_retried": "true"}
        async for rows in self._gitlab.pages(f"jobs of {path}", place, **asked):
            for row in rows:
                try:
                    whole &= await self._ended(project, path, row, began)
                except ServiceError as error:
                    failure = failure or error
        if failure is not None:
            raise failure
        return whole

    async def _ended(self, project: int, path: str, row: Mapping[str, Any], began: float) -> bool:
        """Read the log of one; False: it is too early. Raises ServiceError."""
        job = job_of(row, project, path, self.config.server)
        if job is None:
            if row.get("status") not in ENDED or not number(row, "id"):
                self._intake.malformed("job")
            return True
        if job.ended < began or self._logs.knows(job.key):
            return True
        if row.get("status") == "canceled" and job.ended > self._gitlab.now - _SETTLED:
            return False
        if row.get("erased_at") is not None:
            await self._logs.lose(job, "erased")
            return True
        await self._read(project, int(row["id"]), job)
        return True

    async def _read(self, project: int, job_id: int, job: CiJob) -> None:
        try:
            await self._logs.read(job, self._gitlab.log(f"the log of {job.path}", project, job_id))
        except GoneError:
            await self._gitlab.one(f"the project of {job.path}", f"projects/{project}")  # or it is not shown, either
            await self._logs.lose(job, "expired")
        except ServiceError:
            since = self._failing.setdefault(job.key, time.monotonic())
            if not self._logs.failed(job.key) or time.monotonic() - since < _PATIENCE:
                raise
            await self._logs.lose(job, "unreadable")
        self._failing.pop(job.key, None)

    async def _answer_hooks(self) -> None:
        for delivery in await self._intake.deliveries():
            await self._rounds.deal(f"job {delivery.number} of project {delivery.repo}", delivery, self._deliver)

    async def _deliver(self, delivery: HookDelivery) -> None:
        """A hook only names a job, whose present state is read from the API. Raises ServiceError: try again later."""
        if await self._announced(delivery):
            await self._intake.record_alerts([], [], [], handled=[delivery.id])
        else:
            await self._intake.postpone(delivery.id, _SETTLED)

    async def _announced(self, delivery: HookDelivery) -> bool:
        """Read its log; False: it is too early. Raises ServiceError."""
        project = int(delivery.repo)
        if self._logs.knows(key_of(project, delivery.number)):
            return True
        try:
            path = text(await self._gitlab.one(f"project {project}", f"projects/{project}"), "path_with_namespace")
            if not self.config.follows(path):
                return True
            place = f"projects/{project}/jobs/{delivery.number}"
            row = await self._gitlab.one(f"job {delivery.number} of {path}", place)
        except GoneError:
            return True  # or it is not for us; what of it is, a look finds
        return await self._ended(project, path, row, 0.0)
