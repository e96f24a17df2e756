"""Environments and default permissions of workflows, as GitHub's REST API has them; part of `FakeGitHub`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from githubkit_schemas.v2026_03_10 import models
from githubkit_schemas.v2026_03_10.rest.actions import ActionsClient
from githubkit_schemas.v2026_03_10.rest.repos import ReposClient

__all__ = ["ANSWERS", "METHODS", "Deploys", "environment"]

METHODS = {
    "environments": ReposClient.get_all_environments,
    "policies": ReposClient.list_deployment_branch_policies,
    "apps": ReposClient.get_all_deployment_protection_rules,
    "branches": ReposClient.list_branches,
    "workflow": ActionsClient.get_github_actions_default_workflow_permissions_repository,
}
_UNDER = "ReposOwnerRepoEnvironmentsEnvironmentName"
ANSWERS = {
    "environments": models.ReposOwnerRepoEnvironmentsGetResponse200,
    "policies": getattr(models, f"{_UNDER}DeploymentBranchPoliciesGetResponse200"),
    "apps": getattr(models, f"{_UNDER}DeploymentProtectionRulesGetResponse200"),
    "branches": list[models.ShortBranch],
    "workflow": models.ActionsGetDefaultWorkflowPermissions,
}
_NONE = (404, "error", {"message": "Not Found", "status": "404"}, {})


def environment(name: str, **more: Any) -> dict[str, Any]:
    """Guarded by everything, but for what is given: `reviewers`, `alone`, `wait`, `bypass`, `branches`."""
    reviewers = [{"type": "Team", "reviewer": {"id": number}} for number in range(more.get("reviewers", 1))]
    rules: list[dict[str, Any]] = [{"id": 3, "node_id": "c", "type": "branch_policy"}]
    if reviewers:
        alone = more.get("alone", True)
        rule = {"id": 1, "node_id": "a", "type": "required_reviewers", "reviewers": reviewers}
        rules.append(rule if alone is None else {**rule, "prevent_self_review": alone})
    if wait := more.get("wait", 0):
        rules.append({"id": 2, "node_id": "b", "type": "wait_timer", "wait_timer": wait})
    branches = more.get("branches", "protected")
    policy = {"protected_branches": branches == "protected", "custom_branch_policies": branches == "custom"}
    moment = "2026-01-01T00:00:00Z"
    body = {"id": 1, "node_id": "x", "name": name, "url": "https://github.test/e", "html_url": "https://github.test/e"}
    body |= {"created_at": moment, "updated_at": moment, "protection_rules": rules}
    body["deployment_branch_policy"] = None if branches == "any" else policy
    return body | ({} if more.get("bypass", False) is None else {"can_admins_bypass": more.get("bypass", False)})


@dataclass
class Deploys:
    """By repository: its environments, what its workflows' tokens may do (None: nobody may see it), its protected
    branches. By (repository, environment): patterns of branches, and Apps that decide."""

    environments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    workflow: dict[str, tuple[str, bool] | None] = field(default_factory=dict)
    protected: dict[str, list[str]] = field(default_factory=dict)
    policies: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    apps: dict[tuple[str, str], list[bool]] = field(default_factory=dict)
    short: int = 0  # so many environments fewer than it says

    def routes(self) -> list[tuple[str, Any]]:
        at = "/repos/{owner}/{repo}"
        return [
            (f"{at}/environments", self._environments),
            (f"{at}/environments/{{name}}/deployment-branch-policies", self._policies),
            (f"{at}/environments/{{name}}/deployment_protection_rules", self._apps),
            (f"{at}/branches", self._branches),
            (f"{at}/actions/permissions/workflow", self._workflow),
            ("/orgs/{org}/actions/permissions/workflow", self._workflow),
        ]

    async def _environments(self, request: web.Request, query: dict[str, str]) -> Any:
        rows = self.environments.get(_repository(request), [])
        page, headers = _page(request, rows[: len(rows) - self.short], query)
        return 200, "environments", {"total_count": len(rows), "environments": page}, headers

    async def _policies(self, request: web.Request, query: dict[str, str]) -> Any:
        names = self.policies.get((_repository(request), request.match_info["name"]))
        if names is None:
            return _NONE
        rows = [{"id": number, "name": name, "type": "branch"} for number, name in enumerate(names)]
        page, headers = _page(request, rows, query)
        return 200, "policies", {"total_count": len(rows), "branch_policies": page}, headers

    async def _apps(self, request: web.Request, query: dict[str, str]) -> Any:
        app = {"id": 1, "node_id": "a", "slug": "gate", "integration_url": "https://github.test/app"}
        enabled = self.apps.get((_repository(request), request.match_info["name"]), [])
        rows = [{"id": 7, "node_id": "r", "enabled": on, "app": app} for on in enabled]
        return 200, "apps", {"total_count": len(rows), "custom_deployment_protection_rules": rows}, {}

    async def _branches(self, request: web.Request, query: dict[str, str]) -> Any:
        commit = {"sha": "a" * 40, "url": "https://github.test/c"}
        names = self.protected.get(_repository(request), ["main"])
        page, headers = _page(request, [{"name": one, "commit": commit, "protected": True} for one in names], query)
        return 200, "branches", page, headers

    async def _workflow(self, request: web.Request, query: dict[str, str]) -> Any:
        found = self.workflow.get(request.match_info.get("org") or _repository(request), ("read", False))
        if found is None:
            return 403, "error", {"message": "Must have admin rights to Repository.", "status": "403"}, {}
        level, approves = found
        return (
            200,
            "workflow",
            {"default_workflow_permissions": level, "can_approve_pull_request_reviews": approves},
            {},
        )


def _repository(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['repo']}"


def _page(request: web.Request, rows: list[Any], query: dict[str, str]) -> tuple[list[Any], dict[str, str]]:
    size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
    headers = {}
    if len(rows) > size * number:
        headers["Link"] = f'<{request.url.update_query(page=str(number + 1))}>; rel="next"'
    return rows[(number - 1) * size : number * size], headers
