"""Entries' keys, and values that hold several secrets."""

from __future__ import annotations

import jwt
import orjson
import pytest
from pydantic import ValidationError

from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ManagerConfig, described, expiry, members


def test_a_name_that_looks_like_a_secret_is_refused_and_not_shown() -> None:
    name = "ghp_" + "a1" * 18
    with pytest.raises(ValidationError, match="looks like a secret") as caught:
        ManagerConfig(name=name, type="vault")
    assert name not in str(caught.value)


def parts(value: object) -> dict[str, bytes | None]:
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    return {held.name: held.value for held in members(HeldSecret("app", raw))}


def test_an_object_is_a_secret_for_each_member() -> None:
    assert parts({"password": "p", "host": "db.example.org", "username": "app", "port": 5432}) == {"app.password": b"p"}
    assert parts({"a": {"b": "x", "c": [1, "y"]}, "n": None}) == {
        "app.a.b": b"x", "app.a.c.0": b"1", "app.a.c.1": b"y", "app.n": b"null",
    }  # fmt: skip
    assert parts({"config": '{"token": "t"}', "text": "{not json"}) == {
        "app.config.token": b"t",
        "app.text": b"{not json",
    }
    assert parts({"type": "service_account", "private_key": "k", "token_uri": "u"}) == {"app.private_key": b"k"}


def test_what_is_no_object_stays_one_secret() -> None:
    for value in (b"plain", b"", b"{not json", b'"text"', b"[1]", b"\xff\x00{", None):
        assert parts(value) == {"app": value}


def test_what_lies_very_deep_is_one_value() -> None:
    value: object = "x"
    for _ in range(100):
        value = {"a": value}
    (name,) = parts(value)
    assert name == "app" + ".a" * 6


def test_a_member_keeps_what_is_known_of_the_secret() -> None:
    (held,) = members(HeldSecret("app", b'{"k": "v"}', version="3", standing="previous", owner="payments"))
    assert held == HeldSecret("app.k", b"v", version="3", standing="previous", owner="payments")


def test_labels_say_whose_a_secret_is() -> None:
    assert described({"Owner": "payments", "env": "production", "Flag": ""}) == {
        "owner": "payments", "environment": "production", "tags": ("Flag", "Owner=payments", "env=production"),
    }  # fmt: skip


def test_a_token_says_when_it_ends() -> None:
    key = "k" * 32
    assert expiry(jwt.encode({"exp": 2_000_000_000}, key)) == 2_000_000_000.0
    assert [expiry(text) for text in (jwt.encode({}, key), "", "a.b.c", "a.é.c", "a.W10.c", "plain")] == [None] * 6
