from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from detectors.rules.template import expand
from monitor.audit.hosting import least_privilege, switches
from monitor.config.config import load
from tests.fakes.github import FakeGitHub
from tests.fakes.issuer import FakeIssuer
from tests.monitor.audit.conftest import Configured, Make, verdicts, write
from tests.monitor.cli.test_github import on

ALL = ("secret_scanning", "secret_scanning_push_protection", "secret_scanning_validity_checks")


async def test_switches_are_on_off_or_not_to_be_seen(github: FakeGitHub, configured: Configured) -> None:
    github.repos = {"acme/full": on(*ALL), "acme/half": on("secret_scanning"), "acme/hidden": {}}
    found = dict(text.split(": ", 1)[::-1] for _, text in await verdicts(switches(configured())))
    assert found["secret scanning, push protection, validity checks on"] == "acme/full"
    assert found["push protection, validity checks off"] == "acme/half"
    assert [verdict for verdict, _ in await verdicts(switches(configured()))] == ["pass", "fail", "unknown"]


async def test_without_github_or_with_a_refused_token_it_is_unknown(
    make: Make, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [verdict for verdict, _ in await verdicts(switches(make()))] == ["unknown"]
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-token-of-nobody")
    for check in (switches, least_privilege):
        ((verdict, text),) = await verdicts(check(configured()))
        assert verdict == "unknown"
        assert "wrong-token" not in text
    monkeypatch.delenv("GITHUB_TOKEN")
    for check in (switches, least_privilege):
        assert [verdict for verdict, _ in await verdicts(check(configured()))] == ["unknown"]


@pytest.mark.parametrize(
    ("scopes", "verdict"),
    [
        ("security_events, read:org", "pass"), ("repo, security_events", "fail"), ("admin:org", "fail"), ("", "pass"),
        (None, "unknown"),
    ],
)  # fmt: skip
async def test_the_scopes_of_a_token(
    scopes: str | None, verdict: str, github: FakeGitHub, configured: Configured
) -> None:
    github.scopes = scopes
    ((found, text),) = await verdicts(least_privilege(configured()))
    assert found == verdict
    if verdict == "fail":
        assert text.endswith((": repo", ": admin:org"))


async def test_the_permissions_of_an_app(github: FakeGitHub, configured: Configured, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    github.app_key = key.public_key()
    (tmp_path / "app.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    login = f'app = {{ id = 4242, private_key = "file:{tmp_path}/app.pem" }}'
    ((verdict, text),) = await verdicts(least_privilege(configured("", login)))
    assert (verdict, "secret_scanning_alerts=read" in text) == ("pass", True)
    reads = dict.fromkeys(("actions", "organization_administration", "organization_bypass_requests"), "read")
    github.mangle = lambda kind, body: {**body, "permissions": reads} if kind == "installation" else body
    ((verdict, _),) = await verdicts(least_privilege(configured("", login)))
    assert verdict == "pass"  # what deploy guards and requests to reviewers need
    more = {"secret_scanning_alerts": "write", "contents": "read", "workflows": "write"}
    github.mangle = lambda kind, body: {**body, "permissions": more} if kind == "installation" else body
    ((verdict, text),) = await verdicts(least_privilege(configured("", login)))
    assert (verdict, text.split(": ")[-1]) == ("fail", "secret_scanning_alerts=write, workflows=write")
    ((verdict, text),) = await verdicts(least_privilege(configured('write_back = "on"', login)))
    assert (verdict, text.split(": ")[-1]) == ("fail", "workflows=write")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("permissions: {contents: read}\njobs: {a: {steps: []}}", "pass"),
        ("jobs: {a: {permissions: {}}}", "pass"),
        ("permissions: write-all\njobs: {a: {}}", "fail"),
        ("jobs: {a: {permissions: write-all}}", "fail"),
        ("jobs: {a: {permissions: {}}, b: {}}", "unknown"),
        ("jobs: [", "unknown"),
    ],
)
async def test_the_token_of_workflows(text: str, verdict: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {".github/workflows/a.yml": text})
    assert [found for found, _ in await verdicts(least_privilege(make(tmp_path)))] == [verdict]


async def test_nobody_says_anything(make: Make, tmp_path: Path) -> None:
    assert [found for found, _ in await verdicts(least_privilege(make(tmp_path)))] == ["unknown"]


@pytest.mark.parametrize(
    ("scopes", "verdict"), [("read:user", "pass"), ("read:user, admin:org", "fail"), ("", "unknown")]
)
async def test_issuers_are_asked_about_our_own_credentials_where_they_may(
    scopes: str, verdict: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 1)
    monkeypatch.setenv("OUR_TOKEN", token)
    async with FakeIssuer(token, 200, {"login": "octocat"}, {"X-OAuth-Scopes": scopes}) as issuer:
        text = f"""
[verify]
providers = ["github"]
private = ["github"]
servers = {{ github = "{issuer.url}" }}
[[actions]]
name = "own"
type = "http"
rules = ["acme"]
url = "https://keys.example.org/revoke"
json = '{{"key": "{{value}}"}}'
credential = "env:OUR_TOKEN"
"""
        (tmp_path / "config.toml").write_text(text)
        subject = replace(make(), config=load(tmp_path / "config.toml"))
        ((found, said),) = await verdicts(least_privilege(subject))
        assert found == verdict
        assert token not in said
        (tmp_path / "config.toml").write_text(text.replace('providers = ["github"]', "providers = []"))
        subject = replace(make(), config=load(tmp_path / "config.toml"))
        asked = len(issuer.requests)
        assert [one for one, _ in await verdicts(least_privilege(subject))] == ["unknown"]
        assert len(issuer.requests) == asked
