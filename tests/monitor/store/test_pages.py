from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from monitor import runbook
from monitor.common.inbound import InboundRequest
from monitor.delivery.render import render
from monitor.report.view import Links
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from sinks.pagerduty.sink import dedup_key
from tests.monitor.store.helpers import Clock, finding, fingerprint, lease

A, B, C = (fingerprint(name)[:16] for name in "abc")
PAGER = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}), routes=(Route(sinks=("pager",)),))


@pytest.fixture
async def opener(url: str, clock: Clock) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    opened: list[Store] = []

    async def open_(policy: Policy, **more: Any) -> Store:
        opened.append(await Store.open(url, policy, clock=clock, node="web-3", **more))
        return opened[-1]

    yield open_
    for store in opened:
        await store.close()


class Pager:
    """What stands at PagerDuty: dedup key → triggered, acknowledged, resolved."""

    def __init__(self, store: Store, name: str = "pager") -> None:
        self.store, self.name = store, name
        self.pages: dict[str, str] = {}

    async def take(self) -> dict[str, str]:
        """All that waits is sent; only what a trigger opened can be acknowledged and resolved."""
        await self.store.groups.tick()
        while leased := await lease(self.store, self.name):
            sent = render(leased, links=Links(), books=lambda name: None)
            key = dedup_key(sent)
            if sent.action == "trigger":
                self.pages[key] = "triggered" if self.pages.get(key) != "acknowledge" else "acknowledge"
            elif self.pages.get(key, "resolve") != "resolve":
                self.pages[key] = sent.action
            await self.store.outbox.sent(leased.id, {"dedup_key": key})
        return dict(self.pages)

    async def press(self, verb: Any, key: str, detail: str = "") -> bool:
        """Somebody does this to the page there."""
        asked = InboundRequest(f"{verb}:{key}", self.name, verb, "ada", key=key, detail=detail)
        assert await self.store.requests.keep([asked])
        [answer] = await self.store.requests.apply(lambda incident, name: None)
        return answer.done


async def test_a_group_is_acknowledged_and_resolved_with_its_last_without_a_pause(opener: Any, clock: Clock) -> None:
    route = Route.model_validate({"sinks": ["pager"], "group_by": ["rule"]})
    store = await opener(replace(PAGER, routes=(route,)))
    pager = Pager(store)
    await store.commit([finding("a", 1), finding("b", 2), finding("c", 3)])
    [(key, state)] = (await pager.take()).items()
    assert (key.partition(":")[0], state) == ("group", "triggered")
    for id_ in (A, B):
        await store.incidents.transition(id_, "ack", actor="ada")
    assert await pager.take() == {key: "triggered"}  # one is left that nobody has
    await store.incidents.transition(C, "resolve", actor="ada", resolution="revoked")
    assert await pager.take() == {key: "acknowledge"}  # at once: it would call the next in line
    for id_ in (A, B):
        await store.incidents.transition(id_, "resolve", actor="ada", resolution="revoked")
    assert await pager.take() == {key: "resolve"}


async def test_a_press_on_a_page_of_several_concerns_those_that_it_told_of(opener: Any, clock: Clock) -> None:
    route = Route.model_validate({"sinks": ["pager"], "group_by": ["rule"]})
    store = await opener(replace(PAGER, routes=(route,)))
    pager = Pager(store)
    await store.commit([finding("a", 1), finding("b", 2)])
    [key] = await pager.take()
    await store.commit([finding("c", 3)])  # waits for the interval
    assert await pager.press("ack", key)
    assert [(await store.incidents.get(one)).state for one in (A, B, C)] == ["acknowledged", "acknowledged", "open"]
    assert await pager.press("resolve", key, "revoked")
    assert [(await store.incidents.get(one)).state for one in (A, B, C)] == ["resolved", "resolved", "open"]


async def test_a_digest_whose_last_open_member_became_an_alarm_of_its_own_is_closed(opener: Any, clock: Clock) -> None:
    store = await opener(replace(PAGER, routes=(Route.model_validate({"sinks": ["pager"], "burst": "1/1m"}),)))
    pager = Pager(store)
    await store.commit([finding("x"), finding("a", 1, rule="one"), finding("b", 2, rule="two")])
    await pager.take()
    clock.now += 61
    digest = next(key for key in await pager.take() if key.startswith("digest:"))
    await store.incidents.transition(A, "ack", actor="ada")
    await store.commit([finding("b", 3, rule="two", severity="critical")])  # worse: it leaves the digest
    assert (await pager.take())[digest] == "acknowledge"
    assert (await pager.take())[f"incident:{B}"] == "triggered"
    await store.incidents.transition(A, "resolve", actor="ada", resolution="revoked")
    assert (await pager.take())[digest] == "resolve"


async def test_a_page_that_a_fallback_took_over_hears_what_becomes_of_it(opener: Any, clock: Clock) -> None:
    store = await opener(replace(PAGER, routes=(Route(sinks=("chat",), group_by=("rule",)),)))
    pager = Pager(store)
    await store.commit([finding("a", 1), finding("b", 2)])
    leased = await lease(store, "chat")
    assert leased is not None
    assert await store.outbox.give_up(leased.id, "HTTP 404", "pager")
    assert await pager.take() == {leased.key: "triggered"}
    assert await pager.press("ack", leased.key)
    assert await pager.take() == {leased.key: "acknowledge"}
    for id_ in (A, B):
        await store.incidents.transition(id_, "resolve", actor="ada", resolution="revoked")
    assert await pager.take() == {leased.key: "resolve"}


async def overdue(opener: Any, clock: Clock) -> tuple[Store, Pager]:
    ladder = (Rung(after=0.0, sinks=("pager",)),)
    store = await opener(PAGER, procedure=Procedure("high", ladder=ladder, book=runbook.load))
    await store.commit([finding("a", runbook="github-token")])
    pager = Pager(store)
    clock.now += 86_400 * 3
    await store.runs.sweep()
    assert await pager.take() == {f"incident:{A}": "triggered", f"overdue:{A}": "triggered"}
    return store, pager


async def test_the_page_of_an_overdue_step_is_acknowledged_and_resolved_with_its_incident(
    opener: Any, clock: Clock
) -> None:
    store, pager = await overdue(opener, clock)
    assert await pager.press("ack", f"incident:{A}")
    assert await pager.take() == {f"incident:{A}": "acknowledge", f"overdue:{A}": "acknowledge"}
    await store.incidents.transition(A, "resolve", actor="ada", resolution="revoked")
    assert await pager.take() == {f"incident:{A}": "resolve", f"overdue:{A}": "resolve"}
    rows = [one.reason for one in await store.outbox.list(about=A) if one.reason in ("acknowledged", "recovered")]
    assert sorted(rows) == ["acknowledged", "acknowledged", "recovered"]  # each page once


async def test_the_page_of_an_overdue_step_is_closed_when_its_incident_goes_into_another(
    opener: Any, clock: Clock
) -> None:
    store, pager = await overdue(opener, clock)
    await store.commit([finding("b", 2)])
    await store.merges.merge(B, [A], actor="ada")
    pages = await pager.take()
    assert (pages[f"incident:{A}"], pages[f"overdue:{A}"], pages[f"incident:{B}"]) == (
        "resolve",
        "resolve",
        "triggered",
    )


async def test_the_page_for_many_overdue_steps_is_acknowledged_with_the_last_of_them(opener: Any, clock: Clock) -> None:
    ladder = (Rung(after=0.0, sinks=("pager",)),)
    store = await opener(PAGER, procedure=Procedure("high", ladder=ladder, book=runbook.load))
    await store.commit([finding("a", 1, runbook="github-token"), finding("b", 2, runbook="github-token")])
    pager, key = Pager(store), "overdue:together"
    clock.now += 86_400 * 3
    await store.runs.sweep()
    clock.now += 60
    assert (await pager.take())[key] == "triggered"
    await store.incidents.transition(A, "ack", actor="ada")
    assert (await pager.take())[key] == "triggered"
    assert await pager.press("ack", key)
    assert (await store.incidents.get(B)).state == "acknowledged"
    assert set((await pager.take()).values()) == {"acknowledge"}
    for id_ in (A, B):
        await store.incidents.transition(id_, "resolve", actor="ada", resolution="revoked")
    assert set((await pager.take()).values()) == {"resolve"}
