"""GitHub's secrets of Actions, Dependabot and Codespaces: names and ages, since no value is ever given out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from monitor.clients.client import AccessError
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.http import Reply
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ApiManager, ManagerConfig

__all__ = ["GitHubActionsConfig", "GitHubActionsManager"]

_PAGE = 100
_ADVICE = {
    403: "give the token read access to secrets (of the repository, of its environments, or of the organisation)",
    404: "no such repository or organisation, or the token may not see it",
}
Store = Literal["actions", "dependabot", "codespaces"]


EXAMPLE = """
#[[inventory]]
#name = "actions"
#type = "github-actions"        # names and ages only
#repo = "acme/gateway"          # or org
#stores = ["actions", "dependabot", "codespaces"]  # default: ["actions"]
#token = "env:GITHUB_TOKEN"
#base_url = "https://api.github.com"
#[[inventory]]
#name = "actions-of-all"
#type = "github-actions"
#org = "acme"
#token = "env:GITHUB_TOKEN"
"""


class GitHubActionsConfig(ManagerConfig):
    """Reads secrets of GitHub by its [API](https://docs.github.com/rest/actions/secrets): of Actions (of environments
    too), Dependabot and Codespaces; never values, but names and ages.

    - `repo`, `org` (one of them): a repository's, with those of its environments, or an organisation's
    - `stores`: also `dependabot`, `codespaces`
    - `token`: fine-grained: *Secrets* (and *Environments*) read; for an organisation *Organization secrets* read
    - `base_url`: GitHub Enterprise Server: `https://HOST/api/v3`

    **Names** are `KEY`, `ENVIRONMENT/KEY`, `STORE/KEY`.
    """

    type: Literal["github-actions"]
    repo: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    org: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    stores: tuple[Store, ...] = Field(default=("actions",), min_length=1)
    token: Credential
    base_url: ServerUrl = "https://api.github.com"  # GHES: https://HOST/api/v3

    @model_validator(mode="after")
    def _one_place(self) -> GitHubActionsConfig:
        if (self.repo is None) == (self.org is None):
            raise ValueError("needs one of repo and org")
        return self


class GitHubActionsManager(ApiManager[GitHubActionsConfig]):
    Config: ClassVar[type[ManagerConfig]] = GitHubActionsConfig
    advice = _ADVICE

    def __init__(self, config: GitHubActionsConfig) -> None:
        super().__init__(config)
        self._place = f"repos/{config.repo}" if config.repo else f"orgs/{config.org}"

    async def held(self) -> AsyncIterator[HeldSecret]:
        for store in self.config.stores:
            async for row in self._all(f"{self._place}/{store}/secrets", "secrets"):
                yield self._held(row, "" if store == "actions" else f"{store}/", "")
        if self.config.repo is None or "actions" not in self.config.stores:
            return
        async for place in self._all(f"{self._place}/environments", "environments"):
            name = self.client.pick("environments", place, "name", str)
            async for row in self._all(f"{self._place}/environments/{quote(name, safe='')}/secrets", "secrets"):
                yield self._held(row, f"{name}/", name)

    async def doctor(self) -> list[str]:
        what = f"{self._place}/{self.config.stores[0]}/secrets"
        reply = await self._ask(what, f"{what}?per_page=1")
        try:
            self.client.check(what, reply)
        except AccessError as error:
            return [str(error)]
        # Only a classic token tells what it may.
        scopes = {scope.strip() for scope in reply.headers.get("X-OAuth-Scopes", "").split(",")} - {""}
        needed = {"repo"} if self.config.repo else {"admin:org"}
        if scopes & needed:
            more = scopes - needed
            said = f"and {', '.join(sorted(more))}, " if more else ""
            return [
                f"the token is a classic one with {', '.join(needed)}, {said}which may write far more than the "
                "monitor reads: use a fine-grained token with read access to secrets"
            ]
        return []

    @staticmethod
    def throttled(reply: Reply) -> bool:
        """GitHub says 403 for a limit as well as for a missing permission."""
        left = reply.headers.get("X-RateLimit-Remaining")
        return reply.status == 403 and ("Retry-After" in reply.headers or left == "0")

    def _held(self, row: dict[str, Any], where: str, environment: str) -> HeldSecret:
        visibility = row.get("visibility")
        return HeldSecret(
            where + self.client.pick("secrets", row, "name", str),
            None,
            created=instant(row.get("created_at")),
            rotated=instant(row.get("updated_at")),
            environment=environment,
            tags=(f"visibility={visibility}",) if isinstance(visibility, str) else (),
        )

    async def _all(self, path: str, key: str) -> AsyncIterator[dict[str, Any]]:
        """Every row of a list. Raises ServiceError when there are fewer than it says."""
        seen, page = 0, 0
        while True:
            page += 1
            reply = await self._ask(path, f"{path}?per_page={_PAGE}&page={page}")
            self.client.check(path, reply)
            body = reply.json()
            rows, total = self.client.rows(path, body, key), self.client.pick(path, body, "total_count", int)
            for row in rows:
                yield row
            seen += len(rows)
            if seen >= total:
                return
            if not rows:
                raise self.client.error(path, f"{seen} of {total} came; what it holds is not known now")

    async def _ask(self, what: str, path: str) -> Reply:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "Authorization": f"Bearer {self.client.secret(self.config.token, 'token')}",
        }
        return await self.client.ask(what, "GET", f"{self.config.base_url}/{path}", headers)
