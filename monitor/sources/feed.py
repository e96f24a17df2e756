"""RSS and Atom feeds, Google Alerts above all: what others publish about us.

The URL of a Google Alert gives access without a password, so it is a credential and appears in no error. An entry
becomes an incident of its own (its id is the identity); its text is read with the rules as well.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import time
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from pydantic import Field
from yarl import URL

from detectors.fingerprint import fingerprint
from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.http import Http, RemoteError, Reply
from monitor.common.severity import Severity
from monitor.domain.model import Block, Finding, Position
from monitor.intake.protocol import AlertIntake, ScanError
from monitor.intake.rounds import Rounds
from monitor.sources.base import SourceConfig
from monitor.sources.entries import FeedEntry, read
from monitor.sources.settle import settle

__all__ = ["FeedConfig", "FeedSource"]

SIZE_LIMIT = 5 << 20
TIMEOUT = 30.0
REDIRECTS = 3
REMEMBERED = 2000  # entry ids; Google Alerts show 20 at a time
RULE = "feed-entry"


EXAMPLE = """
# Google Alerts and any other RSS or Atom feed. The address of a Google Alerts feed is a secret.
#[[sources]]
#name = "mentions"
#type = "feed"
#url = "credential:google-alerts-url"
#interval = "15m"
#max_age = "7d"                 # entries older than this when first seen are passed over
#severity = "low"
"""


class FeedConfig(SourceConfig):
    """Reads Google Alerts and other RSS or Atom feeds.

    - `url`: a credential reference: the address of a Google Alerts feed is a secret
    - `interval`: pause between looks
    - `max_age`: entries older than this when first seen are passed over
    - `severity`: of the incidents it opens

    **Reads** at least once; nothing is lost that the other side still has. While it cannot be asked, `source_degraded`
    says so.
    """

    reach: ClassVar[tuple[str, ...]] = ("url",)
    type: Literal["feed"]
    url: Credential
    interval: Annotated[Duration, Field(ge=60)] = 900.0
    max_age: Duration = 7 * 86_400.0  # entries older than this when first seen are passed over
    severity: Severity = "low"


class FeedSource:
    """Asks on a schedule; `record`s each entry once."""

    Config: ClassVar[type[SourceConfig]] = FeedConfig

    def __init__(self, config: FeedConfig, intake: AlertIntake, key: bytes) -> None:
        self.config, self.intake, self.key = config, intake, key
        self._rounds = Rounds(config.name, intake, "feed", (RemoteError,))

    async def run(self, once: bool) -> None:
        await (self.poll() if once else self.intake.every(self.config.interval, self.poll))

    async def poll(self) -> None:
        """One round; a failure is reported and never ends the source."""
        await self._rounds.guarded("feed", self._poll)

    async def _poll(self) -> None:
        state = (await self.intake.positions()).get("entries", {})
        if (fetched := await self._fetch(state)) is None:
            return
        raw, validators = fetched
        entries = await read(raw)
        if entries is None:
            self.intake.malformed("feed")
            raise RemoteError("the answer is neither RSS nor Atom", retry=True)
        kept = state.get("seen")
        seen = [name for name in kept if isinstance(name, str)] if isinstance(kept, list) else []
        known = set(seen)
        fresh: list[str] = []
        findings: list[Finding] = []
        for entry in entries:
            name = hashlib.blake2b(entry.id.encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()
            if name in known:
                continue
            known.add(name)
            fresh.append(name)
            if entry.time is not None and entry.time < time.time() - self.config.max_age:
                continue
            findings.append(await self._finding(entry, name))
        position = Position(self.config.name, "entries", {**validators, "seen": (fresh + seen)[:REMEMBERED]})
        await self.intake.record(findings, [position])

    async def _finding(self, entry: FeedEntry, name: str) -> Finding:
        text = f"{entry.title}\n{entry.text}\n{entry.link or ''}\n".encode("utf-8", "replace")
        path = f"feed entry {name}"
        block = Block(self.config.name, path, name, 0, text, time.time(), line=1, url=entry.link)
        await settle(self.intake, [block])
        title, address = entry.title or "(no title)", entry.link
        try:
            if await self.intake.identify(text):
                # The secret has an incident of its own now; nothing of its text goes anywhere else.
                title, address = "(withheld: the entry holds a secret)", None
        except ScanError:
            title, address = "(withheld: the entry could not be searched for secrets)", None
        return Finding(
            id=hashlib.blake2b(f"{self.config.name}\0{name}".encode(), digest_size=16).hexdigest(),
            rule=RULE, name="Feed entry", severity=self.config.severity, confidence="low",
            fingerprint=fingerprint(self.key, f"feed {self.config.name} {entry.id}".encode("utf-8", "replace")),
            masked=title, source=self.config.name, path=path, generation=name, offset=0,
            time=entry.time or time.time(), labels={"feed": self.config.name}, url=address,
        )  # fmt: skip

    async def _fetch(self, state: Mapping[str, Any]) -> tuple[bytes, dict[str, str]] | None:
        """The document and its validators; None when it did not change. Raises RemoteError."""
        try:
            address = URL(await asyncio.to_thread(self.config.url.resolve, "url"))
        except ValueError:
            raise RemoteError("url: not a web address", retry=True) from None
        headers = {"Accept": "application/atom+xml, application/xml, */*"}
        for name, sent in (("etag", "If-None-Match"), ("modified", "If-Modified-Since")):
            if isinstance(value := state.get(name), str):
                headers[sent] = value

        resolver = _Public()
        http = Http(timeout=TIMEOUT, connect=10, resolver=resolver)
        try:
            reply = await _followed(http, address, headers, resolver)
        finally:
            await http.close()

        if reply.status == 304:
            return None
        if reply.status != 200:
            raise RemoteError(f"the server answered {reply.status}", retry=True, status=reply.status)
        named = (("etag", "etag"), ("modified", "last-modified"))
        return reply.body, {name: value for name, header in named if (value := reply.headers.get(header))}


class _Public(ThreadedResolver):
    """Gives the addresses that are connected to, and of a host in `guarded` none that is internal: a name, or a number
    written in a way that only the resolver understands (`0x7f.1`), must not lead a redirect there."""

    def __init__(self) -> None:
        super().__init__()
        self.guarded: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        if host in self.guarded and any(_internal(entry["host"]) for entry in found):
            raise OSError("a redirect leads to an internal address")
        return found


async def _followed(http: Http, first: URL, headers: Mapping[str, str], resolver: _Public) -> Reply:
    """The answer at the end of the redirects. Raises RemoteError, which never holds an address."""
    address = first
    for _ in range(REDIRECTS + 1):
        _permit(address, first)
        if address.host and address.host != first.host:
            resolver.guarded.add(address.raw_host or address.host)
        reply = await http.request("GET", address, headers=headers, limit=SIZE_LIMIT, whole=True)
        if reply.status not in (301, 302, 303, 307, 308):
            return reply
        try:
            address = address.join(URL(reply.headers.get("location", "")))
        except ValueError:
            raise RemoteError("a redirect leads to no web address", retry=True) from None
    raise RemoteError(f"more than {REDIRECTS} redirects", retry=True)


def _permit(address: URL, first: URL) -> None:
    """http(s) only; a redirect leads neither down to http nor into a network the feed itself is not in."""
    if address.scheme not in ("http", "https") or not address.host:
        raise RemoteError("only http and https addresses are read", retry=True)
    if address == first:
        return
    if first.scheme == "https" and address.scheme != "https":
        raise RemoteError("a redirect leads from https to http", retry=True)
    if address.host != first.host and _internal(address.host):
        raise RemoteError("a redirect leads to an internal address", retry=True)


def _internal(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".internal", ".local"))
