"""What of a value is secret."""

from __future__ import annotations

import pytest

from monitor.inventory.fragments import parts

ONE, TWO = b"Xk29fQ", b"Xk%2F29"
KEY = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n-----END PRIVATE KEY-----"
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
        (CERTIFICATE + b"\n" + KEY, [("private key", KEY)]),
        (CERTIFICATE, [("", CERTIFICATE)]),
    ],
)
def test_parts(value: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert list(parts(value)) == expected
