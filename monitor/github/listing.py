"""Runs, jobs and logs of GitHub Actions, as GitHub lists them: what changes while it is read is not passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from monitor.clients.storage import Storage, StorageError
from monitor.common.http import RemoteError
from monitor.common.outside import at, tables
from monitor.github.alerts import Malformed
from monitor.github.client import GitHubClient, Response
from monitor.github.runs import EndedJob, Run, job, repository, run, unended

__all__ = ["ADVICE", "Look", "RunListing"]

_Read = TypeVar("_Read")

MOST_PAGES = 50_000  # five million runs
FRESH = 3  # addresses of one log that are asked for: each is good for a minute
_EXPIRED = (401, 403, 404, 410)  # what storages answer when that is over
# What a status means here.
ADVICE = {
    403: "not permitted; the token needs the Actions permission, to read (classic: repo)",
    404: "not found: no such name, or no access for this token",
    410: "the log is gone: its retention is over",
    503: "GitHub Actions is unavailable",
}


class RunListing:
    """What is asked of one GitHub. `malformed` counts, by kind, what cannot be used."""

    def __init__(self, client: GitHubClient, storage: Storage, malformed: Callable[[str], object]) -> None:
        self.client, self._storage, self._malformed = client, storage, malformed

    async def repositories(self, org: str) -> list[str]:
        """All of an organisation, but for those in which nothing can run. Raises RemoteError."""
        pages = self.client.pages(f"/orgs/{org}/repos", {"type": "all", "per_page": "100"}, background=True)
        return [
            name
            async for answer in pages
            for body in tables(answer.body)
            if (name := repository(body)) and body.get("disabled") is not True
        ]

    async def run(self, repo: str, number: int, attempt: int | None = None) -> Run | None:
        """One attempt, or as the latest is; None: it is gone. Raises RemoteError."""
        of = "" if attempt is None else f"/attempts/{attempt}"
        body = await self._one(f"/repos/{repo}/actions/runs/{number}{of}")
        return self._usable("run", lambda: run(body, repo)) if body is not None else None

    async def job(self, repo: str, number: int) -> EndedJob | None:
        """None: it is of no use. Raises RemoteError, also while it has not ended."""
        body = (await self.client.get(f"/repos/{repo}/actions/jobs/{number}", background=True)).body
        if isinstance(body, dict) and unended(body):
            raise RemoteError(f"the job {number} of {repo} has not ended yet", retry=True)
        return self._usable("job", lambda: job(body, repo))

    async def shows(self, repo: str) -> bool:
        """Whether its runs may be read. Raises RemoteError."""
        return await self._one(f"/repos/{repo}/actions/runs?per_page=1") is not None

    async def _one(self, where: str) -> Any:
        try:
            return (await self.client.get(where, background=True)).body
        except RemoteError as error:
            if error.status in (404, 410):
                return None
            raise

    @asynccontextmanager
    async def log(self, ended: EndedJob) -> AsyncIterator[AsyncIterator[bytes]]:
        """The log of a job, as it comes. Raises RemoteError of GitHub, StorageError of where it is stored."""
        async with AsyncExitStack() as stack:
            yield await self._opened(ended, stack)

    async def _opened(self, ended: EndedJob, stack: AsyncExitStack, left: int = FRESH) -> AsyncIterator[bytes]:
        address = await self.client.location(f"/repos/{ended.repo}/actions/jobs/{ended.id}/logs", background=True)
        try:
            return await stack.enter_async_context(self._storage.open(address))
        except StorageError as error:
            if left == 1 or error.status not in _EXPIRED:
                raise
        return await self._opened(ended, stack, left - 1)

    def items(self, answer: Response, name: str, read: Callable[[Any], _Read | None]) -> Iterator[_Read]:
        """Those of a page that can be used."""
        listed = at(answer.body, name)
        if not isinstance(listed, list):
            raise RemoteError(f"the answer is no list of {name}; check base_url", retry=True)
        for body in listed:
            if (found := self._usable(name, partial(read, body))) is not None:
                yield found

    def _usable(self, what: str, read: Callable[[], _Read | None]) -> _Read | None:
        try:
            return read()
        except Malformed:
            self._malformed(what)
            return None


class Look:
    """One look at a repository. What it was answered counts as seen once it is `settled`, and not before: what could
    not be dealt with comes again. `anything`: it was answered more than that nothing has changed."""

    def __init__(self, listing: RunListing, repo: str) -> None:
        self._listing, self._repo = listing, repo
        self._answers: list[Response] = []
        self.anything = False

    def settled(self) -> None:
        for answer in self._answers:
            self._listing.client.remember(answer)

    async def runs(self, back_to: float, before: float | None = None, *, again: bool) -> AsyncIterator[list[Run]]:
        """Pages of runs, the newest first, down to those created before `back_to`. `before`: from there on. `again`:
        none, where the first page is as it was when it was last settled. Raises RemoteError.

        The next page is what was created up to the last run of this one: however many come or go meanwhile, none moves
        between pages, and no search of GitHub's ends at its thousandth.
        """
        client, where = self._listing.client, f"/repos/{self._repo}/actions/runs"
        params = {"per_page": "100"} | ({} if before is None else {"created": f"<={_iso(before)}"})
        answer = await client.get(where, params, conditional=again, background=True)
        if answer.status == 304:
            return
        self.anything = True
        if before is None:
            self._answers.append(answer)
        read = 0
        for _ in range(MOST_PAGES):
            page = list(self._listing.items(answer, "workflow_runs", lambda body: run(body, self._repo)))
            total, following = answer.body.get("total_count"), answer.next
            read += len(answer.body["workflow_runs"])
            answer.body.clear()  # a hundred runs are a megabyte
            yield page
            oldest = min((one.created for one in page), default=None)
            over = following is None and not (isinstance(total, int) and read < total)
            if over or (oldest is not None and oldest < back_to):
                return
            if oldest is not None and oldest != before:
                before, read = oldest, 0
                answer = await client.get(where, {**params, "created": f"<={_iso(oldest)}"}, background=True)
            elif following is not None:  # more than a page in one second
                answer = await client.get(following, background=True)
            else:
                return
        raise RemoteError(f"{where}: the pages lead in circles", retry=False)

    async def jobs(self, of: Run) -> tuple[list[EndedJob], bool]:
        """Those of all attempts of a run that have ended, and whether any goes on. Of a run that goes on, none where
        nothing has changed."""
        client, where = self._listing.client, f"/repos/{self._repo}/actions/runs/{of.id}/jobs"
        params = {"filter": "all", "per_page": "100"}
        answer = await client.get(where, params, conditional=not of.over, background=True)
        if answer.status == 304:
            return [], True
        found: list[EndedJob] = []
        goes_on = not of.over
        (self._answers.append if answer.next is None and not of.over else client.forget)(answer)
        async for page in client.onward(answer, background=True):
            found += self._listing.items(page, "jobs", lambda body: job(body, self._repo))
            # A run may be called over a moment before the last of its jobs is.
            goes_on |= any(map(unended, tables(page.body, "jobs")))
        return found, goes_on


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
