"""The one HTTP client of all sinks: explicit limits, and failures turned into SinkError without a word of the URL.

A webhook's URL is its password, and so is what a confused server may echo back. Therefore messages are made here from
status codes and kinds of failure; a piece of an answer is quoted only by `Reply.quote`, which knows the credentials.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson

from sinks.base import SinkError

# aiohttp is imported with the first request: it is a tenth of the start, and most commands send nothing.
if TYPE_CHECKING:
    import aiohttp

__all__ = ["Http", "Reply", "network_error", "retry_after", "safe_quote"]

MAX_REPLY = 64 * 1024  # bytes of an answer we read; the rest is of no use to us
MAX_WAIT = 3600.0  # seconds; a longer Retry-After is cut, so that a broken clock does not silence a sink for a year
RETRY_STATUS = frozenset({408, 425, 429})  # and every 5xx
SHARED = 8  # an answer that repeats so many characters of a credential is not quoted


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: status, headers, the first 64 KiB of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)  # may echo what we sent

    def json(self) -> Any:
        """The body as JSON, or None when it is something else (a proxy's login page)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def check(self, hints: Mapping[int, str] | None = None, *, said: str = "") -> None:
        """Return on 2xx, else raise SinkError. `hints`: what to do about a status; `said`: safe words of the server."""
        if 200 <= self.status < 300:
            return
        hint = (hints or {}).get(self.status, "")
        if not hint and 300 <= self.status < 400:
            hint = "redirects are not followed: configure the final URL"
        raise SinkError(
            ": ".join(part for part in (_status(self.status), said, hint) if part),
            retry=self.status in RETRY_STATUS or self.status >= 500,
            after=retry_after(self.headers),
        )

    def quote(self, *secrets: str, limit: int = 200) -> str:
        """The body as one short line of text for a message; empty when it repeats a part of a secret."""
        return safe_quote(self.body.decode("utf-8", "replace"), *secrets, limit=limit)


def safe_quote(text: str, *secrets: str, limit: int = 200) -> str:
    """Foreign text as one printable line of at most `limit` characters; empty when it holds a part of a secret."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    folded = _bare(line)
    for secret in secrets:
        for form in (_bare(secret), _bare(quote(secret, safe="", errors="replace"))):
            width = min(SHARED, len(form))
            if width and any(form[i : i + width] in folded for i in range(len(form) - width + 1)):
                return ""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _bare(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isprintable() and not c.isspace())


class Http:
    """Owns the ClientSession, made on first use inside the running loop. `timeout`, `connect`: seconds."""

    def __init__(self, *, timeout: float = 15.0, connect: float = 5.0) -> None:
        self._timeout, self._connect = timeout, connect
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """POST `body` (JSON unless `headers` say otherwise). Any status is a Reply; no answer at all is a SinkError."""
        import aiohttp

        try:
            async with self._open().post(
                url,
                data=body,
                headers={"Content-Type": "application/json", **(headers or {})},
                allow_redirects=False,  # a redirect would carry the alert, and our credential, to another host
                proxy=_proxy(url),
            ) as response:
                return Reply(response.status, response.headers, await _read(response))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: a URL or header that aiohttp refuses; its text repeats the value
            failure = network_error(error)
        # Raised outside of the handler: the original error, which may know the URL, is no part of ours.
        raise failure

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=self._connect),
                headers={"User-Agent": _user_agent()},
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=32, limit_per_host=8),
                trust_env=False,  # it would also send what ~/.netrc holds; proxies are read by _proxy
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while len(body) < MAX_REPLY and (chunk := await response.content.read(MAX_REPLY - len(body))):
        body += chunk
    if len(body) >= MAX_REPLY:
        response.close()  # instead of draining whatever else it sends
    return bytes(body)


def _proxy(url: str) -> str | None:
    """The egress proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this URL."""
    parts = urlsplit(url)
    if not parts.hostname or parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return None
    from urllib.request import getproxies_environment, proxy_bypass  # slow to import

    proxies = getproxies_environment()
    if parts.scheme not in proxies or proxy_bypass(parts.hostname):
        return None
    return proxies[parts.scheme]


def _user_agent() -> str:
    try:
        return f"exposure-monitor/{version('exposure-monitor')}"
    except PackageNotFoundError:  # run from a source tree
        return "exposure-monitor"


def _status(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `Retry-After` (a number or a date), at most an hour; None when absent or senseless."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_WAIT)


def network_error(error: BaseException) -> SinkError:
    """A failure to reach a server as a SinkError: its kind, never its text, which may hold an address or a URL."""
    import aiohttp

    if isinstance(error, TimeoutError):
        return SinkError("no answer in time", retry=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return SinkError("the server's TLS certificate is not valid for this host", retry=True)
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return SinkError("the host name cannot be resolved", retry=True)
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return SinkError("the TLS handshake failed", retry=True)
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return SinkError("the egress proxy cannot be reached or refused the connection", retry=True)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return SinkError("not a valid http(s) URL or header value: check the credential", retry=False)
    code = error.errno if isinstance(error, OSError) else None
    if code is not None and code in errno.errorcode:
        return SinkError(f"cannot connect or send: {os.strerror(code)}", retry=True)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return SinkError("the server closed the connection without an answer", retry=True)
    return SinkError(f"the exchange failed ({type(error).__name__})", retry=True)
