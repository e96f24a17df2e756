"""The one HTTP client: explicit limits, and failures turned into RemoteError without a word of the URL.

A webhook's URL is its password, and so is what a confused server may echo back. Therefore messages are made here from
status codes and kinds of failure; a piece of an answer is quoted only by `text.quotable`, which knows the credentials.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

# aiohttp and ssl are imported with the first request: they are a tenth of the start, and most commands send nothing.
if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.abc import AbstractResolver
    from multidict import CIMultiDictProxy
    from yarl import URL

__all__ = [
    "CLEAR",
    "MAX_WAIT",
    "Http",
    "RemoteError",
    "Reply",
    "Streamed",
    "host_of",
    "in_the_clear",
    "loopback",
    "network_error",
    "next_page",
    "proxy_for",
    "retry_after",
]

MAX_REPLY = 64 * 1024  # bytes of an answer we read; the rest is of no use to us
MAX_WAIT = 3600.0  # seconds; a longer Retry-After is cut, so that a broken clock does not silence us for a year
CLEAR = "would go over the network unencrypted: use TLS, or say insecure = true there if that is meant"
_FAREWELL = 1.0  # seconds for the other side of a websocket to say that it closes it, too
_PIECE = 1 << 18  # bytes of a body that is read as it comes
_HEARTBEAT = 30.0  # seconds between looks whether the other side of a websocket is there
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,<]*\brel="?next"?')
RETRY_STATUS = frozenset({408, 425, 429})  # and every 5xx


class RemoteError(Exception):
    """A dealing with another system that failed. `retry`: try again later; `after`: not before so many seconds
    (Retry-After); `tries`: so often at most, then it counts as refused; `status`: of the answer, 0 when there was none;
    `sent`: it may have been received; `partly`: what the next try of the same has to know (Notification.partly), empty:
    nothing of it was taken.

    The message is safe to log and store: no URL, no header, no body of ours.
    """

    def __init__(
        self,
        message: str,
        *,
        retry: bool,
        after: float | None = None,
        tries: int | None = None,
        status: int = 0,
        sent: bool = True,
        partly: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.partly, self.sent, self.retry, self.after, self.status = partly, sent, retry, after, status
        self.tries = tries

    def again(self, attempts: int) -> bool:
        """Whether it is to be tried again after so many attempts."""
        return self.retry and (self.tries is None or attempts < self.tries)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: status, headers, the first 64 KiB of the body."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)  # may echo what we sent

    def json(self) -> Any:
        """The body as JSON, or None when it is something else (a proxy's login page)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def check(self, hints: Mapping[int, str] | None = None, *, said: str = "") -> None:
        """Return on 2xx, else raise RemoteError. `hints`: what to do about a status; `said`: safe words of theirs."""
        if 200 <= self.status < 300:
            return
        moved = "redirects are not followed: configure the final URL" if 300 <= self.status < 400 else ""
        hint = (hints or {}).get(self.status) or moved
        raise RemoteError(
            ": ".join(part for part in (_status(self.status), said, hint) if part),
            retry=self.status in RETRY_STATUS or self.status >= 500,
            after=retry_after(self.headers),
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a server answers, its body as it comes: `pieces` raises RemoteError."""

    status: int
    headers: CIMultiDictProxy[str]
    pieces: AsyncIterator[bytes] = field(repr=False)


class Http:
    """Owns the ClientSession, made on first use inside the running loop. `timeout`, `connect`: seconds; `resolver`: in
    place of the system's (an AbstractResolver of aiohttp); `proxy`: for every URL, in place of the environment's."""

    def __init__(
        self,
        *,
        timeout: float = 15.0,
        connect: float = 5.0,
        resolver: AbstractResolver | None = None,
        proxy: str | None = None,
        once: bool = False,
        ca_file: str | None = None,
    ) -> None:
        """`once`: nothing is sent a second time, which aiohttp else does by itself when a connection breaks. `ca_file`:
        certificates (PEM) that servers are trusted by, in place of the system's."""
        self._timeout, self._connect, self._resolver, self._proxy = timeout, connect, resolver, proxy
        self._once, self._ca_file = once, ca_file
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """POST `body` (JSON unless `headers` say otherwise). Any status is a Reply, no answer at all a RemoteError."""
        return await self.request("POST", url, body, {"Content-Type": "application/json", **(headers or {})})

    async def request(
        self,
        method: str,
        url: str | URL,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        limit: int = MAX_REPLY,
        whole: bool = False,
    ) -> Reply:
        """One exchange; a redirect is answered like any other status. Reads `limit` bytes of the answer (after
        decompression) and drops what is beyond them, or with `whole` raises. Raises RemoteError.
        """
        import aiohttp

        try:
            async with self._open().request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,  # a redirect would carry what we send, and our credential, to another host
                proxy=self._proxy or proxy_for(str(url)),
            ) as response:
                answer, complete = await _read(response, limit)
                reply = Reply(response.status, response.headers, answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: a URL or header that aiohttp refuses; its text repeats the value
            failure = network_error(error)
        else:
            if complete or not whole:
                return reply
            failure = RemoteError(f"the answer is larger than {limit >> 20} MiB", retry=False, status=reply.status)
        # Raised outside of the handler: the original error, which may know the URL, is no part of ours.
        raise failure

    @asynccontextmanager
    async def stream(
        self, url: str | URL, headers: Mapping[str, str] | None = None, *, total: float
    ) -> AsyncIterator[Streamed]:
        """GET what may be large. The timeout is that of each piece, `total` (seconds) that of all. Raises RemoteError.

        How much of it is read, whoever reads decides: it may end the block before the body does.
        """
        import aiohttp

        limits = aiohttp.ClientTimeout(total=total, sock_connect=self._connect, sock_read=self._timeout)
        proxy = self._proxy or proxy_for(str(url))
        try:
            response = await self._open().get(url, headers=headers, allow_redirects=False, proxy=proxy, timeout=limits)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = network_error(error)
        else:
            try:
                yield Streamed(response.status, response.headers, _pieces(response))
            finally:
                response.close()  # instead of draining whatever else it sends
            return
        raise failure  # outside of the handler, as above

    @asynccontextmanager
    async def websocket(self, url: str, *, limit: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A connection of which each message has at most `limit` bytes. Raises RemoteError, also for one that is lost
        or silent within the block."""
        import aiohttp

        try:
            connecting = self._open().ws_connect(
                url,
                max_msg_size=limit,
                heartbeat=_HEARTBEAT,
                proxy=self._proxy or proxy_for(f"http{url[2:]}" if url.startswith("ws") else url),
                timeout=aiohttp.ClientWSTimeout(ws_close=_FAREWELL),
            )
            async with connecting as socket:
                yield socket
            return
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = network_error(error)
        raise failure  # outside of the handler, as above

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
                connector=aiohttp.TCPConnector(
                    limit=32,
                    limit_per_host=8,
                    resolver=self._resolver,
                    ssl=_trusting(self._ca_file) if self._ca_file else True,
                ),
                trust_env=False,  # it would also send what ~/.netrc holds; proxies are read by proxy_for
            )
            self._session._retry_connection = not self._once
        return self._session


def _trusting(ca_file: str) -> ssl.SSLContext:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:  # ssl.SSLError is one
        failure = RemoteError("ca_file: no certificates can be read from it", retry=False, sent=False)
    raise failure


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    import aiohttp

    while True:
        try:
            piece = await response.content.read(_PIECE)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = network_error(error)
            break
        if not piece:
            return
        yield piece
    raise failure  # outside of the handler, as above


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes of the body, and whether that is all of it."""
    body = bytearray()
    while len(body) <= limit and (chunk := await response.content.read(min(limit + 1 - len(body), 1 << 16))):
        body += chunk
    complete = len(body) <= limit
    if not complete:
        response.close()  # instead of draining whatever else it sends
    return bytes(body[:limit]), complete


def host_of(url: str) -> tuple[str, int]:
    """Host and port that a URL leads to."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def loopback(host: str) -> bool:
    """Whether a host is this machine by its name or number alone; nothing is looked up."""
    address = _number(host)
    return host.lower().rstrip(".") == "localhost" or (address is not None and address.is_loopback)


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None: it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def in_the_clear(url: str) -> bool:
    """Whether others can read on the way what is sent to a URL: plain http to another machine."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False  # no URL: it fails by itself
    return parts.scheme.lower() == "http" and not loopback(parts.hostname or "localhost")


def proxy_for(url: str) -> str | None:
    """The egress proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this URL."""
    parts = urlsplit(url)
    address = _number(parts.hostname or "")
    # On the link, as 169.254.169.254, a cloud gives a machine its own credentials.
    if not parts.hostname or loopback(parts.hostname) or (address is not None and address.is_link_local):
        return None
    from urllib.request import getproxies_environment, proxy_bypass  # slow to import

    return None if proxy_bypass(parts.hostname) else getproxies_environment().get(parts.scheme)


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


def next_page(headers: CIMultiDictProxy[str]) -> str | None:
    """The address of the page behind this one, as `Link` names it (RFC 8288)."""
    found = _NEXT.search(", ".join(headers.getall("Link", [])))
    return found[1] if found else None


def retry_after(headers: Mapping[str, str], skew: float = 0.0) -> float | None:
    """Seconds to wait by `Retry-After` (a number or a date), at most an hour; None when absent or senseless.

    `headers` of an answer, whose names know no case. `skew`: the server's clock minus ours, as far as it is known.
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), MAX_WAIT)
    try:
        date = parsedate_to_datetime(value)
        seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - (time.time() + skew)
    except (ValueError, OverflowError):  # also of none
        return None
    return min(max(seconds, 0.0), MAX_WAIT)


def limit_ends(reply: Reply | Streamed) -> float | None:
    """Seconds until a server takes more: `Retry-After`, or when its limit ends (`X-RateLimit-Reset`, in GitLab without
    the X: the time, or how long that is); at most an hour. None: it does not say."""
    after = retry_after(reply.headers)
    if after is not None or reply.status >= 500:
        return after
    ends = reply.headers.get("X-RateLimit-Reset", reply.headers.get("RateLimit-Reset", ""))
    if not re.fullmatch(r"[0-9]{1,13}", ends):
        return None
    return min(float(ends) if float(ends) < 1e8 else max(float(ends) - time.time(), 0.0), MAX_WAIT)


def network_error(error: BaseException) -> RemoteError:
    """A failure to reach a server as a RemoteError: its kind, never its text, which may hold an address or a URL."""
    import ssl

    import aiohttp

    # The first that fits: which failures, in words, whether to try again, whether it may have been received.
    kinds: tuple[tuple[Any, str, bool, bool], ...] = (
        (TimeoutError, "no answer in time", True, True),
        (
            (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError),
            "the server's TLS certificate is not valid for this host",
            True,
            False,
        ),
        ((aiohttp.ClientConnectorDNSError, socket.gaierror), "the host name cannot be resolved", True, False),
        ((aiohttp.ClientSSLError, ssl.SSLError), "the TLS handshake failed", True, True),
        (
            (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
            "the egress proxy cannot be reached or refused the connection",
            True,
            False,
        ),
        (
            (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError),
            "not a valid http(s) URL or header value: check the credential",
            False,
            False,
        ),
        (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer", True, True),
    )
    for kind, message, retry, sent in kinds:
        if isinstance(error, kind):
            return RemoteError(message, retry=retry, sent=sent)
    code = error.errno if isinstance(error, OSError) else None
    if code is not None and code in errno.errorcode:
        sent = not isinstance(error, aiohttp.ClientConnectorError)
        return RemoteError(f"cannot connect or send: {os.strerror(code)}", retry=True, sent=sent)
    return RemoteError(f"the exchange failed ({type(error).__name__})", retry=True)
