from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from monitor.config.config import parse
from monitor.web.console import silences as module
from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.web.console.test_overview import words_of
from tests.monitor.web.console.test_sinks import CONFIG

ADA = Visitor("ada", "responder", form="f" * 32)
LOW = {"matchers": 'severity="low"\nsource=app', "for": "4h", "note": "load test"}
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def known(pages: Pages) -> Pages:
    config = CONFIG + '[[silences]]\nmatchers = ["path=/tmp/noise.log"]\ncomment = "<b>noise</b>"\n'
    pages.store.policy = parse(config, Path("config.toml")).policy
    return pages


async def test_all_kinds_are_listed_with_who_and_why(known: Pages) -> None:
    await known.store.commit([finding(1)])
    (incident,) = await known.store.incidents.find()
    await known.store.silences.set(incident.id, 3600, actor="eve", note="mine")
    rule = await known.store.silences.add(['name="x"'], 600, actor=EVIL, reason=EVIL)
    page = await known.get("/silences")
    text = words_of(page)
    for words in ("3 silences", "path=", "for ever the configuration <b>noise</b>", "eve mine", EVIL):
        assert words in text, words
    assert "<b>" not in page
    assert EVIL not in page
    assert 'method="post"' not in page
    await known.store.silences.end(rule.id, actor="ada", note="done")
    over = words_of(await known.get("/silences?over=1"))
    assert f"{EVIL}; ended by ada: done" in over
    assert "1 silence that ended" in over


async def test_who_may_only_look_is_refused(known: Pages) -> None:
    for who in (Visitor(), Visitor("bob", "viewer", form="f" * 32)):
        known.who = who
        for path in ("/silences", "/silences/preview", "/silences/01234567/end"):
            assert "responder" in await known.post(path, 403, **LOW)
    assert await known.store.silences.list() == ([], [])


async def test_a_new_one_shows_what_it_would_hold_back_and_then_does(known: Pages) -> None:
    known.who = ADA
    low = [finding(n, severity="low", name=EVIL) for n in range(12)]
    await known.store.commit([*low, finding(20), finding(21, severity="low", source="other")])
    page = await known.post("/silences/preview", **LOW)
    assert "It would hold back 12 of the 14 unresolved incidents:" in words_of(page)
    assert "and 2 more" in page
    assert EVIL not in page
    assert await known.store.silences.list() == ([], []), "it was only shown"

    carried = dict(re.findall(r'<input type="hidden" name="(matchers|for|note)" value="([^"]*)">', page))
    for _ in range(2):
        page = await known.post(
            "/silences", once="o" * 20, **{name: html.unescape(text) for name, text in carried.items()}
        )
        assert 'severity="low", source="app": silent until' in words_of(page)
    rules, _ = await known.store.silences.list()
    assert [(rule.matchers, rule.by, rule.reason) for rule in rules] == [
        (('severity="low"', 'source="app"'), "ada", "load test")
    ]

    page = await known.post(f"/silences/{rules[0].id}/end", note=f"over {SPILLED}")
    assert "holds nothing back any more" in page
    (ended,) = await known.store.silences.over()
    assert (ended.ended_by, ended.ended_why) == ("ada", "over [masked]")
    assert "over already" in await known.post(f"/silences/{rules[0].id}/end")


async def test_a_form_that_comes_again_after_a_restart_adds_nothing(known: Pages) -> None:
    first, again = [
        await known.store.silences.add(["source=app"], 600, actor="ada", reason="x", once="console:1") for _ in range(2)
    ]
    assert first == again


async def test_a_preview_says_of_how_many_it_is(known: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKED_AT", 3)
    known.who = ADA
    await known.store.commit([finding(n, severity="low") for n in range(5)])
    text = words_of(await known.post("/silences/preview", **LOW))
    assert "It would hold back 3 of the 3 most urgent of 5 unresolved incidents" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matchers": ""}, "one matcher a line"),
        ({"matchers": "x=y\n" * 21}, "20 at most"),
        ({"matchers": f"{EVIL}"}, "not a matcher"),
        ({"matchers": "severity=lwo"}, "severity is one of"),
        ({"matchers": f'path="{SPILLED}"'}, "A matcher holds a secret"),
        ({"for": "soon"}, "How long:"),
        ({"for": SPILLED}, "How long:"),
        ({"for": "0s"}, "longer than nothing"),
        ({"for": "800d"}, "a year at most"),
        ({"note": ""}, "Say why"),
    ],
)
async def test_what_is_no_silence_is_said_in_words(known: Pages, changes: dict[str, str], said: str) -> None:
    known.who = ADA
    for path in ("/silences/preview", "/silences"):
        page = await known.post(path, 400, **(LOW | changes))
        assert said in words_of(page)
        assert SPILLED not in page
        assert EVIL not in page
    assert await known.store.silences.list() == ([], [])


async def test_pages_go_through_all(known: Pages) -> None:
    for number in range(60):
        await known.store.silences.add([f"source=s{number}"], 600 + number % 7, actor="ada", reason="x")
    address: str | None = "/silences"
    seen: list[str] = []
    while address:
        text = await known.get(address)
        rows = re.findall(r"<tr>\n<th", text)
        assert f"61 silences: {len(rows)} on this page, {61 - len(rows)} more" in text
        seen += rows
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = html.unescape(following[1]) if following else None
    assert len(seen) == 61
