"""What stands between a push and production at GitHub: environments' rules, and what tokens of workflows may do."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from monitor.audit.check import Evidence, Subject, failed, passed, unknown
from monitor.common.http import RemoteError
from monitor.common.outside import at, taken, text
from monitor.common.text import one_line
from monitor.github.auth import AuthError
from monitor.github.client import GitHubClient
from monitor.github.doctor import repositories
from monitor.github.source import GitHubConfig
from monitor.inventory.managers.github import GitHubActionsConfig

__all__ = ["guards"]

_REPOSITORIES = 1000  # that are asked about of one organisation
_PAGES = 200  # of 100 environments of a repository: a listing that goes on longer goes round in circles
_LISTED = 1000  # patterns, or Apps, of an environment
_DETAILS = 100  # environments of a repository of which more is asked than what the listing says
_EVERY = frozenset(("*", "**", "**/*", "*/**"))  # patterns that any branch fits
_DOCTOR = "monitor github doctor --repositories"
_ADVICE = {
    403: "not permitted; the token needs the repository permissions Actions, Contents and Administration, each to read",
    404: "not found, or the token may not see it",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose repositories are asked about: those of a source, or of an entry of the inventory."""

    title: str
    client: GitHubClient
    org: tuple[str, ...]
    repo: tuple[str, ...]


@dataclass(slots=True)
class _Rules:
    """What an environment says of itself. `reviewers` None: nothing that could be read."""

    name: str
    reviewers: int | None = None
    wait: int = 0  # minutes
    wrong: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


async def guards(subject: Subject) -> AsyncIterator[Evidence]:
    """Each environment that is production, and the default permissions, of every repository that is configured."""
    seen, places = set[str](), 0
    for place in _places(subject):
        places += 1
        try:
            async for piece in _asked(subject, place, seen):
                yield piece
        except (RemoteError, AuthError) as error:
            yield unknown(f"{place.title}: {_why(error)}", _DOCTOR)
        finally:
            await place.client.close()
    if not places:
        yield unknown('no [[sources]] with type = "github", no [[inventory]] with type = "github-actions"', _DOCTOR)


def _places(subject: Subject) -> Iterator[_Place]:
    """Entries of the inventory first: their tokens are made to read environments."""
    for entry in subject.config.inventory:
        if isinstance(entry, GitHubActionsConfig):
            client = GitHubClient.with_token(entry.base_url, entry.token, attempts=3)
            yield _Place(entry.whose, client, _some(entry.org), _some(entry.repo))
    for source in subject.config.sources:
        if isinstance(source, GitHubConfig):
            yield _Place(f"source {source.name}", source.client(attempts=3), source.org, source.repo)


def _some(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


async def _asked(subject: Subject, place: _Place, seen: set[str]) -> AsyncIterator[Evidence]:
    """Raises RemoteError where the repositories cannot be listed."""
    for org in place.org:
        yield await _tokens(place.client, f"organisation {org}", f"/orgs/{org}/actions/permissions/workflow")
    shown = asked = 0
    async for repository in repositories(place, place.client):
        shown += 1
        if repository.archived or repository.name.lower() in seen:
            continue
        if asked == _REPOSITORIES:
            why = f"more than {_REPOSITORIES:,} repositories; the rest was not looked at: name them with `repo`"
            yield unknown(f"{place.title}: {why}", _DOCTOR)
            return
        seen.add(repository.name.lower())
        asked += 1
        name = "/".join(quote(part, safe="") for part in repository.name.split("/"))
        yield await _tokens(place.client, repository.name, f"/repos/{name}/actions/permissions/workflow")
        async for piece in _environments(subject, place.client, repository.name, f"/repos/{name}"):
            yield piece
    if not shown:
        yield unknown(f"{place.title}: it shows no repository", _DOCTOR)


async def _tokens(client: GitHubClient, whose: str, path: str) -> Evidence:
    """What the token of each run of a workflow may do where the workflow does not say."""
    repeat = shlex.join(["gh", "api", path.removeprefix("/")])
    try:
        body = (await client.get(path, background=True)).body
    except RemoteError as error:
        return unknown(f"{whose}: default permissions of workflows: {_why(error)}", repeat)
    level, approves = text(body, "default_workflow_permissions"), at(body, "can_approve_pull_request_reviews")
    wrong = ["tokens of workflows may write by default"] if level == "write" else []
    wrong += ["workflows may approve pull requests"] if approves is True else []
    if wrong:
        return failed(f"{whose}: {', '.join(wrong)}", repeat)
    if level != "read" or approves is not False:
        return unknown(f"{whose}: GitHub does not say what tokens of workflows may do by default", repeat)
    return passed(f"{whose}: tokens of workflows only read by default, and approve nothing", repeat)


async def _environments(subject: Subject, client: GitHubClient, name: str, path: str) -> AsyncIterator[Evidence]:
    repeat = shlex.join(["gh", "api", "--paginate", f"{path.removeprefix('/')}/environments"])
    count, total, pages, details = 0, 0, 0, 0
    try:
        async for answer in client.pages(f"{path}/environments", {"per_page": "100"}, background=True):
            rows, stated = at(answer.body, "environments"), at(answer.body, "total_count")
            if not isinstance(rows, list) or not isinstance(stated, int):
                raise RemoteError("its answer is no list of environments", retry=False)
            count, total, pages = count + len(rows), stated, pages + 1
            for body in rows:
                rules = _rules(body)
                if rules is None:
                    yield unknown(f"{name}: an environment without a name", repeat)
                elif subject.is_production(rules.name):
                    details += 1
                    await _look_closer(client, path, body, rules, ask=details <= _DETAILS)
                    for piece in _judged(name, rules, repeat):
                        yield piece
            if pages >= _PAGES and answer.next:
                raise RemoteError(f"more than {count:,} environments, in more than {_PAGES} pages", retry=False)
    except RemoteError as error:
        yield unknown(f"{name}: environments: {_why(error)}", repeat)
        return
    if count < total:
        yield unknown(f"{name}: {count:,} of {total:,} environments came", repeat)
    elif not details:
        what = "no environment that counts as production by its name or `audit.production`"
        yield unknown(f"{name}: {what}, so nothing guards a deploy there, if there is one", repeat)


def _rules(body: Any) -> _Rules | None:
    """What stands in the listing; None for what has no name."""
    name = at(body, "name")
    if not isinstance(name, str) or not name:
        return None
    environment = _Rules(name)
    rules = body.get("protection_rules")
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        environment.unclear.append("its rules are not shown")
    else:
        environment.reviewers = 0
        for rule in rules:
            _take(rule, environment)
    bypass = body.get("can_admins_bypass")
    if bypass is True:
        environment.wrong.append("administrators may pass its rules over")
    elif bypass is not False:
        environment.unclear.append("whether administrators may pass its rules over is not shown")
    return environment


def _take(rule: dict[str, Any], environment: _Rules) -> None:
    if rule.get("type") == "wait_timer" and type(rule.get("wait_timer")) is int:
        environment.wait = rule["wait_timer"]
    if rule.get("type") != "required_reviewers" or not isinstance(rule.get("reviewers"), list):
        return
    environment.reviewers = (environment.reviewers or 0) + sum(isinstance(one, dict) for one in rule["reviewers"])
    alone = rule.get("prevent_self_review")
    if alone is False:
        environment.wrong.append("who starts a deploy may approve it")
    elif alone is not True:
        environment.unclear.append("whether who starts a deploy may approve it is not shown")


async def _look_closer(client: GitHubClient, path: str, body: Any, rules: _Rules, *, ask: bool) -> None:
    """What the listing does not say: an App that decides in place of a reviewer, and which branches deploy."""
    at = f"{path}/environments/{quote(rules.name, safe='')}"
    if rules.reviewers == 0:
        apps = await _listed(client, f"{at}/deployment_protection_rules", "custom_deployment_protection_rules", ask)
        if isinstance(apps, str):
            rules.unclear.append(f"no reviewer, and whether an App decides: {apps}")
        elif any(isinstance(app, dict) and app.get("enabled") is True for app in apps):
            rules.unclear.append("no reviewer; what its App asks before a deploy was not looked at")
        else:
            waits = f" (a wait of {rules.wait} min stops nobody)" if rules.wait else ""
            rules.wrong.append(f"nobody has to approve a deploy{waits}")
    policy = body.get("deployment_branch_policy", "")
    if policy is None:
        rules.wrong.append("any branch deploys")
    elif isinstance(policy, dict) and policy.get("protected_branches") is True:
        branches = await _listed(client, f"{path}/branches", None, ask, protected="true", per_page="1")
        if isinstance(branches, str):
            rules.unclear.append(f"protected branches deploy, and whether there is one: {branches}")
        elif not branches:  # GitHub then lets all of them deploy
            rules.wrong.append("any branch deploys: none is protected")
    elif isinstance(policy, dict) and policy.get("custom_branch_policies") is True:
        named = await _listed(client, f"{at}/deployment-branch-policies", "branch_policies", ask, per_page="100")
        if isinstance(named, str):
            rules.unclear.append(f"which branches deploy: {named}")
        elif not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in named):
            rules.unclear.append("which branches deploy: the answer could not be read")
        elif any(one["name"] in _EVERY for one in named):
            rules.wrong.append("any branch deploys: a pattern fits all")
    else:
        rules.unclear.append("which branches deploy is not shown")


async def _listed(client: GitHubClient, path: str, key: str | None, ask: bool, **query: str) -> list[Any] | str:
    """The rows of a list, every page of it; or why they are not known."""
    if not ask:
        return f"not asked, as of {_DETAILS} environments before it"
    gathered: list[Any] = []
    try:
        async for answer in client.pages(path, query, background=True):
            rows = at(answer.body, *([key] if key else []))
            if not isinstance(rows, list):
                return "the answer could not be read"
            gathered += rows
            if key is None:  # one branch is enough
                return gathered
            if len(gathered) > _LISTED:
                return f"more than {_LISTED} came, and no more were read"
    except RemoteError as error:
        return _why(error)
    return gathered


def _judged(repository: str, rules: _Rules, repeat: str) -> Iterator[Evidence]:
    name = one_line(taken(rules.name), mark="?")
    shown, path = f"{repository}: environment {name}", f"{repository}/{name}"
    if rules.wrong:
        yield failed(f"{shown}: {'; '.join(rules.wrong)}", repeat, path)
    if rules.unclear:
        yield unknown(f"{shown}: {'; '.join(rules.unclear)}", repeat, path)
    if not rules.wrong and not rules.unclear:
        wait = f", and it waits {rules.wait} min" if rules.wait else ""
        reviewers = f"{rules.reviewers} reviewer{'' if rules.reviewers == 1 else 's'}"
        good = f"{shown}: one of {reviewers} approves what another started, from chosen branches{wait}"
        yield passed(good, repeat, path)


def _why(error: Exception) -> str:
    """In place of advice about alerts, which the client has for what it mostly asks."""
    status = error.status if isinstance(error, RemoteError) else 0
    return f"{status}: {_ADVICE[status]}" if status in _ADVICE else str(error)
