"""OpenID Connect: the code flow with PKCE, as a confidential client. What an issuer says of somebody is believed when
it is signed with a key of its own, for us, now, and for this one sign-in.

authlib is imported at the first sign-in: it takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from monitor.accounts.settings import OpenIdConfig
from monitor.common.http import Http, RemoteError, Reply, in_the_clear

if TYPE_CHECKING:
    from joserfc.jwt import Token

__all__ = ["Attempt", "OpenIdClient", "OpenIdError"]

# Signed with a key that the issuer alone has; whoever knows the client's secret could make the others.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
_SKEW = 60  # seconds by which the issuer's clock may differ from ours
_KEPT = 3600.0  # seconds for which what an issuer says of itself and its keys is not asked again
_AGAIN = 60.0  # seconds from one look at its keys to the next, when one is not known
_MOST = 1 << 20  # bytes of an answer
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OpenIdError(Exception):
    """A sign-in that is not to be believed, or an issuer that cannot be used. The message is safe to log and show."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one sign-in is known by; only the browser that began it has this."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def fresh(cls) -> Attempt:
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(slots=True)
class _Issuer:
    """What it says of itself. `keys`: as they were read `at` (seconds, of the steady clock)."""

    metadata: Mapping[str, Any]
    until: float
    keys: Mapping[str, Any] | None = None
    at: float = 0.0


class OpenIdClient:
    """`now`: in seconds since the epoch. Methods raise OpenIdError, and RemoteError for who cannot be reached."""

    def __init__(self, http: Http, *, now: Callable[[], float] = time.time) -> None:
        self._http, self._now = http, now
        self._issuers: dict[str, _Issuer] = {}

    async def address(self, config: OpenIdConfig, redirect: str, attempt: Attempt) -> str:
        """Where the browser is sent."""
        issuer = await self._issuer(config)
        return await asyncio.to_thread(_address, issuer.metadata, config, redirect, attempt)

    async def claims(
        self, config: OpenIdConfig, redirect: str, attempt: Attempt, answered: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """What the issuer says of who has come back with `answered`, the query of the address."""
        if not hmac.compare_digest(answered.get("state", "").encode(), attempt.state.encode()):
            raise OpenIdError("the answer is to another sign-in than the one that was begun here")
        issuer = await self._issuer(config)
        if answered.get("iss", issuer.metadata["issuer"]) != issuer.metadata["issuer"]:  # RFC 9207
            raise OpenIdError("the answer is of another issuer")
        if "error" in answered:
            denied = answered["error"] in ("access_denied", "login_required", "interaction_required")
            raise OpenIdError("the issuer signed nobody in" if denied else "the issuer refuses what it is asked for")
        code = answered.get("code", "")
        if not code:
            raise OpenIdError("the answer has no code")
        tokens = await self._tokens(issuer, config, redirect, attempt, code)
        told = await self._verified(issuer, config, attempt, tokens)
        return await self._completed(issuer, config, told, tokens)

    async def _issuer(self, config: OpenIdConfig) -> _Issuer:
        known = self._issuers.get(config.issuer)
        if known is not None and time.monotonic() < known.until:
            return known
        metadata = await self._asked(f"{config.issuer}/.well-known/openid-configuration", "about itself")
        if not isinstance(name := metadata.get("issuer"), str) or name.rstrip("/") != config.issuer:
            raise OpenIdError("console.openid.issuer is not what the issuer calls itself")
        for endpoint in _ENDPOINTS:
            _usable(metadata.get(endpoint), endpoint)
        if known is None or known.metadata != metadata:
            known = _Issuer(metadata, 0.0)
        known.until = time.monotonic() + _KEPT
        self._issuers = {config.issuer: known}
        return known

    async def _asked(self, url: str, what: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        reply = await self._http.request(
            "GET", url, None, {"Accept": "application/json", **(headers or {})}, limit=_MOST
        )
        return _object(reply, what)

    async def _tokens(
        self, issuer: _Issuer, config: OpenIdConfig, redirect: str, attempt: Attempt, code: str
    ) -> Mapping[str, Any]:
        from authlib.oauth2.rfc6749.parameters import prepare_token_request

        secret = await asyncio.to_thread(config.client_secret.resolve, "console.openid.client_secret")
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        more: dict[str, str] = {"code": code, "code_verifier": attempt.verifier}
        ways = issuer.metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" in ways:
            pair = f"{quote(config.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            more |= {"client_id": config.client_id, "client_secret": secret}
        body = prepare_token_request("authorization_code", redirect_uri=redirect, **more)
        reply = await self._http.request("POST", issuer.metadata["token_endpoint"], body.encode(), headers, limit=_MOST)
        if reply.status in (400, 401):
            raise OpenIdError("the issuer takes the code or the client's secret for wrong")
        tokens = _object(reply, "for a code")
        if not isinstance(tokens.get("id_token"), str):
            raise OpenIdError("the issuer answered a code without an ID token")
        return tokens

    async def _verified(
        self, issuer: _Issuer, config: OpenIdConfig, attempt: Attempt, tokens: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        for again in (False, True):  # keys change
            keys = await self._keys(issuer, again=again)
            try:
                signed = await asyncio.to_thread(_signed, issuer.metadata, keys, tokens["id_token"])
            except _UnknownKeyError:
                continue
            return _believed(signed, issuer.metadata["issuer"], config, self._now(), {
                "nonce": attempt.nonce, "client_id": config.client_id, "access_token": tokens.get("access_token"),
            })  # fmt: skip
        raise OpenIdError("the ID token is signed with a key that is not the issuer's")

    async def _keys(self, issuer: _Issuer, *, again: bool) -> Mapping[str, Any]:
        age = time.monotonic() - issuer.at
        if issuer.keys is None or age > (_AGAIN if again else _KEPT):
            issuer.keys, issuer.at = await self._asked(issuer.metadata["jwks_uri"], "for its keys"), time.monotonic()
        return issuer.keys

    async def _completed(
        self, issuer: _Issuer, config: OpenIdConfig, told: Mapping[str, Any], tokens: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """With what the issuer says elsewhere, where the ID token lacks what is asked for."""
        lacks = {config.claim, config.groups} - {None} - told.keys()
        url, token = issuer.metadata.get("userinfo_endpoint"), tokens.get("access_token")
        if not lacks or url is None or not isinstance(token, str):
            return told
        _usable(url, "userinfo_endpoint")
        more = await self._asked(url, "about somebody", {"Authorization": f"Bearer {token}"})
        if more.get("sub") != told["sub"]:
            raise OpenIdError("the issuer says something about somebody else")
        # What one document says of an address is not about that of the other.
        verified = (told if "email" in told else more).get("email_verified")
        return {**more, **told, "email_verified": verified}


class _UnknownKeyError(Exception):
    """The key that a token names is not among these."""


def _usable(url: object, name: str) -> None:
    """Raises OpenIdError."""
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or in_the_clear(url):
        raise OpenIdError(f"the issuer's {name} is no address by https")


def _object(reply: Reply, what: str) -> Mapping[str, Any]:
    """Raises RemoteError and OpenIdError."""
    try:
        reply.check()
    except RemoteError as error:
        raise OpenIdError(f"the issuer, asked {what}: {error}") from None
    data = reply.json()
    if not isinstance(data, dict):
        raise OpenIdError(f"the issuer, asked {what}, answered with something else than JSON")
    return data


def _address(metadata: Mapping[str, Any], config: OpenIdConfig, redirect: str, attempt: Attempt) -> str:
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    address: str = prepare_grant_uri(
        metadata["authorization_endpoint"],
        client_id=config.client_id,
        response_type="code",
        redirect_uri=redirect,
        scope=list(config.scope),
        state=attempt.state,
        nonce=attempt.nonce,
        code_challenge=create_s256_code_challenge(attempt.verifier),
        code_challenge_method="S256",
    )
    return address


def _signed(metadata: Mapping[str, Any], keys: Mapping[str, Any], token: str) -> Token:
    """An ID token whose signature holds. Raises OpenIdError and _UnknownKeyError."""
    from joserfc import jwt
    from joserfc.errors import InvalidKeyIdError, JoseError
    from joserfc.jwk import KeySet
    from joserfc.jws import JWSRegistry

    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    registry = JWSRegistry(algorithms=[one for one in _ALGORITHMS if one in offered], strict_check_header=False)
    known: Any = dict(keys)
    try:
        return jwt.decode(token, KeySet.import_key_set(known), registry=registry)
    except InvalidKeyIdError:
        raise _UnknownKeyError from None
    except (JoseError, ValueError, TypeError, KeyError):  # what else keys and tokens of any shape bring about
        raise OpenIdError("the ID token is not to be believed: its signature or its form is wrong") from None


def _believed(
    signed: Token, issuer: str, config: OpenIdConfig, now: float, asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Its claims, when they are of this issuer, for us, now, and for what was asked. Raises OpenIdError."""
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import ClaimError, JoseError

    must = {name: {"essential": True, "value": value} for name, value in (("iss", issuer), ("aud", config.client_id))}
    try:
        told = CodeIDToken(signed.claims, signed.header, must, dict(asked))
        told.validate(now=int(now), leeway=_SKEW)
    except ClaimError as error:
        raise OpenIdError(f"the ID token is not to be believed: its {error.claim} is wrong or missing") from None
    except (JoseError, ValueError, TypeError):
        raise OpenIdError("the ID token is not to be believed: its form is wrong") from None
    return dict(told)
