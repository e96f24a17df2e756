from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from monitor.accounts.passwords import hashed
from monitor.accounts.settings import SignInConfig
from monitor.common.credential import Credential
from monitor.store import StoreError
from monitor.web.console.visitor import Visitor
from tests.fakes.visitors import PASSWORD, form_in, signing


async def test_who_signs_in_comes_back_to_the_page_asked_for(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        answer, _ = await browser.ask("GET", "/incidents?state=all")
        assert answer.status == 303
        assert answer.headers["Location"] == "/sign-in?next=%2Fincidents%3Fstate%3Dall"
        assert 'name="next" value="/incidents?state=all"' in await browser.get(answer.headers["Location"])
        assert await browser.sign_in(" Ana ", next="/incidents?state=all") == "/incidents?state=all"
        page = await browser.get("/incidents?state=all")
        assert '<a href="/account">ana</a> · responder' in page
        assert await browser.get("/sign-in?next=/account", 303) == "303: See Other"
        await browser.form("/incidents", "/sign-out", {})
        await browser.get("/incidents", 303)


async def test_what_is_no_page_is_answered_without_one(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await browser.get("/incidents.jsonl", 401, Accept="*/*")
        assert "ended=1" in await browser.post("/incidents/x/ack", {})
        assert "Your session has ended" in await browser.get("/sign-in?ended=1")
        kept = await browser.post(
            "/incidents/x", {"note": "rotated <b>by hand</b>"}, 401, Referer=f"{made.url}/incidents/x"
        )
        assert "rotated &lt;b&gt;by hand&lt;/b&gt;" in kept
        assert "/sign-in?next=/incidents/x" in kept
        await browser.post("/incidents/x", {"note": "x"}, 403, Origin="https://evil.example")
        await browser.get("/static/console.css")
        await browser.get("/healthz")


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "/a\nb", "javascript:x", "", "/sign-out",
     "/" + "x" * 2001, "/é"],
)  # fmt: skip
async def test_open_redirect(tmp_path: Path, path: str) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        assert await browser.sign_in("ana", next=path) == "/incidents"


async def test_cookies_are_for_this_host_alone_and_no_script(tmp_path: Path) -> None:
    async with signing(tmp_path, base_url="https://monitor.example.org") as made, made.browser() as browser:
        await made.user("ana")
        fields = {"name": "ana", "password": PASSWORD}
        answer, _ = await browser.ask("POST", "/sign-in", fields)
        assert answer.headers["Set-Cookie"].split("=")[0] == "monitor_session"
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
        https = {"Host": "monitor.example.org", "Origin": "https://monitor.example.org"}
        answer, _ = await browser.ask("POST", "/sign-in", fields, https)
        assert answer.headers["Set-Cookie"].split("=")[0] == "__Host-monitor_session"
        assert {"HttpOnly", "SameSite=Lax", "Path=/", "Secure"} <= set(answer.headers["Set-Cookie"].split("; "))
        # What was sent in the clear is worth nothing where it is https.
        held = browser.cookies["monitor_session"]
        await browser.get("/incidents", 303, Host="monitor.example.org", Cookie=f"monitor_session={held}")


async def test_session_fixation_what_a_browser_had_before_is_nobodys(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        planted = "x" * 43
        await browser.get("/incidents", 303, Cookie=f"monitor_session={planted}")
        await browser.sign_in("ana")
        [mine] = await made.store.sessions.of("ana", "password", 3600)
        await browser.get("/incidents", 303, Cookie=f"monitor_session={planted}")
        await browser.sign_in("ana")  # again: another session in its place
        [now] = await made.store.sessions.of("ana", "password", 3600)
        assert now.id != mine.id


async def test_user_enumeration_a_wrong_name_is_answered_as_a_wrong_password(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        await made.user("eve")
        await made.store.users.disable("eve", actor="root")
        pages = {
            await browser.sign_in(name, password, 401)
            for name, password in (("ana", "wrong"), ("bob", "wrong"), ("eve", PASSWORD), ("é", "x"), ("ana", ""))
        }
        texts = {page.replace(page[page.index("As of") :][:90], "") for page in pages}
        assert len(texts) == 1, texts


async def test_brute_force_waits_and_others_still_get_in(tmp_path: Path) -> None:
    """By the forwarded address: the proxy on this host has all of them."""
    async with signing(tmp_path, proxies=["127.0.0.1"]) as made, made.browser() as browser:
        await made.user("ana")
        here, elsewhere = {"X-Forwarded-For": "203.0.113.9, 192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
        for _ in range(4):
            answer, _ = await browser.ask("POST", "/sign-in", {"name": "ana", "password": "no"}, here)
            assert answer.status == 401
        answer, text = await browser.ask("POST", "/sign-in", {"name": "ana", "password": PASSWORD}, here)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert "Try again in 1 s" in text
        answer, _ = await browser.ask("POST", "/sign-in", {"name": "ana", "password": PASSWORD}, elsewhere)
        assert answer.status == 303


async def test_one_address_has_one_password_looked_at_at_a_time(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        fields = {"name": "ana", "password": "wrong"}
        answers = await asyncio.gather(*(browser.ask("POST", "/sign-in", fields) for _ in range(4)))
        statuses = sorted(answer.status for answer, _ in answers)
        assert statuses[0] == 401
        assert statuses[-1] == 429


async def test_brute_force_from_everywhere_does_not_hold_up_who_has_signed_in_from_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signing(tmp_path, proxies=["127.0.0.1"]) as made, made.browser() as browser:
        await made.user("ana")
        browser.headers["X-Forwarded-For"] = "192.0.2.1"
        await browser.sign_in("ana")
        monkeypatch.setattr("monitor.web.console.sign_in._QUEUE", 0)  # as many strangers wait as may
        await browser.sign_in("ana")
        browser.headers["X-Forwarded-For"] = "192.0.2.2"
        await browser.sign_in("ana", status=429)


async def test_no_more_of_a_password_is_looked_at_than_one_can_have(tmp_path: Path) -> None:
    longest = "long password " * 18 + "1234"
    assert len(longest) == 256
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.store.users.add("ana", hashed(longest), "viewer", actor="root")
        await browser.sign_in("ana", f"{longest}x", 401)
        await browser.sign_in("ana", longest)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "-"}, 403),
        ({"Origin": "-", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
    ],
)
async def test_missing_or_foreign_origin(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        answer, _ = await browser.ask("POST", "/sign-in", {"name": "ana", "password": PASSWORD}, headers)
        assert answer.status == status


async def test_host_rebinding(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        await browser.get("/incidents", 421, Host="evil.example")
        rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
        answer, _ = await browser.ask("POST", "/sign-in", {"name": "ana", "password": PASSWORD}, rebound)
        assert answer.status == 421


async def test_clickjacking(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        answer, _ = await browser.ask("GET", "/sign-in")
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_forged_form_and_one_of_another_session(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as ana, made.signed_in("bob") as bob:
        of_bob = form_in(await bob.get("/account"))
        for fields in ({}, {"form": "", "once": of_bob["once"]}, {"form": "0" * 64, "once": of_bob["once"]}, of_bob):
            await ana.post("/sign-out", fields, 403)
        await ana.get("/account")


async def test_a_replayed_form_of_a_session_that_has_ended_does_nothing(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        form = form_in(await browser.get("/account"))
        await browser.post("/sign-out", form)
        assert (await browser.post("/sign-out", form)).startswith("/sign-in?")
        await browser.sign_in("ana")
        await browser.post("/sign-out", form, 403)
        await browser.get("/account")


async def test_a_huge_form_is_not_read_and_another_kind_is_none(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        await browser.post("/sign-in", {"name": "ana", "password": "x" * (80 << 10)}, 413)
        await browser.post("/sign-in", {"name": "ana", "password": "x" * 4001}, 400)
        await browser.post("/sign-in", {"name": "ana"}, 415, **{"Content-Type": "text/plain"})


async def test_a_slow_request_holds_up_nobody_and_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.web.console.visitor.BODY_WITHIN", 0.3)
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        host = made.url.removeprefix("http://")
        reader, writer = await asyncio.open_connection(*host.split(":"))
        head = f"POST /sign-in HTTP/1.1\r\nHost: {host}\r\nOrigin: {made.url}\r\nContent-Length: 50000\r\n"
        writer.write(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nn".encode())
        await writer.drain()
        await browser.sign_in("ana")
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_xss_in_a_name_is_text(tmp_path: Path) -> None:
    from monitor.web.console.pages import now, render

    evil = '<img src=x onerror="alert(1)">'
    who = Visitor(evil, "admin", signed_in=True)
    shown = render("keys.html", now(), who) + render(
        "sign_in.html", now(), who, back="/", said=evil, name=evil, settings=SignInConfig(sign_in=True), openid=""
    )
    assert "<img" not in shown
    assert shown.count("&lt;img") == 3
    async with signing(tmp_path) as made, made.browser() as browser:
        assert "onerror" not in await browser.sign_in(evil, status=401, next=evil)


async def test_passwords_names_and_sessions_are_in_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with signing(tmp_path) as made, made.browser() as browser:
        await made.user("ana")
        await browser.sign_in("typed-into-the-wrong-field", "typed password here", 401)
        await browser.sign_in("ana")
        held = browser.cookies["monitor_session"]
        await browser.get("/account")
        await browser.form("/account", "/sign-out", {})
    said = capsys.readouterr().out
    assert "user=unknown" in said
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + f"{said}{caplog.text}".encode()
    for secret in ("wrong-field", "typed password", PASSWORD, held):
        assert secret.encode() not in everything
    assert b"$argon2id$" in everything


async def test_the_token_of_http_still_reads_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGE_TOKEN", "open sesame")
    async with signing(tmp_path, token=Credential("env:PAGE_TOKEN")) as made, made.browser() as browser:
        page = await browser.get("/incidents", Authorization="Bearer open sesame")
        assert '<a href="/sign-in">Sign in</a>' in page
        await browser.get("/incidents", 303, Authorization="Bearer wrong")
        await browser.post("/account/password", {}, 403, Authorization="Bearer open sesame")
        await made.user("ana")
        await browser.sign_in("ana")
        await browser.get("/account")


async def test_turned_off_by_a_reload_its_sessions_are_worth_nothing(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        made.settings = SignInConfig()
        assert "/account" not in await browser.get("/incidents")
        await browser.sign_in("ana", status=403)


async def test_a_database_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def broken(*_: object, **__: object) -> None:
        raise StoreError("it is locked")

    async with signing(tmp_path) as made, made.signed_in() as browser:
        monkeypatch.setattr(made.store.sessions, "begin", broken)
        assert "does not answer" in await browser.sign_in("ana", status=503)
        monkeypatch.setattr("monitor.web.console.sessions._LONGEST", 0.3)
        monkeypatch.setattr(made.store.sessions, "end", never)
        await browser.form("/account", "/sign-out", {}, 503)
