"""An issuer of OpenID Connect that is strict about what it is asked, signs with a real key, and lies when told to."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from monitor.common.httpd import serve

__all__ = ["CLIENT", "SECRET", "OpenIdIssuer", "issuer"]

CLIENT, SECRET = "exposure monitor", "s3cret:of&two"


class OpenIdIssuer:
    """`claims`: of who signs in; `lies`: claims of the ID token in place of the right ones (None: left out)."""

    def __init__(self) -> None:
        self.url = ""
        self.claims: dict[str, Any] = {"sub": "17", "email": "ada@example.org", "email_verified": True}
        self.lies: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}  # in place of the right ones
        self.userinfo: dict[str, Any] = {}
        self.keys = [ECKey.generate_key("P-256", {"kid": "one"}, auto_kid=False)]
        self.signs, self.shown = self.keys[0], False  # shown: also what nobody should see of its keys
        self.token_status = 200
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, address: str) -> str:
        """As somebody who signs in there: where the browser is sent then. Fails where a client asks wrongly."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        asked = {name: value for name, [value] in parse_qs(parts.query).items()}
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        assert {len(asked[name]) for name in ("state", "nonce", "code_challenge")} == {43}
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        back = f"{asked['redirect_uri']}?code={code}&state={asked['state']}"
        return f"{back}&iss={quote(self.url, safe='')}"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/.well-known/openid-configuration", self._about),
            web.get("/keys", self._keys),
            web.post("/token", self._token),
            web.get("/me", self._me),
        ]

    async def _about(self, _request: web.Request) -> web.Response:
        self.asked.append("about")
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/me",
                "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
                **self.metadata,
            }
        )

    async def _keys(self, _request: web.Request) -> web.Response:
        self.asked.append("keys")
        return web.json_response(KeySet(self.keys).as_dict(private=self.shown))

    async def _token(self, request: web.Request) -> web.Response:
        self.asked.append("token")
        sent = dict(await request.post())
        ways = self.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in ways:
            pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
            fine = pair == f"{quote(CLIENT, safe='')}:{quote(SECRET, safe='')}"
        else:
            fine = (sent.get("client_id"), sent.get("client_secret")) == (CLIENT, SECRET)
        asked = self._codes.pop(str(sent.get("code")), None)
        if not fine or asked is None or sent.get("redirect_uri") != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_client", "error_description": SECRET}, status=401)
        digest = hashlib.sha256(str(sent.get("code_verifier")).encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if self.token_status != 200:
            return web.json_response({"error": "server_error"}, status=self.token_status)
        access = secrets.token_urlsafe()
        return web.json_response({"access_token": access, "token_type": "Bearer", "id_token": self._signed(asked)})

    def _signed(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        right = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        told = {name: value for name, value in {**right, **self.claims, **self.lies}.items() if value is not None}
        header = {"alg": "ES256", "kid": self.signs.kid, **self.header}
        if header["alg"] == "none":
            parts = [base64.urlsafe_b64encode(str(part).replace("'", '"').encode()).decode() for part in (header, told)]
            return ".".join([*parts, ""])
        return jwt.encode(header, told, self.signs, algorithms=["ES256", "HS256"])

    async def _me(self, request: web.Request) -> web.Response:
        self.asked.append("me")
        assert request.headers["Authorization"].startswith("Bearer ")
        return web.json_response(self.userinfo)


@asynccontextmanager
async def issuer() -> AsyncIterator[OpenIdIssuer]:
    made, application = OpenIdIssuer(), web.Application()
    application.add_routes(made.routes())
    async with serve(application, "127.0.0.1", 0) as made.url:
        yield made
