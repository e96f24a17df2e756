from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detectors.rules.template import expand
from monitor.audit.deploys import guards
from monitor.audit.run import audit
from monitor.config.config import load
from tests.fakes.github import FakeGitHub
from tests.fakes.github_deploys import environment
from tests.monitor.audit.conftest import KEY, Configured, Make, verdicts

TOKEN = expand("ghp_{alnum:30}{crc32}", 5)


@pytest.fixture
def app(github: FakeGitHub) -> FakeGitHub:
    github.repos = {"acme/app": {}}
    return github


async def test_all_that_guards_a_deploy(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [environment("production", wait=30), environment("preview", branches="any")]
    found = await verdicts(guards(configured()))
    assert [verdict for verdict, _ in found] == ["pass"] * 3  # the organisation, the repository, its production
    assert "one of 1 reviewer approves" in found[-1][1]
    assert "waits 30 min" in found[-1][1]


@pytest.mark.parametrize(
    ("lacks", "verdict", "why"),
    [
        ({"reviewers": 0}, "fail", "nobody has to approve a deploy"),
        ({"reviewers": 0, "wait": 60}, "fail", "nobody has to approve a deploy (a wait of 60 min stops nobody)"),
        ({"alone": False}, "fail", "who starts a deploy may approve it"),
        ({"alone": None}, "unknown", "whether who starts a deploy may approve it is not shown"),
        ({"bypass": True}, "fail", "administrators may pass its rules over"),
        ({"bypass": None}, "unknown", "whether administrators may pass its rules over is not shown"),
        ({"branches": "any"}, "fail", "any branch deploys"),
    ],
)
async def test_what_an_environment_lacks(
    lacks: dict[str, Any], verdict: str, why: str, app: FakeGitHub, configured: Configured
) -> None:
    app.deploys.environments["acme/app"] = [environment("eu-prod", **lacks)]
    found = [one for one in await verdicts(guards(configured())) if "environment" in one[1]]
    assert found == [(verdict, f"acme/app: environment eu-prod: {why}")]


async def test_branches_and_apps_are_asked_for(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [
        environment("live", branches="custom"),
        environment("prod/a", branches="custom"),
        environment("prod/b", branches="custom"),
        environment("prod/c"),
        environment("prod/d", reviewers=0),
    ]
    app.deploys.policies = {("acme/app", "live"): ["release/*"], ("acme/app", "prod/a"): ["main", "*"]}
    app.deploys.apps = {("acme/app", "prod/d"): [True]}
    app.deploys.protected["acme/app"] = []
    found = [(verdict, text.partition("environment ")[2]) for verdict, text in await verdicts(guards(configured()))]
    assert [one for one in found if one[1]] == [
        ("pass", "live: one of 1 reviewer approves what another started, from chosen branches"),
        ("fail", "prod/a: any branch deploys: a pattern fits all"),
        ("unknown", "prod/b: which branches deploy: 404: not found, or the token may not see it"),
        ("fail", "prod/c: any branch deploys: none is protected"),
        ("fail", "prod/d: any branch deploys: none is protected"),
        ("unknown", "prod/d: no reviewer; what its App asks before a deploy was not looked at"),
    ]


async def test_of_many_patterns_all_are_read_or_that_is_said(app: FakeGitHub, configured: Configured) -> None:
    many = [f"release/{number}" for number in range(1_100)]
    app.deploys.environments["acme/app"] = [environment(name, branches="custom") for name in ("prod/a", "prod/b")]
    app.deploys.policies = {("acme/app", "prod/a"): [*many[:400], "*"], ("acme/app", "prod/b"): [*many, "*"]}
    found = [one for one in await verdicts(guards(configured())) if "environment" in one[1]]
    assert found == [
        ("fail", "acme/app: environment prod/a: any branch deploys: a pattern fits all"),
        (
            "unknown",
            "acme/app: environment prod/b: which branches deploy: more than 1000 came, and no more were read",
        ),
    ]


async def test_tokens_of_workflows(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [environment("production")]
    app.deploys.workflow = {"acme": ("write", True), "acme/app": None}
    found = await verdicts(guards(configured()))
    what = "tokens of workflows may write by default, workflows may approve pull requests"
    assert found[0] == ("fail", f"organisation acme: {what}")
    assert found[1][0] == "unknown"
    assert "403: not permitted; the token needs the repository permissions Actions" in found[1][1]
    assert found[2][0] == "pass"


async def test_production_by_configuration_and_without_any(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [environment("kunden-1", reviewers=0)]
    found = await verdicts(guards(configured()))
    assert [verdict for verdict, _ in found] == ["pass", "pass", "unknown"]
    assert "no environment that counts as production" in found[-1][1]
    found = await verdicts(guards(configured("[audit]\nproduction = ['kunden-*']\n")))
    assert found[-1] == ("fail", "acme/app: environment kunden-1: nobody has to approve a deploy")


async def test_a_waiver_is_for_an_environment_by_its_path(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [environment("prod/a", bypass=True), environment("prod/b", bypass=True)]
    waiver = "[[waivers]]\nitem = 'deploy-guards'\nreason = 'two people'\nexpires = 2999-01-01\n"
    for paths, accepted in (("acme/app/prod/a", False), ("acme/app/prod/*", True)):
        subject = configured(f"{waiver}paths = ['{paths}']\n")
        (one,) = await audit([], subject.config, subject.engine, KEY, ["deploy-guards"], store=None)
        assert (one.verdict, one.waived, one.accepted) == ("fail", 1 + accepted, accepted)


async def test_an_entry_of_the_inventory_is_asked_with_its_own_token(
    app: FakeGitHub, make: Make, tmp_path: Path
) -> None:
    app.repos = {"acme/app": {}, "acme/other": {}}
    app.deploys.environments["acme/app"] = [environment("production")]
    (tmp_path / "token").write_text(app.token)
    entry = f'[[inventory]]\nname = "actions"\ntype = "github-actions"\nbase_url = "{app.url}"\ntoken = "file:token"\n'
    (tmp_path / "config.toml").write_text(f'{entry}repo = "acme/app"\n')
    found = await verdicts(guards(replace(make(), config=load(tmp_path / "config.toml"))))
    assert [verdict for verdict, _ in found] == ["pass", "pass"]
    assert not [path for _, path, _ in app.requests if "other" in path]


async def test_ten_thousand_environments_page_by_page(app: FakeGitHub, configured: Configured) -> None:
    app.check = False
    plain = environment("x", branches="custom")
    app.deploys.environments["acme/app"] = [
        {**plain, "name": f"prod-{number}" if number < 101 else f"pr-{number}"} for number in range(10_000)
    ]
    app.deploys.policies = {("acme/app", f"prod-{number}"): ["main"] for number in range(101)}
    found = await verdicts(guards(configured()))
    assert [verdict for verdict, _ in found] == ["pass"] * 102 + ["unknown"]
    assert "prod-100: which branches deploy: not asked, as of 100 environments before it" in found[-1][1]
    assert sum(path.endswith("/environments") for _, path, _ in app.requests) == 100


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("environments", []),
        ("environments", {"total_count": "1", "environments": []}),
        ("environments", {"total_count": 1, "environments": [None]}),
        ("environments", {"total_count": 1, "environments": [{"name": ""}]}),
        ("environments", {"total_count": 3, "environments": []}),
        ("environments", {"total_count": 1, "environments": [{"name": "production", "protection_rules": [1]}]}),
        ("environments", {"total_count": 1, "environments": [{**environment("live"), "deployment_branch_policy": {}}]}),
        ("environments", {"total_count": 1, "environments": [{**environment("live"), "protection_rules": None}]}),
        ("workflow", "read"),
        ("workflow", {"default_workflow_permissions": "read"}),
        ("branches", {"protected": True}),
    ],
)
async def test_a_peer_that_answers_nonsense_is_unknown(
    kind: str, answer: Any, app: FakeGitHub, configured: Configured
) -> None:
    app.deploys.environments["acme/app"] = [environment("production")]
    app.mangle = lambda which, body: answer if which == kind else body
    found = {verdict for verdict, _ in await verdicts(guards(configured()))}
    assert "unknown" in found
    assert "fail" not in found


async def test_a_reviewer_that_is_none_is_none(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [environment("production")]
    rule = {"type": "required_reviewers", "prevent_self_review": True, "reviewers": [1, None]}
    answer = {"total_count": 1, "environments": [{**environment("live"), "protection_rules": [rule]}]}
    app.mangle = lambda which, body: answer if which == "environments" else body
    assert ("fail", "acme/app: environment live: nobody has to approve a deploy") in await verdicts(
        guards(configured())
    )


async def test_pages_in_circles_and_fewer_than_it_says(app: FakeGitHub, configured: Configured) -> None:
    app.deploys.environments["acme/app"] = [environment("production"), environment("staging")]
    app.deploys.short = 1
    assert ("unknown", "acme/app: 1 of 2 environments came") in await verdicts(guards(configured()))
    app.faults.append((200, {}, {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}))
    app.faults.append((200, {}, [{"full_name": "acme/app"}]))
    app.faults.append((200, {}, {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}))
    for number in range(300):
        link = {"Link": f'<{app.url}/repos/acme/app/environments?page={number % 2}>; rel="next"'}
        app.faults.append((200, link, {"total_count": 1, "environments": []}))
    found = await verdicts(guards(configured()))
    assert found[-1][0] == "unknown"
    assert "more than 0 environments" in found[-1][1]
    assert len(app.faults) == 100


async def test_a_secret_in_the_name_of_an_environment_is_masked(
    app: FakeGitHub, configured: Configured, tmp_path: Path
) -> None:
    app.deploys.environments["acme/app"] = [environment(f"prod/{TOKEN}\n\x1b[31m", reviewers=0)]
    subject = configured()
    (one,) = await audit([], subject.config, subject.engine, KEY, ["deploy-guards"], store=None)
    assert one.verdict == "fail"
    assert TOKEN[8:] not in str(one)
    assert "\x1b" not in str([piece.text for piece in one.evidence])


async def test_without_rights_or_anybody_to_ask_it_is_unknown(
    app: FakeGitHub, make: Make, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [verdict for verdict, _ in await verdicts(guards(make()))] == ["unknown"]
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-token-of-nobody")
    found = await verdicts(guards(configured()))
    assert {verdict for verdict, _ in found} == {"unknown"}
    assert "wrong-token" not in str(found)
    monkeypatch.delenv("GITHUB_TOKEN")
    assert {verdict for verdict, _ in await verdicts(guards(configured()))} == {"unknown"}
