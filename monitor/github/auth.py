"""Two ways to log in: a personal token, or a GitHub App that trades a signed JWT for an hour's installation token."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from monitor.common.credential import Credential, CredentialError
from monitor.common.outside import text, when

__all__ = ["AppAuth", "Auth", "AuthError", "TokenAuth", "digest"]

RENEW = 300.0  # seconds before its end a token is replaced
REREAD = 60.0  # how long a credential's value is used before its file is read again
JWT_LIFE, JWT_BACKDATE = 540, 60  # GitHub allows 10 minutes and asks for a minute's allowance for clocks


class AuthError(Exception):
    """Logging in failed. The message names the reference or the setting, never a value."""


class Auth(Protocol):
    """Gives the token to send. `identity` names whose budget it is; `generation` changes when the token does."""

    generation: int

    async def token(self) -> str: ...
    async def identity(self) -> str: ...
    def rejected(self) -> None:
        """The server answered 401: do not use the same token again without looking."""


def digest(value: str) -> str:
    """A name for a token that cannot be turned back; lives in memory only."""
    return hashlib.sha256(value.encode()).hexdigest()


class TokenAuth:
    """A personal access token, read again now and then so that a rotated file is picked up."""

    def __init__(self, reference: Credential) -> None:
        self.reference = reference
        self.generation = 0
        self._value = ""
        self._read = -REREAD

    async def token(self) -> str:
        if time.monotonic() - self._read >= REREAD:
            try:
                value = await asyncio.to_thread(self.reference.resolve)
            except CredentialError as error:
                raise AuthError(str(error)) from None
            self.generation += value != self._value
            self._value, self._read = value, time.monotonic()
        return self._value

    async def identity(self) -> str:
        return digest(await self.token())

    def rejected(self) -> None:
        self._read = -REREAD


class AppAuth:
    """A GitHub App. `exchange(jwt, installation)` asks for an installation token and returns GitHub's answer."""

    def __init__(
        self,
        app_id: str,
        private_key: Credential,
        installation: Callable[[str], Awaitable[int]],
        exchange: Callable[[str, int], Awaitable[Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app_id, self.private_key = app_id, private_key
        self.generation = 0
        self._installation, self._exchange = installation, exchange
        self._clock = clock  # GitHub's time as far as we know it
        self._id: int | None = None
        self._value = ""
        self._expires = 0.0
        self._lock = asyncio.Lock()

    @property
    def installation_id(self) -> int | None:
        """Known after the first `token`."""
        return self._id

    async def jwt(self) -> str:
        """A token for the App itself (RS256, under ten minutes)."""
        import jwt  # brings cryptography along: eight megabytes that no other part of the daemon needs

        try:
            pem = await asyncio.to_thread(self.private_key.resolve)
        except CredentialError as error:
            raise AuthError(str(error)) from None
        now = int(self._clock())
        claims = {"iat": now - JWT_BACKDATE, "exp": now + JWT_LIFE, "iss": self.app_id}
        try:
            return jwt.encode(claims, pem, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            # The library's message may quote the key's first bytes.
            raise AuthError(f"{self.private_key.shown}: not an RSA private key in PEM form") from None

    async def token(self) -> str:
        async with self._lock:
            if self._clock() >= self._expires - RENEW:
                if self._id is None:
                    self._id = await self._installation(await self.jwt())
                answer = await self._exchange(await self.jwt(), self._id)
                value = text(answer, "token")
                if not value:
                    raise AuthError("GitHub gave no installation token; check the App's id and that it is installed")
                # Never look at its form or length: new ones are long (ghs_ID_JWT).
                self._value, self._expires = value, when(answer, "expires_at") or self._clock() + 3600.0
                self.generation += 1
            return self._value

    async def identity(self) -> str:
        await self.token()
        return f"app:{self.app_id}:{self._id}"  # an installation's quota is its own

    def rejected(self) -> None:
        self._expires = 0.0
