from __future__ import annotations

import html
import re
import time
from pathlib import Path

from monitor.config.config import parse
from monitor.intake.ledger import Loss
from monitor.intake.protocol import Behind, RequestQuota
from monitor.sources.base import Where
from monitor.sources.standing import SourceStanding
from tests.fakes.console import Pages
from tests.monitor.web.console.test_pages import text_of

EVIL = "<script>alert(1)</script>\"'&\u202e"


def source(name: str, **changes: object) -> SourceStanding:
    facts = {"type": "file", "where": Where("2 files", 7), "kept": time.time() - 65, "lag": 0.4} | changes
    return SourceStanding(name, **facts)  # type: ignore[arg-type]


async def test_without_any_it_says_what_to_do(pages: Pages) -> None:
    assert "add [[sources]] to the configuration" in " ".join(text_of(await pages.get("/sources")).split())
    await pages.get("/sources/app", 404)
    await pages.get("/sources?before=x", 400)


async def test_each_says_how_it_is_and_what_it_lost(pages: Pages) -> None:
    now = time.time()
    lost = (Loss("gone", "/a.log", "bytes", 1_042, 1, 1.0, 2.0), Loss("gone", "", "bytes", 8, 0, 1.0, 3.0))
    pages.standings += [source("app", lost=lost), source("late"), source("new", kept=None)]
    snapshot = pages.snapshot
    snapshot.degraded["late", "/b.log"] = "permission denied: usermod -aG adm"
    snapshot.restarts["app"], snapshot.failures["app"] = 3, (now - 20, "OSError")
    snapshot.backlog["late"] = lambda: [Behind("/b.log", 12_345_678, 600.0)]
    text = " ".join(text_of(await pages.get("/sources")).split())
    for words in (
        *("3 sources on web1", "2 in trouble", "gone: 1,050 bytes and more", "1 min ago", "nothing read yet"),
        *("/b.log: permission denied: usermod -aG adm", "12.3 MB", "10 min"),
        "s ago after OSError, 3 times since the start",
    ):
        assert words in text, words
    assert text.index("late") < text.index("new"), "who is in trouble comes first"

    one = await pages.get("/sources/late")
    assert '<a href="/incidents?state=all&amp;source=late">' in one
    assert "usermod -aG adm" in one
    app = " ".join(text_of(await pages.get("/sources/app")).split())
    assert "What to do: it is started again by itself" in app
    assert "2 entries in its ledger" in app
    assert "several places" in app


async def test_what_github_still_answers_is_shown(pages: Pages) -> None:
    pages.standings.append(source("gh", type="github"))
    pages.snapshot.quotas["gh"] = lambda: [RequestQuota("core", 5000, 0, 1800.0), RequestQuota("search", 30, 12, 9.0)]
    text = " ".join(text_of(await pages.get("/sources/gh")).split())
    assert "core 0 of 5,000 in 30 min" in text
    assert "search 12 of 30 in 9.0 s" in text


async def test_pages_go_through_all_and_say_how_many_more(pages: Pages) -> None:
    losses = tuple(Loss("gone", f"/{n}.log", "bytes", 1, 0, 1.0, float(n // 3)) for n in range(120))
    pages.standings += [source(f"s{number:03}", lost=losses if number == 7 else ()) for number in range(120)]
    for address, row, total in (
        ("/sources", r'href="/sources/(\w+)"', 120),
        ("/sources/s007", r'class="path">(/\d+\.log)<', 120),
    ):
        seen: list[str] = []
        following: str | None = address
        while following:
            text = await pages.get(following)
            rows = re.findall(row, text)
            assert f"{len(rows)} on this page, {total - len(rows)} more" in text
            seen += rows
            found = re.search(r'rel="next" href="([^"]+)"', text)
            following = html.unescape(found[1]) if found else None
        assert len(seen) == len(set(seen)) == total


async def test_what_is_outside_our_hands_is_never_markup(pages: Pages) -> None:
    lost = (Loss(EVIL, EVIL, EVIL, 5, 0, 1.0, 2.0),)
    pages.standings.append(source("app", where=Where(EVIL), lost=lost))
    pages.snapshot.degraded["app", EVIL] = EVIL
    pages.snapshot.backlog["app"] = lambda: [Behind(EVIL, 5, 1.0)]
    pages.snapshot.failures["app"] = (time.time(), EVIL)
    pages.snapshot.quotas["app"] = lambda: [RequestQuota(EVIL, 5, 1, 1.0)]
    for path in ("/sources", "/sources/app"):
        text = await pages.get(path)
        assert "\u202e" not in text
        assert "&lt;script&gt;alert(1)" in text


async def test_a_database_that_cannot_be_written_is_named(pages: Pages) -> None:
    pages.standings.append(source("app"))
    pages.config = parse("", Path("config.toml"))
    pages.store._degraded = "the disk is full"
    assert "store: the disk is full" in await pages.get("/sources")
    assert "store: the disk is full" in await pages.get("/sinks")
