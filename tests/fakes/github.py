"""A GitHub on loopback: a real aiohttp server whose requests and answers are checked against githubkit's models.

A request or an answer that GitHub's description does not allow lands in `violations`; tests assert it stays empty.
"""

from __future__ import annotations

import base64
import datetime as datetime_module
import hashlib
import inspect
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from typing import Any, Literal, Self

import jwt
from aiohttp import web
from githubkit.typing import Missing
from githubkit_schemas.v2026_03_10 import models
from githubkit_schemas.v2026_03_10.rest.activity import ActivityClient
from githubkit_schemas.v2026_03_10.rest.apps import AppsClient
from githubkit_schemas.v2026_03_10.rest.gists import GistsClient
from githubkit_schemas.v2026_03_10.rest.orgs import OrgsClient
from githubkit_schemas.v2026_03_10.rest.repos import ReposClient
from githubkit_schemas.v2026_03_10.rest.search import SearchClient
from githubkit_schemas.v2026_03_10.rest.secret_scanning import SecretScanningClient
from pydantic import TypeAdapter, ValidationError, create_model

from tests.fakes import github_deploys, github_reviews
from tests.fakes.github_deploys import Deploys
from tests.fakes.github_reviews import ReviewRequests

GENERIC = frozenset({"rsa_private_key", "postgres_connection_string", "http_basic_authentication_header", "password"})
GHES_LACKS = {
    "3.17": ("publicly_leaked", "multi_repo", "provider", "provider_slug", "assigned_to", "is_base64_encoded",
             "first_location_detected", "has_more_locations"),
    "3.18": ("publicly_leaked", "provider", "provider_slug", "assigned_to", "is_base64_encoded",
             "first_location_detected", "has_more_locations"),
    "3.19": ("publicly_leaked", "provider", "provider_slug", "assigned_to"),
}  # fmt: skip


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def _required(model: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (entry.alias or name, str(entry.annotation))
        for name, entry in model.model_fields.items()
        if entry.is_required()
    )


def fill(model: Any, **known: Any) -> dict[str, Any]:
    """A JSON object with every required field of a model: those given, and something of the right type for the rest."""
    body: dict[str, Any] = {}
    for name, kind in _required(model):
        if "Optional" in kind or "None" in kind:
            body[name] = None
        elif "bool" in kind:
            body[name] = False
        elif "datetime" in kind:
            body[name] = iso(0)
        elif "int" in kind or "float" in kind:
            body[name] = 1
        elif "str" in kind:
            body[name] = f"https://github.test/{name}"
        else:
            body[name] = {}
    return body | known


def user(login: str) -> dict[str, Any]:
    return fill(models.SimpleUser, login=login, type="User")


def repository(full_name: str, model: Any = models.SimpleRepository, **more: Any) -> dict[str, Any]:
    owner, _, name = full_name.partition("/")
    html = f"https://github.test/{full_name}"
    return fill(model, name=name, full_name=full_name, owner=user(owner), html_url=html, license=None) | more


@dataclass
class Alert:
    """An alert as GitHub keeps it. Times are seconds on GitHub's clock."""

    repo: str
    number: int
    secret_type: str
    secret: str | None
    created: float
    updated: float
    state: str = "open"
    resolution: str | None = None
    resolved: float | None = None
    comment: str | None = None
    validity: str = "unknown"
    publicly_leaked: bool = False
    multi_repo: bool = False
    base64: bool = False
    assignee: str | None = None
    locations: list[dict[str, Any]] = field(default_factory=list)


def commit(path: str, line: int = 1, sha: str = "a" * 40) -> dict[str, Any]:
    url = f"https://github.test/blob/{sha}/{path}#L{line}"
    details = fill(
        models.SecretScanningLocationCommit, path=path, start_line=line, end_line=line, start_column=9, end_column=49,
        blob_sha=hashlib.sha1(path.encode()).hexdigest(), commit_sha=sha, html_url=url,
    )  # fmt: skip
    return {"type": "commit", "details": details}


def issue(number: int, repo: str = "acme/web") -> dict[str, Any]:
    api, html = f"https://github.test/repos/{repo}/issues/{number}", f"https://github.test/{repo}/issues/{number}"
    return {"type": "issue_body", "details": {"issue_body_url": api, "html_url": html}}


def query(method: Any) -> Any:
    """A model of the query parameters that githubkit's method of this operation takes."""
    names = {"Literal": Literal, "Missing": Missing, "_dt": datetime_module}
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("headers", "stream", "data"):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name.rstrip("_")] = (eval(parameter.annotation, names), default)
    return create_model("Query", __config__={"extra": "forbid"}, **fields)


QUERIES = {
    "org": query(SecretScanningClient.list_alerts_for_org),
    "repo": query(SecretScanningClient.list_alerts_for_repo),
    "one": query(SecretScanningClient.get_alert),
    "locations": query(SecretScanningClient.list_locations_for_alert),
    "deliveries": query(AppsClient.list_webhook_deliveries),
    "code": query(SearchClient.code),
    "repos": query(ReposClient.list_for_org),
    "members": query(OrgsClient.list_members),
    "events": query(ActivityClient.list_public_org_events),
    "gists": query(GistsClient.list_for_user),
    **{name: query(method) for name, method in github_deploys.METHODS.items()},
    **github_reviews.QUERIES,
}
ANSWERS = {
    "org": TypeAdapter(list[models.OrganizationSecretScanningAlert]),
    "repo": TypeAdapter(list[models.SecretScanningAlert]),
    "one": TypeAdapter(models.SecretScanningAlertWithMetadata),
    "locations": TypeAdapter(list[models.SecretScanningLocation]),
    "deliveries": TypeAdapter(list[models.HookDeliveryItem]),
    "code": TypeAdapter(models.SearchCodeGetResponse200),
    "repos": TypeAdapter(list[models.MinimalRepository]),
    "members": TypeAdapter(list[models.SimpleUser]),
    "events": TypeAdapter(list[models.Event]),
    "gists": TypeAdapter(list[models.BaseGist]),
    "gist": TypeAdapter(models.GistSimple),
    "token": TypeAdapter(models.InstallationToken),
    "installation": TypeAdapter(models.Installation),
    "rate": TypeAdapter(models.RateLimitOverview),
    "user": TypeAdapter(models.PublicUser),
    "repository": TypeAdapter(models.FullRepository),
    "error": TypeAdapter(models.BasicError),
    **{name: TypeAdapter(model) for name, model in {**github_deploys.ANSWERS, **github_reviews.ANSWERS}.items()},
}
ANSWERS["enterprise"] = ANSWERS["org"]
PATCHES = TypeAdapter(
    models.ReposOwnerRepoSecretScanningAlertsAlertNumberPatchBodyAnyof0
    | models.ReposOwnerRepoSecretScanningAlertsAlertNumberPatchBodyAnyof1
)


@dataclass(eq=False)
class FakeGitHub:
    """`async with FakeGitHub() as github:` serves at `github.url`. Change its attributes at any time."""

    token: str = "a-token-of-the-fake"
    ghes: str | None = None  # "3.17": lacks fields and serves under /api/v3
    cursors: bool = True  # False: page numbers in Link, as long as no cursor is asked for
    skew: float = 0.0  # its clock minus ours
    limit: int = 5000
    remaining: int = 5000
    reset_in: float = 3600.0  # length of the window after which the quota is full again
    scopes: str | None = "repo, read:org"
    app_id: str = "4242"
    app_key: Any = None  # the App's public key
    token_life: float = 3600.0
    check: bool = True  # validate answers; big back-fills check only the first few thousand items
    alerts: dict[tuple[str, int], Alert] = field(default_factory=dict)
    repos: dict[str, dict[str, Any]] = field(default_factory=dict)  # full name → security_and_analysis
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    code: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    gists: dict[str, dict[str, Any]] = field(default_factory=dict)  # id → {"owner", "files": {name: text}, "updated"}
    deploys: Deploys = field(default_factory=Deploys)
    reviews: ReviewRequests = field(default_factory=ReviewRequests)
    mangle: Callable[[str, Any], Any] | None = None  # (kind, body) → what is really sent
    on_list: Callable[[int], None] | None = None  # called with the number of the list request before it is answered
    faults: deque[tuple[int, dict[str, str], Any]] = field(default_factory=deque)  # answers given first
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    writes: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    redelivered: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)  # installation tokens
    lists: int = 0
    not_modified: int = 0
    url: str = ""
    _runner: web.AppRunner | None = None
    _expiry: dict[str, float] = field(default_factory=dict)
    _window: float = field(default_factory=time.time)  # start, on our clock
    refused: int = 0  # requests beyond the quota

    # --- set-up -------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return time.time() + self.skew

    def add(
        self, repo: str, secret: str | None, secret_type: str = "github_personal_access_token", **more: Any
    ) -> Alert:
        """A new alert; `age` is in seconds before now."""
        age = more.pop("age", 0.0)
        number = more.pop("number", 1 + sum(1 for name, _ in self.alerts if name == repo))
        created = more.pop("created", self.now() - age)
        alert = Alert(repo, number, secret_type, secret, created, more.pop("updated", created), **more)
        if not alert.locations:
            alert.locations.append(commit(f"config/{number}.env", number))
        self.alerts[repo, number] = alert
        return alert

    def touch(self, alert: Alert, **changes: Any) -> None:
        """Change an alert as GitHub would: `updated_at` moves."""
        for name, value in changes.items():
            setattr(alert, name, value)
        alert.updated = self.now()

    async def __aenter__(self) -> Self:
        prefix = "/api/v3" if self.ghes else ""
        app = web.Application()
        for method, path, handler in self._routes():
            app.router.add_route(method, prefix + path, self._guarded(handler))
        for path, handler in [*self.deploys.routes(), *self.reviews.routes()]:
            app.router.add_route("GET", prefix + path, self._guarded(self._strict(handler)))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}{prefix}"
        return self

    def _routes(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("GET", "/orgs/{org}/secret-scanning/alerts", self._org),
            ("GET", "/enterprises/{enterprise}/secret-scanning/alerts", self._enterprise),
            ("GET", "/repos/{owner}/{repo}/secret-scanning/alerts", self._repo),
            ("GET", "/repos/{owner}/{repo}/secret-scanning/alerts/{number}", self._one),
            ("PATCH", "/repos/{owner}/{repo}/secret-scanning/alerts/{number}", self._patch),
            ("GET", "/repos/{owner}/{repo}/secret-scanning/alerts/{number}/locations", self._locations),
            ("GET", "/repos/{owner}/{repo}", self._repository),
            ("GET", "/orgs/{org}/repos", self._repositories),
            ("GET", "/orgs/{org}/members", self._members),
            ("GET", "/orgs/{org}/events", self._events),
            ("GET", "/users/{user}/gists", self._gists),
            ("GET", "/gists/{id}", self._gist),
            ("GET", "/search/code", self._code),
            ("GET", "/rate_limit", self._rate_limit),
            ("GET", "/user", self._user),
            ("GET", "/app/hook/deliveries", self._deliveries),
            ("POST", "/app/hook/deliveries/{id}/attempts", self._redeliver),
            ("GET", "/orgs/{org}/installation", self._installation),
            ("GET", "/repos/{owner}/{repo}/installation", self._installation),
            ("GET", "/app/installations/{id}", self._installation),
            ("POST", "/app/installations/{id}/access_tokens", self._access_token),
        )

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    # --- every request ------------------------------------------------------------------------------------------

    def _guarded(self, handler: Any) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            self.requests.append((request.method, request.path.removeprefix("/api/v3"), dict(request.query)))
            self._headers_ok(request)
            if self.faults:
                status, headers, body = self.faults.popleft()
                return self._json(body, status, headers)
            if time.time() - self._window >= self.reset_in:
                self._window, self.remaining = time.time(), self.limit
            app_route = request.path.removeprefix("/api/v3").startswith("/app") or request.path.endswith(
                "/installation"
            )
            if (refusal := self._app_refusal(request) if app_route else self._token_refusal(request)) is not None:
                return self._json({"message": refusal}, 401)
            if not app_route and self.remaining <= 0 and not request.path.endswith("/rate_limit"):
                self.refused += 1
                return self._json({"message": "API rate limit exceeded for this token."}, 403)
            status, kind, body, headers = await handler(request)
            if kind is not None:
                self._validate(kind, body)
            if self.mangle is not None and kind is not None:
                body = self.mangle(kind, body)
            return self._answer(request, body, status, headers)

        return serve

    def _strict(self, handler: Any) -> Any:
        """A handler of a part, which gets the parameters; they are held against those of the operation it answers."""

        async def serve(request: web.Request) -> Any:
            status, kind, body, headers = await handler(request, dict(request.query))
            if status == 200:
                self._query(request, kind)
            return status, kind, body, headers

        return serve

    def _headers_ok(self, request: web.Request) -> None:
        if request.headers.get("Accept") != "application/vnd.github+json":
            self.violations.append(f"{request.path}: Accept")
        if request.headers.get("X-GitHub-Api-Version") not in ("2022-11-28", "2026-03-10"):
            self.violations.append(f"{request.path}: X-GitHub-Api-Version")
        if not request.headers.get("User-Agent"):
            self.violations.append(f"{request.path}: User-Agent")

    def _token_refusal(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in (self.token, *self.issued):
            return "Bad credentials"
        if token in self._expiry and self._expiry[token] <= self.now():
            return "Bad credentials"
        return None

    def _app_refusal(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(
                token, self.app_key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.PyJWTError:
            return "A JSON web token could not be decoded"
        if scheme != "Bearer" or str(claims["iss"]) != self.app_id:
            return "Integration must be the issuer"
        if claims["iat"] > self.now() or claims["exp"] <= self.now():
            return "'Issued at' claim ('iat') or 'Expiration time' claim ('exp') is out of range"
        if claims["exp"] - claims["iat"] > 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        return None

    def _query(self, request: web.Request, kind: str) -> dict[str, str]:
        query = dict(request.query)
        try:
            QUERIES["org" if kind == "enterprise" else kind].model_validate(query)
            if kind == "enterprise" and "page" in query:
                raise ValueError("cursors only")
            if int(query.get("per_page", 30)) > 100:
                raise ValueError("per_page")
        except ValueError as error:
            self.violations.append(f"{request.path}: {error}")
        return query

    def _validate(self, kind: str, body: Any) -> None:
        if self.check and kind in ANSWERS:
            try:
                ANSWERS[kind].validate_python(body)
            except ValidationError as error:
                self.violations.append(f"answer {kind}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}")

    def _answer(self, request: web.Request, body: Any, status: int, headers: dict[str, str]) -> web.Response:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        owner = request.headers.get("Authorization", "").encode()  # an ETag belongs to a token
        etag = f'W/"{hashlib.sha256(owner + raw).hexdigest()}"'
        if request.method == "GET" and request.headers.get("If-None-Match") == etag:
            self.not_modified += 1
            return self._json(None, 304, headers | {"ETag": etag})
        self.remaining -= 1
        return self._json(raw, status, headers | {"ETag": etag})

    def _json(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        quota = {
            "Date": formatdate(self.now(), usegmt=True),
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.remaining, 0)),
            "X-RateLimit-Used": str(self.limit - self.remaining),
            "X-RateLimit-Reset": str(int(self._window + self.skew + self.reset_in) + 1),
            "X-RateLimit-Resource": "core",
        }
        return web.Response(
            body=raw, status=status, headers=quota | (headers or {}), content_type="application/json", charset="utf-8"
        )

    # --- secret scanning ----------------------------------------------------------------------------------------

    def body(self, alert: Alert, *, hide: bool = False, with_repository: bool = False) -> dict[str, Any]:
        """The alert as the REST API shows it."""
        api = f"https://api.github.test/repos/{alert.repo}/secret-scanning/alerts/{alert.number}"
        body: dict[str, Any] = {
            "number": alert.number,
            "created_at": iso(alert.created),
            "updated_at": iso(alert.updated),
            "url": api,
            "html_url": f"https://github.test/{alert.repo}/security/secret-scanning/{alert.number}",
            "locations_url": f"{api}/locations",
            "state": alert.state,
            "secret_type": alert.secret_type,
            "secret_type_display_name": alert.secret_type.replace("_", " ").title(),
            "provider": "GitHub",
            "provider_slug": "github",
            "validity": alert.validity,
            "publicly_leaked": alert.publicly_leaked,
            "multi_repo": alert.multi_repo,
            "is_base64_encoded": alert.base64,
            "first_location_detected": alert.locations[0]["details"] if alert.locations else None,
            "has_more_locations": len(alert.locations) > 1,
            "assigned_to": user(alert.assignee) if alert.assignee else None,
            "resolution": alert.resolution,
            "resolved_at": iso(alert.resolved) if alert.resolved else None,
            "resolved_by": user("octocat") if alert.resolved else None,
            "resolution_comment": alert.comment,
            "push_protection_bypassed": False,
        }
        if not hide and alert.secret is not None:
            body["secret"] = alert.secret
        if with_repository:
            body["repository"] = repository(alert.repo)
        for name in GHES_LACKS.get(self.ghes or "", ()):
            body.pop(name, None)
        return body

    async def _org(self, request: web.Request) -> Any:
        prefix = request.match_info["org"] + "/"
        return self._list(request, "org", [alert for alert in self.alerts.values() if alert.repo.startswith(prefix)])

    async def _enterprise(self, request: web.Request) -> Any:
        return self._list(request, "enterprise", list(self.alerts.values()))

    async def _repo(self, request: web.Request) -> Any:
        name = f"{request.match_info['owner']}/{request.match_info['repo']}"
        return self._list(request, "repo", [alert for alert in self.alerts.values() if alert.repo == name])

    def _list(self, request: web.Request, kind: str, alerts: list[Alert]) -> Any:
        query = self._query(request, kind)
        self.lists += 1
        if self.on_list is not None:
            self.on_list(self.lists)
            known = {(alert.repo, alert.number) for alert in alerts}
            alerts = [alert for alert in self.alerts.values() if (alert.repo, alert.number) in known or kind != "repo"]
        wanted = set(query["secret_type"].split(",")) if "secret_type" in query else None
        alerts = [a for a in alerts if (a.secret_type in wanted if wanted else a.secret_type not in GENERIC)]
        if "state" in query:
            alerts = [alert for alert in alerts if alert.state == query["state"]]
        by = "updated" if query.get("sort") == "updated" else "created"
        descending = query.get("direction", "desc") == "desc"

        def order(alert: Alert) -> tuple[int, str, int]:
            return int(getattr(alert, by)), alert.repo, alert.number

        alerts.sort(key=order, reverse=descending)
        size = int(query.get("per_page", 30))
        cursor = self.cursors and ("after" in query or kind == "enterprise")
        if cursor:
            if query.get("after"):
                at = tuple(json.loads(base64.urlsafe_b64decode(query["after"])))
                alerts = [alert for alert in alerts if (order(alert) < at if descending else order(alert) > at)]
            page, more = alerts[:size], len(alerts) > size
            token = base64.urlsafe_b64encode(json.dumps(order(page[-1])).encode()).decode() if page else ""
            following = {"after": token}
        else:
            number = int(query.get("page", 1))
            page, more = alerts[(number - 1) * size : number * size], len(alerts) > number * size
            following = {"page": str(number + 1)}
        rest = {name: value for name, value in query.items() if name not in ("after", "page", "before")}
        headers = {}
        if more:
            link = request.url.origin().with_path(request.path).with_query(rest | following)
            headers["Link"] = f'<{link}>; rel="next", <{request.url.origin()}/first>; rel="first"'
        hide = query.get("hide_secret") == "true"
        return 200, kind, [self.body(a, hide=hide, with_repository=kind != "repo") for a in page], headers

    def _find(self, request: web.Request) -> Alert | None:
        name = f"{request.match_info['owner']}/{request.match_info['repo']}"
        return self.alerts.get((name, int(request.match_info["number"])))

    async def _one(self, request: web.Request) -> Any:
        query = self._query(request, "one")
        alert = self._find(request)
        if alert is None:
            return 404, "error", {"message": "Not Found", "status": "404"}, {}
        return 200, "one", self.body(alert, hide=query.get("hide_secret") == "true"), {}

    async def _patch(self, request: web.Request) -> Any:
        body = await request.json()
        try:
            PATCHES.validate_python(body)
        except ValidationError as error:
            self.violations.append(f"PATCH: {error.errors()[0]['msg']}")
        self.writes.append((time.monotonic(), request.path.removeprefix("/api/v3"), body))
        alert = self._find(request)
        if alert is None:
            return 404, "error", {"message": "Not Found", "status": "404"}, {}
        if self.ghes and "assignee" in body:
            return 422, "error", {"message": "Validation Failed", "status": "422"}, {}
        if body.get("state") == "resolved":
            if "resolution" not in body:
                return 422, "error", {"message": "resolution is required", "status": "422"}, {}
            self.touch(alert, state="resolved", resolution=body["resolution"], resolved=self.now())
            alert.comment = body.get("resolution_comment")
        if "assignee" in body:
            self.touch(alert, assignee=body["assignee"])
        return 200, "one", self.body(alert), {}

    async def _locations(self, request: web.Request) -> Any:
        query = self._query(request, "locations")
        alert = self._find(request)
        if alert is None:
            return 404, "error", {"message": "Not Found", "status": "404"}, {}
        return self._paged(request, "locations", alert.locations, query)

    def _paged(self, request: web.Request, kind: str, items: list[Any], query: dict[str, str]) -> Any:
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        headers = {}
        if len(items) > size * number:
            headers["Link"] = f'<{request.url.update_query(page=str(number + 1))}>; rel="next"'
        return 200, kind, items[(number - 1) * size : number * size], headers

    # --- repositories, people, search ---------------------------------------------------------------------------

    async def _repository(self, request: web.Request) -> Any:
        name = f"{request.match_info['owner']}/{request.match_info['repo']}"
        if name not in self.repos:
            return 404, "error", {"message": "Not Found", "status": "404"}, {}
        return 200, "repository", self._with_analysis(name, models.FullRepository), {}

    def _with_analysis(self, name: str, model: Any = models.MinimalRepository) -> dict[str, Any]:
        analysis = self.repos[name]
        more = {"security_and_analysis": analysis} if analysis else {}
        return repository(name, model, **more)

    async def _repositories(self, request: web.Request) -> Any:
        query = self._query(request, "repos")
        prefix = request.match_info["org"] + "/"
        names = sorted(name for name in self.repos if name.startswith(prefix))
        return self._paged(request, "repos", [self._with_analysis(name) for name in names], query)

    async def _members(self, request: web.Request) -> Any:
        return self._paged(request, "members", [user(name) for name in self.members], self._query(request, "members"))

    async def _events(self, request: web.Request) -> Any:
        status, kind, body, headers = self._paged(request, "events", self.events, self._query(request, "events"))
        return status, kind, body, headers | {"X-Poll-Interval": "60"}

    def _gist_body(self, name: str, model: Any, content: bool) -> dict[str, Any]:
        gist = self.gists[name]
        files = {
            file: {"filename": file, "size": len(text)} | ({"content": text, "truncated": False} if content else {})
            for file, text in gist["files"].items()
        }
        html = f"https://gist.github.test/{name}"
        body = fill(model, id=name, html_url=html, files=files, public=True, updated_at=iso(gist["updated"]))
        return body | {"id": name, "html_url": html, "files": files, "owner": user(gist["owner"]), "public": True}

    async def _gists(self, request: web.Request) -> Any:
        query = self._query(request, "gists")
        since = datetime.fromisoformat(query["since"]).timestamp() if "since" in query else 0.0
        found = [
            self._gist_body(name, models.BaseGist, False)
            for name, gist in self.gists.items()
            if gist["owner"] == request.match_info["user"] and gist["updated"] >= since
        ]
        return self._paged(request, "gists", found, query)

    async def _gist(self, request: web.Request) -> Any:
        name = request.match_info["id"]
        if name not in self.gists:
            return 404, "error", {"message": "Not Found"}, {}
        return 200, "gist", self._gist_body(name, models.GistSimple, True), {}

    async def _code(self, request: web.Request) -> Any:
        query = self._query(request, "code")
        found = [item for item in self.code if item["marker"] in query["q"]]
        items = [
            fill(
                models.CodeSearchResultItem,
                path=item["path"],
                html_url=f"https://github.test/{item['repo']}/blob/main/{item['path']}",
                repository=repository(item["repo"], models.MinimalRepository),
            )
            for item in found
        ]
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        headers = {"X-RateLimit-Resource": "code_search", "X-RateLimit-Limit": "9", "X-RateLimit-Remaining": "8"}
        if len(items) > size * number:
            headers["Link"] = f'<{request.url.update_query(page=str(number + 1))}>; rel="next"'
        page = items[(number - 1) * size : number * size]
        return 200, "code", {"total_count": len(items), "incomplete_results": False, "items": page}, headers

    async def _rate_limit(self, request: web.Request) -> Any:
        rate = {"limit": self.limit, "remaining": self.remaining, "used": self.limit - self.remaining}
        core = rate | {"reset": int(self._window + self.skew + self.reset_in) + 1}
        return 200, "rate", {"resources": {"core": core, "search": core, "code_search": core}, "rate": core}, {}

    async def _user(self, request: web.Request) -> Any:
        headers = {} if self.scopes is None else {"X-OAuth-Scopes": self.scopes}
        return 200, "user", fill(models.PublicUser, login="octocat", type="User"), headers

    # --- the App ------------------------------------------------------------------------------------------------

    async def _installation(self, request: web.Request) -> Any:
        body = fill(models.Installation, id=77, app_id=int(self.app_id), repository_selection="all")
        body |= {
            "permissions": {"secret_scanning_alerts": "read", "metadata": "read"},
            "events": [],
            "account": user("acme"),
        }
        return 200, "installation", body, {}

    async def _access_token(self, request: web.Request) -> Any:
        value = f"ghs_{self.app_id}_{'x' * 500}{len(self.issued)}"
        self.issued.append(value)
        self._expiry[value] = self.now() + self.token_life
        body = {
            "token": value,
            "expires_at": iso(self._expiry[value]),
            "permissions": {"secret_scanning_alerts": "read"},
        }
        return 201, "token", body, {}

    async def _deliveries(self, request: web.Request) -> Any:
        query = self._query(request, "deliveries")
        size = int(query.get("per_page", 30))
        start = int(query.get("cursor", 0))
        items = sorted(self.deliveries, key=lambda item: -item["id"])
        headers = {}
        if len(items) > start + size:
            headers["Link"] = f'<{request.url.update_query(cursor=str(start + size))}>; rel="next"'
        return 200, "deliveries", items[start : start + size], headers

    async def _redeliver(self, request: web.Request) -> Any:
        self.redelivered.append(int(request.match_info["id"]))
        return 202, None, {}, {}


def delivery(
    number: int, guid: str, code: int, event: str = "secret_scanning_alert", age: float = 60.0
) -> dict[str, Any]:
    """An entry of the list of a hook's deliveries."""
    return fill(
        models.HookDeliveryItem,
        id=number, guid=guid, status_code=code, status="OK" if code < 300 else "Bad", event=event, action="created",
        delivered_at=iso(time.time() - age), redelivery=False, duration=0.1,
    )  # fmt: skip
