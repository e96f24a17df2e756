"""How a service is asked: limits waited out within bounds, and every failure a ServiceError that holds no value.

What a provider answers holds secrets, and so does what a confused proxy echoes. Therefore no body and no URL is quoted;
a message says for whom it was asked, what was asked for in our own words, the status, and what to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import orjson
from yarl import URL

from monitor.common.backoff import backoff
from monitor.common.credential import Credential, CredentialError
from monitor.common.http import Http, RemoteError, Reply, Streamed, limit_ends
from monitor.common.text import printable, veiled

__all__ = ["LARGEST", "AccessError", "NoEffectError", "ProviderClient", "ServiceError", "denied", "together"]

LARGEST = 64 << 20  # bytes of one answer: a thousand values of 64 KiB
ATTEMPTS = 4  # of one request that fails; a limit that is waited out is no failure
PATIENCE = 300.0  # seconds that one request waits for limits, all together
WIDTH = 8  # requests under way at once
ADVICE = {401: "the credential was refused: it may have expired or been revoked", 403: "it is not permitted to that"}

Kind = TypeVar("Kind")
Answer = TypeVar("Answer", Reply, Streamed)
Item = TypeVar("Item")
Result = TypeVar("Result")


class ServiceError(Exception):
    """A service that cannot be used now. The message says for whom it was asked and what to do, and holds no value."""


class NoEffectError(ServiceError):
    """What was to be changed there is certainly not changed. Any other ServiceError of it: nobody knows."""


class AccessError(ServiceError):
    """The provider knows who asks, and does not permit it (403): other requests may go well."""


class ProviderClient:
    """A provider's server. `whose`: for which part of the configuration it is asked, as messages say it. `throttled`:
    whether an answer that is no 429 says that there were too many requests; `advice`: status → what to do about it;
    `ca_file`: whom to trust."""

    def __init__(
        self,
        whose: str,
        *,
        advice: Mapping[int, str] | None = None,
        throttled: Callable[[Reply], bool] = lambda reply: False,
        ca_file: Path | None = None,
    ) -> None:
        self.whose = whose
        self.first_retry = 1.0  # seconds; doubles
        self.patience = PATIENCE
        self._advice = {**ADVICE, **(advice or {})}
        self._throttled = throttled
        self._ca_file = str(ca_file) if ca_file else None
        self._http = Http(timeout=60.0, connect=10.0, ca_file=self._ca_file)

    async def close(self) -> None:
        await self._http.close()

    def error(self, what: str, problem: str) -> ServiceError:
        """A failure while asking for `what`. `problem` holds no word of an answer."""
        return ServiceError(f"{self.whose}: {printable(veiled(what))}: {problem}")

    def secret(self, credential: Credential, key: str) -> str:
        """The value of the configuration's `key`. Blocking: reads a small file. Raises ServiceError, which names it."""
        try:
            return credential.resolve(key)
        except CredentialError as error:
            raise ServiceError(f"{self.whose}: {error}") from None

    async def json(
        self,
        what: str,
        method: str,
        url: str | URL,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        empty: int = 0,
    ) -> Any:
        """The JSON of a good answer; None for an answer with status `empty`. Raises ServiceError."""
        reply = await self.ask(what, method, url, headers, body)
        if empty and reply.status == empty:
            return None
        self.check(what, reply)
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            failure = self.error(what, "the answer is not JSON: check the address")
        raise failure  # outside of the handler: the original holds the body

    async def ask(
        self,
        what: str,
        method: str,
        url: str | URL,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        signed: Callable[[], Mapping[str, str]] | None = None,
    ) -> Reply:
        """The answer, whatever its status, once it is neither a limit nor a failure of theirs. `signed`: headers that
        are made anew for each try. Raises ServiceError."""

        async def request() -> Reply:
            given = {**headers, **(signed() if signed else {})}
            return await self._http.request(method, url, body, given, limit=LARGEST, whole=True)

        return await self._patiently(what, request)

    @asynccontextmanager
    async def stream(self, what: str, url: str, headers: Mapping[str, str], *, total: float) -> AsyncIterator[Streamed]:
        """As `ask`, of a GET of what may be large, which comes in pieces. They raise ServiceError."""
        async with AsyncExitStack() as stack:

            async def request() -> Streamed:
                answer = await stack.enter_async_context(self._http.stream(url, headers, total=total))
                if answer.status != 200:  # whose body nobody reads
                    await stack.aclose()
                return answer

            answer = await self._patiently(what, request)
            yield replace(answer, pieces=self._pieces(what, answer.pieces))

    async def _pieces(self, what: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield piece
        except RemoteError as error:
            failure = self.error(what, str(error))
        else:
            return
        raise failure

    async def _patiently(self, what: str, request: Callable[[], Awaitable[Answer]]) -> Answer:
        waited, tries, failures = 0.0, 0, 0
        while True:
            tries += 1
            told: float | None = None
            try:
                reply = await request()
            except RemoteError as error:
                problem, retry, limited = str(error), error.retry, False
            else:
                limited = reply.status == 429 or (isinstance(reply, Reply) and self._throttled(reply))
                if not limited and reply.status < 500:
                    return reply
                advice = self._advice.get(reply.status)
                problem = f"HTTP {reply.status}: {advice}" if advice else f"HTTP {reply.status}"
                retry, told = True, limit_ends(reply)
            failures += not limited
            if not retry or failures >= ATTEMPTS:
                raise self.error(what, problem)

            wait = told or backoff(tries, self.first_retry, 60.0)
            waited += wait
            if waited > self.patience:
                raise self.error(what, f"{problem}: would have to wait more than {self.patience:.0f} s: ask less often")
            await asyncio.sleep(wait)

    async def act(self, what: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send what changes something, once. Returns the answer of who has looked at it; it is taken where that is 2xx,
        else it has no effect. Raises NoEffectError where it was not sent, ServiceError where nobody knows."""
        http = Http(timeout=60.0, connect=10.0, ca_file=self._ca_file, once=True)
        try:
            reply = await http.request(method, url, body, headers, limit=LARGEST, whole=True)
        except RemoteError as error:
            failure = self.error(what, str(error))
            failure = failure if error.sent else NoEffectError(str(failure))
        else:
            if reply.status < 500:
                return reply
            failure = self.error(what, f"HTTP {reply.status}")
        finally:
            await http.close()
        raise failure  # outside of the handler: the original holds the request

    def refused(self, what: str, reply: Reply, kind: str = "") -> NoEffectError:
        """That an answer of `act` is none that takes it. `kind`: what the provider calls the error."""
        said = f"HTTP {reply.status}" + (f" {kind}" if kind else "")
        advice = self._advice.get(reply.status)
        return NoEffectError(str(self.error(what, f"{said}: {advice}" if advice else said)))

    def check(self, what: str, reply: Reply) -> None:
        """Return on 2xx, else raise ServiceError, on 403 an AccessError."""
        try:
            reply.check(self._advice)
        except RemoteError as error:
            failure = self.error(what, str(error))
        else:
            return
        raise AccessError(str(failure)) if reply.status == 403 else failure

    def pick(self, what: str, body: Any, key: str, kind: type[Kind]) -> Kind:
        """`body[key]`, which must be of that kind: an answer without it is no whole answer. Raises ServiceError."""
        value = body.get(key) if isinstance(body, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise self.error(what, f"the answer is not as documented: no {key} in it; what it holds is not known now")
        return value

    def rows(self, what: str, body: Any, key: str | None = None) -> list[dict[str, Any]]:
        """The list of objects that an answer is, or that it has under `key`. Raises ServiceError."""
        rows = body if key is None else self.pick(what, body, key, list)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.error(
                what, "the answer is not as documented: no list of objects; what it holds is not known now"
            )
        return rows

    def onward(self, what: str, old: str | None, new: object) -> str | None:
        """Where the next page begins, None after the last. Raises ServiceError when it would be the same page again."""
        if new is None or new == "":
            return None
        if not isinstance(new, str) or new == old:
            raise self.error(what, "the answer does not lead on to a next page; what it holds is not known now")
        return new


async def denied(asked: Awaitable[object]) -> AccessError | None:
    """Why it is not permitted; None: it is. Raises what else goes wrong."""
    try:
        await asked
    except AccessError as error:
        return error
    return None


async def together(items: Iterable[Item], fetch: Callable[[Item], Awaitable[Result]]) -> AsyncIterator[Result]:
    """`fetch(item)` for each, in order, a few at once."""

    async def one(item: Item) -> Result:
        return await fetch(item)

    under_way: deque[asyncio.Task[Result]] = deque()
    try:
        for item in items:
            under_way.append(asyncio.ensure_future(one(item)))
            if len(under_way) >= WIDTH:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
