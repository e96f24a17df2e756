from __future__ import annotations

import pytest

from monitor.config.config import parse
from monitor.config.locate import ConfigError


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


def test_nobody_is_asked_unless_it_is_said() -> None:
    settings = parse("").verify
    assert not settings.allows("github")
    assert not settings.automatic
    assert parse('[verify]\nproviders = ["github"]').verify.allows("github")
    assert not parse('[verify]\nproviders = ["github"]').verify.allows("openai")
    assert parse('[verify]\nproviders = ["*"]').verify.allows("openai")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('providers = ["githib"]', "no probe"),
        ('private = ["nobody"]', "no probe"),
        ('servers = { vault = "http://vault.example.org" }', "unencrypted"),
        ('servers = { vault = "https://me:secret@vault.example.org" }', "without a user"),
        ('servers = { vault = "vault.example.org" }', "address such as"),
        ('proxy = "http://proxy:3128"', "reference"),
        ('severities = [{ severity = "low" }]', "missing"),
        ("surprise = 1", "unknown key"),
    ],
)
def test_what_is_wrong_is_said_under_its_key(line: str, what: str) -> None:
    said = problems(f"[verify]\n{line}\n")
    assert what in said
    assert "verify." in said
    assert "me:secret" not in said


def test_a_server_of_ones_own_may_be_here() -> None:
    settings = parse('[verify]\nservers = { vault = "http://127.0.0.1:8200/" }\nprivate = ["vault"]').verify
    assert settings.servers == {"vault": "http://127.0.0.1:8200"}
