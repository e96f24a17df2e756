"""The real command with a GitLab: each log is read once, whenever it is killed and whatever breaks off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from detectors.rules.template import expand
from tests.acceptance.harness import Monitor, Planter, until
from tests.fakes.gitlab import TOKEN, FakeGitLab
from tests.fakes.server import Fault

HOOK_SECRET = "a secret of hooks"
CONFIG = """
[rules]
packs = ["vcs/github"]
[[sources]]
name = "jobs"
type = "gitlab-ci"
group = "acme"
token = "env:GITLAB_TOKEN"
base_url = "{url}"
webhook_secret = "env:HOOK_SECRET"
interval = "1s"
start_at = "beginning"
[[sinks]]
name = "screen"
type = "console"
"""


@pytest.fixture
async def gitlab() -> AsyncIterator[FakeGitLab]:
    async with FakeGitLab() as server:
        yield server


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    path = folder / "state/state.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []  # the schema is not there yet


async def trial(folder: Path, gitlab: FakeGitLab, seed: int, kills: int = 6) -> None:
    rng = Planter(seed).random
    monitor = Monitor(folder, CONFIG.format(url=gitlab.url), {"GITLAB_TOKEN": TOKEN, "HOOK_SECRET": HOOK_SECRET})
    planted = []

    def ran(job: int) -> None:
        secrets = [expand("ghp_{alnum:30}{crc32}", seed * 10_000 + job * 100 + number) for number in range(3)]
        planted.extend((job, secret) for secret in secrets)
        filler = "".join(f"$ step {number} of the job\n" for number in range(rng.choice([10, 50_000])))
        log = filler.join(["", *(f"token={secret}\n" for secret in secrets), ""])
        one = gitlab.ran(job, log.encode(), pipeline=job % 3 + 1, status=rng.choice(["success", "failed"]))
        if rng.random() < 0.3:
            one.faults = [rng.choice([Fault(cut=True), Fault(503), Fault(429, headers={"Retry-After": "0"})])]
        if rng.random() < 0.4:
            one.rest = asyncio.Event()

    await monitor.start()
    for number in range(kills):
        before = gitlab.halves
        for job in range(number * 4 + 1, number * 4 + 5):
            ran(job)
        with contextlib.suppress(aiohttp.ClientError):
            await hook(monitor, number * 4 + 1)
        if rng.random() < 0.5 and any(one.rest and not one.rest.is_set() for one in gitlab.jobs.values()):
            await until(lambda before=before: gitlab.halves > before, 60, lambda: "no log was asked for")
        else:
            await asyncio.sleep(rng.random())
        await monitor.kill()
        for one in gitlab.jobs.values():
            if one.rest is not None:
                one.rest.set()
        await monitor.start()
    read = "SELECT key FROM positions WHERE source = 'jobs' AND key LIKE '_job:%'"  # in quotes
    await until(lambda: len(rows(folder, read)) == len(gitlab.jobs), 120, lambda: str(rows(folder, read)))
    assert await monitor.terminate() == 0
    found = rows(folder, "SELECT generation, incident FROM findings")
    assert len(found) == len(set(found)) == len(planted)
    assert {str(generation).rpartition("/")[2] for generation, _ in found} == {str(job) for job, _ in planted}
    assert rows(folder, "SELECT count(*), sum(occurrences) FROM incidents") == [(len(planted), len(planted))]
    assert "missed" not in monitor.errors


async def hook(monitor: Monitor, job: int) -> None:
    body = {"object_kind": "build", "build_id": job, "project_id": 7, "build_status": "success"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{monitor.address}/hooks/gitlab", data=json.dumps(body), headers={"X-Gitlab-Token": HOOK_SECRET}
        ) as answer,
    ):
        assert answer.status == 202


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(10))
async def test_killed_at_any_moment(tmp_path: Path, gitlab: FakeGitLab, seed: int) -> None:
    await trial(tmp_path, gitlab, seed)
