"""GitHub Actions on loopback, beside its alerts: runs, jobs and, on a server of their own, the logs.

The storage takes nothing that logs in at GitHub, and each address for a minute of its own clock only.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from aiohttp import web
from githubkit_schemas.v2026_03_10 import models
from githubkit_schemas.v2026_03_10.rest.actions import ActionsClient
from pydantic import TypeAdapter

from monitor.common.inbound import HookDelivery
from monitor.domain.model import Alert, Finding, Position
from tests.fakes.github import ANSWERS, QUERIES, FakeGitHub, fill, iso, query, repository, user
from tests.fakes.intake import MortalIntake

QUERIES |= {
    "runs": query(ActionsClient.list_workflow_runs_for_repo),
    "jobs": query(ActionsClient.list_jobs_for_workflow_run),
    "run": query(ActionsClient.get_workflow_run),
    "attempt": query(ActionsClient.get_workflow_run_attempt),
    "job": query(ActionsClient.get_job_for_workflow_run),
    "logs": query(ActionsClient.download_job_logs_for_workflow_run),
}
ANSWERS |= {
    "runs": TypeAdapter(models.ReposOwnerRepoActionsRunsGetResponse200),
    "jobs": TypeAdapter(models.ReposOwnerRepoActionsRunsRunIdJobsGetResponse200),
    "run": TypeAdapter(models.WorkflowRun),
    "attempt": TypeAdapter(models.WorkflowRun),
    "job": TypeAdapter(models.Job),
}


@dataclass
class Job:
    """One job of one attempt. Times are seconds on GitHub's clock."""

    id: int
    run: int
    attempt: int
    name: str
    log: bytes | None  # None: there is none (404)
    ended: float | None
    conclusion: str = "success"
    steps: list[tuple[str, float]] = field(default_factory=list)
    runner: int = 1


@dataclass
class Run:
    repo: str
    id: int
    created: float
    updated: float
    attempt: int = 1
    status: str = "completed"
    name: str = "CI"


@dataclass(eq=False)
class FakeActions(FakeGitHub):
    """Its attributes may be changed at any time. `faults_of_storage`: what it does first: a status, or "short",
    "endless", "loop", or an address that it sends to."""

    runs: dict[int, Run] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    expired: set[int] = field(default_factory=set)  # jobs whose logs are gone: 410
    faults_of_storage: deque[int | str] = field(default_factory=deque)
    location: Callable[[str], str] = str  # what the address of a log is made of it
    on_runs: Callable[[int], None] | None = None  # told the number of the listing before it is answered
    listings: int = 0
    most_found: int = 1000  # runs that a search with `created` shows
    read: Counter[int] = field(default_factory=Counter)  # job → how often its log was read whole
    hidden: set[str] = field(default_factory=set)  # repositories that the token may not see
    deleted: list[int] = field(default_factory=list)  # runs whose logs were
    clock: float = 0.0  # of the storage, in seconds
    storage: str = ""
    chunk: int = 1 << 16
    on_chunk: Callable[[int], Awaitable[object]] | None = None  # told how much of a log was sent; its end waits for it
    _storage: web.AppRunner | None = None
    _signed: dict[str, float] = field(default_factory=dict)

    # --- set-up -------------------------------------------------------------------------------------------------

    def add_run(self, repo: str = "acme/web", *, age: float = 0.0, status: str = "completed", **more: Any) -> Run:
        now = self.now() - age
        number = more.pop("id", 1000 + len(self.runs))
        made = Run(repo, number, more.pop("created", now), now, status=status, **more)
        self.runs[made.id] = made
        self.repos.setdefault(repo, {})
        return made

    def add_job(self, run: Run, log: str | bytes | None = b"", *, age: float | None = 0.0, **more: Any) -> Job:
        """One that has ended so long ago, or (None) goes on."""
        ended = None if age is None else self.now() - age
        log = log.encode() if isinstance(log, str) else log
        more = {"name": "build", "attempt": run.attempt} | more
        made = Job(len(self.jobs) + 1, run.id, log=log, ended=ended, **more)
        self.jobs[made.id] = made
        return made

    def end(self, job: Job) -> None:
        job.ended = self.now()

    def again(self, run: Run) -> None:
        """Somebody runs it again."""
        run.attempt, run.status, run.updated = run.attempt + 1, "in_progress", self.now()

    def over(self, run: Run) -> None:
        run.status, run.updated = "completed", self.now()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{job}", self._read)
        self._storage = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._storage.setup()
        await web.TCPSite(self._storage, "127.0.0.1", 0).start()
        host, port = self._storage.addresses[0][:2]
        self.storage = f"http://{host}:{port}"
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        assert self._storage is not None
        await self._storage.cleanup()

    def _routes(self) -> tuple[tuple[str, str, Any], ...]:
        repo = "/repos/{owner}/{repo}/actions"
        return (
            *super()._routes(),
            ("GET", f"{repo}/runs", self._runs),
            ("GET", f"{repo}/runs/{{run}}", self._run),
            ("GET", f"{repo}/runs/{{run}}/attempts/{{attempt}}", self._attempt),
            ("GET", f"{repo}/runs/{{run}}/jobs", self._jobs),
            ("DELETE", f"{repo}/runs/{{run}}/logs", self._delete),
            ("GET", f"{repo}/jobs/{{job}}", self._job),
            ("GET", f"{repo}/jobs/{{job}}/logs", self._log),
        )

    # --- the API ------------------------------------------------------------------------------------------------

    def body_of_run(self, run: Run) -> dict[str, Any]:
        html = f"https://github.test/{run.repo}/actions/runs/{run.id}"
        about = repository(run.repo, models.MinimalRepository)
        return fill(
            models.WorkflowRun, id=run.id, name=run.name, run_attempt=run.attempt, status=run.status, event="push",
            conclusion="success" if run.status == "completed" else None, head_branch="main", head_sha="c" * 40,
            path=".github/workflows/ci.yml", actor=user("octocat"), triggering_actor=user("hubot"), html_url=html,
            created_at=iso(run.created), run_started_at=iso(run.created), updated_at=iso(run.updated),
            repository=about, head_repository=about, head_commit=None, pull_requests=[], display_title="a change",
        )  # fmt: skip

    def body_of_job(self, job: Job) -> dict[str, Any]:
        repo = self.runs[job.run].repo
        over = job.ended is not None
        ends = [*(begun for _, begun in job.steps[1:]), job.ended or 0.0][: len(job.steps)]
        steps = [
            {"name": name, "status": "completed", "conclusion": "success", "number": number,
             "started_at": iso(begun), "completed_at": iso(end)}
            for number, ((name, begun), end) in enumerate(zip(job.steps, ends, strict=True), 1)
        ]  # fmt: skip
        return fill(
            models.Job, id=job.id, run_id=job.run, run_attempt=job.attempt, name=job.name, workflow_name="CI",
            status="completed" if over else "in_progress", conclusion=job.conclusion if over else None,
            completed_at=iso(job.ended) if job.ended is not None else None, steps=steps, labels=["ubuntu-latest"],
            runner_id=job.runner or None, head_branch="main", head_sha="c" * 40,
            html_url=f"https://github.test/{repo}/actions/runs/{job.run}/job/{job.id}",
        )  # fmt: skip

    async def _runs(self, request: web.Request) -> Any:
        params = self._query(request, "runs")
        self.listings += 1
        if self.on_runs is not None:
            self.on_runs(self.listings)
        name = f"{request.match_info['owner']}/{request.match_info['repo']}"
        if name in self.hidden:
            return 404, "error", {"message": "Not Found"}, {}
        found = [run for run in self.runs.values() if run.repo.lower() == name.lower()]
        if created := params.get("created"):
            assert created.startswith("<="), created
            found = [run for run in found if iso(run.created) <= created.removeprefix("<=")]
        found.sort(key=lambda run: (int(run.created), run.id), reverse=True)
        shown = found[: self.most_found] if created else found
        bodies = [self.body_of_run(run) for run in shown]
        status, kind, page, headers = self._paged(request, "runs", bodies, params)
        return status, kind, {"total_count": len(found), "workflow_runs": page}, headers

    def _found(self, request: web.Request) -> Run | None:
        return self.runs.get(int(request.match_info["run"]))

    async def _run(self, request: web.Request) -> Any:
        self._query(request, "run")
        run = self._found(request)
        return (200, "run", self.body_of_run(run), {}) if run else (404, "error", {"message": "Not Found"}, {})

    async def _attempt(self, request: web.Request) -> Any:
        self._query(request, "attempt")
        run, number = self._found(request), int(request.match_info["attempt"])
        if run is None or number > run.attempt:
            return 404, "error", {"message": "Not Found"}, {}
        return 200, "attempt", self.body_of_run(run) | {"run_attempt": number}, {}

    async def _jobs(self, request: web.Request) -> Any:
        params = self._query(request, "jobs")
        run = self._found(request)
        if run is None:
            return 404, "error", {"message": "Not Found"}, {}
        every = params.get("filter") == "all"
        bodies = [
            self.body_of_job(job)
            for job in self.jobs.values()
            if job.run == run.id and (every or job.attempt == run.attempt)
        ]
        status, kind, page, headers = self._paged(request, "jobs", bodies, params)
        return status, kind, {"total_count": len(bodies), "jobs": page}, headers

    async def _job(self, request: web.Request) -> Any:
        self._query(request, "job")
        job = self.jobs.get(int(request.match_info["job"]))
        if job is not None and self.runs[job.run].repo in self.hidden:
            job = None
        return (200, "job", self.body_of_job(job), {}) if job else (404, "error", {"message": "Not Found"}, {})

    async def _log(self, request: web.Request) -> Any:
        self._query(request, "logs")
        job = self.jobs.get(int(request.match_info["job"]))
        if job is None or job.ended is None or job.log is None:
            return 404, "error", {"message": "Not Found"}, {}
        if job.id in self.expired or job.run in self.deleted:
            return 410, "error", {"message": "Server Error"}, {}
        signature = f"sig{len(self._signed)}"
        self._signed[signature] = self.clock + 60
        return 302, None, None, {"Location": self.location(f"{self.storage}/{job.id}?sig={signature}")}

    async def _delete(self, request: web.Request) -> Any:
        run = self._found(request)
        if run is None:
            return 404, "error", {"message": "Not Found"}, {}
        self.deleted.append(run.id)
        return 204, None, None, {}

    # --- the storage --------------------------------------------------------------------------------------------

    async def _read(self, request: web.Request) -> web.StreamResponse:
        for name in ("Authorization", "Cookie", "X-GitHub-Api-Version"):
            if name in request.headers:
                self.violations.append(f"storage: {name}")
        fault = self.faults_of_storage.popleft() if self.faults_of_storage else 0
        if self._signed.get(request.query.get("sig", ""), -1.0) < self.clock:
            return web.Response(status=403, text="<Error><Code>AuthenticationFailed</Code></Error>")
        if isinstance(fault, int) and fault:
            return web.Response(status=fault)
        if fault == "loop":
            self.faults_of_storage.append("loop")
            raise web.HTTPFound(str(request.url))
        if isinstance(fault, str) and fault.startswith("http"):
            raise web.HTTPFound(fault)
        return await self._send(request, int(request.match_info["job"]), fault)

    async def _send(self, request: web.Request, number: int, fault: int | str) -> web.StreamResponse:
        log = self.jobs[number].log or b""
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        answer.content_length = None if fault == "endless" else len(log) + 10 * (fault == "short")
        await answer.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # whoever reads was killed
            await self._pieces(request, answer, log, fault)
        return answer

    async def _pieces(self, request: web.Request, answer: web.StreamResponse, log: bytes, fault: int | str) -> None:
        sent = 0
        while sent < len(log) or fault == "endless":
            piece = log[sent : sent + self.chunk] if fault != "endless" else b"endless\n" * 8192
            await answer.write(piece)
            sent += len(piece)
            if self.on_chunk is not None:
                await self.on_chunk(sent)
        if fault == "short":
            request.transport.close()  # type: ignore[union-attr]
            return
        await answer.write_eof()
        self.read[int(request.match_info["job"])] += 1


class ActionsIntake(MortalIntake):
    """With the work that a store holds for a source."""

    def __init__(self) -> None:
        super().__init__(moment=0.0)
        self.queue: dict[str, HookDelivery] = {}
        self.handled: set[str] = set()

    async def record_alerts(
        self,
        alerts: Sequence[Alert],
        findings: Iterable[Finding],
        positions: Iterable[Position],
        *,
        handled: Iterable[str] = (),
        again: Iterable[HookDelivery] = (),
        summary: str | None = None,
    ) -> int:
        assert (list(alerts), list(findings), list(positions), summary) == ([], [], [], None)
        await self._alive()
        for delivery in again:
            self.queue.setdefault(delivery.id, delivery)
        self.handled |= set(handled)
        return 0

    def announce(self, job: Job, repo: str = "acme/web") -> None:
        """A hook about it was answered."""
        name = f"hook:{len(self.queue)}"
        self.queue[name] = HookDelivery(name, "ci", "workflow_job", repo, job.id)

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        await self._alive()
        now = time.time()
        due = [one for one in self.queue.values() if one.id not in self.handled and one.due <= now]
        return sorted(due, key=lambda one: one.due)[:limit]

    async def postpone(self, delivery: str, seconds: float) -> None:
        one = self.queue[delivery]
        self.queue[delivery] = replace(one, due=time.time() + seconds, attempts=one.attempts + 1)

    def hurry(self) -> None:
        """What was put off is due."""
        for name, one in self.queue.items():
            self.queue[name] = replace(one, due=0.0)
