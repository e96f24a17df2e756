"""A leaked key, from the alert's link to its end, on the pages alone, while the daemon is killed under them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.case import Case
from tests.acceptance.harness import Monitor, Planter, until
from tests.fakes.forks import Forks
from tests.fakes.responders import form_for
from tests.fakes.visitors import PASSWORD, Browser

CONFIG = """
[console]
sign_in = true
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "chat"
type = "console"
[[actions]]
name = "revoke"
type = "command"
command = ["/bin/sh", "-c", "cat > /dev/null; echo ran >> '{folder}/ran'"]
rules = ["github-pat"]
"""


class Responder:
    """Somebody with a browser. `pressed`: links followed and forms sent."""

    def __init__(self, monitor: Monitor, session: aiohttp.ClientSession) -> None:
        self._monitor, self._session, self.pressed = monitor, session, 0
        self._browser = Browser("", session)
        self.seen: list[str] = []

    async def get(self, path: str) -> str:
        return await self._ask("GET", path)

    async def send(self, fields: dict[str, str]) -> str:
        """The page that it leads to."""
        given = {name: text for name, text in fields.items() if name}
        return await self.get(await self._ask("POST", fields[""], given))

    async def _ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> str:
        self.pressed += method == "POST" or not self.seen or "said=" not in path
        self._browser.url = self._monitor.address
        answer, text = await self._browser.ask(method, path, fields)
        self.seen.append(text)
        assert answer.status in (200, 303), (path, answer.status, text)
        return answer.headers["Location"] if answer.status == 303 else text

    async def sent(self, fields: dict[str, str], rng: random.Random) -> str:
        """While the daemon is killed at some moment and begins anew; again, as the page says, until it is answered."""
        sending = asyncio.create_task(self.send(fields))
        await asyncio.wait([sending], timeout=rng.random() / 20)
        await self._monitor.kill()
        with contextlib.suppress(aiohttp.ClientError, AssertionError):
            await sending
        await self._monitor.start()
        return await self.send(fields)


@pytest.fixture
async def at_work(tmp_path: Path, forks: Forks) -> AsyncIterator[tuple[Monitor, Responder, Planter]]:
    monitor, planter = Monitor(tmp_path, CONFIG.format(folder=tmp_path)), Planter(33)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_bytes(b"login with token=%b\n" % planter.secret().encode())
    added = forks.run_bytes(
        *("users", "add", "ada", "--role", "admin", "--config", str(monitor.config)),
        cwd=tmp_path, env=dict(os.environ), stdin=PASSWORD.encode() + b"\n",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    await monitor.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            yield monitor, Responder(monitor, session), planter
        finally:
            await monitor.kill()


def said(page: str) -> str:
    outcome = re.search(r'id="said" role="status"[^>]*>([^<]*)', page)
    return outcome[1] if outcome else ""


async def test_a_leaked_key_is_revoked_with_few_presses_and_nothing_is_lost_or_doubled_by_kills(
    at_work: tuple[Monitor, Responder, Planter], tmp_path: Path
) -> None:
    monitor, ada, planter = at_work
    case, rng = Case(tmp_path), random.Random(33)
    (value,) = planter.planted.values()
    await until(lambda: case.rows("SELECT id FROM incidents"), 60, lambda: "no incident")
    path = f"/incidents/{case.id}"

    page = await ada.get(path)
    assert '<form method="post"' not in page, "nobody has signed in"
    entrance = {"": "/sign-in", "name": "ada", "password": PASSWORD, "next": path}
    page = await ada.send(entrance)
    page = await ada.send(form_for(page, "ack"))
    assert said(page) == f"{case.id} is acknowledged."
    (action,) = re.findall(r'class="button main" href="([^"]+)"', page)
    page = await ada.get(action)
    assert "the secret is given on standard input" in page
    page = await ada.send(form_for(page, "run"))
    assert said(page) == "revoke runs now."
    assert ada.pressed <= 12
    await until(lambda: case.actions() and case.actions()[0][1] not in ("approved", "running"), 60, lambda: "not run")
    assert (tmp_path / "ran").read_text() == "ran\n"

    for verb, given, entry in (
        ("claim", {"step": "revoke"}, "step_claimed:revoke"),
        ("done", {"step": "revoke", "note": f"gone: {value}"}, "step_done:revoke"),
        ("note", {"note": f"it was {value}, twice"}, "noted"),
        ("resolve", {"as": "revoked"}, "resolved"),
    ):
        form = form_for(await ada.get(path), verb, **given)
        page = await (ada.send(form) if verb == "done" else ada.sent(form, rng))
        assert said(page), verb
        assert not said(page).startswith("Not done"), said(page)
        assert case.trail().count(entry) == 1, verb
    assert (tmp_path / "ran").read_text() == "ran\n", "not run again by a daemon that begins anew"
    for below in ("/report", "/report.md", "/report.svg", "/actions/revoke", f"/merge?other={value}"):
        await ada.get(path + below)
    for number, made in enumerate(("assign", "done", "run", "merge", "start", "suppress", "silence")):
        fields = {"verb": made, **dict.fromkeys(("to", "step", "action", "other", "book", "for", "note"), value)}
        page = await ada.send(form_for(page, "note") | fields | {"once": f"{number:024}"})
        assert said(page).startswith("Not done: "), made

    kept = [file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file()]
    for output in (*kept, monitor.errors.encode(), monitor.output.encode(), *(page.encode() for page in ada.seen)):
        assert value.encode() not in output
    assert b"it was ghp_" in b"".join(kept), "the note is stored, masked"
