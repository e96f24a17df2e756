from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey

from monitor.accounts.openid import Attempt, OpenIdClient, OpenIdError
from monitor.accounts.settings import OpenIdConfig
from monitor.common.http import Http, RemoteError
from tests.fakes.openid import CLIENT, SECRET, OpenIdIssuer, issuer

BACK = "https://monitor.example.org/sign-in/openid/return"


class Signing:
    """Somebody who signs in."""

    def __init__(self, there: OpenIdIssuer, http: Http) -> None:
        self.there, self.client = there, OpenIdClient(http)
        self.attempt = Attempt.fresh()

    def config(self, **changes: Any) -> OpenIdConfig:
        right = {"issuer": self.there.url, "client_id": CLIENT, "client_secret": "env:OPENID_SECRET"}
        return OpenIdConfig.model_validate(right | changes)

    async def sign_in(
        self, answered: Mapping[str, str | None] | None = None, attempt: Attempt | None = None, **changes: Any
    ) -> Mapping[str, Any]:
        """`answered`: in place of what the issuer answers."""
        config = self.config(**changes)
        address = self.there.authorize(await self.client.address(config, BACK, self.attempt))
        right = dict(parse_qsl(urlsplit(address).query)) | (answered or {})
        query = {name: value for name, value in right.items() if value is not None}
        return await self.client.claims(config, BACK, attempt or self.attempt, query)


@pytest.fixture
async def signing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Signing]:
    monkeypatch.setenv("OPENID_SECRET", SECRET)
    http = Http()
    async with issuer() as there:
        yield Signing(there, http)
    await http.close()


async def test_what_the_issuer_says_is_believed(signing: Signing) -> None:
    told = await signing.sign_in()
    assert (told["sub"], told["email"]) == ("17", "ada@example.org")
    signing.there.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await Signing(signing.there, signing.client._http).sign_in())["sub"] == "17"
    assert "me" not in signing.there.asked
    assert not any(part in repr(signing.attempt) for part in (signing.attempt.state, signing.attempt.verifier))


def dated(lies: dict[str, Any]) -> dict[str, Any]:
    """Times as seconds from now, as a table is made long before its tests run."""
    times = ("exp", "iat", "nbf")
    return {name: value + int(time.time()) if name in times and value is not None else value
            for name, value in lies.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("lies", "claim"),
    [
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another client"}, "aud"),
        ({"aud": [CLIENT, "another"]}, "azp"),
        ({"aud": CLIENT, "azp": "another"}, "azp"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": -70}, "exp"),
        ({"exp": None}, "exp"),
        ({"iat": 600}, "iat"),
        ({"nbf": 600}, "nbf"),
        ({"sub": None}, "sub"),
        ({"at_hash": "of another token"}, "at_hash"),
    ],
)
async def test_a_token_of_another_issuer_for_others_or_another_time_is_not(
    signing: Signing, lies: dict[str, Any], claim: str
) -> None:
    signing.there.lies = dated(lies)
    with pytest.raises(OpenIdError, match="not to be believed") as refused:
        await signing.sign_in()
    assert f"its {claim} is wrong" in str(refused.value) or claim in ("iat", "nbf", "exp")


@pytest.mark.parametrize("lies", [{"exp": -20}, {"iat": 40}, {"nbf": 40}])
async def test_clocks_may_differ_by_a_minute(signing: Signing, lies: dict[str, Any]) -> None:
    signing.there.lies = dated(lies)
    assert (await signing.sign_in())["sub"] == "17"


async def test_a_signature_that_is_not_the_issuers_is_refused(signing: Signing) -> None:
    there = signing.there
    there.signs = ECKey.generate_key("P-256", {"kid": "one"}, auto_kid=False)  # of the right name
    with pytest.raises(OpenIdError, match="signature"):
        await signing.sign_in()
    there.signs = ECKey.generate_key("P-256", {"kid": "unknown"}, auto_kid=False)
    with pytest.raises(OpenIdError, match="not the issuer's"):
        await signing.sign_in()
    there.signs, there.header = OctKey.import_key(SECRET * 3), {"alg": "HS256", "kid": "one"}  # type: ignore[assignment]
    with pytest.raises(OpenIdError, match="signature"):
        await signing.sign_in()
    there.keys, there.shown = [there.signs], True  # type: ignore[list-item]  # among its keys even
    signing.client._issuers.clear()
    with pytest.raises(OpenIdError, match="signature"):
        await signing.sign_in()
    there.header = {"alg": "none"}
    with pytest.raises(OpenIdError, match="signature"):
        await signing.sign_in()


async def test_keys_are_read_again_when_one_is_not_known(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    there = signing.there
    await signing.sign_in()
    await signing.sign_in()
    assert there.asked.count("keys") == there.asked.count("about") == 1
    there.keys = [ECKey.generate_key("P-256", {"kid": "two"}, auto_kid=False)]
    there.signs = there.keys[0]
    with pytest.raises(OpenIdError):  # not more than once a minute, whoever signs in
        await signing.sign_in()
    monkeypatch.setattr("monitor.accounts.openid._AGAIN", 0.0)
    assert (await signing.sign_in())["sub"] == "17"
    assert there.asked.count("keys") == 2


@pytest.mark.parametrize(
    ("answered", "why"),
    [
        ({"state": "another"}, "another sign-in"),
        ({"state": None}, "another sign-in"),
        ({"state": "é"}, "another sign-in"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"code": None}, "no code"),
        ({"code": "invented"}, "takes the code"),
        ({"error": "access_denied"}, "signed nobody in"),
        ({"error": "<script>"}, "refuses what it is asked for"),
    ],
)
async def test_an_answer_that_is_none_to_this_is_refused(
    signing: Signing, answered: dict[str, str | None], why: str
) -> None:
    with pytest.raises(OpenIdError, match=why) as refused:
        await signing.sign_in(answered)
    assert "script" not in str(refused.value)


async def test_a_code_is_worth_nothing_without_what_this_browser_holds(signing: Signing) -> None:
    """PKCE: the verifier is another; and a code is used once."""
    mine = signing.attempt
    with pytest.raises(OpenIdError, match="takes the code"):
        await signing.sign_in(attempt=Attempt(mine.state, mine.nonce, "v" * 43))


async def test_the_secret_of_the_client_is_in_no_error(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENID_SECRET", "another secret")
    with pytest.raises(OpenIdError) as refused:
        await signing.sign_in()
    assert "secret" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "another secret" not in str(refused.value)


async def test_what_the_token_lacks_is_asked_for_and_must_be_about_the_same(signing: Signing) -> None:
    there = signing.there
    there.userinfo = {"sub": "17", "groups": ["oncall"], "email": "evil@example.org"}
    told = await signing.sign_in(groups="groups")
    assert (told["groups"], told["email"]) == (["oncall"], "ada@example.org")
    there.userinfo = {"sub": "18", "groups": ["oncall"]}
    with pytest.raises(OpenIdError, match="somebody else"):
        await signing.sign_in(groups="groups")


async def test_an_address_is_verified_by_the_document_that_says_it(signing: Signing) -> None:
    there = signing.there
    there.claims = {"sub": "17", "email": "ada@example.org"}
    there.userinfo = {"sub": "17", "groups": [], "email": "eve@example.org", "email_verified": True}
    told = await signing.sign_in(groups="groups")
    assert (told["email"], told["email_verified"]) == ("ada@example.org", None)
    there.claims = {"sub": "17", "email_verified": True}
    there.userinfo = {"sub": "17", "email": "ada@example.org", "email_verified": False}
    told = await signing.sign_in()
    assert (told["email"], told["email_verified"]) == ("ada@example.org", False)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://evil.example"}, "not what the issuer calls itself"),
        ({"issuer": None}, "not what the issuer calls itself"),
        ({"token_endpoint": "http://id.example.org/token"}, "token_endpoint is no address by https"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri is no address"),
        ({"authorization_endpoint": None}, "authorization_endpoint is no address"),
    ],
)
async def test_an_issuer_that_cannot_be_used(signing: Signing, metadata: dict[str, Any], why: str) -> None:
    signing.there.metadata = metadata
    with pytest.raises(OpenIdError, match=why):
        await signing.client.address(signing.config(), BACK, signing.attempt)


async def test_one_that_is_away_or_answers_nonsense(signing: Signing) -> None:
    with pytest.raises(RemoteError):
        await signing.client.address(signing.config(issuer="http://127.0.0.1:9"), BACK, signing.attempt)
    signing.there.token_status = 500
    with pytest.raises(OpenIdError, match="HTTP 500"):
        await signing.sign_in()
