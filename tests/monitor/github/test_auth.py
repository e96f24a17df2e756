from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.common.credential import Credential
from monitor.github.auth import AppAuth, AuthError, TokenAuth


async def test_a_personal_token_is_read_from_its_reference(tmp_path) -> None:
    (tmp_path / "token").write_text("first\n")
    auth = TokenAuth(Credential(f"file:{tmp_path / 'token'}"))
    assert await auth.token() == "first"
    (tmp_path / "token").write_text("second\n")
    assert await auth.token() == "first"  # not read again within a minute …
    auth.rejected()
    assert await auth.token() == "second"  # … unless the server refused it
    assert auth.generation == 2
    assert "second" not in await auth.identity()


async def test_a_missing_token_names_its_reference() -> None:
    with pytest.raises(AuthError, match="NO_SUCH_VARIABLE"):
        await TokenAuth(Credential("env:NO_SUCH_VARIABLE")).token()


class Exchange:
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.jwts: list[str] = []

    async def installation(self, token: str) -> int:
        return 7

    async def __call__(self, token: str, installation: int) -> Any:
        self.jwts.append(token)
        return self.answer


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def reference(key: rsa.RSAPrivateKey, tmp_path) -> Credential:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    return Credential(f"file:{tmp_path / 'key.pem'}")


async def test_the_jwt_is_backdated_and_lives_under_ten_minutes(key: rsa.RSAPrivateKey, reference: Credential) -> None:
    exchange = Exchange({"token": "t", "expires_at": "2100-01-01T00:00:00Z"})
    auth = AppAuth("12", reference, exchange.installation, exchange)
    await auth.token()
    claims = jwt.decode(exchange.jwts[0], key.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "12"
    assert claims["exp"] - claims["iat"] <= 600
    assert claims["iat"] <= time.time() - 55


@pytest.mark.parametrize("answer", [None, [], {}, {"token": ""}, {"token": 5}])
async def test_an_answer_without_a_token_is_an_error(reference: Credential, answer: Any) -> None:
    exchange = Exchange(answer)
    with pytest.raises(AuthError, match="no installation token"):
        await AppAuth("12", reference, exchange.installation, exchange).token()


async def test_an_unreadable_expiry_counts_as_an_hour(reference: Credential) -> None:
    now = 1000.0
    exchange = Exchange({"token": "t" * 520, "expires_at": "soon"})
    auth = AppAuth("12", reference, exchange.installation, exchange, clock=lambda: now)
    assert await auth.token() == "t" * 520
    now += 3600 - 301
    await auth.token()
    assert len(exchange.jwts) == 1
    now += 2
    await auth.token()
    assert len(exchange.jwts) == 2
