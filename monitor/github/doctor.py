"""What a log-in may do and what is switched on: read-only questions, answered "unknown" where GitHub does not say."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from monitor.common.http import RemoteError
from monitor.common.outside import at, tables, text
from monitor.github.auth import AppAuth, AuthError
from monitor.github.client import GitHubClient
from monitor.github.links import web
from monitor.github.poll import AlertStream
from monitor.github.reviews import KINDS, REVIEWER, Kind, open_reviews

__all__ = ["DoctorCheck", "Examined", "Owning", "Repository", "Switch", "examine", "repositories"]

Switch = Literal["on", "off", "unknown"]
# What each name in `security_and_analysis` is called here.
SWITCHES = {
    "secret_scanning": "secret_scanning",
    "push_protection": "secret_scanning_push_protection",
    "validity_checks": "secret_scanning_validity_checks",
    "generic_secrets": "secret_scanning_non_provider_patterns",
}


_STATES: Mapping[str, Switch] = {"enabled": "on", "disabled": "off"}


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One question and its answer. `ok` None: it could not be found out."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository's switches. GitHub shows them to administrators only."""

    name: str
    archived: bool
    private: bool
    switches: dict[str, Switch] = field(default_factory=dict)


class Owning(Protocol):
    """Whose repositories are looked at."""

    @property
    def org(self) -> tuple[str, ...]: ...
    @property
    def repo(self) -> tuple[str, ...]: ...


class Examined(Owning, Protocol):
    """The part of a source's configuration that is looked at."""

    @property
    def targets(self) -> tuple[str, ...]: ...
    @property
    def review_requests(self) -> bool: ...
    def streams(self) -> tuple[AlertStream, ...]: ...


async def examine(config: Examined, client: GitHubClient, *, writes: bool) -> AsyncIterator[DoctorCheck]:
    """Each check as it is answered. `writes`: the source is configured to write back."""
    try:
        async for check in _login(client, writes):
            yield check
    except (RemoteError, AuthError) as error:
        yield DoctorCheck("log-in", False, str(error))
        return
    yield await _limits(client)
    for stream in config.streams():
        if stream.kind == "default":  # the generic types need the same permission
            yield await _readable(stream, client)
    for target in config.targets if config.review_requests else ():
        for kind in KINDS:
            yield await _reviewable(target, kind, client)


async def _reviewable(target: str, kind: Kind, client: GitHubClient) -> DoctorCheck:
    what = f"{KINDS[kind]} of {target}"
    try:
        count = len([one async for one in open_reviews(client, target, kind)])
    except (RemoteError, AuthError) as error:
        if isinstance(error, RemoteError) and error.status == 404:
            return DoctorCheck(what, None, "nobody has to ask there, or the token may not see it")
        return DoctorCheck(
            what, False, REVIEWER if isinstance(error, RemoteError) and error.status == 403 else str(error)
        )
    return DoctorCheck(what, True, f"readable, {count or 'none'} waiting")


async def _login(client: GitHubClient, writes: bool) -> AsyncIterator[DoctorCheck]:
    if isinstance(client.auth, AppAuth):
        await client.auth.token()
        yield DoctorCheck(
            "log-in", True, f"GitHub App {client.auth.app_id}, installation {client.auth.installation_id}"
        )
        body = (await client.app("GET", f"/app/installations/{client.auth.installation_id}")).body
        permissions = at(body, "permissions")
        if not isinstance(permissions, dict):
            yield DoctorCheck("permissions", None, "unknown")
            return
        level = permissions.get("secret_scanning_alerts")
        wanted = "write" if writes else "read"
        fine = level in ("write", wanted)
        shown = ", ".join(f"{name}={value}" for name, value in sorted(permissions.items()) if isinstance(value, str))
        missing = "" if fine else f"; needs secret_scanning_alerts={wanted}: {web(str(client.base))}/settings/apps"
        yield DoctorCheck("permissions", fine, f"{shown or 'none'}{missing}")
        return
    answer = await client.get("/user")
    yield DoctorCheck("log-in", True, f"token of {text(answer.body, 'login') or 'an unknown user'}")
    scopes = answer.headers.get("x-oauth-scopes")
    if scopes is None:
        yield DoctorCheck(
            "scopes", None, "fine-grained token: its permissions cannot be read, see what is readable below"
        )
        return
    fine = not {"repo", "security_events"}.isdisjoint(scope.strip() for scope in scopes.split(","))
    missing = "" if fine else f"; needs security_events, or repo: {web(str(client.base))}/settings/tokens"
    yield DoctorCheck("scopes", fine, f"{scopes or 'none'}{missing}")


async def _limits(client: GitHubClient) -> DoctorCheck:
    try:
        core = (await client.get("/rate_limit")).body["resources"]["core"]
        limit, remaining, reset = int(core["limit"]), int(core["remaining"]), float(core["reset"])
    except RemoteError as error:
        # GHES answers 404 when rate limits are switched off.
        return DoctorCheck("rate limit", None if error.status == 404 else False, str(error))
    except (KeyError, TypeError, ValueError):
        return DoctorCheck("rate limit", None, "unknown")
    minutes = max(reset - time.time() - client.skew, 0) / 60
    return DoctorCheck(
        "rate limit", remaining > limit // 10, f"{remaining} of {limit} left, full again in {minutes:.0f} min"
    )


async def _readable(stream: AlertStream, client: GitHubClient) -> DoctorCheck:
    try:
        answer = await client.get(stream.path, {"per_page": "1", "hide_secret": "true"})
    except (RemoteError, AuthError) as error:
        return DoctorCheck(f"alerts of {stream.target}", False, str(error))
    some = isinstance(answer.body, list) and bool(answer.body)
    return DoctorCheck(f"alerts of {stream.target}", True, "readable" + ("" if some else ", none yet"))


async def repositories(config: Owning, client: GitHubClient) -> AsyncIterator[Repository]:
    """Every repository of the configured organisations and each one named. Raises RemoteError."""
    for org in config.org:
        async for answer in client.pages(f"/orgs/{org}/repos", {"per_page": "100", "type": "all"}, background=True):
            for body in filter(_named, tables(answer.body)):
                yield _repository(body)
    for name in config.repo:
        body = (await client.get(f"/repos/{name}", background=True)).body
        if _named(body):
            yield _repository(body)


def _named(body: Any) -> bool:
    return bool(text(body, "full_name"))


def _repository(body: Any) -> Repository:
    return Repository(
        text(body, "full_name"),
        body.get("archived") is True,
        body.get("private") is True,
        # What cannot be read is unknown, not off.
        {
            name: _STATES.get(text(body, "security_and_analysis", key, "status"), "unknown")
            for name, key in SWITCHES.items()
        },
    )
