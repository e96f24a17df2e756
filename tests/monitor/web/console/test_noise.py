from __future__ import annotations

import html
import re
import time

import pytest

from monitor.scanning.scanner import RuleStats
from monitor.store import StoreError
from monitor.web.console import kept
from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.web.console.test_overview import words_of

ADA = Visitor("ada", "admin", form="f" * 32)
BOB = Visitor("bob", "responder", form="f" * 32)
EVIL = '"><script>alert(1)</script>'
LOWER = {"rule": "github-pat", "to": "low", "for": "30d", "note": "test data"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FRESH", "_SHARE"):
        monkeypatch.setattr(kept, name, 0.0)
    for name in ("_PATIENCE", "_GLANCE"):
        monkeypatch.setattr(kept, name, 60.0)


@pytest.fixture
async def noisy(pages: Pages) -> Pages:
    now = time.time()
    found = [finding(n, time=now - 60, rule="jwt" if n < 3 else "github-pat") for n in range(8)]
    await pages.store.commit([*found, finding(9, time=now - 9 * 86_400, rule=EVIL, name=EVIL)])
    for one in await pages.store.incidents.find(rules=["jwt"]):
        await pages.store.incidents.transition(one.id, "resolve", actor="ada", resolution="false_positive")
    pages.snapshot.scanner.rules |= {"jwt": RuleStats(4, 2.5), "slow": RuleStats(9, 7.5)}
    return pages


def order(page: str) -> list[str]:
    return [html.unescape(name) for name in re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', page)]


async def test_rules_by_alerts_by_what_was_no_secret_and_by_cost(noisy: Pages) -> None:
    page = await noisy.get("/noise")
    assert "No rule has found anything" not in page
    text = words_of(page)
    for words in (
        *("3 rules", "slow 0 0 none resolved 0 7.500 s, 9 looks"),
        "jwt GitHub personal access token 0 3 100% of 3 3 2.500 s, 4 looks",
        "github-pat GitHub personal access token 0 5, 5 unresolved none resolved 5 none",
    ):
        assert words in text, words
    assert order(await noisy.get("/noise?sort=no+secret"))[0] == "jwt"
    assert order(await noisy.get("/noise?sort=cost")) == ["slow", "jwt", "github-pat"]
    assert order(await noisy.get("/noise?sort=incidents"))[0] == "github-pat"
    assert 'method="post"' not in page

    listed = html.unescape(re.findall(r'href="(/incidents\?rule=jwt[^"]*)"', page)[0])
    assert "3 incidents" in words_of(await noisy.get(listed))


async def test_what_is_no_window_and_no_order_is_refused(pages: Pages) -> None:
    for wrong in ("days=3", "days=x", "sort=x", "x=y"):
        assert EVIL not in await pages.get(f"/noise?{wrong}", 400)
    assert "No rule has found anything" in await pages.get("/noise")


async def test_a_rule_of_any_name_is_text(noisy: Pages) -> None:
    noisy.who = ADA
    noisy.rules.add(EVIL)
    await noisy.store.silences.add(["rule=x"], 60, actor=EVIL, reason=EVIL, severity="low")
    page = await noisy.get("/noise?days=30")
    assert EVIL in order(page)
    assert "<script>alert" not in page
    (address,) = [html.unescape(one) for one in re.findall(r'href="(/noise\?[^"]*script[^"]*)"', page)]
    page = await noisy.get(address)
    assert "<script>alert" not in page
    (name,) = re.findall(r'name="rule" value="([^"]*)"', page)
    page = await noisy.post("/noise", **LOWER | {"rule": html.unescape(name)})
    assert "<script>alert" not in page
    assert f"{EVIL} is lowered to low until" in words_of(page)
    assert [one.rule for one in (await noisy.store.silences.list())[0]] == ["x", EVIL]


async def test_an_admin_lowers_a_rule_once_and_ends_it(noisy: Pages) -> None:
    noisy.who = ADA
    assert "Fewer alerts of github-pat" in await noisy.get("/noise?rule=github-pat")
    for _ in range(2):
        page = await noisy.post("/noise", once="o" * 20, **LOWER | {"note": f"test data {SPILLED}"})
        assert "github-pat is lowered to low until" in words_of(page)
    ((rule,), _) = await noisy.store.silences.list()
    assert (rule.severity, rule.by, rule.reason) == ("low", "ada", "test data [masked]")
    assert "by ada: test data [masked]" in words_of(page)
    await noisy.store.commit([finding(30, time=time.time())])
    low = await noisy.store.incidents.find(severities=["low"])
    shown = words_of(await noisy.get(f"/incidents/{low[0].id}"))
    assert "lowered to low until" in shown
    assert "critical lowered to low by ada" in shown
    assert 'rule="github-pat" lowered to low' in words_of(await noisy.get("/silences"))
    assert "rule lowered" in words_of(await noisy.get("/trail?actor=ada"))

    noisy.who = BOB
    assert "holds nothing back any more" in await noisy.post(f"/silences/{rule.id}/end")
    assert (await noisy.store.silences.list())[0] == []
    assert "lowered to" not in words_of(await noisy.get("/noise"))


async def test_nobody_is_alerted_of_a_rule_that_is_silent(noisy: Pages) -> None:
    noisy.who = ADA
    page = await noisy.post("/noise", **LOWER | {"to": "silent"})
    assert "github-pat is silent until" in words_of(page)
    ((rule,), _) = await noisy.store.silences.list()
    assert (rule.matchers, rule.severity) == (('rule="github-pat"',), None)


async def test_what_is_no_rule_any_more_can_be_silenced_and_not_lowered(noisy: Pages) -> None:
    noisy.who = ADA
    assert 'value="low"' in await noisy.get("/noise?rule=github-pat")
    page = await noisy.get("/noise?rule=old-rule")
    assert 'value="silent"' in page
    assert 'value="low"' not in page
    assert "old-rule is silent" in words_of(await noisy.post("/noise", **LOWER | {"rule": "old-rule", "to": "silent"}))
    noisy.rules.add("apify-api-token")
    page = await noisy.post("/noise", **LOWER | {"rule": "apify-token"})
    assert "apify-api-token is lowered to low" in words_of(page), "as it is named now"


async def test_who_is_no_admin_is_refused_and_shown_no_form(noisy: Pages) -> None:
    for who in (Visitor(), Visitor("eve", "viewer", form="f" * 32), BOB):
        noisy.who = who
        assert "admin" in await noisy.post("/noise", 403, **LOWER)
        assert 'action="/noise"' not in await noisy.get("/noise?rule=github-pat")
    noisy.who = ADA
    assert "not made for you" in await noisy.post("/noise", 403, **LOWER, form="x" * 32)
    assert await noisy.store.silences.list() == ([], [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"to": "critical"}, "To what"),
        ({"to": SPILLED}, "To what"),
        ({"for": "800d"}, "a year at most"),
        ({"note": ""}, "Say why"),
        ({"rule": SPILLED}, "holds a secret"),
        ({"rule": ""}, "Say which rule"),
        ({"rule": "github-patt"}, "no rule is called 'github-patt'; did you mean github-pat?"),
    ],
)
async def test_what_cannot_be_is_said_in_words(noisy: Pages, changes: dict[str, str], said: str) -> None:
    noisy.who = ADA
    page = await noisy.post("/noise", 400, **LOWER | changes)
    assert said in words_of(page)
    assert SPILLED not in page
    assert await noisy.store.silences.list() == ([], [])


async def test_pages_go_through_all(noisy: Pages) -> None:
    noisy.snapshot.scanner.rules |= {f"rule-{n}": RuleStats(1, 0.25) for n in range(70)}
    address: str | None = "/noise?sort=cost"
    seen: list[str] = []
    while address:
        text = await noisy.get(address)
        rows = order(text)
        assert f"73 rules: {len(rows)} on this page, {73 - len(rows)} more" in text
        seen += rows
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = html.unescape(following[1]) if following else None
    assert len(seen) == len({*seen}) == 73


async def test_without_the_database_it_says_so(noisy: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("database is locked")

    monkeypatch.setattr(noisy.store, "read", fail)
    assert "There are no figures: database is locked" in words_of(await noisy.get("/noise"))
