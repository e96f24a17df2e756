from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from monitor.github.auth import AppAuth, TokenAuth
from monitor.github.login import GitHubLogin

BASE: dict[str, Any] = {"name": "gh", "type": "github", "org": "acme", "token": "env:X"}


def login(**more: Any) -> GitHubLogin:
    return GitHubLogin.model_validate(BASE | more)


def test_what_it_watches_by_any_case() -> None:
    one = login(repo=["Umbrella/Web"])
    assert [one.watches(name) for name in ("ACME/x", "umbrella/web", "umbrella/other", "", "x/acme")] == [
        True, True, False, False, False
    ]  # fmt: skip
    assert one.owners == ("acme", "Umbrella")


@pytest.mark.parametrize(
    ("base", "host", "cloud"),
    [
        ("https://api.github.com", "github.com", True),
        ("https://api.acme.ghe.com", "api.acme.ghe.com", True),
        ("https://ghe.example.org/api/v3/", "ghe.example.org", False),
        ("https://notapi.github.com.example.org", "notapi.github.com.example.org", False),
    ],
)
def test_whose_server_it_is(base: str, host: str, cloud: bool) -> None:
    one = login(base_url=base)
    assert (one.host, one.cloud) == (host, cloud)


def test_two_ways_in() -> None:
    assert isinstance(login().client().auth, TokenAuth)
    app = login(token=None, app={"id": 42, "private_key": "file:/nowhere"}, org=(), repo="acme/web")
    assert isinstance(app.client().auth, AppAuth)
    with pytest.raises(ValidationError, match="an App is installed for one owner"):
        login(token=None, app={"id": 42, "private_key": "file:/nowhere"}, repo="other/web")
