"""One GitLab server as one token sees it: lists by their `Link` headers, and logs of jobs as they come.

No redirect is followed, so the token goes nowhere else; no answer and no query is quoted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from monitor.clients.client import ProviderClient, ServiceError
from monitor.common.credential import Credential
from monitor.common.http import Reply, next_page
from monitor.gitlab.jobs import unfolded

__all__ = ["GitLab", "GoneError", "encoded"]

PAGE = 100
MOST = 10_000  # pages of one list
WHOLE = 3600.0  # seconds for all of a log
_ADVICE = {
    401: "the token was refused: it may have expired or been revoked",
    403: "the token may not read that: it needs read_api, and the role of Reporter at least (Developer where logs are "
    "for members only)",
    404: "not found: no such name, or the token may not see it",
}


class GoneError(ServiceError):
    """There is no such thing, or no more."""


class GitLab:
    """`path` of a request is behind `/api/v4/`, with its parts encoded."""

    def __init__(self, whose: str, base_url: str, token: Credential, ca_file: Path | None = None) -> None:
        self._api = f"{base_url}/api/v4/"
        self._token = token
        self._client = ProviderClient(whose, advice=_ADVICE, ca_file=ca_file)
        self._ahead = 0.0

    @property
    def now(self) -> float:
        """Seconds since the epoch, by the clock of the server."""
        return time.time() + self._ahead

    async def close(self) -> None:
        await self._client.close()

    async def one(self, what: str, path: str) -> dict[str, Any]:
        """An object. Raises ServiceError, GoneError."""
        (row,) = self._client.rows(what, [self._json(what, await self._ask(what, self._api + path))])
        return row

    async def pages(self, what: str, path: str, **parameters: str) -> AsyncIterator[list[dict[str, Any]]]:
        """A list page by page. A parameter `scope` has its values between commas. Raises ServiceError, GoneError."""
        pairs = [
            (f"{name}[]" if name == "scope" else name, one)
            for name, value in parameters.items()
            for one in (value.split(",") if name == "scope" else [value])
        ]
        url: str | None = f"{self._api}{path}?{urlencode([*pairs, ('per_page', str(PAGE))])}"
        for _ in range(MOST):
            assert url is not None
            reply = await self._ask(what, url)
            yield self._client.rows(what, self._json(what, reply))
            url = self._client.onward(what, url, next_page(reply.headers))
            if url is None:
                return
            if not url.startswith(self._api):
                raise self._client.error(what, "its next page is on another server: check base_url")
        raise self._client.error(what, f"the list has more than {MOST:,} pages")

    @asynccontextmanager
    async def log(self, what: str, project: int, job: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The log of a job that has ended, in pieces, which raise ServiceError where it breaks off. Raises
        ServiceError, GoneError."""
        url = f"{self._api}projects/{project}/jobs/{job}/trace"
        async with self._client.stream(what, url, await self._headers(), total=WHOLE) as answer:
            self._check(what, Reply(answer.status, answer.headers, b""))
            yield unfolded(answer.pieces)

    async def _ask(self, what: str, url: str) -> Reply:
        reply = await self._client.ask(what, "GET", url, await self._headers())
        self._check(what, reply)
        with suppress(ValueError, TypeError, OverflowError):
            self._ahead = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
        return reply

    def _check(self, what: str, reply: Reply) -> None:
        """Raises ServiceError for any but a good answer."""
        if reply.status in (404, 410):
            raise GoneError(str(self._client.error(what, f"HTTP {reply.status}: {_ADVICE[404]}")))
        if 300 <= reply.status < 400:
            raise self._client.error(what, f"HTTP {reply.status}: it leads elsewhere: check base_url")
        self._client.check(what, reply)

    def _json(self, what: str, reply: Reply) -> Any:
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            failure = self._client.error(what, "the answer is not JSON: check base_url")
        raise failure  # outside of the handler: the original holds the body

    async def _headers(self) -> dict[str, str]:
        token = await asyncio.to_thread(self._client.secret, self._token, "token")
        return {"PRIVATE-TOKEN": token, "Accept": "application/json"}


def encoded(path: str) -> str:
    """Of a project or group, as a part of an address."""
    return quote(path, safe="")
