"""Fly.io: names, ages and digests of an app's secrets; values are only given to its machines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from monitor.clients.client import denied
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ApiManager, ManagerConfig

__all__ = ["FlyConfig", "FlyManager"]

_ADVICE = {404: "no such app, or the token may not see it: check `apps`"}


EXAMPLE = """
#[[inventory]]
#name = "fly"
#type = "fly"                   # names, ages and digests only
#apps = ["gateway"]
#token = "credential:fly"
#server = "https://api.machines.dev"
"""


class FlyConfig(ManagerConfig):
    """Reads the secrets of apps of Fly.io by its [API](https://fly.io/docs/machines/api/): never values, but names,
    ages and a digest, by which a change is seen.

    - `apps`: their names
    - `token`: a read-only token of the organisation
    - `server`: the address of its API

    **Names** are `APP/KEY`.
    """

    type: Literal["fly"]
    apps: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")], ...] = Field(min_length=1)
    token: Credential
    server: ServerUrl = "https://api.machines.dev"


class FlyManager(ApiManager[FlyConfig]):
    Config: ClassVar[type[ManagerConfig]] = FlyConfig
    advice = _ADVICE

    async def held(self) -> AsyncIterator[HeldSecret]:
        for app in self.config.apps:
            for row in await self._secrets(app):
                yield HeldSecret(
                    f"{app}/{self.client.pick(app, row, 'name', str)}",
                    None,
                    created=instant(row.get("created_at")),
                    rotated=instant(row.get("updated_at")),
                    digest=str(row.get("digest") or ""),
                )

    async def doctor(self) -> list[str]:
        return [
            f"{why}: make a read-only token (fly tokens create readonly), or name it in `apps` no more"
            for app in self.config.apps
            if (why := await denied(self._secrets(app)))
        ]

    async def _secrets(self, app: str) -> list[dict[str, Any]]:
        token = self.client.secret(self.config.token, "token")
        # A macaroon says itself how it is sent.
        headers = {"Authorization": token if token.startswith("FlyV1 ") else f"Bearer {token}"}
        body = await self.client.json(app, "GET", f"{self.config.server}/v1/apps/{app}/secrets", headers)
        return self.client.rows(app, body, "secrets")
