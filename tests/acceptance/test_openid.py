"""Sign-in by a real issuer, npm's oidc-provider: `make openid`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.openid import CLIENT, SECRET
from tests.fakes.visitors import Browser, signing

PLACE = Path(__file__).parents[2] / "var/openid"
HOST = "monitor.example.org"


@contextlib.asynccontextmanager
async def provider(method: str) -> AsyncIterator[str]:
    if shutil.which("node") is None or not (PLACE / "node_modules").is_dir():
        pytest.fail("node is not on PATH, or the issuer is not installed; `make openid` brings it")
    back = f"https://{HOST}/sign-in/openid/return"
    arguments = ("provider.mjs", CLIENT, SECRET, back, method)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node", *arguments, cwd=PLACE, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def signed_in_there(session: aiohttp.ClientSession, address: str, name: str) -> str:
    """By the forms of the issuer; where it sends the browser back to."""
    fields = None
    for _ in range(12):
        asking = session.request("POST" if fields else "GET", address, data=fields, allow_redirects=False)
        async with asking as answer:
            text, fields = await answer.text(), None
            if answer.status in (302, 303):
                address = str(answer.url.join(type(answer.url)(answer.headers["Location"])))
                if address.startswith(f"https://{HOST}"):
                    return address.removeprefix(f"https://{HOST}")
                continue
        form = re.search(r'action="([^"]+)" method="post">\s*<input type="hidden" name="prompt" value="(\w+)"', text)
        assert answer.status == 200, text
        assert form is not None, text
        address, fields = form[1], {"prompt": form[2], "login": name, "password": "any"}
    raise AssertionError(f"it ends nowhere: {address}")


async def begun(browser: Browser) -> str:
    answer, text = await browser.ask("GET", "/sign-in/openid?next=/account")
    assert answer.status == 303, text
    return answer.headers["Location"]


@pytest.mark.recipe
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_somebody_signs_in_by_it_and_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("OPENID_SECRET", SECRET)
    async with provider(method) as issuer:
        openid = {
            "issuer": issuer,
            "client_id": CLIENT,
            "client_secret": "env:OPENID_SECRET",
            "scope": ["openid", "email", "groups"],
            "groups": "groups",
        }
        people = {"ada@example.org": {"name": "ada", "role": "admin"}}
        settings = {"sign_in": False, "openid": openid, "people": people}
        async with signing(tmp_path, base_url=f"https://{HOST}", **settings) as made, made.browser() as browser:
            browser.headers["Host"] = HOST
            jar = aiohttp.CookieJar(unsafe=True)
            for name, status, groups in (("ada", 303, {}), ("bob", 403, {}), ("bob", 303, {"oncall": "responder"})):
                jar.clear()
                browser.cookies.clear()
                made.settings = type(made.settings).model_validate({**settings, "groups": groups})
                async with aiohttp.ClientSession(cookie_jar=jar) as session:
                    back = await signed_in_there(session, await begun(browser), name)
                answer, text = await browser.ask("GET", back)
                assert answer.status == status, text
                page = await browser.get("/account", 200 if status == 303 else 303)
                if status == 303:
                    known = {"ada": "ada</a> · admin", "bob": "bob@example.org</a> · responder"}[name]
                    assert known in page
            # A code is used once, and only by who began.
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                back = await signed_in_there(session, await begun(browser), "ada")
            held = browser.cookies["__Host-monitor_openid"]
            answer, _ = await browser.ask("GET", back)
            assert answer.status == 303
            answer, text = await browser.ask("GET", back, headers={"Cookie": f"__Host-monitor_openid={held}"})
            assert (answer.status, "takes the code" in text) == (403, True)
