"""The entries of an RSS or Atom feed, read in a process of its own.

feedparser takes whatever is published as a feed, and hours for some that are made for it: its patterns look again and
again at a run of line breaks, and hold the whole interpreter meanwhile. There they hold nobody.
"""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import html
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from monitor.common.http import RemoteError
from monitor.common.outside import taken
from monitor.common.program import begun
from monitor.common.text import one_line, web_address

__all__ = ["FeedEntry", "parse", "read", "target"]

BODY = 400_000  # characters of what an entry says; it is searched, and shown nowhere
ENTRIES = 500  # of one answer
SECONDS = 20  # of processor time that a feed may take; a hundred entries take a thirtieth of one, 5 MB less than one
DEADLINE = 60.0  # seconds, however busy the machine is
MEMORY = 1 << 30  # bytes of addresses


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry of a feed. `text` is what it says, free of markup."""

    id: str
    title: str
    text: str
    link: str | None
    time: float | None


async def read(raw: bytes) -> list[FeedEntry] | None:
    """`parse`, in a process that may take `SECONDS` and `MEMORY`. Raises RemoteError."""
    reading = begun(
        *(sys.executable, "-I", "-m", __name__, str(SECONDS), str(MEMORY)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a traceback would show what the feed says
    )
    try:
        async with reading as process, asyncio.timeout(DEADLINE):
            out, _ = await process.communicate(raw)
    except TimeoutError:
        raise RemoteError("the feed takes too long to be read", retry=True) from None
    if process.returncode:
        raise RemoteError(f"the feed cannot be read within {SECONDS} s and {MEMORY >> 20} MiB", retry=True)
    found = orjson.loads(out)
    return None if found is None else [FeedEntry(*one) for one in found]


def parse(raw: bytes) -> list[FeedEntry] | None:
    """The entries of a feed, None when it is none. Takes as long as whoever wrote it wants: see `read`."""
    import feedparser

    # A stream, never the bytes themselves: feedparser takes a short text for a file name or an address.
    document = feedparser.parse(BytesIO(raw), sanitize_html=False, resolve_relative_uris=False)
    if not document.get("version") and not document.get("entries"):
        return None
    return [entry for one in document["entries"][:ENTRIES] if (entry := _entry(one)) is not None]


def _entry(one: Mapping[str, Any]) -> FeedEntry | None:
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
    body = "\n".join(dict.fromkeys(_plain(text[:BODY]) for text in texts))
    return FeedEntry(identity, taken(title), body, address, at if at and at > 0 else None)


def target(address: str) -> str | None:
    """Where an entry leads: Google wraps it in a redirect of its own (`/url?…&url=`)."""
    try:
        parts = urlsplit(address)
        if re.fullmatch(r"(www\.)?google\.[a-z.]{2,6}", parts.hostname or "") and parts.path == "/url":
            query = parse_qs(parts.query)
            address = (query.get("url") or query.get("q") or [""])[0]
    except ValueError:
        return None
    return web_address(address)


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return value if isinstance(value, str) else ""


def _plain(text: str) -> str:
    """Markup gone, one line, printable."""
    return one_line(html.unescape(re.sub(r"<[^<>]*>", "", text))).strip()


def _main() -> None:
    seconds, memory = map(int, sys.argv[1:])
    for limit, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory)):
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it; the deadline holds all the same
            resource.setrlimit(limit, (most, most))
    entries = parse(sys.stdin.buffer.read())
    sys.stdout.buffer.write(orjson.dumps(None if entries is None else [astuple(entry) for entry in entries]))


if __name__ == "__main__":
    _main()
