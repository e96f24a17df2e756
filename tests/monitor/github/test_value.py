from __future__ import annotations

import pytest

from detectors.rules.template import expand
from monitor.common.credential import Credential
from monitor.github.client import GitHubClient
from monitor.github.value import values_of
from tests.fakes.github import FakeGitHub


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", FakeGitHub().token)


async def test_the_value_of_an_alert_is_asked_for_again() -> None:
    value = expand("ghp_{alnum:30}{crc32}", 41)
    async with FakeGitHub() as github:
        github.add("acme/web", value, number=7)

        def client() -> GitHubClient:
            return GitHubClient.with_token(github.url, Credential("env:GITHUB_TOKEN"))

        found = await values_of(client(), "acme/web#7")
        assert found is not None
        assert found[0] == value.encode()
        assert value.encode() in found[1]
        for wrong in ("acme/web#8", "acme/web", "../../user#1", "acme/web#7/locations", ""):
            assert await values_of(client(), wrong) is None
