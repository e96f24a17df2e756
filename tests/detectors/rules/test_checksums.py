from __future__ import annotations

import base64
import hashlib
import hmac
import random
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.rules.checksums import CHECKS, ChecksumResult
from detectors.rules.template import expand


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(data)).decode().rstrip("=")


def token(
    claims: dict[str, Any], header: dict[str, Any] | None = None, signature: str = "c2lnbmF0dXJlLXNpZ25hdHVyZQ"
) -> bytes:
    return f"{part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{signature}".encode()


@given(st.binary(max_size=120))
def test_every_check_answers_for_any_value(value: bytes) -> None:
    for check in CHECKS.values():
        assert isinstance(check(value), ChecksumResult)


def test_github_crc32() -> None:
    # GitHub's own description: CRC32 of the 30 characters, base62, padded to six.
    for prefix in ("ghp_", "gho_", "ghs_", "npm_"):
        good = (prefix + expand("{alnum:30}{crc32}", 5)).encode()
        assert CHECKS["github-crc32"](good).valid is True
        assert CHECKS["github-crc32"](good[:-1] + (b"0" if good[-1:] != b"0" else b"1")).valid is False
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, tail = zlib.crc32(b"A" * 30), ""
    while number:
        number, rest = divmod(number, 62)
        tail = digits[rest] + tail
    assert CHECKS["github-crc32"](b"ghp_" + b"A" * 30 + tail.rjust(6, "0").encode()).valid is True


def test_hex_crc32_with_and_without_the_prefix() -> None:
    body = expand("{alnum:32}", 1).encode()
    assert CHECKS["hex-crc32"](b"glsa_" + body + b"_" + b"%08x" % zlib.crc32(body)).valid
    assert CHECKS["hex-crc32"](b"glsa_" + body + b"_" + b"%08x" % zlib.crc32(b"glsa_" + body)).valid
    assert CHECKS["hex-crc32"](b"glsa_" + body + b"_00000000").valid is False


def test_supabase_keys() -> None:
    assert CHECKS["supabase-key"](expand("{supabase-secret}", 1).encode()).labels == {"hosting": "self-hosted"}
    hosted = CHECKS["supabase-key"](("sb_" + "secret_" + expand("{base64url:22}_{base64url:8}", 1)).encode())
    assert (hosted.valid, hosted.reject) == (None, False)


@pytest.mark.parametrize(
    ("role", "severity"), [("service_role", "critical"), ("anon", "info"), ("authenticated", None)]
)
def test_a_supabase_role_sets_the_severity(role: str, severity: str | None) -> None:
    answer = CHECKS["jwt"](token({"role": role, "iss": "supabase", "ref": "abcd", "exp": 4_000_000_000}))
    assert (answer.severity, answer.labels["role"], answer.labels["ref"]) == (severity, role, "abcd")


def test_tokens_that_open_nothing_are_quiet() -> None:
    jwt = CHECKS["jwt"]
    assert jwt(token({"sub": "1", "exp": 1_000_000_000})).severity == "low"
    assert jwt(token({"sub": "1", "exp": 1_000_000_000})).labels["expired"] == "true"
    assert jwt(token({"sub": "1"}, {"alg": "none"})).severity == "low"
    assert jwt(token({"sub": "1234567890", "name": "John Doe"})).confidence == "low"
    assert jwt(token({"sub": "1234567890", "name": "Jane Roe"})).confidence is None
    assert jwt(token({"iss": "supabase-demo", "role": "service_role"})).severity == "info"
    text = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'some': 'payload'})}"
    signature = base64.urlsafe_b64encode(hmac.digest(b"secret", text.encode(), "sha256")).decode().rstrip("=")
    assert (jwt(f"{text}.{signature}".encode()).severity, jwt(f"{text}.{signature}".encode()).confidence) == (
        "low",
        "low",
    )


def test_what_is_no_token_is_rejected() -> None:
    jwt = CHECKS["jwt"]
    assert jwt(b"eyJhbGciOiJI.eyJzdWIi.sig").reject
    assert jwt(f"{part({'foo': 1})}.{part({'sub': 1})}.x".encode()).reject
    assert jwt(f"{part({'alg': 'HS256'})}.{part([1, 2])}.x".encode()).reject
    sealed = jwt(f"{part({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.AAAA.BBBB.CCCC.DDDD".encode())
    assert (sealed.reject, sealed.labels) == (False, {"type": "JWE"})


def test_aws_account_is_read_from_the_key_id() -> None:
    def key_id(account: int) -> bytes:
        number = (account << 7) | 1 << 47
        return b"AKIA" + base64.b32encode(number.to_bytes(6, "big") + b"abcd")[:16]

    assert CHECKS["aws-account"](key_id(123456789012)).labels == {"account": "123456789012"}
    assert CHECKS["aws-account"](key_id(12)).labels == {"account": "000000000012"}
    canary = CHECKS["aws-account"](key_id(52310077262))
    assert (canary.severity, canary.labels["canary"]) == ("info", "true")
    assert CHECKS["aws-account"](b"AKIA" + b"0189" * 4).labels == {}


def test_basic_credentials_carry_the_password() -> None:
    def basic(text: str) -> ChecksumResult:
        return CHECKS["basic-auth"](base64.b64encode(text.encode()))

    # RFC 7617, section 2.
    assert CHECKS["basic-auth"](b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==").value == b"open sesame"
    assert basic("key-as-user-name-32:").value == b"key-as-user-name-32"
    assert basic("user:x").reject
    assert basic("no colon here").reject
    assert CHECKS["basic-auth"](b"realm=restricted").reject


def test_uri_passwords_are_percent_decoded() -> None:
    assert CHECKS["uri-password"](b"%2F".join((b"p%40ss", b"word"))).value == b"p@ss/word"
    assert CHECKS["uri-password"](b"plain").value is None


@pytest.mark.parametrize("label", ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"])
def test_a_whole_key_is_told_from_a_damaged_one(label: str) -> None:
    pem = expand(f"{{pem:{label}}}", 1)
    assert CHECKS["pem"](pem.encode()).valid is True
    assert CHECKS["pem"](pem.replace("\n", "\\n").encode()).valid is True
    lines = pem.split("\n")
    damaged = CHECKS["pem"]("\n".join([*lines[:2], lines[-1]]).encode())
    assert (damaged.valid, damaged.reject, damaged.confidence) == (None, False, "medium")


def test_a_key_with_parts_left_out_is_told_quietly() -> None:
    lines = expand("{pem:RSA PRIVATE KEY}", 1).split("\n")
    shortened = "\n".join([*lines[:2], "......", lines[-1]])
    assert CHECKS["pem"](shortened.encode()).confidence == "low"


def test_code_that_writes_a_key_is_told_quietly() -> None:
    lines = [
        "-----BEGIN RSA PRIVATE KEY-----",
        '")) {{',
        "    free(line);",
        '    fputs("',
        "-----END RSA PRIVATE KEY-----",
    ]
    assert CHECKS["pem"]("\n".join(lines).encode()).confidence == "low"
    assert CHECKS["pem-body"]("\n".join(lines).encode()).confidence == "low"
    assert CHECKS["pem-body"](expand("{pem:SSH2 ENCRYPTED PRIVATE KEY}", 1).encode()).confidence is None
    frames = '-----BEGIN PRIVATE KEY-----".getBytes(US_ASCII);\n  byte[] END_KEY = "-----END PRIVATE KEY-----'
    assert CHECKS["pem"](frames.encode()).confidence == "low"


def test_a_bearer_without_signature_opens_nothing() -> None:
    token = expand("{jwt:role=anon}", 1).encode()
    head, claims, _ = token.split(b".")
    assert CHECKS["bearer"](token).confidence is None
    assert CHECKS["bearer"](head + b"." + claims + b".").confidence == "low"
    assert CHECKS["bearer"](base64.b64encode(b"NTLMSSP\0\2\0\0\0" + bytes(20))).reject
    assert not CHECKS["bearer"](base64.b64encode(b"NTLMSSP\0\3\0\0\0" + bytes(20))).reject


def test_keys_published_for_tests_are_informational(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from detectors.rules import checksums

    pem = expand("{pem:PRIVATE KEY}", 1)
    der = base64.b64decode("".join(pem.split("\n")[1:-1]))
    monkeypatch.setattr(checksums, "_PUBLISHED_KEYS", frozenset([hashlib.sha256(der).hexdigest()[:16]]))
    answer = CHECKS["pem"](pem.encode())
    assert (answer.severity, answer.confidence, answer.labels) == ("info", "low", {"published": "true"})


def test_markers() -> None:
    assert CHECKS["test-mode"](b"sk_" + b"test_abc").severity == "info"
    assert CHECKS["test-mode"](b"sk_" + b"live_abc").severity is None
    assert CHECKS["discord-bot"](base64.b64encode(b"123456789012345678") + b".x.y").valid
    assert CHECKS["discord-bot"](b"abcd.x.y").reject
    macaroon = base64.b64encode(b"\x02\x01\x08pypi.org\x00\x02").rstrip(b"=")
    assert CHECKS["pypi-macaroon"](b"pypi-" + macaroon).valid
    assert CHECKS["pypi-macaroon"](b"pypi-" + b"A" * 40).valid is False
    assert CHECKS["base64"](b"abc!").reject
    assert CHECKS["base64-json"](b"ops_" + base64.b64encode(b'{"a":1}').rstrip(b"=")).valid


@pytest.mark.parametrize(
    ("claims", "labels"),
    [
        ({"iss": "https://id.example.org/realms/a", "sub": "u1"}, {"iss": "https://id.example.org/realms/a"}),
        ({"iss": f"https://{':'.join(('admin', 'example'))}@id.example.org/"}, {}),
        ({"iss": "robot@project.iam.gserviceaccount.com", "email": "a@example.org", "sub": "a@example.org"}, {}),
        ({"iss": "https://id.example.org/?key=value"}, {}),
        ({"role": "a role that is a sentence", "ref": "NOT A REF"}, {}),
        ({"role": "anon", "ref": "abcdefghij"}, {"role": "anon", "ref": "abcdefghij"}),
    ],
)
def test_only_public_claims_become_labels(claims: dict[str, Any], labels: dict[str, str]) -> None:
    assert CHECKS["jwt"](token(claims)).labels == labels


def test_a_token_of_github_is_named_as_its_audit_log_names_it() -> None:
    good = expand("ghp_{alnum:30}{crc32}", random.Random(1)).encode()
    named = base64.b64encode(hashlib.sha256(good).digest()).decode()
    assert CHECKS["github-issued"](good).labels == {"hashed_token": named}
    assert CHECKS["github-issued"](good[:-1] + b"_").valid is False
    assert CHECKS["github-token"](good).labels == {"hashed_token": named}
