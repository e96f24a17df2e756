from __future__ import annotations

from typing import Any

import pytest

from monitor.accounts.people import Person
from monitor.accounts.settings import SignInConfig, within
from monitor.config.config import FaultyConfigError, parse

PROXY = '[console.proxy]\nuser = "X-User"\nfrom = ["10.0.0.5"]\nsecret = "env:PROXY_SECRET"\n'
OPENID = '[console.openid]\nissuer = "https://id.example.org"\nclient_id = "m"\nclient_secret = "env:OPENID_SECRET"\n'
BASE = '[http]\nbase_url = "https://monitor.example.org"\n'


def of(text: str) -> SignInConfig:
    return parse(text).console


def test_without_any_of_it_nobody_is_asked_and_nobody_is_anybody() -> None:
    settings = of("")
    assert not settings.asks
    assert settings.person("ana", None) is None


@pytest.mark.parametrize("text", ["[console]\nsign_in = true\n", PROXY, BASE + OPENID])
def test_each_way_in_asks(text: str) -> None:
    assert of(text).asks


def test_people_have_one_name_and_role_whichever_way_they_come() -> None:
    settings = of(
        '[console.people]\nada = {name = "Ada", role = "admin"}\n"bob@example.org" = {name = "bob"}\n'
        '[console.groups]\noncall = "responder"\nsec = "admin"\n'
    )
    assert settings.person("ada", "viewer") == Person("ada", "admin")
    assert settings.person("ADA", None) == Person("ada", "admin")
    assert settings.person("ADA", "viewer") == settings.person("ada", "viewer")
    assert settings.person("Eve", "viewer") == Person("eve", "viewer")
    assert settings.person("bob@example.org", None) is None
    assert settings.person("Bob@Example.org", "viewer") == Person("bob", "viewer")
    assert settings.person("eve", "viewer") == Person("eve", "viewer")
    with pytest.raises(ValueError, match=r"letters a-z.*\[console.people\]"):
        settings.person("<script>", "viewer")
    assert settings.role_of(["x", "oncall", "sec"], "viewer") == "admin"
    assert settings.role_of(["x"], "viewer") == "viewer"
    assert settings.role_of(["x"], None) is None


@pytest.mark.parametrize("alike", ["mar\u212a@example.org", "mo\u017fe@example.org", "\u0430da@example.org"])
def test_a_letter_that_unicode_folds_into_another_is_nobody_elses(alike: str) -> None:
    settings = of("".join(
        f'[console.people."{one}@example.org"]\nname = "{one}"\nrole = "admin"\n' for one in ("mark", "mose", "ada")
    ))  # fmt: skip
    assert settings.person(alike, None) is None
    with pytest.raises(ValueError, match="letters a-z"):
        settings.person(alike, "viewer")
    listed = of(f'[console.people."{alike}"]\nname = "Lee"\nrole = "viewer"\n')  # who really is called so
    assert listed.person(alike, None) == Person("lee", "viewer")


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("[console]\nsignin = true\n", "console.signin", "unknown key"),
        ('[console]\nidle = "1s"\n', "console.idle", ""),
        (PROXY.replace('["10.0.0.5"]', "[]"), "console.proxy.from", "must not be empty"),
        (PROXY.replace('from = ["10.0.0.5"]\n', ""), "console.proxy.from", "missing"),
        (PROXY.replace("10.0.0.5", "0.0.0.0/0"), "console.proxy.from[0]", "is everybody"),
        (PROXY.replace("10.0.0.5", "proxy"), "console.proxy.from[0]", "address"),
        (PROXY.replace('secret = "env:PROXY_SECRET"\n', ""), "console.proxy.secret", "missing"),
        (PROXY.replace("env:PROXY_SECRET", "open sesame"), "console.proxy.secret", "reference"),
        (PROXY + 'groups = "x-user"\n', "console.proxy", "headers of their own"),
        (BASE + OPENID.replace("https://id", "http://id"), "console.openid.issuer", "https"),
        (BASE + OPENID + 'scope = ["email"]\n', "console.openid", "openid"),
        (OPENID, "console.openid", "http.base_url"),
        ('[console.people]\nada = {name = "a b"}\n', "console.people.ada.name", "letters"),
        ('[console.people]\nada = {role = "admin"}\n', "console.people.ada.name", "missing"),
        ('[console.people]\nada = {name = "a"}\nAda = {name = "b"}\n', "console.people", "capital letters"),
        ('[console.groups]\nx = "root"\n', "console.groups.x", "viewer"),
    ],
)
def test_what_cannot_hold_is_refused_by_its_key(text: str, key: str, message: str) -> None:
    with pytest.raises(FaultyConfigError) as refused:
        of(text)
    [problem] = refused.value.problems
    assert problem.key == key
    assert message in problem.message
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "listed", "inside"),
    [
        ("10.0.0.5", ["10.0.0.0/24"], True),
        ("::ffff:10.0.0.5", ["10.0.0.5"], True),
        ("10.0.1.5", ["10.0.0.0/24", "unix"], False),
        ("fe80::1%eth0", ["fe80::/64"], True),
        (None, ["10.0.0.5"], False),
        (None, ["unix"], True),
    ],
)
def test_addresses_that_are_listed(address: str | None, listed: list[str], inside: bool) -> None:
    settings: dict[str, Any] = {"proxies": listed}
    assert within(address, SignInConfig.model_validate(settings).proxies) is inside
