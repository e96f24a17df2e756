"""A GitLab on loopback, strict about what is asked of it, as its REST documentation (v4) has it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.fakes.server import FakeServer, Fault, reset

TOKEN = "a-token-of-this-test"
_LISTS = {"page", "per_page", "order_by", "sort"}
# What each list takes, and nothing else.
_TAKES = {
    "groups": _LISTS | {"include_subgroups", "with_shared", "archived"},
    "pipelines": _LISTS | {"updated_after", "source"},
    "jobs": _LISTS | {"scope[]", "include_retried"},
}
_SCOPES = {
    "created",
    "pending",
    "running",
    "failed",
    "success",
    "canceled",
    "skipped",
    "waiting_for_resource",
    "manual",
}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Ran:
    """A job with its log. `log` None: there is none to be had."""

    id: int
    pipeline: int
    log: bytes | None
    status: str = "success"
    ended: float | None = None
    erased: bool = False
    name: str = "unit tests"
    faults: list[Fault] = field(default_factory=list)  # of its log
    rest: asyncio.Event | None = None  # without which the second half of its log does not come


class FakeGitLab(FakeServer):
    def __init__(self) -> None:
        super().__init__()
        self.projects = {7: "acme/web"}
        self.pipelines: dict[int, dict[str, Any]] = {}
        self.jobs: dict[int, Ran] = {}
        self.size = 100  # most of a page
        self.halves = 0  # of logs that were sent
        self.now = time.time()
        self.root = ""  # where it is installed below its host

    @property
    def address(self) -> str:
        return self.url + self.root

    def ran(
        self, job: int, log: bytes | None, *, pipeline: int = 1, project: int = 7, child: bool = False, **more: Any
    ) -> Ran:
        """A job that has ended just now."""
        self.now += 1
        one = self.jobs[job] = Ran(job, pipeline, log, ended=self.now, **more)
        made = self.pipelines.setdefault(pipeline, {"id": pipeline, "project_id": project, "child": child})
        made["updated"] = self.now
        return one

    def logs(self) -> list[int]:
        """Jobs whose logs were asked for, in order."""
        found = (re.search(r"/jobs/(\d+)/trace$", one.path) for one in self.requests)
        return [int(match[1]) for match in found if match]

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.headers.get("PRIVATE-TOKEN") != TOKEN or "Authorization" in request.headers:
            self.problems.append(f"{request.path}: the token is not where it belongs")
            return web.json_response({"message": "401 Unauthorized"}, status=401)
        for pattern, answer in (
            (r"/projects/([^/]+)", self._project),
            (r"/groups/([^/]+)/projects", self._group),
            (r"/projects/(\d+)/pipelines", self._pipelines),
            (r"/projects/(\d+)/pipelines/(\d+)/jobs", self._jobs),
            (r"/projects/(\d+)/jobs/(\d+)", self._job),
            (r"/projects/(\d+)/jobs/(\d+)/trace", self._trace),
            (r"/projects/(\d+)/jobs/(\d+)/erase", self._erase),
        ):
            found = re.fullmatch(f"{self.root}/api/v4{pattern}", request.rel_url.raw_path)
            if found is not None:
                wanted = "POST" if answer == self._erase else "GET"
                if request.method != wanted:
                    self.problems.append(f"{request.method} {request.path}: it takes {wanted}")
                return await answer(request, *found.groups())
        self.problems.append(f"{request.path}: there is no such place")
        return web.json_response({"error": "404 Not Found"}, status=404)

    def _page(self, request: web.Request, kind: str, rows: list[Mapping[str, Any]]) -> web.Response:
        """The newest first."""
        query = request.rel_url.query
        if odd := set(query) - _TAKES[kind]:
            self.problems.append(f"{request.path}: it does not take {odd}")
        size = int(query.get("per_page", 20))
        if not 0 < size <= 100:
            self.problems.append(f"{request.path}: per_page is {size}")
        size, page = min(size, self.size), int(query.get("page", 1))
        rows = sorted(rows, key=lambda row: -int(row["id"]))
        headers = {}
        if rows[page * size :]:
            url = request.rel_url.update_query(page=str(page + 1))
            headers["Link"] = f'<{self.url}{url}>; rel="next", <{self.url}{url}>; rel="first"'
        return web.json_response(rows[(page - 1) * size : page * size], headers=headers)

    def _about(self, project: int) -> dict[str, Any]:
        return {"id": project, "path_with_namespace": self.projects[project], "builds_access_level": "enabled"}

    async def _project(self, request: web.Request, name: str) -> web.Response:
        for project, path in self.projects.items():
            if name in (str(project), path.replace("/", "%2F")):
                return web.json_response(self._about(project))
        return web.json_response({"message": "404 Project Not Found"}, status=404)

    async def _group(self, request: web.Request, name: str) -> web.Response:
        inside = [one for one, path in self.projects.items() if path.startswith(name.replace("%2F", "/") + "/")]
        return self._page(request, "groups", [self._about(one) for one in inside])

    async def _pipelines(self, request: web.Request, project: str) -> web.Response:
        query = request.rel_url.query
        since = datetime.fromisoformat(query["updated_after"]).timestamp()
        child = query.get("source") == "parent_pipeline"
        return self._page(
            request,
            "pipelines",
            [
                {"id": one["id"], "project_id": int(project), "status": "running", "updated_at": iso(one["updated"])}
                for one in self.pipelines.values()
                if one["project_id"] == int(project) and one["child"] is child and one["updated"] > since
            ],
        )

    async def _jobs(self, request: web.Request, project: str, pipeline: str) -> web.Response:
        scopes = set(request.rel_url.query.getall("scope[]"))
        if not scopes <= _SCOPES:
            self.problems.append(f"no scopes of jobs: {scopes - _SCOPES}")
        rows = [self.row(job) for job in self.jobs.values() if job.pipeline == int(pipeline) and job.status in scopes]
        return self._page(request, "jobs", rows)

    def row(self, job: Ran) -> dict[str, Any]:
        ended = None if job.ended is None else iso(job.ended)
        return {
            "id": job.id, "name": job.name, "stage": "test", "status": job.status, "ref": "main", "tag": False,
            "started_at": ended, "finished_at": ended, "erased_at": ended if job.erased else None,
            "user": {"username": "ann"}, "commit": {"id": "c" * 40},
            "pipeline": {"id": job.pipeline, "sha": "c" * 40, "ref": "main", "status": "running"},
            "web_url": f"https://gitlab.example/acme/web/-/jobs/{job.id}",
        }  # fmt: skip

    async def _job(self, request: web.Request, project: str, job: str) -> web.Response:
        if int(job) not in self.jobs:
            return web.json_response({"message": "404 Not found"}, status=404)
        return web.json_response(self.row(self.jobs[int(job)]))

    async def _trace(self, request: web.Request, project: str, job: str) -> web.StreamResponse:
        one = self.jobs[int(job)]
        if one.status not in ("success", "failed", "canceled"):
            self.problems.append(f"the log of job {job} was asked for before its end")
        if one.faults:
            fault = one.faults.pop(0)
            if fault.cut:
                response = web.StreamResponse(headers={"Content-Length": str(len(one.log or b"") + 1)})
                await response.prepare(request)
                await response.write(one.log or b"")
                return reset(request)
            return web.Response(status=fault.status, headers=fault.headers)
        if one.log is None:
            return web.json_response({"message": "404 Not found"}, status=404)
        if one.rest is not None and not one.rest.is_set():
            half = len(one.log) // 2
            streamed = web.StreamResponse(headers={"Content-Length": str(len(one.log))})
            await streamed.prepare(request)
            await streamed.write(one.log[:half])
            self.halves += 1
            await one.rest.wait()
            with contextlib.suppress(ConnectionError):  # who asked was killed
                await streamed.write(one.log[half:])
            return streamed
        return web.Response(body=one.log, content_type="text/plain")

    async def _erase(self, request: web.Request, project: str, job: str) -> web.Response:
        one = self.jobs[int(job)]
        if one.erased:
            return web.json_response({"message": "403 Forbidden - Job is not erasable!"}, status=403)
        one.erased, one.log = True, b""
        return web.json_response(self.row(one), status=201)
