"""Files that pages bring along: the style, the script and the icon. Each has an address that says what is in it, so
that browsers keep it for good."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

__all__ = ["FOLDER", "StaticFile", "address", "files", "routes"]

FOLDER = "/static"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"  # seconds: a year


@dataclass(frozen=True, slots=True)
class StaticFile:
    """As it is sent. `digest`: of what is in it."""

    name: str
    content: str
    digest: str
    plain: bytes
    packed: bytes

    @property
    def address(self) -> str:
        stem, _, ending = self.name.rpartition(".")
        return f"{FOLDER}/{stem}.{self.digest}.{ending}"


@cache
def files() -> dict[str, StaticFile]:
    """By their names."""
    made = {}
    for path in sorted((Path(__file__).parent / "static").iterdir()):
        plain = path.read_bytes()
        digest = hashlib.sha256(plain).hexdigest()[:16]
        packed = gzip.compress(plain, 9, mtime=0)
        made[path.name] = StaticFile(path.name, _TYPES[path.suffix[1:]], digest, plain, packed)
    return made


def address(name: str) -> str:
    """Of a file, for templates."""
    return files()[name].address


def routes() -> list[web.RouteDef]:
    """`/static/…`, which says nothing of any incident."""
    return [*(web.get(file.address, _send) for file in files().values()), web.get(f"{FOLDER}/{{name}}", _send)]


async def _send(request: web.Request) -> web.Response:
    """Of an earlier version too: a page that was loaded before an upgrade gets today's, but keeps it no longer."""
    asked = request.path.removeprefix(f"{FOLDER}/")
    plain_name = re.sub(r"\.[0-9a-f]{16}(\.\w+)$", r"\1", asked)
    if (file := files().get(plain_name)) is None:
        raise web.HTTPNotFound(text="there is no such file\n")
    current = file.address == f"{FOLDER}/{asked}"
    headers = {
        "Cache-Control": _FOR_GOOD if current else "no-cache",
        "ETag": f'"{file.digest}"',
        "Vary": "Accept-Encoding",
    }
    if any(tag.value == file.digest for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    packs = "gzip" in request.headers.get("Accept-Encoding", "")
    if packs:
        headers["Content-Encoding"] = "gzip"
    body = file.packed if packs else file.plain
    return web.Response(body=body, content_type=file.content, charset="utf-8", headers=headers)
