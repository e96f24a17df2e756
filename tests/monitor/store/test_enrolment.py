"""Which groups an incident joins. What they are told: test_groups.py; threads of a shape: test_folds.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from monitor.routing.routes import Policy, Route
from monitor.store import Store
from tests.monitor.store.helpers import Clock, deliver, finding

DAY = 86_400.0


async def told(store: Store, sink: str = "chat") -> list[tuple[str, int]]:
    rows = [one for one in reversed(await store.outbox.list()) if one.sink == sink]
    return [(one.reason, len(one.incidents)) for one in rows]


async def test_what_is_doubtful_is_told_once_a_day_together(store: Store, clock: Clock) -> None:
    store.policy = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}))
    await store.commit([finding(number, number, confidence="low") for number in range(3)])
    clock.now += DAY / 2
    await store.commit([finding(9, 9, confidence="low", severity="critical")])
    await store.groups.tick()
    assert await told(store) == []
    clock.now += DAY / 2
    await store.groups.tick()
    assert await told(store) == [("digest", 4)]
    await deliver(store)
    await store.commit([finding(1, 20, confidence="low")])
    for _ in range(3):
        clock.now += DAY
        await store.groups.tick()
    assert await told(store) == [("digest", 4)], "it is neither repeated nor brought up to date"
    assert await told(store, "pager") == []


async def test_what_turns_out_to_be_surer_does_not_wait_for_the_day(store: Store, clock: Clock) -> None:
    store.policy = Policy(sinks=("chat", "pager"), pagers=frozenset({"pager"}))
    await store.commit([finding("a", confidence="low"), finding("b", 1, confidence="low")])
    clock.now += 60
    await store.commit([finding("a", 5, confidence="high")])
    assert await told(store) == await told(store, "pager") == [("new", 1)]
    clock.now += DAY
    await store.groups.tick()
    assert await told(store) == [("new", 1), ("digest", 1)]
    await store.commit([finding("b", 6, confidence="high")])
    assert await told(store) == [("new", 1), ("digest", 1), ("new", 1)]


async def test_a_flood_holds_up_no_critical_one_of_another_rule(store: Store) -> None:
    await store.commit([finding(number, number, severity="critical") for number in range(40)])
    assert await told(store) == [("new", 1)] * 20
    await store.commit([finding("other", 100, severity="critical", rule="acme-key")])
    await store.commit([finding("more", 101, severity="critical", rule="acme-key")])
    assert await told(store) == [("new", 1)] * 21, "the first of its rule; more of it are part of the flood"
    await store.commit([finding(f"b{n}", 200 + n, severity="critical", rule=f"acme-{n}") for n in range(10)])
    assert await told(store) == [("new", 1)] * 25, "nor a flood of many rules without end"
    await store.commit([finding("lesser", 300, rule="acme-high")])
    assert await told(store) == [("new", 1)] * 26


async def test_a_new_one_joins_the_group_of_one_that_is_seen_again_with_it(
    opener: Callable[..., Awaitable[Store]], clock: Clock
) -> None:
    store = await opener(Policy(sinks=("chat",), routes=(Route(sinks=("chat",), group_by=("rule",)),)))
    await store.commit([finding("a")])
    await deliver(store)
    await store.commit([finding("a", 5), finding("b", 6)])
    await store.commit([finding("b", 7), finding("c", 8), finding("a", 9)])
    clock.now += 300
    await store.groups.tick()
    assert await told(store) == [("new", 1), ("new", 3)]
