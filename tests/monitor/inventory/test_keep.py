"""What is kept of a value."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
import pytest

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from monitor.inventory.held import HeldSecret
from monitor.inventory.keep import keep, parts
from monitor.inventory.managers.base import ManagerConfig
from monitor.store.inventory import SecretVersion

KEY = b"k" * 32
VALUE = expand("{alnum:30}", 5)


def kept(held: HeldSecret, **config: Any) -> list[SecretVersion]:
    return [one for one, _ in keep(held, ManagerConfig(name="e", type="dotenv", **config), KEY, lambda text: text)]


def test_the_fingerprint_is_that_of_rules_and_nothing_of_the_value_is_kept() -> None:
    [one] = kept(HeldSecret("URL", f"postgres://app:{VALUE}@db/app".encode(), digest="abc", tags=("a",)), tags=("b",))
    [print_] = one.prints
    assert print_.fingerprint == fingerprint(KEY, VALUE.encode())
    assert (print_.part, print_.length, print_.alphabet) == ("password", 30, "letters and digits")
    assert one.tags == ("b", "a")
    assert one.digest not in ("", "abc")
    text = repr(asdict(one))
    assert not any(VALUE[at : at + 4] in text for at in range(len(VALUE) - 4))


def test_a_refused_value_leaves_its_reason_only() -> None:
    [one] = kept(HeldSecret("MODE", b"production-like", digest="abc", version="3"))
    assert one.refused.startswith("words")
    assert (one.prints, one.digest, one.mark) == ((), "", "version 3")
    [one] = kept(HeldSecret("SOME_URL", VALUE.encode()), exclude=("*_URL",))
    assert one.refused == "excluded by the configuration"


def test_what_is_never_given_is_told_apart_by_its_digest() -> None:
    one, two = (kept(HeldSecret("A", None, digest=digest))[0] for digest in ("1", "2"))
    assert one.unread
    assert one.mark != two.mark


def test_members_of_an_object_are_secrets_of_their_own() -> None:
    value = orjson.dumps({"password": VALUE, "host": "db.acme.net", "mode": "x"})
    found = {one.name: one.refused for one in kept(HeldSecret("db", value))}
    assert found == {"db.password": "", "db.mode": "shorter than 12 bytes"}


def test_the_entry_says_what_its_manager_does_not() -> None:
    [one] = kept(
        HeldSecret("A", VALUE.encode(), owner="ada"), environment="production", owner="ops", consumers=("web",)
    )
    assert (one.environment, one.owner, one.consumers) == ("production", "ada", ("web",))


ONE, TWO = b"Xk29fQ", b"Xk%2F29"
PEM = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n-----END PRIVATE KEY-----"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" Xk29fQ\n", [("", b"Xk29fQ")]),
        (b"postgresql://app:" + ONE + b"@db:5432/app?x=1", [("password", ONE)]),
        (b"redis://:" + TWO + b"@cache:6379/0", [("password", TWO), ("password", b"Xk/29")]),
        (b"https://hooks.acme.net/Xk29fQ", [("", b"https://hooks.acme.net/Xk29fQ")]),
        (b"Server=db;User Id=app;Pwd='" + ONE + b";';Encrypt=true", [("pwd", ONE + b";")]),
        (b"AccountName=a;AccountKey=Xk29==;EndpointSuffix=core", [("accountkey", b"Xk29==")]),
        (b"a=b", [("", b"a=b")]),
        (CERTIFICATE + b"\n" + PEM, [("private key", PEM)]),
        (CERTIFICATE, [("", CERTIFICATE)]),
    ],
)
def test_parts(value: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert list(parts(value)) == expected
