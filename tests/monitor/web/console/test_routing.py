from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from monitor.config.config import parse
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.web.console.test_overview import words_of
from tests.monitor.web.console.test_sinks import CONFIG

ROUTES = """
[[routes]]
matchers = ['severity="critical"']
sinks = ["pager"]
continue = true
[[routes]]
matchers = ['source=~"app.*"']
sinks = ["chat"]
group_by = ["rule"]
"""


@pytest.fixture
def routed(pages: Pages) -> Pages:
    pages.store.policy = parse(CONFIG + ROUTES, Path("config.toml")).policy
    return pages


async def test_without_routes_it_says_what_holds(pages: Pages) -> None:
    assert "There is no sink." in await pages.get("/routes")
    pages.store.policy = parse(CONFIG, Path("config.toml")).policy
    text = words_of(await pages.get("/routes"))
    assert "No [[routes]] : pagers get severity high and critical" in text
    assert "all, every 1 day" in text


async def test_where_would_this_go(routed: Pages) -> None:
    text = words_of(await routed.get(f"/routes?labels={quote('severity=critical source=web')}"))
    for words in (
        *("Alerted: pager. Taken for granted: confidence=high.", "takes it : all its matchers hold; goes on"),
        *('passes: source=~"app.*" does not hold: source is "web"', "alerts at once"),
    ):
        assert words in text, words
    assert "Nobody is alerted." in await routed.get("/routes?labels=severity%3Dlow")


async def test_where_does_this_incident_go_and_what_holds_it_back(routed: Pages) -> None:
    await routed.store.commit([finding(1, path="/var/log/<b>.log")])
    (incident,) = await routed.store.incidents.find()
    await routed.store.silences.add(["source=app"], 600, actor="ada", reason="x")
    page = await routed.get(f"/routes?incident={incident.id}")
    text = words_of(page)
    assert "Alerted: pager, chat. Silenced until" in text
    assert "app /var/log/<b>.log" in text
    assert "<b>.log" not in page


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("labels=severity", "severity: not a label"),
        ("labels=%22", "No closing quotation"),
        (f"labels={quote('a=b ' * 21)}", "20 labels at most"),
        ("incident=nothing", "there is no incident"),
        (f"labels={quote(SPILLED)}", "[masked]: not a label"),
        ("labels=%3Cscript%3E", "<script>: not a label"),
    ],
)
async def test_what_cannot_be_asked_is_said(routed: Pages, asked: str, said: str) -> None:
    page = await routed.get(f"/routes?{asked}", 400)
    assert said in words_of(page)
    assert SPILLED not in page
    assert "<script>:" not in page
    await routed.get("/routes?what=1", 400)
