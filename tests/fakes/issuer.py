"""An issuer of secrets that answers a probe, and refuses a request that carries the secret where it may not be."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson
from aiohttp import web

from tests.fakes.server import FakeServer

BAD_CREDENTIALS = {"message": "Bad credentials"}  # what GitHub says of a dead one, with 401


class FakeIssuer(FakeServer):
    """Answers every request with `status` and `body`; `seen` says where `value` stood in the last one."""

    def __init__(self, value: str, status: int = 200, body: object = None, headers: Mapping[str, str] | None = None):
        super().__init__()
        self.value, self.status, self.body, self.headers = value, status, body, dict(headers or {})
        self.kind: str | None = None  # Content-Type

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        text = self.body if isinstance(self.body, str) else orjson.dumps(self.body).decode()
        return web.Response(status=self.status, text=text, headers=self.headers, content_type=self.kind)

    def seen(self) -> set[str]:
        """Of `path`, `query`, `body` and names of headers (in small letters) those that held the value."""
        last = self.requests[-1]
        path, _, query = last.path.partition("?")
        places = {"path": path, "query": query, "body": last.body.decode("utf-8", "replace")}
        for name, text in last.headers.items():
            kind, _, rest = text.partition(" ")
            places[name.lower()] = base64.b64decode(rest).decode() if kind == "Basic" else text
        return {place for place, text in places.items() if self.value in text}
