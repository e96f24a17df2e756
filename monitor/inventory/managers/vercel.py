"""Vercel: the environment variables of a project, for each environment they are set in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from pydantic import Field

from monitor.clients.client import AccessError, denied
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ApiManager, ManagerConfig, pages, read_all

__all__ = ["VercelConfig", "VercelManager"]

_ADVICE = {404: "no such project, or the token may not see it: check `project` and `team`"}
_GIVEN = frozenset(("encrypted", "secret", "plain"))  # `sensitive` is never given, `system` is Vercel's own


EXAMPLE = """
#[[inventory]]
#name = "vercel"
#type = "vercel"
#project = "web"
#team = "team_acme"             # default: ""
#token = "credential:vercel"
#server = "https://api.vercel.com"
"""


class VercelConfig(ManagerConfig):
    """Reads variables of a project of Vercel by its [API](https://vercel.com/docs/rest-api), for each environment they
    are set in. Those of type `sensitive` come without their values.

    - `project`: its id or name
    - `team`: the id of the team it belongs to
    - `token`: of the team, one that expires
    - `server`: the address of its API

    **Names** are `ENVIRONMENT/KEY`.
    """

    type: Literal["vercel"]
    project: str = Field(pattern=r"^[\w.-]+$")
    team: str = Field(default="", pattern=r"^[\w-]*$")
    token: Credential
    server: ServerUrl = "https://api.vercel.com"


class VercelManager(ApiManager[VercelConfig]):
    Config: ClassVar[type[ManagerConfig]] = VercelConfig
    advice = _ADVICE

    def held(self) -> AsyncIterator[HeldSecret]:
        return read_all(pages(self.client, "env", self._page), self._read)

    async def doctor(self) -> list[str]:
        if why := await denied(self._page(None)):
            return [f"{why}: give the token access to the team and the project"]
        try:
            body = await self._get("user/tokens/current", "v5/user/tokens/current", {})
        except AccessError:
            return []
        token = self.client.pick("user/tokens/current", body, "token", dict)
        wrong = []
        if any(scope.get("type") == "user" for scope in token.get("scopes") or () if isinstance(scope, dict)):
            wrong.append("the token reaches all that its user may change: use one whose scope is the team")
        if token.get("expiresAt") is None:
            wrong.append("the token never expires: make one that does")
        return wrong

    async def _page(self, until: str | None) -> tuple[list[dict[str, Any]], object]:
        body = await self._get("env", f"v10/projects/{self.config.project}/env", {"until": until} if until else {})
        rows = [row for row in self.client.rows("env", body, "envs") if row.get("type") != "system"]
        following = (body.get("pagination") or {}).get("next")
        return rows, None if following is None else str(following)

    async def _value(self, row: dict[str, Any]) -> str | None:
        if self.client.pick("env", row, "type", str) not in _GIVEN:
            return None
        if row.get("decrypted") is True or row["type"] == "plain":
            return self.client.pick("env", row, "value", str)
        number = quote(self.client.pick("env", row, "id", str), safe="")
        what = f"env {self.client.pick('env', row, 'key', str)}"
        try:
            body = await self._get(what, f"v1/projects/{self.config.project}/env/{number}", {})
        except AccessError:
            return None
        return self.client.pick(what, body, "value", str)

    async def _read(self, row: dict[str, Any]) -> list[HeldSecret]:
        """One for each environment: a key may be set several times, with another value in each."""
        value = await self._value(row)
        targets, key = row.get("target") or [], self.client.pick("env", row, "key", str)
        places = [targets] if isinstance(targets, str) else [*targets, *(row.get("customEnvironmentIds") or [])]
        branch = f"/{row['gitBranch']}" if row.get("gitBranch") else ""
        return [
            HeldSecret(
                f"{place}{branch}/{key}" if place or branch else key,
                None if value is None else value.encode(),
                version=str(row.get("id") or ""),
                created=_milliseconds(row.get("createdAt")),
                rotated=_milliseconds(row.get("updatedAt")),
                environment=str(place),
                tags=(str(row["type"]),),
            )
            for place in places or [""]
        ]

    async def _get(self, what: str, path: str, query: dict[str, str]) -> Any:
        headers = {"Authorization": f"Bearer {self.client.secret(self.config.token, 'token')}"}
        given = {**query, **({"teamId": self.config.team} if self.config.team else {})}
        url = f"{self.config.server}/{path}" + (f"?{urlencode(given)}" if given else "")
        return await self.client.json(what, "GET", url, headers)


def _milliseconds(value: object) -> float | None:
    moment = instant(value) if not isinstance(value, str) else None
    return None if moment is None else moment / 1000.0
