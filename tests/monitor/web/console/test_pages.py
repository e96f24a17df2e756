from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import timedelta

from monitor import runbook
from monitor.common.notification import IncidentView
from monitor.web.console import pages
from monitor.web.console.incidents import IncidentPage
from monitor.web.console.query import CHOICES, TEXTS, ListQuery
from tests.fakes.console import page_about
from tests.fakes.notifications import NOW, RUN, incident


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_page_answers_what_an_alert_does() -> None:
    shown = incident(
        run=RUN, owner="ada", labels={"role": "admin"}, validity="valid", verdict="GitHub takes it", asked_at=NOW
    )
    text = text_of(page_about(shown))
    for words in (
        *(shown.name, shown.masked, "critical, high confidence", "ada", "admin"),
        *("payments on web-3, services", "/var/log/app/api.log:1042", "login with token=ghp_a1B2…"),
        *("2026-11-02 11:03:07 UTC", "2026-11-02 13:58:07 UTC", "2026-11-02 14:03:05 UTC"),
        *("valid: GitHub takes it, asked 2026-11-02 14:03:07 UTC", "First:  Revoke the token on GitHub"),
        f"{shown.program} incidents ack {shown.id}",
        f"{shown.program} runbook claim {shown.id} deploy",
        "and 15 more sightings",
    ):
        assert words in text, words


def test_what_is_over_says_how_and_asks_for_nothing() -> None:
    ended = incident(state="resolved", resolution="wont_fix", actor="ada", note="twice", merged="8a" * 8)
    page = page_about(ended)
    assert "resolved as wont_fix by ada: twice" in text_of(page)
    assert f'<a href="/incidents/{"8a" * 8}">' in page
    assert not re.search("First:|Next:|Claim:", page)


def test_a_place_without_a_line_or_elsewhere_is_shown_and_linked() -> None:
    here, there = incident().locations
    shown = incident(locations=(replace(here, line=None), replace(there, url="https://github.com/acme/web/issues/1")))
    page = page_about(shown)
    assert "/var/log/app/api.log (byte 90112)" in page
    assert '<a href="https://github.com/acme/web/issues/1" rel="noreferrer">open</a>' in page


def page_of(*shown: IncidentView, total: int = 0, more: str = "", **said: str) -> str:
    query = ListQuery.parse(said)
    part = IncidentPage(shown, total or len(shown), query, more)
    return pages.render("incidents.html", NOW, page=part, query=query, choices=CHOICES, texts=TEXTS)


def test_the_list_says_also_where_whether_it_works_who_holds_it_and_what_is_next() -> None:
    held = incident(validity="valid", occurrences=1200, drill=True, run=RUN, state="acknowledged", owner="ada")
    page = page_of(replace(held, decided_at=NOW - timedelta(minutes=7)))
    assert f'<a href="/incidents/{held.id}">Drill: GitHub personal access token</a>' in page
    text = " ".join(text_of(page).split())
    assert "1,200" in text
    assert RUN.deadline is not None
    for words in (
        *("critical drill", "acknowledged by ada, 7 min ago", "valid", "payments on web-3, services"),
        *("/var/log/app/api.log:1042", RUN.title, "1 incident ·"),
    ):
        assert words in text, words


def test_the_list_says_how_many_there_are_and_where_it_goes_on() -> None:
    page = page_of(incident(), total=1501, more="5_1.0_aa", severity="high", q="a&b")
    assert "1,501 incidents: 1 on this page, 1,500 more" in " ".join(text_of(page).split())
    assert 'rel="next" href="/incidents?severity=high&amp;q=a%26b&amp;after=5_1.0_aa"' in page
    assert 'href="/incidents.csv?severity=high&amp;q=a%26b"' in page
    assert 'href="/incidents?q=a%26b" aria-label="Without severity ≥ high"' in page
    assert '<option value="high" selected>high</option>' in page


def test_an_empty_list_says_what_else_there_is() -> None:
    assert "Nothing is unresolved." in page_of()
    assert "None match." in page_of(q="x")


def test_what_is_shown_is_never_markup() -> None:
    evil = "<i>\"'&\u202e{{ 7 * 7 }}"
    shown = incident(name=evil, masked=evil, owner=evil, labels={"<b>": evil}, rule=evil, decided_at=NOW)
    for page in (page_about(shown), page_of(shown)):
        assert "<i>" not in page
        assert "<b>:" not in page
        assert "\u202e" not in page
        assert "&lt;i&gt;&#34;&#39;&amp;\\u202e{{ 7 * 7 }}" in page


def test_a_deadline_says_how_long_is_left_or_how_late_it_is() -> None:
    assert RUN.deadline is not None
    late = replace(RUN, overdue=True, deadline=NOW - timedelta(minutes=3))
    assert 'title="2026-11-02 14:00:07 UTC">3 min overdue</time>' in page_of(incident(run=late))
    assert "in 10 min" in page_of(incident(run=replace(RUN, overdue=False, deadline=NOW + timedelta(minutes=10))))


def test_a_runbook_keeps_its_lines() -> None:
    book = runbook.load("github-token")
    assert book is not None
    assert book.text() in html.unescape(pages.render("runbook.html", NOW, book=book))
