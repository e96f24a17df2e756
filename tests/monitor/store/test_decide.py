from __future__ import annotations

from typing import Any

from monitor.routing.inhibit import Inhibition
from monitor.routing.routes import Policy, Route
from tests.monitor.store.helpers import Clock, deliver, finding, fingerprint


async def test_a_route_sees_where_an_incident_is_then_and_later(opener: Any, clock: Clock) -> None:
    """What is kept with the group is what it was found by: it stays in its group."""
    store = await opener(Policy(sinks=("chat",), routes=(Route(sinks=("chat",), group_by=("service", "host")),)))
    await store.commit([finding("a", service="shop"), finding("b", 1, service="mail"), finding("c", 2, service="shop")])
    assert await deliver(store) == ["new", "new"]
    clock.now += 300
    await store.commit([finding("a", 3, service="shop")])
    await store.groups.tick()
    assert await deliver(store) == ["update"]


async def test_what_is_resolved_is_told_whatever_holds_back_the_rest(opener: Any) -> None:
    store = await opener(Policy(sinks=("chat",), inhibitions=(Inhibition(equal=("rule",)),)))
    await store.commit([finding("first")])
    await store.commit([finding("worse", 1, severity="critical")])
    assert await deliver(store) == ["new", "new"]
    await store.incidents.transition(fingerprint("first"), "resolve", actor="ada", resolution="revoked")
    assert await deliver(store) == ["resolved"]
