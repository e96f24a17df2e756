from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.common.credential import Credential
from monitor.github.client import GitHubClient
from monitor.github.doctor import examine, repositories
from monitor.github.poll import AlertStream
from tests.fakes.github import FakeGitHub


@dataclass
class Looked:
    org: tuple[str, ...] = ("acme",)
    repo: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("org:acme",)
    review_requests: bool = False

    def streams(self) -> tuple[AlertStream, ...]:
        return (AlertStream("org:acme", "default"), AlertStream("org:acme", "generic"))


@pytest.fixture
async def client(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    client = GitHubClient.with_token(github.url, Credential("env:FAKE_GITHUB_TOKEN"))
    client.attempts = 1
    yield client
    await client.close()


async def checks(
    client: GitHubClient, *, writes: bool = False, reviews: bool = False
) -> dict[str, tuple[bool | None, str]]:
    looked = Looked(review_requests=reviews)
    return {check.name: (check.ok, check.detail) async for check in examine(looked, client, writes=writes)}


async def test_each_question_has_its_answer(github: FakeGitHub, client: GitHubClient) -> None:
    github.remaining = 400
    found = await checks(client)
    assert found["log-in"] == (True, "token of octocat")
    assert found["scopes"][0] is True
    assert found["rate limit"][0] is False  # nearly used up
    assert found["alerts of org:acme"] == (True, "readable, none yet")


async def test_requests_to_reviewers_are_asked_for_where_they_are_wanted(
    github: FakeGitHub, client: GitHubClient
) -> None:
    names = ("bypass-requests of org:acme", "dismissal-requests of org:acme")
    assert not (await checks(client)).keys() & set(names)
    github.reviews.add("bypass", "acme/web", 86_400.0)
    found = await checks(client, reviews=True)
    assert [found[name] for name in names] == [(True, "readable, 1 waiting"), (True, "readable, none waiting")]
    github.reviews.off = {"acme"}
    assert {found[0] for name, found in (await checks(client, reviews=True)).items() if name in names} == {None}
    github.reviews.off, github.reviews.refused = set(), {"acme"}
    found = await checks(client, reviews=True)
    assert (found[names[0]][0], "must be of a reviewer" in found[names[0]][1]) == (False, True)


async def test_what_makes_no_sense_is_unknown(github: FakeGitHub, client: GitHubClient) -> None:
    github.mangle = lambda kind, body: {"resources": []} if kind in ("rate", "user") else body
    found = await checks(client)
    assert found["rate limit"] == (None, "unknown")
    assert found["log-in"] == (True, "token of an unknown user")


async def test_a_listing_that_cannot_be_read_fails(github: FakeGitHub, client: GitHubClient) -> None:
    github.faults.extend([(200, {}, {"login": "x"}), (404, {}, None), (404, {}, {"message": "Not Found"})])
    found = await checks(client)
    assert found["rate limit"][0] is None  # GHES without limits
    assert found["alerts of org:acme"][0] is False


@pytest.mark.parametrize("writes", [False, True])
async def test_an_apps_permissions(github: FakeGitHub, tmp_path, writes: bool) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "app.pem").write_bytes(pem)
    github.app_key = key.public_key()
    client = GitHubClient.with_app(github.url, "4242", Credential(f"file:{tmp_path / 'app.pem'}"), "orgs/acme")
    found = await checks(client, writes=writes)
    assert found["log-in"] == (True, "GitHub App 4242, installation 77")
    fine, detail = found["permissions"]
    assert fine is not writes
    assert detail.startswith("metadata=read, secret_scanning_alerts=read")
    needs = f"needs secret_scanning_alerts=write: {github.url}/settings/apps"
    assert (needs in detail) is writes
    await client.close()


@pytest.mark.parametrize(
    ("analysis", "expected"),
    [
        ({}, "unknown"),
        ({"secret_scanning": {"status": "enabled"}}, "on"),
        ({"secret_scanning": {"status": "disabled"}}, "off"),
        ({"secret_scanning": {}}, "unknown"),
        ({"secret_scanning": {"status": "paused"}}, "unknown"),
    ],
)
async def test_what_cannot_be_read_is_unknown(
    github: FakeGitHub, client: GitHubClient, analysis: dict[str, Any], expected: str
) -> None:
    github.check = False
    github.repos = {"acme/web": analysis}
    [one] = [one async for one in repositories(Looked(), client)]
    assert one.switches["secret_scanning"] == expected


async def test_all_pages_and_named_repositories(github: FakeGitHub, client: GitHubClient) -> None:
    github.repos = {f"acme/r{number}": {} for number in range(130)} | {"other/x": {}}
    assert len([one async for one in repositories(Looked(repo=("other/x",)), client)]) == 131
