"""Google Cloud Secret Manager: every secret of a project, in its enabled versions."""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

import orjson
from pydantic import Field

from monitor.clients.client import AccessError
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.http import in_the_clear
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret, by_age, counted
from monitor.inventory.managers.base import ApiManager, ManagerConfig, PassingToken, described, pages, read_all

__all__ = ["GcpConfig", "GcpManager"]

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_METADATA = "computeMetadata/v1/instance/service-accounts/default/token"
_ADVICE = {404: "no such project, or Secret Manager is off there: check `project`"}
_NEEDED = ("secretmanager.versions.list", "secretmanager.versions.access")
_TOO_MUCH = ("secretmanager.versions.add", "secretmanager.versions.destroy", "secretmanager.secrets.delete")


EXAMPLE = """
#[[inventory]]
#name = "gcp"
#type = "gcp"                   # Google Cloud Secret Manager
#project = "acme-production"
#location = "europe-west3"      # default: "". Of regional secrets
#filter = "labels.team:payments"  # default: ""
#versions = 2
#key = "credential:gcp-key"     # a key file; default: the account of the pod or the machine
#server = "https://secretmanager.europe-west3.rep.googleapis.com"  # default: Google's
"""


class GcpConfig(ManagerConfig):
    r"""Reads Google Cloud [Secret Manager](https://cloud.google.com/secret-manager/docs/access-control): enabled
    versions.

    - `project`: its id
    - `location`: of regional secrets
    - `filter`: in Google's [syntax](https://cloud.google.com/secret-manager/docs/filtering)
    - `versions`: how many enabled ones of each secret are read, from the newest
    - `key` (the account of the pod or the machine): a service account's key file (JSON)
    - `server` (Google's): the address of the service

    **Names** are the secrets'. **Least permission**, on the project:

        gcloud projects add-iam-policy-binding PROJECT --member=serviceAccount:ACCOUNT \
          --role=roles/secretmanager.viewer
        gcloud projects add-iam-policy-binding PROJECT --member=serviceAccount:ACCOUNT \
          --role=roles/secretmanager.secretAccessor
    """

    type: Literal["gcp"]
    project: str = Field(pattern=r"^[a-z0-9:.-]{1,100}$")
    location: str = Field(default="", pattern=r"^[a-z0-9-]*$")
    key: Credential | None = None
    filter: str = ""
    versions: int = Field(default=2, ge=1, le=100)
    server: ServerUrl | None = None


class GcpManager(ApiManager[GcpConfig]):
    Config: ClassVar[type[ManagerConfig]] = GcpConfig
    advice = _ADVICE

    def __init__(self, config: GcpConfig) -> None:
        super().__init__(config)
        region = f"{config.location}." if config.location else ""
        self._server = config.server or f"https://secretmanager.{region}{'rep.' if region else ''}googleapis.com"
        self._place = f"projects/{config.project}" + (f"/locations/{config.location}" if region else "")
        self._token = PassingToken(self.client, self._by_key if config.key else self._by_machine)

    def held(self) -> AsyncIterator[HeldSecret]:
        query = {"pageSize": "250", **({"filter": self.config.filter} if self.config.filter else {})}
        return read_all(self._pages("secrets", self._place, query), self._versions)

    async def doctor(self) -> list[str]:
        try:
            first, _ = await self._page("secrets", self._place, {"pageSize": "1"})
        except AccessError as error:
            return [f"{error}: grant roles/secretmanager.viewer on the project"]
        if not first:
            return []
        name = self.client.pick("secrets", first[0], "name", str)
        asked = orjson.dumps({"permissions": [*_NEEDED, *_TOO_MUCH]})
        body = await self._ask("testIamPermissions", "POST", f"{name}:testIamPermissions", body=asked)
        may = set(body.get("permissions") or ()) if isinstance(body, dict) else set()
        roles = {"secretmanager.versions.list": "viewer", "secretmanager.versions.access": "secretAccessor"}
        wrong = [f"it lacks {one}: grant roles/secretmanager.{roles[one]}" for one in _NEEDED if one not in may]
        return wrong + [f"it has {one}, which the monitor never needs" for one in _TOO_MUCH if one in may]

    async def _versions(self, secret: dict[str, Any]) -> list[HeldSecret]:
        name = self.client.pick("secrets", secret, "name", str)
        short = name.rpartition("/")[2]
        wanted: list[dict[str, Any]] = []
        query = {"filter": "state:ENABLED", "pageSize": str(self.config.versions)}
        try:
            async for page in self._pages("versions", name, query):
                wanted += page  # the newest first
                if len(wanted) >= self.config.versions:
                    break
        except AccessError:
            return [HeldSecret(short, None)]
        versions = []
        for place, version in enumerate(wanted[: self.config.versions]):
            full = self.client.pick(f"{short}/versions", version, "name", str)
            versions.append(
                HeldSecret(
                    short,
                    await self._value(short, full),
                    version=counted(full.rpartition("/")[2], self.config.versions),
                    standing=by_age(place),
                    created=instant(secret.get("createTime")),
                    rotated=instant(version.get("createTime")),
                    expires=instant(secret.get("expireTime")),
                    **described(secret.get("labels") or {}),
                )
            )
        return versions

    async def _value(self, short: str, version: str) -> bytes | None:
        what = f"{short}:access"
        try:
            body = await self._ask(what, "GET", f"{version}:access")
        except AccessError:
            return None
        payload = self.client.pick(what, body, "payload", dict)
        try:
            return base64.b64decode(payload.get("data") or "", validate=True)
        except (binascii.Error, TypeError):
            raise self.client.error(what, "the payload is no base64") from None

    def _pages(self, kind: str, parent: str, query: dict[str, str]) -> AsyncIterator[list[dict[str, Any]]]:
        def page(token: str | None) -> Awaitable[tuple[list[dict[str, Any]], object]]:
            return self._page(kind, parent, {**query, **({"pageToken": token} if token else {})})

        return pages(self.client, f"{parent}/{kind}", page)

    async def _page(self, kind: str, parent: str, query: dict[str, str]) -> tuple[list[dict[str, Any]], object]:
        """A page of a list, and where the next begins. By the documentation an empty list is left out."""
        what = f"{parent}/{kind}"
        body = await self._ask(what, "GET", f"{what}?{urlencode(query)}")
        if not isinstance(body, dict) or body.keys() - {kind, "nextPageToken", "totalSize", "unreachable"}:
            raise self.client.error(what, "the answer is not as documented; what it holds is not known now")
        return self.client.rows(what, body, kind) if kind in body else [], body.get("nextPageToken")

    async def _ask(self, what: str, method: str, path: str, body: bytes | None = None) -> Any:
        headers = await self._token.header()
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self.client.json(what, method, f"{self._server}/v1/{path}", headers, body)

    async def _by_machine(self, what: str) -> Any:
        host = os.environ.get("GCE_METADATA_HOST", "169.254.169.254")
        return await self.client.json(what, "GET", f"http://{host}/{_METADATA}", {"Metadata-Flavor": "Google"})

    async def _by_key(self, what: str) -> Any:
        import jwt

        assert self.config.key is not None
        try:
            account = orjson.loads(self.client.secret(self.config.key, "key"))
            server = account.get("token_uri") or "https://oauth2.googleapis.com/token"
            now = int(time.time())
            claims = {"iss": account["client_email"], "scope": _SCOPE, "aud": server, "iat": now, "exp": now + 3600}
            kid = {"kid": account["private_key_id"]} if account.get("private_key_id") else None
            proof = jwt.encode(claims, account["private_key"], "RS256", kid)
        except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError):
            proof = ""
        if not proof or in_the_clear(server):  # outside of the handler: the original may quote the key
            raise self.client.error(what, "`key` is no service account's key file")
        given = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": proof}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.client.json(what, "POST", server, form, urlencode(given).encode())
