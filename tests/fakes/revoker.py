"""GitHub as far as a token's life goes: it works until it is revoked, by anybody, without a login."""

from __future__ import annotations

import orjson
from aiohttp import web

from tests.fakes.server import FakeServer


class FakeRevoker(FakeServer):
    """`works`: tokens that are taken. Revoking them is asked for by POST /credentials/revoke."""

    def __init__(self, *tokens: str) -> None:
        super().__init__()
        self.works = set(tokens)
        self.revocations = 0
        self.silent = False  # asked whether a token works, it never answers

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if (request.method, request.path) == ("POST", "/credentials/revoke"):
            self.revocations += 1
            if "Authorization" in request.headers:
                self.problems.append("a login, which GitHub refuses here")
            asked = orjson.loads(body)
            if set(asked) != {"credentials"} or not all(isinstance(one, str) for one in asked["credentials"]):
                self.problems.append("not the documented body")
            self.works -= set(asked["credentials"])
            return web.json_response({}, status=202)
        if (request.method, request.path) == ("GET", "/user"):
            if self.silent:
                await self._release.wait()
            known = request.headers.get("Authorization", "").removeprefix("Bearer ") in self.works
            said = {"login": "octocat"} if known else {"message": "Bad credentials"}
            return web.json_response(said, status=200 if known else 401)
        self.problems.append(f"{request.method} {request.path}")
        return web.Response(status=404)
