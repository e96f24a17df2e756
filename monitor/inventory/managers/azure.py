"""Azure Key Vault: every secret of a vault, in its enabled versions."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, model_validator

from monitor.clients.client import AccessError
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret, by_age, counted
from monitor.inventory.managers.base import ApiManager, ManagerConfig, PassingToken, described, read_all

__all__ = ["AzureConfig", "AzureManager"]

_VERSION = "api-version=7.4"
_METADATA = "http://169.254.169.254/metadata/identity/oauth2/token"
_NOBODYS = "secrets/exposure-monitor-doctor/00000000000000000000000000000000"
_ADVICE = {404: "no such vault: check `vault`"}


EXAMPLE = """
#[[inventory]]
#name = "azure"
#type = "azure"                 # Key Vault
#vault = "https://acme.vault.azure.net"
#versions = 2
#tenant = "acme.onmicrosoft.com"  # default: "". These three: an application; else the pod's or machine's identity
#client_id = "3f2a7c1e-0000-4000-8000-000000000000"  # default: ""
#client_secret = "credential:azure-client-secret"
#login = "https://login.microsoftonline.com"
"""


class AzureConfig(ManagerConfig):
    """Reads Azure [Key Vault](https://learn.microsoft.com/azure/key-vault/general/rbac-guide): versions; of a disabled
    one that it exists.

    - `vault`: its address
    - `tenant`, `client_id`, `client_secret` (the identity of the pod or the machine): an application. `client_id`
      alone: which of several identities
    - `login`: where an application logs in
    - `versions`: how many of each secret are read, from the newest

    **Names** are the secrets'. **Least permission** is the role Key Vault Secrets User, or the policy Get and List:

        az role assignment create --assignee PRINCIPAL --role "Key Vault Secrets User" --scope VAULT_ID
    """

    type: Literal["azure"]
    vault: ServerUrl
    tenant: str = Field(default="", pattern=r"^[A-Za-z0-9.-]*$")
    client_id: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    client_secret: Credential | None = None
    login: ServerUrl = "https://login.microsoftonline.com"
    versions: int = Field(default=2, ge=1, le=100)

    @model_validator(mode="after")
    def _whole(self) -> AzureConfig:
        if self.client_secret is not None and not (self.tenant and self.client_id):
            raise ValueError("client_secret needs tenant and client_id")
        return self


class AzureManager(ApiManager[AzureConfig]):
    Config: ClassVar[type[ManagerConfig]] = AzureConfig
    advice = _ADVICE

    def __init__(self, config: AzureConfig) -> None:
        super().__init__(config)
        self._token = PassingToken(self.client, self._enter)
        # The audience of a vault is its cloud: https://NAME.vault.azure.net → https://vault.azure.net
        self._audience = f"https://{(urlsplit(config.vault).hostname or '').partition('.')[2] or 'vault.azure.net'}"

    def held(self) -> AsyncIterator[HeldSecret]:
        return read_all(self._pages("secrets", f"secrets?{_VERSION}&maxresults=25"), self._versions)

    async def doctor(self) -> list[str]:
        try:
            body = await self._json("secrets", f"secrets?{_VERSION}&maxresults=1")
        except AccessError as error:
            return [f"{error}: give it the role Key Vault Secrets User, or the policy Get and List of secrets"]
        wrong = [
            f"it may not read {held.name}: give it the role Key Vault Secrets User"
            for secret in self.client.rows("secrets", body, "value")
            for held in await self._versions(secret)
            if held.value is None and held.standing == "current"
        ]
        # Of a secret that there is not: who may do it is told so, and nothing is written.
        reply = await self._reply("changing a secret", "PATCH", f"{_NOBODYS}?{_VERSION}", b"{}")
        if reply.status == 404:
            wrong.append("it may change secrets, which the monitor never needs: take Set and Delete away")
        return wrong

    async def _versions(self, secret: dict[str, Any]) -> list[HeldSecret]:
        name = self._name("secrets", secret).partition("/")[0]
        path = f"secrets/{quote(name, safe='')}/versions?{_VERSION}&maxresults=25"
        try:
            rows = [row async for page in self._pages(f"{name}/versions", path) for row in page]
        except AccessError:
            return [HeldSecret(name, None)]
        rows.sort(key=lambda row: _when(row, "created") or 0.0, reverse=True)

        versions = []
        for place, row in enumerate(rows[: self.config.versions]):
            version = self._name(f"{name}/versions", row).partition("/")[2]
            usable = (row.get("attributes") or {}).get("enabled", True)
            versions.append(
                HeldSecret(
                    name,
                    await self._value(name, version) if usable else None,
                    version=counted(version, self.config.versions),
                    standing=by_age(place) if usable else "retired",
                    created=_when(rows[-1], "created"),
                    rotated=_when(row, "created"),
                    expires=_when(row, "exp"),
                    **described(row.get("tags") or {}),
                )
            )
        return versions

    async def _value(self, name: str, version: str) -> bytes | None:
        what = f"{name}/{version}"
        try:
            body = await self._json(what, f"secrets/{quote(name, safe='')}/{quote(version, safe='')}?{_VERSION}")
        except AccessError:
            return None
        return self.client.pick(what, body, "value", str).encode()

    def _name(self, what: str, row: dict[str, Any]) -> str:
        """NAME, or NAME/VERSION, of an id: https://VAULT/secrets/NAME/VERSION."""
        name = urlsplit(self.client.pick(what, row, "id", str)).path.removeprefix("/secrets/").strip("/")
        if not name:
            raise self.client.error(what, "the answer is not as documented: an id names no secret")
        return name

    async def _pages(self, what: str, path: str) -> AsyncIterator[list[dict[str, Any]]]:
        following: str | None = path
        while following is not None:
            body = await self._json(what, following)
            yield self.client.rows(what, body, "value")
            link = self.client.onward(what, None, body.get("nextLink"))
            if link is None:
                return
            there = urlsplit(link)
            if _origin(link) != _origin(self.config.vault):
                raise self.client.error(what, "a link leads from the vault to another server")
            following = self.client.onward(what, following, f"{there.path.lstrip('/')}?{there.query}")

    async def _json(self, what: str, path: str) -> Any:
        reply = await self._reply(what, "GET", path)
        self.client.check(what, reply)
        return reply.json()

    async def _reply(self, what: str, method: str, path: str, body: bytes | None = None) -> Any:
        headers = await self._token.header()
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self.client.ask(what, method, f"{self.config.vault}/{path}", headers, body)

    async def _enter(self, what: str) -> Any:
        config = self.config
        given = {"grant_type": "client_credentials", "scope": f"{self._audience}/.default"}
        tenant, client_id = config.tenant, config.client_id
        if config.client_secret is not None:
            given["client_secret"] = self.client.secret(config.client_secret, "client_secret")
        elif file := os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):  # of a pod, by Azure's workload identity
            given["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            given["client_assertion"] = self.client.secret(Credential(f"file:{file}"), "AZURE_FEDERATED_TOKEN_FILE")
            tenant = tenant or os.environ.get("AZURE_TENANT_ID", "")
            client_id = client_id or os.environ.get("AZURE_CLIENT_ID", "")
        else:
            query = {"api-version": "2018-02-01", "resource": self._audience}
            if client_id:
                query["client_id"] = client_id
            server = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST")
            place = f"{server.rstrip('/')}/metadata/identity/oauth2/token" if server else _METADATA
            return await self.client.json(what, "GET", f"{place}?{urlencode(query)}", {"Metadata": "true"})
        given["client_id"] = client_id
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{config.login}/{quote(tenant, safe='')}/oauth2/v2.0/token"
        return await self.client.json(what, "POST", url, form, urlencode(given).encode())


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; Azure writes its links with the port that https has anyway."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _when(row: dict[str, Any], key: str) -> float | None:
    attributes = row.get("attributes")
    return instant(attributes.get(key)) if isinstance(attributes, dict) else None
