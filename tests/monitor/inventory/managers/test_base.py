"""Entries' keys, values that hold several secrets, and times."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jwt
import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from monitor.common.credential import Credential
from monitor.inventory.held import Held
from monitor.inventory.managers.base import (
    LocalPath,
    ManagerConfig,
    Reference,
    ServerUrl,
    described,
    expiry,
    instant,
    members,
)


def test_an_address_is_encrypted_or_on_this_machine() -> None:
    address: TypeAdapter[str] = TypeAdapter(ServerUrl)
    assert address.validate_python("https://vault.example.org:8200/") == "https://vault.example.org:8200"
    assert address.validate_python("http://127.0.0.1:8200") == "http://127.0.0.1:8200"
    for wrong in ("http://vault.example.org", "https://user:pass@vault.example.org", "ftp://x", "https://", "x?y"):
        with pytest.raises(ValidationError):
            address.validate_python(wrong)


def test_a_path_lies_beside_the_configuration() -> None:
    place: TypeAdapter[Path] = TypeAdapter(LocalPath)
    assert place.validate_python("ca.pem", context={"folder": "/etc/m"}) == Path("/etc/m/ca.pem")
    assert place.validate_python("/ca.pem", context={"folder": "/etc/m"}) == Path("/ca.pem")
    assert place.validate_python("~/ca.pem") == Path.home() / "ca.pem"
    reference: TypeAdapter[Credential] = TypeAdapter(Reference)
    for given, found in (("file:key", "file:/etc/m/key"), ("file:/key", "file:/key"), ("env:KEY", "env:KEY")):
        assert reference.validate_python(given, context={"folder": "/etc/m"}) == Credential(found)


def test_a_name_that_looks_like_a_secret_is_refused_and_not_shown() -> None:
    name = "ghp_" + "a1" * 18
    with pytest.raises(ValidationError, match="looks like a secret") as caught:
        ManagerConfig(name=name, type="vault")
    assert name not in str(caught.value)


def parts(value: object) -> dict[str, bytes | None]:
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    return {held.name: held.value for held in members(Held("app", raw))}


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
    (held,) = members(Held("app", b'{"k": "v"}', version="3", standing="previous", owner="payments"))
    assert held == Held("app.k", b"v", version="3", standing="previous", owner="payments")


def test_labels_say_whose_a_secret_is() -> None:
    assert described({"Owner": "payments", "env": "production", "Flag": ""}) == {
        "owner": "payments", "environment": "production", "tags": ("Flag", "Owner=payments", "env=production"),
    }  # fmt: skip


def test_times_as_providers_write_them() -> None:
    expected = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
    for text in ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01T14:00:00+02:00"):
        assert instant(text) == expected
    assert instant("2026-03-01T12:00:00.123456789Z") == pytest.approx(expected + 0.123, abs=0.001)
    assert instant(1.5) == 1.5
    assert [instant(other) for other in ("", "n/a", None, True, [])] == [None] * 5


def test_a_token_says_when_it_ends() -> None:
    key = "k" * 32
    assert expiry(jwt.encode({"exp": 2_000_000_000}, key)) == 2_000_000_000.0
    assert [expiry(text) for text in (jwt.encode({}, key), "", "a.b.c", "a.é.c", "a.W10.c", "plain")] == [None] * 6
