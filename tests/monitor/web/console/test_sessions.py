from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from monitor.accounts.settings import SignInConfig
from monitor.common.credential import Credential
from monitor.store import StoreError
from tests.fakes.visitors import Browser, signing

PROXY: dict[str, Any] = {
    "user": "X-User",
    "groups": "X-Groups",
    "from": ["127.0.0.1"],
    "secret": "env:PROXY_SECRET",
}
SENT = {"X-User": "ada", "X-Proxy-Secret": "shared by two"}


class Now:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_SECRET", "shared by two")


async def who(browser: Browser, **headers: str) -> str:
    """Name and role, as a page says them; empty: it is not shown."""
    answer, text = await browser.ask("GET", "/account", headers=headers)
    if answer.status != 200:
        return ""
    shown = text.partition('<p class="who">')[2].partition("</p>")[0].partition("<form")[0]
    return shown.replace('<a href="/account">', "").replace("</a>", "").strip()


# Sessions


async def test_a_session_that_is_idle_or_old_has_ended(tmp_path: Path) -> None:
    clock = Now()
    async with signing(tmp_path, clock=clock, idle="1h", longest="3h") as made, made.signed_in() as browser:
        for _ in range(5):
            clock.now += 1800
            await browser.get("/account")
            await made.store.flush()
        clock.now += 1801
        await browser.get("/account", 303)
        await browser.sign_in("ana")
        clock.now += 3601
        await browser.get("/account", 303)


async def test_a_page_that_is_open_does_not_keep_its_session(tmp_path: Path) -> None:
    clock = Now()
    async with signing(tmp_path, clock=clock, idle="1h") as made, made.signed_in() as browser:
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
        for _ in range(2):
            clock.now += 1500
            async with browser.session.get(f"{made.url}/events", headers=cookie) as answer:
                assert answer.status == 200
            await made.store.flush()
        clock.now += 700
        await browser.get("/account", 303)


async def test_a_revoked_session_has_ended(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        await made.store.sessions.revoke("ana", "password", actor="root")
        await browser.get("/account", 303)


async def test_a_disabled_user_is_signed_in_no_more_and_cannot(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        await made.store.users.disable("ana", actor="root")
        await browser.get("/account", 303)
        await browser.sign_in("ana", status=401)
        await made.store.users.enable("ana", actor="root")
        await browser.get("/account", 303)
        await browser.sign_in("ana")
        await browser.get("/account")


async def test_another_role_ends_the_sessions_and_a_reload_of_people_counts_at_once(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        made.settings = SignInConfig.model_validate(
            {"sign_in": True, "people": {"ana": {"name": "Ana.K", "role": "admin"}}}
        )
        assert await who(browser) == "ana.k · admin"
        made.settings = SignInConfig(sign_in=True)
        assert await who(browser) == "ana · responder"
        await made.store.users.set_role("ana", "viewer", actor="root")
        assert await who(browser) == ""
        await browser.sign_in("ana")
        assert await who(browser) == "ana · viewer"


async def test_the_database_has_no_session_that_could_be_used(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        [mine] = await made.store.sessions.of("ana", "password", 60)
        await browser.get("/account", 303, Cookie=f"monitor_session={mine.id}")
        await browser.get("/account", 303, Cookie=f"monitor_session={mine.id[:43]}")


async def test_a_database_that_cannot_be_read_signs_nobody_out_and_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        raise StoreError("the database is gone")

    async with signing(tmp_path) as made, made.signed_in() as ana, made.browser() as stranger:
        await ana.get("/keys")
        with monkeypatch.context() as patch:
            patch.setattr(made.store.sessions, "find", gone)
            assert "ana</a> · responder" in await ana.get("/keys")
            await stranger.get("/keys", 503, Cookie=f"monitor_session={'x' * 43}")
            patch.setattr("monitor.web.console.sessions._GRACE", 0.0)
            await ana.get("/keys", 503)
        await ana.get("/keys")
        # Who has signed out meanwhile is remembered no longer.
        await made.store.sessions.revoke("ana", "password", actor="root")
        await ana.get("/keys", 303)
        monkeypatch.setattr(made.store.sessions, "find", gone)
        await ana.get("/keys", 503)


# A proxy


async def test_a_listed_proxy_with_the_secret_says_who_it_is(tmp_path: Path) -> None:
    people = {"ada": {"name": "Ada.L", "role": "admin"}}
    groups = {"oncall": "responder"}
    async with signing(tmp_path, sign_in=False, proxy=PROXY, people=people, groups=groups) as made:
        async with made.browser() as browser:
            assert await who(browser, **SENT) == "ada.l · admin"
            assert await who(browser, **SENT | {"X-User": "bob"}) == "bob · viewer"
            assert await who(browser, **SENT | {"X-User": "BOB"}) == "bob · viewer"
            assert await who(browser, **SENT | {"X-User": "bob", "X-Groups": "a, oncall"}) == "bob · responder"


@pytest.mark.parametrize(
    ("sent", "listed"),
    [
        (SENT | {"X-Proxy-Secret": "-"}, ["127.0.0.1"]),
        (SENT | {"X-Proxy-Secret": "wrong"}, ["127.0.0.1"]),
        (SENT, ["10.0.0.5"]),
        (SENT, ["unix"]),
        (SENT | {"X-User": ""}, ["127.0.0.1"]),
        (SENT | {"X-User": "<b>eve</b>"}, ["127.0.0.1"]),
        (SENT | {"X-Forwarded-For": "10.0.0.5"}, ["10.0.0.5"]),
    ],
)
async def test_header_spoofing(tmp_path: Path, sent: dict[str, str], listed: list[str]) -> None:
    """From elsewhere, or without the secret."""
    async with signing(tmp_path, sign_in=False, proxy=PROXY | {"from": listed}) as made, made.browser() as browser:
        assert await who(browser, **sent) == ""


@pytest.mark.parametrize("alike", ["mar\u212a", "\u0430da", "ada lovelace"])
async def test_a_name_of_the_proxy_that_is_no_plain_one_is_refused(tmp_path: Path, alike: str) -> None:
    async with signing(tmp_path, sign_in=False, proxy=PROXY) as made, made.browser() as browser:
        text = await browser.get("/account", 403, **SENT | {"X-User": alike})
        assert "letters a-z" in text
        assert "[console.people]" in text
        assert alike not in text


async def test_header_spoofing_a_header_that_stands_twice_names_nobody(tmp_path: Path) -> None:
    async with signing(tmp_path, sign_in=False, proxy=PROXY) as made, made.browser() as browser:
        for name in ("X-User", "X-Proxy-Secret"):
            headers: Any = [*SENT.items(), (name, SENT[name]), ("Accept", "text/html")]
            async with browser.session.get(f"{made.url}/account", headers=headers, allow_redirects=False) as answer:
                assert answer.status == 303


async def test_a_proxy_whose_secret_cannot_be_read_names_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signing(tmp_path, sign_in=False, proxy=PROXY) as made, made.browser() as browser:
        monkeypatch.delenv("PROXY_SECRET")
        assert await who(browser, **SENT) == ""
        assert await who(browser, **SENT | {"X-Proxy-Secret": ""}) == ""


# The unix socket


async def test_the_user_at_the_socket_is_who_acts(tmp_path: Path) -> None:
    async with signing(tmp_path, host=str(tmp_path / "http"), sign_in=False) as made, made.browser() as command:
        command.headers["User-Agent"] = "curl/8"
        me = pwd.getpwuid(os.geteuid()).pw_name
        assert await who(command) == f"{me} · admin"
        made.settings = SignInConfig.model_validate({"people": {me: {"name": "ada", "role": "responder"}}})
        assert await who(command) == "ada · responder"
        form = {"form": made.reception.seal("unix", str(os.geteuid())), "once": "o" * 24}
        await command.post("/account/sessions", form | {"form": "0" * 64}, 403, Origin="-")
        assert "with a session" in await command.post("/account/sessions", form, 403, Origin="-")  # the form is taken
        made.settings = SignInConfig(sign_in=True)  # it may be a proxy that lets people in
        assert await who(command) == ""


async def test_where_there_is_a_token_the_user_at_the_socket_has_to_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGE_TOKEN", "open sesame")
    options: dict[str, Any] = {"host": str(tmp_path / "http"), "token": Credential("env:PAGE_TOKEN")}
    async with signing(tmp_path, sign_in=False, **options) as made, made.browser() as command:
        await command.get("/account", 401)
        me = pwd.getpwuid(os.geteuid()).pw_name
        assert await who(command, Authorization="Bearer open sesame") == f"{me} · admin"


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "192.0.2.1"}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "none"}, {"Cookie": "a=b"}],
)
async def test_a_browser_behind_a_proxy_at_the_socket_is_not_the_proxys_user(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with signing(tmp_path, host=str(tmp_path / "http"), sign_in=False) as made, made.browser() as browser:
        assert await who(browser, **headers) == ""
