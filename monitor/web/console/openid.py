"""`/sign-in/openid`: to an issuer and back."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import structlog
from aiohttp import web

from monitor.accounts.openid import Attempt, OpenIdClient, OpenIdError
from monitor.accounts.settings import OpenIdConfig
from monitor.common.credential import CredentialError
from monitor.common.http import RemoteError
from monitor.common.user_name import folded
from monitor.web.console.context import ConsoleContext
from monitor.web.console.origin import BASE, address_of, local_path, secure
from monitor.web.console.pages import page
from monitor.web.console.sessions import SIGN_IN, Reception, patient

__all__ = ["routes"]

log = structlog.get_logger(__name__)

_START, _RETURN = f"{SIGN_IN}/openid", f"{SIGN_IN}/openid/return"
_WITHIN = 600  # seconds to sign in there
_AT_ONCE = 8  # codes that are exchanged at a time
_COOKIE = "monitor_openid"


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """Of sign-in by an issuer, where there is a sign-in."""
    if console.reception is None or console.reception.http is None:
        return []
    shown = _OpenId(console.reception, OpenIdClient(console.reception.http))
    return [web.get(_START, shown.begin), web.get(_RETURN, patient(shown.finish))]


class _OpenId:
    def __init__(self, reception: Reception, client: OpenIdClient) -> None:
        self._reception, self._client, self._under_way = reception, client, 0

    def _config(self) -> OpenIdConfig:
        config = self._reception.settings.openid
        if config is None:
            raise web.HTTPNotFound(text="there is no [console.openid]\n")
        return config

    async def begin(self, request: web.Request) -> web.StreamResponse:
        config, attempt = self._config(), Attempt.fresh()
        base, back = urlsplit(request.app[BASE]), local_path(request.query.get("next", ""))
        if request.headers.get("Host", "").lower() != base.netloc.lower() and "again" not in request.query:
            # The issuer sends people back there, and what this browser gets here would not be sent along. Once only: a
            # proxy may name another host to us.
            asked = urlencode({"next": back, "again": "1"})
            return web.Response(status=303, headers={"Location": f"{request.app[BASE]}{_START}?{asked}"})
        try:
            address = await self._client.address(config, self._redirect(request), attempt)
        except (OpenIdError, RemoteError) as error:
            return await self._refused(request, str(error), 502)
        answer = web.Response(status=303, headers={"Location": address})
        held = {"state": attempt.state, "nonce": attempt.nonce, "verifier": attempt.verifier, "back": back}
        answer.set_cookie(
            self._cookie(request), self._sealed(held | {"until": time.time() + _WITHIN}), max_age=_WITHIN, path="/",
            secure=secure(request), httponly=True, samesite="Lax",
        )  # fmt: skip
        return answer

    async def finish(self, request: web.Request) -> web.StreamResponse:
        config, held = self._config(), self._opened(request.cookies.get(self._cookie(request), ""))
        if held is None:
            return await self._refused(request, "it was not begun in this browser, or took too long", 400)
        if self._under_way >= _AT_ONCE:
            return await self._refused(request, "many sign in at this moment", 503)
        attempt = Attempt(held["state"], held["nonce"], held["verifier"])
        self._under_way += 1
        try:
            told = await self._client.claims(config, self._redirect(request), attempt, request.query)
        except OpenIdError as error:
            return await self._refused(request, str(error), 403)
        except CredentialError as error:
            log.error("console.openid.client_secret", problem=str(error))
            return await self._refused(request, "the client's secret cannot be read here", 503)
        except RemoteError as error:
            return await self._refused(request, f"the issuer: {error}", 502)
        finally:
            self._under_way -= 1
        return await self._entered(request, config, told, held["back"])

    async def _entered(
        self, request: web.Request, config: OpenIdConfig, told: Mapping[str, Any], back: str
    ) -> web.StreamResponse:
        user = told.get(config.claim)
        if not isinstance(user, str) or not user:
            return await self._refused(request, f"the issuer does not say the {config.claim} of who signed in", 403)
        if config.claim == "email" and told.get("email_verified") not in (True, "true"):
            # Or an account with somebody else's address would be them.
            return await self._refused(request, "the issuer has not verified the email address", 403)
        groups = told.get(config.groups, ()) if config.groups else ()
        names = [groups] if isinstance(groups, str) else [one for one in groups if isinstance(one, str)]
        role = self._reception.settings.role_of(names, config.others)
        try:
            who = self._reception.person(user, role)
        except ValueError as error:
            return await self._refused(request, str(error), 403)
        if who is None:
            return await self._refused(request, "whom the issuer signed in is in no list of [console]", 403)
        answer = web.Response(status=303, headers={"Location": back})
        self._forget(request, answer)
        await self._reception.begin(request, answer, folded(user), "openid", role=role)
        log.info("signed in", user=who.name, way="openid", address=self._address(request))
        return answer

    async def _refused(self, request: web.Request, why: str, status: int) -> web.Response:
        self._reception.counts["openid", "refused"] += 1
        log.warning("a sign-in was refused", way="openid", reason=why, address=self._address(request))
        answer = await page(request, "openid.html", status=status, why=why)
        self._forget(request, answer)
        return answer

    def _address(self, request: web.Request) -> str:
        return address_of(request, self._reception.settings.proxies)

    def _redirect(self, request: web.Request) -> str:
        return f"{request.app[BASE]}{_RETURN}"

    # What the browser holds meanwhile: nothing of it is kept here, so nobody can fill it up

    def _cookie(self, request: web.Request) -> str:
        return f"__Host-{_COOKIE}" if secure(request) else _COOKIE

    def _forget(self, request: web.Request, answer: web.StreamResponse) -> None:
        answer.del_cookie(self._cookie(request), path="/", secure=secure(request), httponly=True, samesite="Lax")

    def _sealed(self, held: Mapping[str, Any]) -> str:
        text = base64.urlsafe_b64encode(orjson.dumps(held)).decode()
        return f"{text}.{self._reception.seal('openid', text)}"

    def _opened(self, text: str) -> Mapping[str, Any] | None:
        body, _, seal = text.partition(".")
        if not hmac.compare_digest(seal.encode(), self._reception.seal("openid", body).encode()):
            return None
        held: Mapping[str, Any] = orjson.loads(base64.urlsafe_b64decode(body))
        return held if held["until"] > time.time() else None
