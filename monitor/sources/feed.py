"""RSS and Atom feeds, Google Alerts above all: what others publish about us.

The URL of a Google Alert gives access without a password, so it is a credential and appears in no error. An entry
becomes an incident of its own (its id is the identity); its text is read with the rules as well.
"""

from __future__ import annotations

import asyncio
import calendar
import hashlib
import html
import ipaddress
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

import aiohttp
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from pydantic import Field
from yarl import URL

from detectors.fingerprint import fingerprint
from detectors.rule import Severity
from monitor import __version__
from monitor.duration import Duration
from monitor.github.alerts import link
from monitor.model import Block, Finding, Position
from monitor.sources.base import AlertIntake, SourceConfig
from sinks.base import Credential, CredentialError

__all__ = ["FeedConfig", "FeedError", "FeedSource"]

log = structlog.get_logger(__name__)

SIZE_LIMIT = 5 << 20
TIMEOUT = 30.0
REDIRECTS = 3
ENTRIES = 500  # of one answer
REMEMBERED = 2000  # entry ids; Google Alerts show 20 at a time
RULE = "feed-entry"


class FeedConfig(SourceConfig):
    """`[[sources]]` with `type = "feed"`."""

    type: Literal["feed"]
    url: Credential
    interval: Annotated[Duration, Field(ge=60)] = 900.0
    max_age: Duration = 7 * 86_400.0  # entries older than this when first seen are passed over
    severity: Severity = "low"


class FeedError(Exception):
    """A feed that could not be read. The message never holds its address."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed. `text` is what it says, free of markup."""

    id: str
    title: str
    text: str
    link: str | None
    time: float | None


class FeedSource:
    """Asks on a schedule; `record`s each entry once."""

    Config: ClassVar[type[SourceConfig]] = FeedConfig

    def __init__(self, config: FeedConfig, intake: AlertIntake, key: bytes) -> None:
        self.config = config
        self.intake = intake
        self.key = key

    async def run(self, once: bool) -> None:
        if once:
            await self.poll()
            return
        wake = asyncio.Event()
        scheduler = AsyncIOScheduler(timezone=UTC)
        interval = self.config.interval
        trigger = IntervalTrigger(seconds=interval, jitter=interval * 0.1, timezone=UTC)
        scheduler.add_job(
            _set, trigger, [wake], next_run_time=datetime.now(UTC), misfire_grace_time=None, coalesce=True
        )
        scheduler.start()
        try:
            while True:
                await wake.wait()
                wake.clear()
                await self.poll()
        finally:
            scheduler.shutdown(wait=False)

    async def poll(self) -> None:
        """One round; trouble is told and never ends the source."""
        try:
            await self._poll()
        except (FeedError, CredentialError) as error:
            self.intake.degraded("feed", str(error))
            log.warning("feed", source=self.config.name, problem=str(error))
            return
        except Exception as error:  # noqa: BLE001 - supervision: no document, however odd, may stop the source
            self.intake.malformed("feed")
            self.intake.degraded("feed", f"internal error: {type(error).__name__}")
            log.error("internal error", source=self.config.name, error=type(error).__name__)
            return
        self.intake.degraded("feed", None)

    async def _poll(self) -> None:
        state = (await self.intake.positions()).get("entries", {})
        fetched = await self._fetch(state)
        if fetched is None:
            return
        raw, validators = fetched
        entries = await asyncio.to_thread(parse, raw)
        if entries is None:
            self.intake.malformed("feed")
            raise FeedError("the answer is neither RSS nor Atom")
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

    async def _finding(self, entry: Entry, name: str) -> Finding:
        text = f"{entry.title}\n{entry.text}\n{entry.link or ''}\n".encode("utf-8", "replace")
        path = f"feed entry {name}"
        await self.intake.scan([Block(self.config.name, path, name, 0, text, time.time(), line=1)], lambda: [])
        address = entry.link
        title = entry.title or "(no title)"
        if await self.intake.identify(text):
            # The secret has an incident of its own now; nothing of its text goes anywhere else.
            title, address = "(withheld: the entry holds a secret)", None
        return Finding(
            id=hashlib.blake2b(f"{self.config.name}\0{name}".encode(), digest_size=16).hexdigest(),
            rule=RULE, name="Feed entry", severity=self.config.severity, confidence="low",
            fingerprint=fingerprint(self.key, f"feed {self.config.name} {entry.id}".encode("utf-8", "replace")),
            masked=title, source=self.config.name, path=path, generation=name, offset=0,
            time=entry.time or time.time(), labels={"feed": self.config.name}, url=address,
        )  # fmt: skip

    async def _fetch(self, state: Mapping[str, Any]) -> tuple[bytes, dict[str, str]] | None:
        """The document and its validators; None when it did not change. Raises FeedError, CredentialError."""
        address = URL(await asyncio.to_thread(self.config.url.resolve))
        first = address
        headers = {
            "User-Agent": f"exposure-monitor/{__version__}",
            "Accept": "application/atom+xml, application/xml, */*",
        }
        for name, sent in (("etag", "If-None-Match"), ("modified", "If-Modified-Since")):
            if isinstance(value := state.get(name), str):
                headers[sent] = value
        timeout = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=10)
        try:
            async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
                for _ in range(REDIRECTS + 1):
                    _permit(address, first)
                    async with session.get(address, headers=headers, allow_redirects=False) as response:
                        if response.status in (301, 302, 303, 307, 308):
                            address = address.join(URL(response.headers.get("location", "")))
                            continue
                        if response.status == 304:
                            return None
                        if response.status != 200:
                            raise FeedError(f"the server answered {response.status}")
                        parts: list[bytes] = []
                        size = 0
                        async for part in response.content.iter_chunked(1 << 16):
                            size += len(part)  # after decompression, so a bomb ends here
                            if size > SIZE_LIMIT:
                                raise FeedError(f"the feed is larger than {SIZE_LIMIT >> 20} MiB")
                            parts.append(part)
                        named = (("etag", "etag"), ("modified", "last-modified"))
                        return b"".join(parts), {
                            name: value for name, header in named if (value := response.headers.get(header))
                        }
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Its text may hold the address.
            raise FeedError(f"cannot be fetched: {type(error).__name__}") from None
        raise FeedError(f"more than {REDIRECTS} redirects")


def _permit(address: URL, first: URL) -> None:
    """http(s) only; a redirect leads neither down to http nor into a network the feed itself is not in."""
    if address.scheme not in ("http", "https") or not address.host:
        raise FeedError("only http and https addresses are read")
    if address == first:
        return
    if first.scheme == "https" and address.scheme != "https":
        raise FeedError("a redirect leads from https to http")
    if address.host != first.host and _internal(address.host):
        raise FeedError("a redirect leads to an internal address")


def _internal(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".internal", ".local"))


def parse(raw: bytes) -> list[Entry] | None:
    """The entries of a feed, None when it is none. Blocking: call in a thread."""
    import feedparser

    # A stream, never the bytes themselves: feedparser takes a short text for a file name or an address.
    document = feedparser.parse(BytesIO(raw), sanitize_html=False, resolve_relative_uris=False)
    if not document.get("version") and not document.get("entries"):
        return None
    return [entry for one in document["entries"][:ENTRIES] if (entry := _entry(one)) is not None]


def _entry(one: Mapping[str, Any]) -> Entry | None:
    address = target(_text(one, "link"))
    title = _plain(_text(one, "title"))
    identity = _text(one, "id") or address or title
    if not identity:
        return None
    contents = one.get("content") or []
    texts = [_text(one, "summary"), *(_text(content, "value") for content in contents if isinstance(content, Mapping))]
    moment = one.get("published_parsed") or one.get("updated_parsed")
    try:
        at = float(calendar.timegm(moment)) if moment else None
    except (ValueError, OverflowError, TypeError):
        at = None
    body = "\n".join(dict.fromkeys(_plain(text, 200_000) for text in texts))
    return Entry(identity[:2000], title[:300], body, address, at if at and at > 0 else None)


def target(address: str) -> str | None:
    """Where an entry leads: Google wraps it in a redirect of its own (`/url?…&url=`)."""
    try:
        parts = urlsplit(address)
        if re.fullmatch(r"(www\.)?google\.[a-z.]{2,6}", parts.hostname or "") and parts.path == "/url":
            query = parse_qs(parts.query)
            address = (query.get("url") or query.get("q") or [""])[0]
    except ValueError:
        return None
    return link(address)


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return value if isinstance(value, str) else ""


def _plain(text: str, limit: int = 2000) -> str:
    """Markup gone, one line, printable."""
    text = html.unescape(re.sub(r"<[^<>]*>", "", text[: 2 * limit]))
    return "".join(char if char.isprintable() else " " for char in text)[:limit].strip()


def _set(event: asyncio.Event) -> None:
    event.set()
