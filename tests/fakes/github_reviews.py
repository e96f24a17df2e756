"""Requests to reviewers, as GitHub Enterprise Cloud's REST API has them; part of `FakeGitHub`.

The description of api.github.com leaves these operations out, so that githubkit's package for it has no models: these
are after the description of Enterprise Cloud, where no field of an answer is required.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ANSWERS", "QUERIES", "ReviewRequests"]

_Period = Literal["hour", "day", "week", "month"]
_PERIODS = {"hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0, "month": 30 * 86_400.0}
_Closed = Literal["completed", "cancelled", "approved", "expired", "denied"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Query(_Strict):
    reviewer: str | None = None
    requester: str | None = None
    repository_name: str | None = None
    organization_name: str | None = None
    time_period: _Period | None = None
    per_page: int | None = Field(None, ge=1, le=100)
    page: int | None = Field(None, ge=1)


class _BypassQuery(_Query):
    request_status: _Closed | Literal["deleted", "open", "all"] | None = None


class _DismissalQuery(_Query):
    request_status: _Closed | Literal["open", "all"] | None = None


class _Named(_Strict):
    id: int
    name: str
    full_name: str | None = None


class _Actor(_Strict):
    actor_id: int
    actor_name: str


class _BypassData(_Strict):
    secret_type: str
    bypass_reason: Literal["used_in_tests", "false_positive", "fix_later"]
    path: str
    branch: str


class _DismissalData(_Strict):
    secret_type: str
    alert_number: str
    reason: Literal["fixed_later", "false_positive", "tests", "revoked"]


class _Request(_Strict):
    id: int
    number: int
    repository: _Named
    organization: _Named
    requester: _Actor
    request_type: str
    resource_identifier: str
    status: _Closed | Literal["pending", "open"]
    requester_comment: str | None
    expires_at: datetime
    created_at: datetime
    responses: list[dict[str, Any]]
    url: str
    html_url: str


class _Bypass(_Request):
    data: list[_BypassData]


class _Dismissal(_Request):
    data: list[_DismissalData]


QUERIES: dict[str, type[BaseModel]] = {"bypass": _BypassQuery, "dismissal": _DismissalQuery}
ANSWERS: dict[str, Any] = {"bypass": list[_Bypass], "dismissal": list[_Dismissal]}


@dataclass
class ReviewRequests:
    """`requests`: by kind. `off`: targets where nobody has to ask; `refused`: whose reviewer the token is not."""

    requests: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"bypass": [], "dismissal": []})
    off: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def add(self, kind: str, repo: str, expires: float, **more: Any) -> dict[str, Any]:
        """`expires`: in so many seconds. `status`, `created` (seconds ago), `comment`, `alert`, `who`."""
        rows, owner = self.requests[kind], repo.partition("/")[0]
        number, now = len(rows) + 1, time.time()
        html = f"https://github.test/{repo}/security/{kind}/{number}"
        row = {"secret_type": "slack_api_token"}
        if kind == "bypass":
            row |= {"bypass_reason": "fix_later", "path": more.get("path", "config/app.env"), "branch": "main"}
        else:
            row |= {"alert_number": str(more.get("alert", 7)), "reason": "false_positive"}
        made = {
            "id": 1000 + number,
            "number": number,
            "repository": {"id": 1, "name": repo.partition("/")[2], "full_name": repo},
            "organization": {"id": 2, "name": owner},
            "requester": {"actor_id": 3, "actor_name": more.get("who", "anna")},
            "request_type": "secret_scanning" if kind == "bypass" else "secret_scanning_closure",
            "data": [row],
            "resource_identifier": "a" * 40 if kind == "bypass" else str(more.get("alert", 7)),
            "status": more.get("status", "pending" if kind == "dismissal" else "open"),
            "requester_comment": more.get("comment"),
            "expires_at": _iso(now + expires),
            "created_at": _iso(now - more.get("created", 60.0)),
            "responses": [],
            "url": f"https://github.test/api/{kind}/{number}",
            "html_url": html,
        }
        rows.append(made)
        return made

    def routes(self) -> list[tuple[str, Any]]:
        places = ("/orgs/{org}", "/repos/{owner}/{repo}", "/enterprises/{enterprise}")
        return [
            (f"{place}/{kind}-requests/secret-scanning", handler)
            for place in places
            for kind, handler in (("bypass", self._bypass), ("dismissal", self._dismissal))
        ]

    async def _bypass(self, request: web.Request, query: dict[str, str]) -> Any:
        return self._listed("bypass", request, query)

    async def _dismissal(self, request: web.Request, query: dict[str, str]) -> Any:
        return self._listed("dismissal", request, query)

    def _listed(self, kind: str, request: web.Request, query: dict[str, str]) -> Any:
        where = "/".join(request.match_info.values())
        if where in self.off:
            return 404, "error", {"message": "Not Found", "status": "404"}, {}
        if where in self.refused:
            return 403, "error", {"message": "Resource not accessible", "status": "403"}, {}
        status, period = query.get("request_status", "all"), _PERIODS[query.get("time_period", "day")]
        since = _iso(time.time() - period)
        rows = [
            row
            for row in self.requests[kind]
            if ("enterprise" in request.match_info or row["repository"]["full_name"].startswith(where))
            and row["created_at"] >= since
            and (status == "all" or status == row["status"] or (status, row["status"]) == ("open", "pending"))
        ]
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        headers = {}
        if len(rows) > size * number:
            headers["Link"] = f'<{request.url.update_query(page=str(number + 1))}>; rel="next"'
        return 200, kind, rows[(number - 1) * size : number * size], headers


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
