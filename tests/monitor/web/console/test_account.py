from __future__ import annotations

from pathlib import Path

from tests.fakes.visitors import PASSWORD, signing

FRESH = "another horse, another battery"


async def test_the_password_is_changed_by_who_knows_it_and_other_sessions_end(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as ana, made.browser() as phone:
        await phone.sign_in("ana")
        before = ana.cookies["monitor_session"]
        fields = {"password": PASSWORD, "fresh": FRESH, "again": FRESH}
        for change, said in (
            ({"password": "wrong"}, "That is not your present password"),
            ({"again": "x"}, "the two are not the same"),
            ({"fresh": "short", "again": "short"}, "12 to 256 characters"),
        ):
            assert said in await ana.form("/account", "/account/password", fields | change, 400)
        assert await ana.form("/account", "/account/password", fields) == "/account?done=password"
        assert "your other sessions have ended" in await ana.get("/account?done=password")
        assert ana.cookies["monitor_session"] != before
        await ana.get("/account", 303, Cookie=f"monitor_session={before}")
        await phone.get("/account", 303)
        await phone.sign_in("ana", status=401)
        await phone.sign_in("ana", FRESH)
        *_, entry = await made.store.users.history()
        assert (entry.action, entry.actor, entry.note) == ("user_password", "ana", "ana")


async def test_brute_force_of_the_present_password_waits(tmp_path: Path) -> None:
    """By who found a browser that is signed in."""
    fields = {"fresh": FRESH, "again": FRESH}
    async with signing(tmp_path) as made, made.signed_in() as ana:
        for _ in range(4):
            await ana.form("/account", "/account/password", fields | {"password": "a guess"}, 400)
        said = await ana.form("/account", "/account/password", fields | {"password": PASSWORD}, 429)
        assert "Too many wrong passwords" in said


async def test_one_ends_ones_own_sessions(tmp_path: Path) -> None:
    agent = "Mozilla/5.0 (Android 15) Firefox/140 <script>"
    async with signing(tmp_path) as made, made.signed_in() as ana, made.browser() as phone, made.browser() as third:
        phone.headers["User-Agent"] = agent
        await phone.sign_in("ana")
        await third.sign_in("ana")
        page = await ana.get("/account")
        assert "Firefox on Android" in page
        assert "Android 15" not in page
        [other] = [one for one in await made.store.sessions.of("ana", "password", 60) if "Firefox" in one.agent]
        assert await ana.form("/account", "/account/sessions", {"which": other.id}) == "/account?done=ended"
        await phone.get("/account", 303)
        await third.get("/account")
        await ana.form("/account", "/account/sessions", {})
        await third.get("/account", 303)
        await ana.get("/account")
        notes = [(one.action, one.actor) for one in await made.store.users.history()]
        assert notes[1:] == [("sessions_ended", "ana")] * 2


async def test_nobody_ends_the_sessions_of_others(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.signed_in() as ana, made.signed_in("bob") as bob:
        [of_bob] = await made.store.sessions.of("bob", "password", 60)
        await ana.form("/account", "/account/sessions", {"which": of_bob.id})
        await bob.get("/account")


async def test_who_is_nobody_has_no_account(tmp_path: Path) -> None:
    async with signing(tmp_path, sign_in=False) as made, made.browser() as browser:
        await browser.get("/account", 403)
