from __future__ import annotations

from dataclasses import replace

import pytest

from detectors.rules.gone import GONE
from monitor.domain.incidents import Verified
from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.lowering import about_rule, by_rule, lowered
from monitor.store.records import AlertBatch
from monitor.store.silences import SilenceRule
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, lease
from tests.monitor.store.test_alerts import alert, place

RULE = ['rule="github-pat"']
SAID = SilenceRule("3f2a91bc", tuple(RULE), NOW, NOW + 600, "ada", "test data", severity="low")


async def lower(store: Store, severity: str = "low", seconds: float = 600, **more: float) -> SilenceRule:
    return await store.silences.add(
        RULE, seconds, actor="ada", reason="test data", severity=severity, **more  # type: ignore[arg-type]
    )  # fmt: skip


async def severity(store: Store, secret: str) -> str:
    return (await store.incidents.get(fingerprint(secret))).severity


def test_of_a_rule_is_what_names_it_alone_by_an_id_that_it_has_or_had() -> None:
    old, gone = next((old, gone) for old, gone in GONE.items() if gone.heir)
    wider = replace(SAID, matchers=('rule="github-pat"', 'source="app"'))
    other = replace(SAID, matchers=('source="github-pat"',))
    by_old_name = replace(SAID, matchers=(f'rule="{old}"',))
    every = replace(SAID, matchers=('rule=~"github-.*"',))
    known = by_rule([SAID, wider, other, by_old_name, every])
    assert about_rule(known, "github-pat") == [SAID]
    assert about_rule(known, gone.heir) == [by_old_name]


def test_the_furthest_that_holds_now_counts() -> None:
    silent, medium = replace(SAID, severity=None), replace(SAID, severity="medium")
    soon, over = replace(SAID, severity="info", starts=NOW + 60), replace(SAID, severity="info", ends=NOW)
    assert lowered([silent, medium, SAID, soon, over], "github-pat", NOW) == SAID
    assert lowered([silent, soon, over], "github-pat", NOW) is None
    assert lowered([SAID], "other", NOW) is None


async def test_what_opens_is_no_worse_until_the_end_and_what_was_open_keeps_its_severity(
    url: str, clock: Clock
) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.commit([finding("before")])
        rule = await lower(store)
        assert rule.severity == "low"
        assert (await store.silences.list())[0] == [rule]
        await store.commit([finding("new", 1), finding("other", 2, rule="jwt"), finding("info", 3, severity="info")])
        await store.commit([finding("before", 4)])
        assert [await severity(store, name) for name in ("before", "new", "other", "info")] == [
            *("high", "low", "high", "info")
        ]
        assert len(await deliver(store)) == 4, "lowered is not silent"
        (opened,) = await store.incidents.history(fingerprint("new"))
        assert opened.note == "high lowered to low by ada until 2027-01-15T08:10:00Z: test data"
        (opened,) = await store.incidents.history(fingerprint("info"))
        assert opened.note == "", "it is as its rule has it"
        case = await store.cases.get(fingerprint("before"), entries=1)
        assert case.lowered == rule

        clock.now = NOW + 601
        assert (await store.silences.list())[0] == []
        await store.commit([finding("new", 5)])
        assert await severity(store, "new") == "high"
        await store.groups.tick()
        assert "escalated" in await deliver(store)
        assert (await store.trail.verify()).problems == ()


async def test_it_ends_by_hand_and_all_of_it_is_in_the_trail_under_who_did_it(url: str, clock: Clock) -> None:
    async with await Store.open(url, clock=clock) as store:
        rule = await lower(store)
        await lower(store, "info", starts=NOW + 60)
        await store.silences.add(["source=a"], 60, actor="eve", reason="moved")
        await store.commit([finding("a")])
        assert await severity(store, "a") == "low"
        await store.silences.end(rule.id, actor="bob", note="mended")
        await store.commit([finding("b", 1)])
        assert await severity(store, "b") == "high"
        clock.now = NOW + 61
        await store.commit([finding("c", 2)])
        assert await severity(store, "c") == "info"
        assert (await store.silences.over())[-1].severity == "low"
        total, rows = await store.trail.page(incident="monitor")
        assert total == 4
        assert [(row.entry.action, row.entry.actor, row.about) for row in rows] == [
            ("rule_restored", "bob", "the monitor"),
            ("silenced", "eve", "the monitor"),
            ("rule_lowered", "ada", "the monitor"),
            ("rule_lowered", "ada", "the monitor"),
        ]
        assert rows[0].entry.note == 'rule="github-pat" lowered to low: mended'
        assert rows[2].entry.note == 'rule="github-pat" lowered to info, until 2027-01-15 08:11:00 UTC: test data'
        verdict = await store.trail.verify()
        assert (verdict.problems, verdict.incidents) == ((), 3)


@pytest.mark.parametrize("matchers", [["source=a"], [*RULE, "source=a"], ['rule=~"github-.*"'], ['rule!="x"']])
async def test_one_rule_is_lowered_and_nothing_else(store: Store, matchers: list[str]) -> None:
    with pytest.raises(ValueError, match="one rule"):
        await store.silences.add(matchers, 60, actor="ada", reason="x", severity="low")
    assert await store.silences.list() == ([], [])


async def test_the_same_request_lowers_once(store: Store) -> None:
    made = [
        await store.silences.add(RULE, 60, actor="ada", reason="x", severity="low", once="console:1") for _ in range(2)
    ]
    assert made[0] == made[1]
    assert (await store.trail.page(incident="monitor"))[0] == 1


async def test_what_is_known_of_the_secret_itself_and_a_canary_outrank_it(store: Store) -> None:
    await lower(store)
    await store.canaries.plant("bird", [fingerprint("bird")], rule="github-pat", place="x", path=None, by="ada")
    await store.commit([finding("a"), finding("bird", 1)])
    assert (await store.incidents.find(rules=["canary"]))[0].severity == "critical"
    one = (await store.incidents.get(fingerprint("a"))).id
    works = Verified("valid", NOW, "GitHub takes it", "github")
    await store.verdicts.record(one, works, actor="monitor", worth=lambda labels: "critical")
    assert await severity(store, "a") == "critical"


async def test_an_alert_of_another_system_is_lowered_but_for_what_makes_it_worse(store: Store) -> None:
    await lower(store)
    plain, public = alert("a", base="high"), alert("b", 2, severity="critical", base="high")
    await store.alerts.record(AlertBatch("github", (plain, public), [place(plain), place(public)]))
    assert [await severity(store, name) for name in "ab"] == ["low", "critical"]


async def test_a_silence_of_the_rule_holds_back_what_is_lowered_too(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await lower(store)
        await store.silences.add(RULE, 60, actor="ada", reason="x")
        await store.commit([finding("a")])
        assert await lease(store, "chat") is None
        clock.now = NOW + 61
        await store.groups.tick()
        assert await deliver(store) == ["new"]
        assert await severity(store, "a") == "low"


async def test_what_one_host_lowers_and_another_ends_holds_on_both_at_once(postgres_url: str, clock: Clock) -> None:
    one, two = [await Store.open(postgres_url, clock=clock, node=node) for node in ("one", "two")]
    async with one, two:
        await two.commit([finding("before")])  # it knows that nothing is lowered
        rule = await lower(one)
        await two.commit([finding("new", 1)])
        assert [await severity(two, name) for name in ("before", "new")] == ["high", "low"]
        assert (await two.silences.list())[0] == [rule]
        assert (await two.cases.get(fingerprint("new"), entries=1)).lowered == rule
        await one.commit([finding("own", 2)])
        await two.silences.end(rule.id, actor="bob", note="mended")
        assert (await one.silences.list())[0] == []
        await one.commit([finding("after", 3)])
        assert [await severity(one, name) for name in ("new", "own", "after")] == ["low", "low", "high"]
        assert (await one.silences.over())[0].ended_by == "bob"
