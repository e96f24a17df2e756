"""`monitor scan --actions`: what the logs of jobs of GitHub Actions show, of one repository."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from monitor.cli.common import fail, printable, usage
from monitor.cli.scan_session import Session
from monitor.clients.storage import Storage, StorageError
from monitor.common.http import RemoteError, in_the_clear
from monitor.domain.model import Block
from monitor.github.runs import SECTION, EndedJob, Run

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.github.ci import ActionsLogsConfig
    from monitor.github.listing import RunListing
    from monitor.scan.search import ScanOptions, Searcher
    from monitor.sources.joblog import LogReading

__all__ = ["Asked", "asked_for", "scan_logs"]

_SINCE = 30 * 86_400.0  # seconds
_AT_ONCE = 4  # logs
_TOKEN = "env:GITHUB_TOKEN"  # noqa: S105 - a reference


@dataclass(frozen=True, slots=True)
class Asked:
    """Which logs: of whose jobs, how one logs in, and of the last how many seconds."""

    config: ActionsLogsConfig
    repo: str
    since: float


def asked_for(
    repo: str, paths: list[str], *, since: str | None, token: str | None, base_url: str, other: bool
) -> Asked:
    """What does not make sense ends the command with exit code 2. `other`: so does --git or --staged."""
    from pydantic import ValidationError

    from monitor.common.duration import parse_duration
    from monitor.github.ci import ActionsLogsConfig

    usage(
        (other or paths, "--actions goes alone: without paths, --git and --staged"),
        (in_the_clear(base_url), "--base-url: the token would go over the network unencrypted: use https"),
    )
    keys = {"name": "scan", "type": "github-actions", "repo": repo, "token": token or _TOKEN, "base_url": base_url}
    options = {"repo": "--actions", "token": "--token", "base_url": "--base-url"}
    try:
        config = ActionsLogsConfig.model_validate(keys)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        option = next((options[str(part)] for part in first["loc"] if part in options), "--base-url")
        why = "write OWNER/REPO" if option == "--actions" else first["msg"].removeprefix("Value error, ")
        fail(f"{option}: {why}", 2)
    try:
        return Asked(config, repo, _SINCE if since is None else parse_duration(since))
    except ValueError as error:
        fail(f"--since: {error}", 2)


def scan_logs(session: Session, asked: Asked, engine: Engine, options: ScanOptions) -> None:
    """All logs of jobs that ended since, a few at a time; what is gone is counted."""

    from monitor.scan.search import Searcher

    session.unit = "log"
    by = Searcher(engine.worker(), options)
    session.begin(by.worker)
    asyncio.run(_Logs(session, asked, by).all())
    session.finish()


class _Logs:
    def __init__(self, session: Session, asked: Asked, by: Searcher) -> None:
        self._session, self._asked, self._by = session, asked, by
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._talks = sys.stderr.isatty()
        self._gone = 0
        self._over = False  # nothing more is to be had of GitHub

    async def all(self) -> None:
        from monitor.github.auth import AuthError
        from monitor.github.listing import ADVICE, RunListing

        config = self._asked.config
        client = config.client(on_wait=self._waiting, advice=ADVICE)
        client.attempts = 3
        storage = Storage(private=not config.cloud, clear=urlsplit(config.base_url).scheme == "http")
        try:
            await self._runs(RunListing(client, storage, self._odd))
        except (RemoteError, AuthError) as error:
            self._stop(error)
        finally:
            await storage.close()
            await client.close()
            self._say("")
        if self._gone:
            self._session.incomplete = True
            self._session.notes.append(f"{self._gone:,} logs are gone (retention over, or deleted)")

    async def _runs(self, listing: RunListing) -> None:
        from monitor.github.listing import Look
        from monitor.github.watch import AGAIN

        look, since = Look(listing, self._asked.repo), time.time() + listing.client.skew - self._asked.since
        seen: set[int] = set()  # pages overlap
        # What was created before may have been run again since.
        async for page in look.runs(max(0.0, since - AGAIN), again=False):
            for one in page:
                if self._over:
                    return
                if one.id not in seen and (one.updated >= since or not one.over):
                    ended, _ = await look.jobs(one)
                    await self._jobs(listing, one, [job for job in ended if job.ended >= since])
                seen.add(one.id)

    async def _jobs(self, listing: RunListing, of: Run, ended: list[EndedJob]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for one in ended:
                if not one.silent:
                    tasks.create_task(self._log(listing, one, of if one.attempt == of.attempt else None))

    async def _log(self, listing: RunListing, ended: EndedJob, of: Run | None) -> None:
        from monitor.github.auth import AuthError
        from monitor.github.ci import job_of
        from monitor.sources.joblog import LogReading

        job = job_of(ended, of, self._asked.config.host)
        reading = LogReading("", job, SECTION)
        async with self._slots:
            if self._over:
                return
            try:
                async with listing.log(ended) as pieces:
                    await self._search(reading, pieces, job.path)
            except RemoteError as error:
                if error.status in (404, 410):
                    self._gone += 1
                elif error.status in (0, 401, 403):
                    self._stop(error)
                else:
                    self._problem(job.path, str(error))
                return
            except StorageError as error:
                self._problem(job.path, str(error))
                return
            except AuthError as error:
                self._stop(error)
                return
        self._session.files += 1
        self._say(f"{self._session.files:,} logs")

    async def _search(self, reading: LogReading, pieces: AsyncIterator[bytes], path: str) -> None:
        from monitor.sources.joblog import LARGEST

        async for piece in pieces:
            self._block(reading.feed(piece))
            if reading.bytes > LARGEST:
                self._problem(path, f"what is beyond {LARGEST >> 30} GiB of it was not read")
                break
        self._block(reading.rest())

    def _block(self, block: Block | None) -> None:
        from monitor.scan.run import ScanOutcome

        if block is not None:
            self._session.take(ScanOutcome(hits=list(self._by.search([block], report=self._problem))))

    def _stop(self, error: Exception) -> None:
        """It is said once, not for each log."""
        if not self._over:
            self._problem(self._asked.repo, str(error))
        self._over = True

    def _problem(self, path: str, what: str) -> None:
        self._session.incomplete = True
        self._session.problem(path, what)

    def _odd(self, what: str) -> None:
        self._problem(self._asked.repo, f"one of its {what} is not as GitHub describes it, and was passed over")

    def _waiting(self, seconds: float) -> None:
        if seconds > 0:
            typer.echo(printable(f"waiting {seconds:.0f} s for GitHub's rate limit"), err=True)

    def _say(self, text: str) -> None:
        """How far it is, on a terminal."""
        if self._talks:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
