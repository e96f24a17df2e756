"""Supabase: which keys a project has, by its Management API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from monitor.clients.client import AccessError, denied
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret, Standing
from monitor.inventory.managers.base import ApiManager, ManagerConfig, expiry

__all__ = ["SupabaseConfig", "SupabaseManager"]

_ADVICE = {401: "the token was refused: it may have expired or been revoked", 404: "no such project: check `project`"}
_STANDINGS: dict[str, Standing] = {"previously_used": "previous", "revoked": "retired"}


EXAMPLE = """
#[[inventory]]
#name = "supabase"
#type = "supabase"
#project = "abcdefghijklmnopqrst"
#token = "credential:supabase"
#server = "https://api.supabase.com"
"""


class SupabaseConfig(ManagerConfig):
    """Reads a project of Supabase by its [API](https://supabase.com/docs/guides/api/api-keys): API keys, legacy ones
    too; signing keys and their state; the JWT secret; edge functions' secrets; that there is a database password.
    Values are those of secret keys, `service_role` and the JWT secret. Publishable and `anon` keys are public: listed,
    never looked for.

    - `project`: its reference, the twenty letters in its address
    - `token`: with `secrets:read`, `auth:read`, `rest:read`; a personal token may all that its account may, so take an
      account of this project alone
    - `server`: the address of its API

    **Names** are `api-keys/NAME`, `legacy/NAME`, …
    """

    type: Literal["supabase"]
    project: str = Field(pattern=r"^[a-z0-9]{20}$")
    token: Credential
    server: ServerUrl = "https://api.supabase.com"


class SupabaseManager(ApiManager[SupabaseConfig]):
    """Publishable and anon keys are public: they are listed, and their values are not kept."""

    Config: ClassVar[type[ManagerConfig]] = SupabaseConfig
    advice = _ADVICE

    async def held(self) -> AsyncIterator[HeldSecret]:
        legacy = await self._get("api-keys/legacy", empty=404)  # of a project that never had any
        legacy_works = legacy is None or self.client.pick("api-keys/legacy", legacy, "enabled", bool)
        for key in self.client.rows("api-keys", await self._get("api-keys?reveal=true")):
            yield self._key(key, legacy_works)

        keys = await self._get("config/auth/signing-keys", empty=404)
        for key in self.client.rows("config/auth/signing-keys", keys, "keys") if keys is not None else ():
            yield self._signing_key(key)
        yield await self._jwt_secret()

        for row in self.client.rows("secrets", await self._get("secrets")):
            name = self.client.pick("secrets", row, "name", str)
            digest = str(row.get("value") or "")
            yield HeldSecret(f"edge-functions/{name}", None, rotated=instant(row.get("updated_at")), digest=digest)
        yield HeldSecret("database-password", None)

    async def doctor(self) -> list[str]:
        scopes = {
            "api-keys?reveal=true": "secrets:read",
            "secrets": "secrets:read",
            "config/auth/signing-keys": "auth:read",
            "postgrest": "rest:read",
        }
        wrong = [
            f"{why}: give the token {scope}" for path, scope in scopes.items() if (why := await denied(self._get(path)))
        ]
        try:
            projects = self.client.rows("projects", await self._ask("projects", "projects"))
        except AccessError:
            projects = []
        if others := [row for row in projects if row.get("id", row.get("ref")) != self.config.project]:
            wrong.append(
                f"the token reaches {len(others)} more project(s): use one of an account that is a member of this "
                "project alone"
            )
        return wrong

    def _key(self, key: dict[str, Any], legacy_works: bool) -> HeldSecret:
        name = self.client.pick("api-keys", key, "name", str)
        kind = str(key.get("type") or "legacy")
        public = kind == "publishable" or (kind == "legacy" and name == "anon")
        value = key.get("api_key")
        given = value.encode() if isinstance(value, str) and not public else None
        return HeldSecret(
            f"{'legacy' if kind == 'legacy' else 'api-keys'}/{name}",
            given,
            version=str(key.get("id") or ""),
            standing="retired" if kind == "legacy" and not legacy_works else "current",
            created=instant(key.get("inserted_at")),
            rotated=instant(key.get("updated_at")) or instant(key.get("inserted_at")),
            expires=expiry(str(value)) if kind == "legacy" else None,
            tags=(kind, "public") if public else (kind,),
            digest=str(key.get("hash") or ""),
        )

    def _signing_key(self, key: dict[str, Any]) -> HeldSecret:
        """Of a signing key the private part is never given."""
        status = self.client.pick("config/auth/signing-keys", key, "status", str)
        number = self.client.pick("config/auth/signing-keys", key, "id", str)
        return HeldSecret(
            "jwt-signing-key" if status == "in_use" else f"jwt-signing-key/{number}",
            None,
            version=number,
            standing=_STANDINGS.get(status, "current"),
            created=instant(key.get("created_at")),
            rotated=instant(key.get("created_at")),
            tags=(str(key.get("algorithm") or ""), status),
        )

    async def _jwt_secret(self) -> HeldSecret:
        """What the legacy keys are signed with; it stands in the settings of PostgREST."""
        try:
            settings = await self._get("postgrest")
        except AccessError:
            return HeldSecret("jwt-secret", None)
        if not isinstance(settings, dict):
            raise self.client.error("postgrest", "the answer is not as documented; what it holds is not known now")
        secret = settings.get("jwt_secret")
        return HeldSecret("jwt-secret", secret.encode() if isinstance(secret, str) and secret else None)

    async def _get(self, path: str, *, empty: int = 0) -> Any:
        return await self._ask(path.partition("?")[0], f"projects/{self.config.project}/{path}", empty=empty)

    async def _ask(self, what: str, path: str, *, empty: int = 0) -> Any:
        headers = {"Authorization": f"Bearer {self.client.secret(self.config.token, 'token')}"}
        return await self.client.json(what, "GET", f"{self.config.server}/v1/{path}", headers, empty=empty)
