"""Railway: the variables of an environment, shared ones and those of each service, by its GraphQL API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal

import orjson
from pydantic import model_validator

from monitor.clients.client import AccessError, ServiceError
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ApiManager, ManagerConfig

__all__ = ["RailwayConfig", "RailwayManager"]

_OF_TOKEN = "query { projectToken { projectId environmentId } }"  # noqa: S105 # no password
_ME = "query { me { id } }"
_SERVICES = """
query services($project: String!, $after: String) {
  project(id: $project) {
    services(first: 100, after: $after) { edges { node { id name } } pageInfo { hasNextPage endCursor } }
  }
}"""
_KNOWN = """
query known($project: String!, $environment: String!, $after: String) {
  environment(id: $environment, projectId: $project) {
    name
    variables(first: 500, after: $after) {
      edges { node { name serviceId isSealed createdAt updatedAt } } pageInfo { hasNextPage endCursor }
    }
  }
}"""
_VALUES = """
query values($project: String!, $environment: String!, $service: String) {
  variables(projectId: $project, environmentId: $environment, serviceId: $service)
}"""


EXAMPLE = """
#[[inventory]]
#name = "railway"
#type = "railway"
#project_token = "credential:railway"  # or token, project and environment_id
#server = "https://backboard.railway.com/graphql/v2"
#[[inventory]]
#name = "railway-by-workspace"
#type = "railway"
#token = "credential:railway-workspace"
#project = "6f2a7c1e-0000-4000-8000-000000000001"  # default: "". The token's
#environment_id = "6f2a7c1e-0000-4000-8000-000000000002"  # default: ""
"""


class RailwayConfig(ManagerConfig):
    """Reads Railway by its [API](https://docs.railway.com/integrations/api): shared variables and those of every
    service. Sealed ones come without their values.

    - `project_token` (this, or the next three): of one environment
    - `token`, `project`, `environment_id`: a workspace's token, and the ids
    - `server`: the address of its API

    **Names** are `KEY`, or `SERVICE/KEY`.
    """

    type: Literal["railway"]
    project_token: Credential | None = None
    token: Credential | None = None
    project: str = ""
    environment_id: str = ""
    server: ServerUrl = "https://backboard.railway.com/graphql/v2"

    @model_validator(mode="after")
    def _one_token(self) -> RailwayConfig:
        if (self.project_token is None) == (self.token is None):
            raise ValueError("needs one of project_token and token")
        if self.token is not None and not (self.project and self.environment_id):
            raise ValueError("token needs project and environment_id")
        return self


class RailwayManager(ApiManager[RailwayConfig]):
    Config: ClassVar[type[ManagerConfig]] = RailwayConfig

    async def held(self) -> AsyncIterator[HeldSecret]:
        where = await self._place()
        services: dict[str | None, str] = {None: ""}
        async for _, node in self._nodes("services", _SERVICES, {"project": where["project"]}, "project", "services"):
            number = self.client.pick("services", node, "id", str)
            services[number] = f"{self.client.pick('services', node, 'name', str)}/"
        known: dict[tuple[str | None, str], dict[str, Any]] = {}
        environment = ""
        async for around, node in self._nodes("variables", _KNOWN, where, "environment", "variables"):
            environment = str(around.get("name") or "")
            known[node.get("serviceId"), self.client.pick("variables", node, "name", str)] = node

        for service, before in services.items():
            answer = await self._ask(f"variables of {before or 'all services'}", _VALUES, {**where, "service": service})
            values = self.client.pick("variables", answer, "variables", dict)
            sealed = {name for number, name in known if number == service} - values.keys()
            for name in [*values, *sorted(sealed)]:
                if name.startswith("RAILWAY_"):
                    continue  # set by Railway itself: names and addresses
                value, node = values.get(name), known.get((service, name), {})
                yield HeldSecret(
                    before + name,
                    value.encode() if isinstance(value, str) and not node.get("isSealed") else None,
                    created=instant(node.get("createdAt")),
                    rotated=instant(node.get("updatedAt")),
                    environment=environment,
                    tags=("sealed",) if node.get("isSealed") else (),
                )

    async def doctor(self) -> list[str]:
        try:
            await self._ask("variables", _VALUES, {**await self._place(), "service": None})
        except AccessError as error:
            return [f"{error}: make a token for this project and environment"]
        if self.config.token is None:
            return []
        try:
            await self._ask("me", _ME, {})
        except ServiceError:
            return ["the token is one of a workspace, which may change every project in it: use a project_token"]
        return ["the token is one of an account, which may change all that its user may: use a project_token"]

    async def _place(self) -> dict[str, Any]:
        if self.config.project_token is None:
            return {"project": self.config.project, "environment": self.config.environment_id}
        answer = await self._ask("projectToken", _OF_TOKEN, {})
        found = self.client.pick("projectToken", answer, "projectToken", dict)
        project, environment = (
            self.client.pick("projectToken", found, f"{key}Id", str) for key in ("project", "environment")
        )
        return {"project": project, "environment": environment}

    async def _nodes(
        self, what: str, query: str, given: dict[str, Any], outer: str, inner: str
    ) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Every node of a connection, with what is around it."""
        after = None
        while True:
            around = self.client.pick(what, await self._ask(what, query, {**given, "after": after}), outer, dict)
            connection = self.client.pick(what, around, inner, dict)
            for edge in self.client.rows(what, connection, "edges"):
                yield around, self.client.pick(what, edge, "node", dict)
            about = self.client.pick(what, connection, "pageInfo", dict)
            if not about.get("hasNextPage"):
                return
            after = self.client.onward(what, after, about.get("endCursor"))
            if after is None:
                raise self.client.error(
                    what, "the answer does not lead on to a next page; what it holds is not known now"
                )

    async def _ask(self, what: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of an answer. Raises ServiceError when there is an error in it, even if some of it came."""
        config = self.config
        headers = {"Content-Type": "application/json"}
        if config.project_token is not None:
            headers["Project-Access-Token"] = self.client.secret(config.project_token, "project_token")
        else:
            assert config.token is not None
            headers["Authorization"] = f"Bearer {self.client.secret(config.token, 'token')}"
        body = orjson.dumps({"query": query, "variables": variables})
        answer = await self.client.json(what, "POST", config.server, headers, body)
        if isinstance(answer, dict) and answer.get("errors"):
            failure = self.client.error(what, "the answer is an error, or only a part")
            raise AccessError(f"{failure}: the token may not see that") if _unauthorised(answer["errors"]) else failure
        return self.client.pick(what, answer, "data", dict)


def _unauthorised(errors: Any) -> bool:
    return isinstance(errors, list) and any(
        isinstance(error, dict) and "not authorized" in str(error.get("message")).lower() for error in errors
    )
