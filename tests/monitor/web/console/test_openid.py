from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.openid import CLIENT, SECRET, OpenIdIssuer, issuer
from tests.fakes.visitors import Browser, Signing, signing

HOST = "monitor.example.org"
HTTPS = {"Host": HOST}
PEOPLE = {"people": {"ada@example.org": {"name": "ada", "role": "admin"}}}


@asynccontextmanager
async def beside(folder: Path, **settings: Any) -> AsyncIterator[tuple[OpenIdIssuer, Signing, Browser]]:
    async with issuer() as there:
        openid = {"issuer": there.url, "client_id": CLIENT, "client_secret": "env:OPENID_SECRET"}
        table = {"sign_in": False, **settings, "openid": openid | settings.get("openid", {})}
        async with signing(folder, base_url=f"https://{HOST}", **table) as made, made.browser() as browser:
            browser.headers |= HTTPS
            yield there, made, browser


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENID_SECRET", SECRET)


async def begun(there: OpenIdIssuer, browser: Browser, path: str = "/sign-in/openid?next=/account") -> str:
    """Where somebody comes back to, who has signed in there."""
    answer, text = await browser.ask("GET", path)
    assert answer.status == 303, text
    back = urlsplit(there.authorize(answer.headers["Location"]))
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"https://{HOST}/sign-in/openid/return"
    return f"{back.path}?{back.query}"


async def test_somebody_comes_back_signed_in_to_the_page_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with beside(tmp_path, **PEOPLE) as (there, made, browser):
        page = await browser.get("/sign-in?next=/account")
        assert f"Sign in with {urlsplit(there.url).netloc}" in page
        assert 'href="/sign-in/openid?next=%2Faccount"' in page
        assert 'name="password"' not in page
        back = await begun(there, browser)
        held = browser.cookies["__Host-monitor_openid"]
        answer, _ = await browser.ask("GET", back)
        assert (answer.status, answer.headers["Location"]) == (303, "/account")
        assert set(browser.cookies) == {"__Host-monitor_session"}
        page = await browser.get("/account")
        assert "ada</a> · admin" in page
        assert 'name="password"' not in page
        [mine] = await made.store.sessions.of("ada@example.org", "openid", 60)
        # Once more: neither the browser nor the issuer knows of it.
        await browser.get(back, 400)
        await browser.get(back, 403, Cookie=f"__Host-monitor_openid={held}")
        for value in (SECRET, held, browser.cookies["__Host-monitor_session"]):
            assert value not in caplog.text
        assert mine.role is None


async def test_who_is_in_no_list_is_refused_and_groups_give_a_role(tmp_path: Path) -> None:
    groups = {"groups": {"oncall": "responder"}, "openid": {"groups": "groups"}}
    async with beside(tmp_path, **groups) as (there, _made, browser):
        there.userinfo = {"sub": "17"}
        assert "in no list" in await browser.get(await begun(there, browser), 403)
        await browser.get("/account", 303)
        there.claims["groups"] = ["x", "oncall", 3]
        await browser.get(await begun(there, browser), 303)
        assert "ada@example.org</a> · responder" in await browser.get("/account")


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"email_verified": False}, "has not verified"),
        ({"email_verified": None}, "has not verified"),
        ({"email": 17}, "does not say the email"),
        ({"email": "eve@example.org"}, "in no list"),
        ({"email": "<img src=x>"}, "in no list"),
        ({"email": "\u0430da@example.org", "groups": ["oncall"]}, "letters a-z"),
    ],
)
async def test_whom_the_issuer_does_not_name_well_is_refused(tmp_path: Path, claims: dict[str, Any], why: str) -> None:
    groups: dict[str, Any] = {"openid": {"groups": "groups"}, "groups": {"oncall": "admin"}}
    async with beside(tmp_path, **PEOPLE, **groups) as (there, _made, browser):
        there.claims |= claims
        there.userinfo = {"sub": "17"}
        page = await browser.get(await begun(there, browser), 403)
        assert why in page
        assert "<img" not in page
        await browser.get("/account", 303)


async def test_a_sign_in_that_was_begun_in_another_browser_is_refused(tmp_path: Path) -> None:
    async with beside(tmp_path, **PEOPLE) as (there, made, eve), made.browser() as ada:
        ada.headers |= HTTPS
        back = await begun(there, eve)
        await ada.get(back, 400)  # a link of eve's, by which ada would be eve
        await begun(there, ada)
        await ada.get(back, 403)
        forged = eve.cookies["__Host-monitor_openid"].partition(".")[0]
        await ada.get(back, 400, Cookie=f"__Host-monitor_openid={forged}.{'0' * 64}")
        await ada.get(back, 400, Cookie="__Host-monitor_openid=é")


async def test_an_issuer_that_is_away_or_a_secret_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beside(tmp_path, **PEOPLE) as (there, made, browser):
        back = await begun(there, browser)
        monkeypatch.delenv("OPENID_SECRET")
        assert "secret cannot be read" in await browser.get(back, 503)
        there.metadata = {"issuer": "https://evil.example"}
        made.settings = made.settings.model_copy(update={"openid": None})
        await browser.get("/sign-in/openid", 404)
    async with beside(tmp_path, **PEOPLE) as (there, made, browser):
        there.metadata = {"issuer": "https://evil.example"}
        assert "calls itself" in await browser.get("/sign-in/openid", 502)


async def test_a_sign_in_that_took_too_long_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with beside(tmp_path, **PEOPLE) as (there, _made, browser):
        monkeypatch.setattr("monitor.web.console.openid._WITHIN", -1)
        assert "took too long" in await browser.get(await begun(there, browser), 400)


async def test_by_another_host_the_browser_is_sent_to_the_one_that_the_issuer_knows(tmp_path: Path) -> None:
    async with beside(tmp_path, **PEOPLE) as (there, _made, browser):
        answer, _ = await browser.ask("GET", "/sign-in/openid?next=/account", headers={"Host": "localhost"})
        assert answer.headers["Location"] == f"https://{HOST}/sign-in/openid?next=%2Faccount&again=1"
        await begun(there, browser, "/sign-in/openid?next=%2Faccount&again=1")
