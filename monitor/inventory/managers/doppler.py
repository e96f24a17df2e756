"""Doppler: the secrets of a config, or of all the configs of a project."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import model_validator

from monitor.clients.client import AccessError
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ApiManager, ManagerConfig

__all__ = ["DopplerConfig", "DopplerManager"]

_PAGE = 20
_ADVICE = {400: "check `project` and `config`", 404: "no such project or config, or the token may not see it"}
_DOPPLERS_OWN = frozenset(("DOPPLER_PROJECT", "DOPPLER_ENVIRONMENT", "DOPPLER_CONFIG"))
_BROAD = {"personal": "a personal token", "cli": "a token of the command line tool"}


EXAMPLE = """
#[[inventory]]
#name = "doppler"
#type = "doppler"
#token = "credential:doppler"   # a service token knows its config
#project = "gateway"            # default: "". With a project alone: all its configs
#config = "prd"                 # default: ""
#server = "https://api.doppler.com"
"""


class DopplerConfig(ManagerConfig):
    """Reads Doppler by its [API](https://docs.doppler.com/reference/api): values after references to others are filled
    in, unless they are restricted.

    - `token`: a read-only service token; for all configs of a project, a service account that may read it
    - `project`, `config` (the service token's): a `project` alone: all its configs
    - `server`: the address of its API

    **Names** are `KEY`, or `CONFIG/KEY`.
    """

    type: Literal["doppler"]
    token: Credential
    project: str = ""
    config: str = ""
    server: ServerUrl = "https://api.doppler.com"

    @model_validator(mode="after")
    def _whole(self) -> DopplerConfig:
        if self.config and not self.project:
            raise ValueError("config needs project")
        return self


class DopplerManager(ApiManager[DopplerConfig]):
    Config: ClassVar[type[ManagerConfig]] = DopplerConfig
    advice = _ADVICE

    async def held(self) -> AsyncGenerator[HeldSecret, None]:
        config = self.config
        if not config.project or config.config:
            where = {"project": config.project, "config": config.config} if config.project else {}
            async for held in self._secrets(where, "", ""):
                yield held
            return
        async for found in self._configs():
            name = self.client.pick("configs", found, "name", str)
            where = {"project": config.project, "config": name}
            async for held in self._secrets(where, f"{name}/", str(found.get("environment") or "")):
                yield held

    async def doctor(self) -> list[str]:
        wrong = []
        me = await self._get("me", {})
        kind = str(me.get("type") or "") if isinstance(me, dict) else ""
        if kind in _BROAD:
            wrong.append(f"the token is {_BROAD[kind]}, which may change all that its owner may: use a service token")
        try:
            async with contextlib.aclosing(self.held()) as held:
                await anext(held, None)
        except AccessError as error:
            wrong.append(f"{error}: give the token read access to the config")
        return wrong

    async def _configs(self) -> AsyncIterator[dict[str, Any]]:
        page = 0
        while True:
            page += 1
            given = {"project": self.config.project, "page": str(page), "per_page": str(_PAGE)}
            rows = self.client.rows("configs", await self._get("configs", given), "configs")
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return

    async def _secrets(self, where: dict[str, str], before: str, environment: str) -> AsyncIterator[HeldSecret]:
        what = "configs/config/secrets"
        body = await self._get(what, {**where, "include_dynamic_secrets": "false"})
        for name, about in self.client.pick(what, body, "secrets", dict).items():
            if name in _DOPPLERS_OWN:
                continue
            if not isinstance(about, dict) or "computed" not in about:
                raise self.client.error(what, "the answer is not as documented; what it holds is not known now")
            # What it is after references to others are filled in; None where its visibility is restricted.
            value = about["computed"]
            visibility = about.get("computedVisibility")
            yield HeldSecret(
                before + name,
                value.encode() if isinstance(value, str) else None,
                environment=environment,
                tags=(f"visibility={visibility}",) if isinstance(visibility, str) else (),
            )

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        headers = {
            "Authorization": f"Bearer {self.client.secret(self.config.token, 'token')}",
            "Accept": "application/json",
        }
        url = f"{self.config.server}/v3/{path}" + (f"?{urlencode(query)}" if query else "")
        return await self.client.json(path, "GET", url, headers)
