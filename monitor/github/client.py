"""One GitHub server, one log-in: requests with retries, conditional reads and pages by `Link`.

Errors and logs carry method, path and status; never a query, a header or a body, which may hold a secret.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from yarl import URL

from monitor.common.backoff import backoff
from monitor.common.credential import Credential
from monitor.common.http import Http, RemoteError, next_page, retry_after
from monitor.common.outside import number, text
from monitor.github.auth import AppAuth, Auth, AuthError, TokenAuth
from monitor.github.limits import RequestBudget, shared
from monitor.intake.protocol import RequestQuota

__all__ = ["GitHubClient", "Response"]

API_VERSION = "2022-11-28"  # also known to GHES 3.17
BODY_LIMIT = 32 << 20  # a page of 100 alerts is well under 1 MiB; a gist may hold large files
VALUES = 1 << 20  # in one answer, counted by the marks between them: read as JSON, 32 MiB of `[],` take 1 GB
ATTEMPTS = 5
REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is the parsed JSON, None for 204 and 304. Keep it no longer than needed: it may hold secrets."""

    url: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    next: str | None = field(default=None, repr=False)
    generation: int = 0


class GitHubClient:
    """`on_wait(seconds)` is called before a long wait for a limit and with 0 after it. `advice`: what a status means to
    whoever asks, in place of what it means where alerts are asked for."""

    def __init__(
        self,
        base_url: str,
        auth: Auth | None,
        *,
        timeout: float = 30.0,
        on_wait: Callable[[float], None] | None = None,
        advice: Mapping[int, str] | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.base = URL(base_url.rstrip("/"))
        self.auth, self.on_wait = auth, on_wait
        self._advice = {**_ADVICE, **(advice or {})}
        self.attempts = attempts
        self.first_retry = 1.0  # seconds; doubles
        self.skew = 0.0
        self._http = Http(timeout=timeout, connect=10)
        self._budget: RequestBudget | None = None
        self._etags: dict[str, tuple[int, str]] = {}

    @classmethod
    def with_token(cls, base_url: str, token: Credential, **options: Any) -> GitHubClient:
        return cls(base_url, TokenAuth(token), **options)

    @classmethod
    def with_app(
        cls,
        base_url: str,
        app_id: str,
        private_key: Credential,
        where: str,
        installation: int | None = None,
        **options: Any,
    ) -> GitHubClient:
        """`where` is `orgs/NAME` or `repos/OWNER/NAME`: whose installation to use when no id is given."""
        client = cls(base_url, None, **options)

        async def ask(method: str, path: str, jwt: str) -> Any:
            try:
                return (await client._once(method, client.url(path), jwt)).body
            except RemoteError as error:
                # Not about what the token was wanted for: a status here must not be taken for that of an alert.
                if error.retry:
                    raise RemoteError(str(error), retry=True) from None
                raise AuthError(str(error)) from None

        async def find(jwt: str) -> int:
            if installation is not None:
                return installation
            body = await ask("GET", f"/{where}/installation", jwt)
            if not (id_ := number(body, "id")):
                raise AuthError(
                    f"the App's installation for {where} was not found; install it there, or set app.installation"
                )
            return id_

        async def exchange(jwt: str, id_: int) -> Any:
            return await ask("POST", f"/app/installations/{id_}/access_tokens", jwt)

        client.auth = AppAuth(app_id, private_key, find, exchange, clock=lambda: time.time() + client.skew)
        return client

    async def close(self) -> None:
        await self._http.close()

    def url(self, where: str, params: Mapping[str, str] | None = None) -> URL:
        """An absolute URL on this server. Refuses any other: the token must not travel."""
        if where.startswith("/"):
            url = URL(f"{self.base}{where}", encoded=True)
        else:
            try:
                url = URL(where, encoded=True)
                there = url.origin()
            except ValueError:
                raise RemoteError("a link in an answer is no web address", retry=False) from None
            if there != self.base.origin():
                raise RemoteError(f"a link leads from {self.base.host} to another server; check base_url", retry=False)
        return url.update_query(params) if params else url

    def quotas(self) -> list[RequestQuota]:
        """As GitHub last said; nothing before the first answer."""
        known = self._budget.quotas if self._budget is not None else {}
        now = time.monotonic()
        return [
            RequestQuota(resource, quota.limit, max(quota.remaining, 0), max(quota.reset - now, 0.0))
            for resource, quota in sorted(known.items())
        ]

    async def budget(self) -> RequestBudget:
        if self._budget is None:
            assert self.auth is not None
            self._budget = shared(str(self.base), await self.auth.identity())
        return self._budget

    async def get(
        self,
        where: str,
        params: Mapping[str, str] | None = None,
        *,
        conditional: bool = False,
        background: bool = False,
        resource: str = "core",
    ) -> Response:
        """Read. `conditional`: status 304 when nothing changed since the answer last given to `remember`."""
        url = self.url(where, params)
        etag = self._etags.get(str(url)) if conditional else None
        return await self._request("GET", url, etag=etag, background=background, resource=resource)

    def remember(self, answer: Response) -> None:
        """Make the next conditional read of this URL depend on this answer (call when it is dealt with)."""
        if etag := answer.headers.get("etag"):
            self._etags[answer.url] = (answer.generation, etag)

    def forget(self, answer: Response) -> None:
        self._etags.pop(answer.url, None)

    async def pages(
        self, where: str, params: Mapping[str, str] | None = None, *, background: bool = False, resource: str = "core"
    ) -> AsyncIterator[Response]:
        """Every page from here on, by `Link`."""
        answer = await self.get(where, params, background=background, resource=resource)
        async for page in self.onward(answer, background=background, resource=resource):
            yield page

    async def onward(
        self, answer: Response, *, background: bool = False, resource: str = "core"
    ) -> AsyncIterator[Response]:
        """This page and every one behind it."""
        yield answer
        while answer.next:
            if answer.next == answer.url:
                raise RemoteError(f"{self.url(answer.url).path}: the pages lead in circles", retry=False)
            answer = await self.get(answer.next, background=background, resource=resource)
            yield answer

    async def location(self, where: str, *, background: bool = False) -> str:
        """Where the content of this lies: read there without what logs in here. Raises RemoteError."""
        url = self.url(where)
        answer = await self._request("GET", url, background=background, follow=False)
        location = answer.headers.get("location", "")
        if answer.status != 302 or not location:
            what = f"GET {url.path}: no address of its content in the answer; check base_url"
            raise RemoteError(what, status=answer.status, retry=True)
        return location

    async def write(self, method: str, where: str, body: Mapping[str, Any] | None = None) -> Response:
        """Change something; at most one a second over all users of the token."""
        return await self._request(method, self.url(where), body=body)

    async def app(self, method: str, where: str, params: Mapping[str, str] | None = None) -> Response:
        """A request as the App itself (its hook's deliveries)."""
        if not isinstance(self.auth, AppAuth):
            raise RemoteError("this needs a GitHub App", retry=False)
        return await self._once(method, self.url(where, params), await self.auth.jwt())

    async def _request(
        self,
        method: str,
        url: URL,
        *,
        body: Mapping[str, Any] | None = None,
        etag: tuple[int, str] | None = None,
        background: bool = False,
        resource: str = "core",
        follow: bool = True,
    ) -> Response:
        assert self.auth is not None
        budget = await self.budget()
        write = method != "GET"
        failures = refused_tokens = 0
        while True:
            self._waiting(budget.delay(resource=resource, background=background))
            async with budget.request(write=write, background=background, resource=resource):
                self._waiting(0)
                token = await self.auth.token()
                generation = self.auth.generation
                # ETags belong to a token: after a rotation they would only cost a lookup that cannot hit.
                match = etag[1] if etag and etag[0] == generation else None
                try:
                    answer = await self._send(
                        method, url, token, body=body, etag=match, generation=generation, follow=follow
                    )
                except RemoteError as error:
                    failures += 1
                    if not error.retry or failures >= self.attempts:
                        raise
                    answer = None
                if answer is not None:
                    budget.answered(answer.status, answer.headers, resource=resource)
                    self.skew = budget.skew
            if answer is None or answer.status >= 500:
                failures += answer is not None
                if failures >= self.attempts:
                    raise self._failure(method, url, answer)
                delay = backoff(failures, self.first_retry, 60.0)
                if answer is not None and (told := retry_after(answer.headers, self.skew)):
                    self._waiting(told)
                    delay = max(delay, told)
                await asyncio.sleep(delay)
            elif answer.status == 401 and refused_tokens == 0:
                refused_tokens += 1
                self.auth.rejected()
            elif answer.status in (403, 429) and _limited(answer):
                budget.refused(answer.headers, resource=resource)
            elif answer.status >= 400:
                raise self._failure(method, url, answer)
            else:
                return answer

    def _waiting(self, seconds: float) -> None:
        if self.on_wait is not None and (seconds > 5 or seconds == 0):
            self.on_wait(seconds)

    async def _once(self, method: str, url: URL, token: str) -> Response:
        """A request with the App's JWT: one retry when our clock was wrong, which the first answer tells."""
        answer = await self._send(method, url, token)
        if answer.status == 401 and isinstance(self.auth, AppAuth):
            probe = RequestBudget()
            probe.answered(answer.status, answer.headers)
            self.skew = probe.skew
            answer = await self._send(method, url, await self.auth.jwt())
        if answer.status >= 400:
            failure = self._failure(method, url, answer)
            failure.retry = failure.retry or (answer.status in (403, 429) and _limited(answer))
            raise failure
        return answer

    async def _send(
        self,
        method: str,
        url: URL,
        token: str,
        *,
        body: Mapping[str, Any] | None = None,
        etag: str | None = None,
        generation: int = 0,
        follow: bool = True,
    ) -> Response:
        """`follow`: also a redirect that says where the content is, not only where this is asked by now."""
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
            "Authorization": f"Bearer {token}",
            **({"If-None-Match": etag} if etag else {}),
            **({"Content-Type": "application/json"} if body is not None else {}),
        }
        data = None if body is None else orjson.dumps(body)
        target = url
        for _ in range(REDIRECTS + 1):
            try:
                reply = await self._http.request(method, target, data, headers, limit=BODY_LIMIT, whole=True)
            except RemoteError as error:
                raise RemoteError(f"{method} {url.path}: {error}", retry=error.retry) from None
            moved = (301, 302, 307, 308) if follow else (301, 307, 308)
            if reply.status in moved and (location := reply.headers.get("location")):
                target = self._target(target, location)
                continue
            return Response(
                str(url),
                reply.status,
                reply.headers,
                None if reply.status == 302 else _json(reply.body, reply.status, method, url),
                next_page(reply.headers),
                generation,
            )
        raise RemoteError(f"{method} {url.path}: too many redirects", retry=False)

    def _target(self, here: URL, location: str) -> URL:
        try:
            there = here.join(URL(location))
        except ValueError:
            raise RemoteError(f"{here.path}: a redirect leads to no web address", retry=True) from None
        return self.url(str(there))

    def _failure(self, method: str, url: URL, answer: Response | None) -> RemoteError:
        status = answer.status if answer is not None else 0
        advice = self._advice.get(status, "")
        if answer is not None and "x-github-sso" in answer.headers:
            advice = "authorise the token for the organisation's single sign-on"
        text = f"{method} {url.path}: {status or 'no answer'}"
        return RemoteError(f"{text} ({advice})" if advice else text, status=status, retry=status == 0 or status >= 500)


def _json(raw: bytes, status: int, method: str, url: URL) -> Any:
    if not raw:
        return None
    if sum(map(raw.count, (b",", b"[", b"{"))) > VALUES:
        raise RemoteError(f"{method} {url.path}: the answer holds too many values", status=status, retry=False)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if status >= 400:
            return None  # a proxy's HTML error page; the status says enough
        raise RemoteError(
            f"{method} {url.path}: the answer is not JSON; check base_url", status=status, retry=True
        ) from None


def _limited(answer: Response) -> bool:
    """A limit, and not a missing permission: GitHub uses 403 for both."""
    said = re.search(r"rate limit|abuse detection", text(answer.body, "message"), re.IGNORECASE)
    told = "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
    return answer.status == 429 or told or said is not None


_ADVICE = {
    400: "GitHub refused the request as malformed",
    401: "the token was refused; it may have expired or been revoked",
    403: "not permitted; the token needs the secret scanning alerts permission (classic: repo or security_events)",
    404: "not found: no such name, no access for this token, or secret scanning is off there",
    422: "GitHub did not accept the values",
    503: "secret scanning is unavailable",
}
