from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.common.http import host_of
from monitor.verify.probe import probe_of
from monitor.verify.request import MissingPartError, ProbeRequest, build, parts_of, public

NOW = 1_750_000_000.0


def request(rule: str, value: str, origin: str | None = None, **given: str) -> ProbeRequest:
    probe = probe_of(rule)
    assert probe is not None
    return build(probe, parts_of(probe.shape, value, given), origin, NOW)


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJ.{body}.sig"


def test_a_host_may_come_out_of_the_value_but_only_as_a_name_below_the_issuers() -> None:
    good = request("supabase-legacy-jwt", token({"ref": "abcdefghijklmnopqrst", "role": "anon"}))
    assert host_of(good.url) == ("abcdefghijklmnopqrst.supabase.co", 443)
    for ref in ("evil.example/", "a.b", "x#", "x@evil", "-", "a" * 64, "169.254.169.254/?"):
        with pytest.raises(MissingPartError):
            request("supabase-legacy-jwt", token({"ref": ref}))


@pytest.mark.parametrize("value", ["ey.x.y", "ey.e30.z", token([1]), token({"ref": 7}), "plain"])
def test_a_token_that_says_nothing_asks_for_the_part(value: str) -> None:
    with pytest.raises(MissingPartError, match="--part jwt_ref=…"):
        request("supabase-legacy-jwt", value)


def test_parts_are_escaped_where_they_stand() -> None:
    asked = request("twilio-auth-token", "ab", account="../x?y#z")
    assert asked.url.endswith("/Accounts/..%2Fx%3Fy%23z.json")
    body = request("docker-hub-pat", 'a"b\\', username="u").body
    assert body is not None
    assert json.loads(body) == {"identifier": "u", "secret": 'a"b\\'}
    form = request("azure-entra-client-secret", "a&b=c", tenant="t", client_id="c").body
    assert form is not None
    assert b"client_secret=a%26b%3Dc&" in form


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("hubspot-private-app-token", "Bearer"),  # without it, tokens of Europe are unknown
        ("sonarqube-token", "Basic"),  # a bearer is overlooked before version 10
    ],
)
def test_a_secret_stands_where_every_server_of_its_issuer_takes_it(rule: str, kind: str) -> None:
    assert request(rule, "ab").headers["Authorization"].startswith(f"{kind} ")


def test_a_value_that_no_header_can_carry_is_not_sent() -> None:
    for value in ("line\r\nHost: x", "ünlaut", "a\0b"):
        with pytest.raises(MissingPartError, match="characters"):
            request("openai-project-key", value)


def test_what_is_missing_is_said_with_how_to_say_it() -> None:
    with pytest.raises(MissingPartError, match=r"SID.*--part account=…"):
        request("twilio-auth-token", "x")
    with pytest.raises(MissingPartError, match=r"verify\.servers\.vault"):
        request("vault-service-token", "x")
    with pytest.raises(MissingPartError, match="cannot be sent"):
        request("twilio-auth-token", "x", account="a b")


def test_a_key_and_its_id_may_come_together_or_apart() -> None:
    key_id, secret = "AKIA" + "A" * 16, "s" * 40
    together = request("aws-secret-access-key", f"{key_id}:{secret}")
    apart = request("aws-secret-access-key", secret, access_key_id=key_id)
    assert together.headers == apart.headers
    assert secret not in str(together.headers)
    with pytest.raises(MissingPartError, match="session token"):
        request("aws-secret-access-key", secret, access_key_id="ASIA" + "A" * 16)


def test_a_google_key_signs_a_request_for_the_least() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    for value in (pem, pem.replace("\n", "\\n")):
        body = request("gcp-service-account-key", value, client_email="a@b.iam.gserviceaccount.com").body
        assert body is not None
        claims = jwt.decode(
            body.decode().rpartition("assertion=")[2],
            key.public_key(),
            algorithms=["RS256"],
            audience="https://oauth2.googleapis.com/token",
            options={"verify_exp": False},
        )
        assert claims["iss"] == "a@b.iam.gserviceaccount.com"
        assert "BEGIN" not in body.decode()
    with pytest.raises(MissingPartError, match="cannot be read") as caught:
        request("gcp-service-account-key", "-----BEGIN PRIVATE KEY-----canary", client_email="a@b")
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_who_writes_a_log_does_not_choose_whom_a_secret_is_sent_to() -> None:
    labels = {"access_key_id": "AKIA1", "user": "u", "stack": "evil", "project": "evil", "credential": "AKIA2:x"}
    assert public(labels) == {"access_key_id": "AKIA1", "user": "u"}


def test_nothing_of_a_request_is_shown() -> None:
    assert "canary" not in repr(request("telegram-bot-token", "canary"))
