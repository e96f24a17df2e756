from __future__ import annotations

import html
import re
from dataclasses import replace

from monitor import runbook
from monitor.web.console import pages
from tests.fakes.notifications import NOW, RUN, incident


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_page_answers_what_an_alert_does() -> None:
    shown = incident(
        run=RUN, owner="ada", labels={"role": "admin"}, validity="valid", verdict="GitHub takes it", asked_at=NOW
    )
    text = text_of(pages.incident(shown, None, []))
    for words in (
        *(shown.name, shown.masked, "critical, high confidence", "ada", "admin"),
        *("payments on web-3, services", "/var/log/app/api.log:1042", "login with token=ghp_a1B2…"),
        *("2026-11-02 11:03:07 UTC", "2026-11-02 13:58:07 UTC", "2026-11-02 14:03:05 UTC"),
        *("valid: GitHub takes it, asked 2026-11-02 14:03:07 UTC", "First:  Revoke the token on GitHub"),
        f"{shown.program} incidents ack {shown.id}",
        f"{shown.program} runbook claim {shown.id} deploy",
        "and 15 more, before these",
    ):
        assert words in text, words


def test_what_is_over_says_how_and_asks_for_nothing() -> None:
    ended = incident(state="resolved", resolution="wont_fix", actor="ada", note="twice", merged="8a" * 8)
    page = pages.incident(ended, None, [])
    assert "resolved as wont_fix by ada: twice" in text_of(page)
    assert f'<a href="/incidents/{"8a" * 8}">' in page
    assert not re.search("First:|Next:|Claim:", page)


def test_a_place_without_a_line_or_elsewhere_is_shown_and_linked() -> None:
    here, there = incident().locations
    shown = incident(locations=(replace(here, line=None), replace(there, url="https://github.com/acme/web/issues/1")))
    page = pages.incident(shown, None, [])
    assert "/var/log/app/api.log (byte 90112)" in page
    assert '<a href="https://github.com/acme/web/issues/1" rel="noreferrer">open</a>' in page


def test_the_list_says_also_where_and_whether_it_works() -> None:
    page = pages.incidents([incident(validity="valid", occurrences=1200, drill=True)])
    for cell in ("Drill: GitHub personal access token", "1,200", "valid", "/var/log/app/api.log:1042"):
        assert f"<td>{cell}</td>" in page
    assert "There are none." in pages.incidents([])


def test_a_runbook_keeps_its_lines() -> None:
    book = runbook.load("github-token")
    assert book is not None
    assert html.escape(book.text()) in pages.book(book)
