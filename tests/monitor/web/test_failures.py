from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from monitor.store import Store, StoreError
from tests.fakes.console import POLICY, SPILLED, finding
from tests.fakes.visitors import Browser, form_in, signing

ID = finding(1).fingerprint[:16]
LARGE = "a=" + "b" * 70_000
FAILURES: list[tuple[str, str, Mapping[str, str] | None, int, str]] = [
    ("GET", "/nothing", None, 404, "search the list"),
    ("GET", "/incidents/nobody", None, 404, "no such incident"),
    ("GET", f"/incidents?{quote(SPILLED)}=red", None, 400, "nothing is asked for by"),
    ("GET", f"/outbox?state={quote(SPILLED)}", None, 400, "has to be one of"),
    ("GET", "/sign-out", None, 405, "press the button"),
    ("POST", "/outbox/retry", {"sink": "pager"}, 403, "was not made for you"),
    ("POST", "/incidents/bulk", {"note": "b" * 70_000}, 413, "the form is too large"),
    ("GET", "/broken", None, 500, "report it"),
]


@pytest.mark.parametrize("accepts", ["text/html,*/*;q=0.8", "application/json", "*/*"])
async def test_who_asks_is_answered_in_their_own_form(tmp_path: Path, accepts: str) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        for method, path, fields, status, said in FAILURES:
            answer, text = await browser.ask(method, path, fields, {"Accept": accepts})
            assert answer.status == status, (path, text)
            assert SPILLED not in text, path
            for name, value in (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")):
                assert answer.headers[name] == value
            if accepts == "*/*":
                assert (answer.content_type, text.count("\n")) == ("text/plain", 1), path
            elif accepts == "application/json":
                assert answer.content_type == "application/problem+json", path
                assert json.loads(text)["status"] == status
            else:
                assert answer.content_type == "text/html", path
                assert answer.headers["Content-Security-Policy"] == POLICY
                assert 'href="/incidents"' in text
            if "html" in accepts or status not in (404, 405, 500):
                assert said in text, path


async def form(browser: Browser) -> dict[str, str]:
    return form_in(await browser.get("/account"))


async def test_what_was_written_comes_back_with_what_was_wrong(tmp_path: Path) -> None:
    """Of a form of any page, and sent again it is done."""
    async with signing(tmp_path) as made, made.signed_in() as browser:
        silence = {"matchers": 'rule="jwt"', "for": "4h", "note": "of the <sandbox>"}
        text = await browser.post("/silences", {**silence, "form": "g" * 64, "once": "o" * 20}, 403)
        assert "of the &lt;sandbox&gt;</textarea>" in text
        assert "rule=&#34;jwt&#34;</textarea>" in text
        assert '<input type="hidden" name="for" value="4h">' in text
        again = text[text.index("<main") :]
        assert "/silences?answer=" in await browser.post("/silences", {**silence, **form_in(again)})
        (rule,) = (await made.store.silences.list())[0]
        assert rule.reason == "of the <sandbox>"


async def test_no_password_is_on_any_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with signing(tmp_path) as made, made.signed_in() as browser:
        sent = {**await form(browser), "present": SPILLED, "fresh": SPILLED, "again": SPILLED, "note": SPILLED}
        broken(made.store, monkeypatch)
        for path in ("/account/password", "/sign-in"):
            answer, text = await browser.ask("POST", path, sent | {"name": "ana", "password": SPILLED})
            assert (answer.status, answer.content_type, SPILLED in text) == (503, "text/html", False)
            assert answer.headers["Retry-After"] == "30"


def broken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object, **_more: object) -> None:
        raise StoreError("unable to open the database file")

    monkeypatch.setattr(store.users, "find", gone)


async def test_addresses_that_are_no_pages_answer_as_before(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        for path in ("/hooks/nobody", "/static/none.css", "/status"):
            answer, text = await browser.ask("GET", path)
            assert (answer.status, answer.content_type) == (404, "text/plain"), path
        answer, text = await browser.ask("GET", "/incidents", headers={"Host": "evil.example.com"})
        assert (answer.status, answer.content_type, "http.hosts" in text) == (421, "text/html", True)


async def test_who_is_not_signed_in_any_more_reads_what_they_wrote(tmp_path: Path) -> None:
    async with signing(tmp_path) as made, made.browser() as browser:
        written = {"verb": "note", "note": f"all <b>that</b> I know: {SPILLED}"}
        text = await browser.post("/incidents/x/ask", written, 401)
        assert "all &lt;b&gt;that&lt;/b&gt; I know: [masked]</textarea>" in text
        assert "Send it" not in text, "by whom?"
        assert 'href="/sign-in?next=/incidents/x"' in text
        foreign = {"Origin": "https://evil.example"}
        text = await browser.post("/incidents/x/ask", written, 403, **foreign)
        assert "I know" not in text, "a page elsewhere fills in nothing here"
