from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor import runbook
from monitor.routing.inhibit import Inhibition
from monitor.routing.match import Matcher
from monitor.routing.mute import MuteTime
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from monitor.store.rows import load_incidents
from tests.monitor.store.helpers import NOW, OWNER, Clock, deliver, finding, fingerprint, lease, reasons

# NOW is 2027-01-15T08:00:00Z, a Friday.
MORNING = MuteTime(name="morning", times=("07:00-10:00",))
END = datetime(2027, 1, 15, 10, tzinfo=UTC).timestamp()
MUTED = Policy(sinks=("chat",), routes=(Route(sinks=("chat",), mute=("morning",)),), mutes=(MORNING,))
BESIDE = Policy(sinks=("chat",), inhibitions=(Inhibition(equal=("service",)),))


def here(secret: object, number: int = 0, **changes: Any) -> Any:
    return finding(secret, number, **{"service": "shop", **changes})


def muted(*sinks: str, matchers: tuple[str, ...] = (), **keys: Any) -> Policy:
    """Every sink by one route that is muted in the morning."""
    taken = tuple(Matcher.parse(text) for text in matchers)
    route = Route(sinks=sinks, matchers=taken, mute=("morning",), **keys)
    return Policy(sinks=sinks, routes=(route,), mutes=(MORNING,))


async def told(store: Store, sink: str = "chat") -> list[set[str]]:
    """The incidents of each notification that waits, which is taken."""
    found = []
    while leased := await lease(store, sink):
        found.append({one.id for one in leased.incidents})
        await store.outbox.sent(leased.id, None)
    return found


def ids(*names: object) -> set[str]:
    return {fingerprint(name)[:16] for name in names}


async def test_what_was_muted_is_told_together_when_that_ends(opener: Any, clock: Clock) -> None:
    store = await opener(MUTED)
    for number in range(30):  # more than the burst of the route
        clock.now += 1
        await store.commit([finding(number, number)])
    await store.incidents.transition(fingerprint(3), "resolve", actor="ada", resolution="false_positive")
    await store.groups.tick()
    assert await reasons(store) == []
    assert (await store.groups.agenda())[0] == END
    clock.now = END
    await store.groups.tick(since=END + 1)  # the clock was put back since then
    assert await reasons(store) == []
    await store.groups.tick()
    assert await reasons(store) == ["digest"]
    assert await told(store) == [ids(*(number for number in range(30) if number != 3))]
    clock.now += 1
    await store.commit([finding("later", 99)])
    assert await told(store) == [ids("later")]


async def test_a_flush_ends_while_many_are_held(opener: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.store.groups._AT_A_TIME", 3)
    store = await opener(muted("chat", group_by=("rule",)))
    await store.commit([finding(number, number, rule=f"rule-{number}") for number in range(7)])
    async with asyncio.timeout(120):
        await store.groups.tick(flush=True)
    assert await told(store) == []
    clock.now = END
    await store.groups.tick()
    assert set().union(*await told(store)) == ids(*range(7))


async def test_a_tick_ends_where_what_is_held_was_told_by_a_clock_that_was_put_back(
    opener: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.groups._AT_A_TIME", 3)
    store = await opener(Policy(sinks=("chat",)))
    clock.now = NOW + 86_400
    await store.commit([finding(number, number) for number in range(7)])
    assert len(await told(store)) == 7
    clock.now = NOW
    await store.silences.add(["rule=github-pat"], 600, actor="ada", reason="")
    async with asyncio.timeout(120):
        await store.groups.tick()
    assert await told(store) == []


async def test_what_is_critical_is_told_at_once_also_where_it_becomes_so(opener: Any, clock: Clock) -> None:
    store = await opener(MUTED)
    await store.commit([finding("a"), finding("b", 1), finding("c", 2, severity="critical")])
    assert await told(store) == [ids("c")]
    await store.commit([finding("a", 3, severity="critical")])
    assert await told(store) == [ids("a")]
    clock.now = END
    await store.groups.tick()
    assert await told(store) == [ids("b")]
    everything = MUTED.routes[0].model_copy(update={"mute_critical": True})
    other = await opener(Policy(sinks=("chat",), routes=(everything,), mutes=MUTED.mutes))
    clock.now = NOW
    await other.commit([finding("d", 9, severity="critical")])
    assert await told(other) == []


async def test_turns_of_what_is_known_wait_too_and_another_route_does_not(opener: Any, clock: Clock) -> None:
    loud = Route(matchers=(Matcher.parse("source=prod"),), sinks=("chat",))
    store = await opener(Policy(sinks=("chat",), routes=(loud, *MUTED.routes), mutes=MUTED.mutes))
    clock.now = NOW - 7200
    await store.commit([finding("known")])
    assert await deliver(store) == ["new"]
    clock.now = NOW
    await store.incidents.transition(fingerprint("known"), "ack", actor="ada")
    await store.commit([finding("a", 1)])
    assert await reasons(store) == ["new"]
    await store.commit([finding("a", 2, source="prod")])
    assert await told(store) == [ids("a")], "a route that is not muted leads to the same sink"
    clock.now = END
    await store.groups.tick()
    assert await deliver(store) == ["acknowledged"]


async def test_what_is_muted_does_not_wait_for_another_that_is_silenced_for_longer(opener: Any, clock: Clock) -> None:
    store = await opener(MUTED)
    await store.silences.add(["source=noisy"], 7 * 86_400, actor="ada", reason="")
    await store.commit([finding("a", source="noisy")])
    await store.commit([finding("b", 1)])
    await store.groups.tick()
    assert (await store.groups.agenda())[0] == END
    clock.now = END
    await store.groups.tick()
    assert await told(store) == [ids("b")]
    clock.now = datetime(2027, 1, 25, 12, tzinfo=UTC).timestamp()
    await store.groups.tick()
    assert await told(store) == [ids("a", "b")], "new beside what is still open"


@pytest.mark.parametrize("first", ["muted", "loud"])
async def test_of_two_routes_to_a_sink_the_one_that_is_not_muted_tells_it(
    opener: Any, clock: Clock, first: str
) -> None:
    silent = Route(sinks=("chat",), mute=("morning",), continue_=True)
    loud = Route(sinks=("chat",), continue_=True)
    routes = (silent, loud) if first == "muted" else (loud, silent)
    store = await opener(Policy(sinks=("chat",), routes=routes, mutes=(MORNING,)))
    await store.commit([finding("a")])
    await store.groups.tick()
    assert await told(store) == [ids("a")]
    clock.now = END
    await store.groups.tick()
    assert await told(store) == []


@pytest.mark.parametrize("places", [("prod", "noise"), ("noise", "prod")])
async def test_of_two_places_the_one_whose_route_is_not_muted_tells_it(
    opener: Any, clock: Clock, places: tuple[str, str]
) -> None:
    loud = Route(matchers=(Matcher.parse("source=prod"),), sinks=("chat",))
    store = await opener(Policy(sinks=("chat",), routes=(loud, *MUTED.routes), mutes=MUTED.mutes))
    await store.commit([finding("a", number, source=place) for number, place in enumerate(places)])
    assert await told(store) == [ids("a")]
    clock.now = END
    await store.groups.tick()
    assert await told(store) == [], "it was told before"


async def test_what_is_known_from_a_muted_place_is_told_by_another(opener: Any, clock: Clock) -> None:
    loud = Route(matchers=(Matcher.parse("source=prod"),), sinks=("chat",))
    store = await opener(Policy(sinks=("chat",), routes=(loud, *MUTED.routes), mutes=MUTED.mutes))
    clock.now = NOW - 7200
    await store.commit([finding("a", severity="low")])
    assert await deliver(store) == ["new"]
    clock.now = NOW
    await store.commit([finding("a", 1, source="prod", severity="high")])
    assert await deliver(store) == ["escalated"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("digest", [True, False])
async def test_what_is_silenced_or_held_back_in_one_place_is_told_by_another(
    opener: Any, together: bool, digest: bool
) -> None:
    route = Route.model_validate({"sinks": ["chat"], "burst": "1/1h" if digest else "20/1m", "group_interval": "0s"})
    store = await opener(Policy(sinks=("chat",), routes=(route,), inhibitions=BESIDE.inhibitions))
    await store.silences.add(["source=noise"], 86_400, actor="ada", reason="")
    await store.commit([here("worse", severity="critical"), here("other", 1, service="else", severity="low")])
    await told(store)
    found = [
        finding("a", 2, source="noise", severity="low"),
        finding("a", 3, severity="low"),
        here("b", 4, severity="low"),
        here("b", 5, severity="low", service="mail"),
    ]
    for part in [found] if together else [[one] for one in found]:
        await store.commit(part)
    await store.groups.tick()
    assert set().union(*await told(store)) == ids("a", "b")
    await store.commit([finding("a", 6, source="noise", severity="high"), here("b", 7, severity="medium")])
    await store.groups.tick()
    assert set().union(*await told(store)) == ids("a", "b"), "and what becomes of it, wherever it shows"


async def test_what_is_muted_does_not_move_to_where_it_is_silenced(opener: Any, clock: Clock) -> None:
    loud = Route(matchers=(Matcher.parse("source=prod"),), sinks=("chat",))
    store = await opener(Policy(sinks=("chat",), routes=(loud, *MUTED.routes), mutes=MUTED.mutes))
    await store.silences.add(["source=prod"], 86_400, actor="ada", reason="")
    await store.commit([finding("a")])
    await store.commit([finding("a", 1, source="prod")])
    clock.now = END
    await store.groups.tick()
    assert await told(store) == [ids("a")]


async def test_what_is_held_where_no_route_leads_any_more_is_told_by_the_place_it_shows_at_next(
    opener: Any, clock: Clock
) -> None:
    store = await opener(Policy(sinks=("chat",)))
    await store.silences.add(["rule=github-pat"], 600, actor="ada", reason="")
    await store.commit([finding("a", source="noise")])
    store.policy = Policy(sinks=("chat",), routes=(Route(matchers=(Matcher.parse("source=prod"),), sinks=("chat",)),))
    await store.groups.adopt(OWNER, ("chat",))
    clock.now += 600
    await store.groups.tick()
    assert await told(store) == []
    await store.commit([finding("a", 1, source="prod")])
    assert await told(store) == [ids("a")]


async def test_a_reload_without_the_mute_time_tells_at_once(opener: Any) -> None:
    store = await opener(MUTED)
    await store.commit([finding("a")])
    assert await told(store) == []
    await store.close()
    again = await opener(Policy(sinks=("chat",), routes=MUTED.routes))
    await again.groups.adopt(OWNER, ("chat",))
    await again.groups.tick()
    assert await told(again) == [ids("a")]


LOUD = Policy(sinks=("chat", "mail"), routes=(Route(sinks=("mail",)),))


@pytest.mark.parametrize(
    ("before", "after", "sink"),
    [
        pytest.param(muted("chat"), muted("talk"), "talk", id="the sink has another name"),
        pytest.param(muted("chat"), LOUD, "mail", id="the route leads to another sink"),
        pytest.param(
            muted("chat", group_by=("service",)),
            muted("chat", group_by=("service",), matchers=("severity!=info",)),
            "chat",
            id="the route of a group takes others",
        ),
        pytest.param(muted("chat", group_by=("service",)), muted("chat"), "chat", id="grouped no more"),
    ],
)
async def test_what_is_held_while_the_routes_change_is_told(
    opener: Any, clock: Clock, before: Policy, after: Policy, sink: str
) -> None:
    store = await opener(before)
    await store.commit([finding("a"), finding("b", 1)])
    await store.incidents.transition(fingerprint("b"), "resolve", actor="ada", resolution="false_positive")
    await store.close()
    again = await opener(after)
    await again.groups.adopt(OWNER, after.sinks)
    await again.groups.tick()
    clock.now = END
    await again.groups.tick()
    assert await told(again, sink) == [ids("a")]
    back = []
    for policy in (before, after):
        again.policy = policy
        await again.groups.adopt(OWNER, policy.sinks)
        await again.groups.tick()
        assert await told(again, sink) == []
        back += await told(again, "chat")
    assert back == ([] if sink == "chat" else [ids("a")]), "it had not been told before"


@pytest.mark.parametrize("by", [("rule",), None])
async def test_what_its_old_group_still_holds_back_is_told_by_another_of_the_sink_after_a_change(
    opener: Any, clock: Clock, by: tuple[str, ...] | None
) -> None:
    silent = Route(sinks=("chat",), group_by=by, mute=("morning",), continue_=True)
    store = await opener(Policy(sinks=("chat",), routes=(silent,), mutes=(MORNING,)))
    await store.commit([finding("a")])
    store.policy = Policy(
        sinks=("chat",), routes=(silent, Route(sinks=("chat",), group_by=("path",))), mutes=(MORNING,)
    )
    for first in (True, False):
        await store.groups.adopt(OWNER, ("chat",))
        await store.groups.tick()
        assert await told(store) == ([ids("a")] if first else []), "as if it were new"


async def test_a_sink_that_knows_it_is_not_told_again_when_the_routes_change(opener: Any) -> None:
    by = Route(sinks=("chat",), group_by=("rule",), continue_=True)
    waits = Route.model_validate({"sinks": ["chat"], "group_by": ["path"], "group_wait": "1h"})
    store = await opener(Policy(sinks=("chat",), routes=(by, waits)))
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]
    other = by.model_copy(update={"group_by": ("source",)})
    store.policy = Policy(sinks=("chat", "talk"), routes=(other, Route(sinks=("chat", "talk"))))
    await store.groups.adopt(OWNER, store.policy.sinks)
    await store.groups.tick()
    assert await told(store) == []
    assert await told(store, "talk") == [ids("a")], "chat was not told for each of its groups: it was looked at"


async def test_what_waits_for_its_group_or_comes_back_is_told_after_a_change(opener: Any, clock: Clock) -> None:
    waits = Route.model_validate({"sinks": ["chat"], "group_by": [], "group_wait": "1h"})
    store = await opener(Policy(sinks=("chat",), routes=(waits,)))
    await store.commit([finding("a")])
    store.policy = Policy(sinks=("chat",), routes=(Route(sinks=("chat",)),))
    await store.groups.adopt(OWNER, ("chat",))
    assert await told(store) == [ids("a")]
    await store.incidents.transition(fingerprint("a"), "resolve", actor="ada", resolution="revoked")
    await told(store)
    await store.silences.add(["rule=github-pat"], 1600, actor="ada", reason="")
    clock.now += 1000
    await store.commit([finding("a", 1, time=clock.now)])
    assert (await told(store), (await store.incidents.get(fingerprint("a")[:16])).state) == ([], "open")
    store.policy = Policy(sinks=("talk",))
    await store.groups.adopt(OWNER, ("talk",))
    clock.now += 600
    await store.groups.tick()
    assert await told(store, "talk") == [ids("a")]


async def test_many_that_are_held_move_together(opener: Any, clock: Clock) -> None:
    store = await opener(MUTED)
    await store.commit([finding(number, number) for number in range(220)])
    store.policy = LOUD
    await store.groups.adopt(OWNER, ("chat", "mail"))
    clock.now = END
    await store.groups.tick()
    found = await told(store, "mail")
    assert set().union(*found) == ids(*range(220))
    assert len(found) == 21, "a burst of twenty, and the rest in one digest"


@pytest.mark.parametrize("together", [True, False])
async def test_a_lesser_one_waits_for_the_end_of_the_worse(opener: Any, clock: Clock, together: bool) -> None:
    store = await opener(BESIDE)
    worse, lesser = here("worse", severity="critical"), here("lesser", 1)
    if together:
        await store.commit([lesser, worse, here("elsewhere", 2, service="mail")])
    else:
        await store.commit([worse])
        await store.commit([lesser, here("elsewhere", 2, service="mail")])
    assert set().union(*await told(store)) == ids("worse", "elsewhere")
    held = next(iter(ids("lesser")))
    assert await store.groups.held(held) == {"chat": next(iter(ids("worse")))}
    await store.incidents.transition(fingerprint("worse"), "ack", actor="ada")
    await store.groups.tick()
    assert await told(store) == [ids("worse")], "somebody works on it: it is not over"
    await store.incidents.transition(fingerprint("worse"), "resolve", actor="ada", resolution="revoked")
    await store.groups.tick()
    assert await told(store) == [ids("lesser"), ids("worse")], "what is new goes first"
    assert await store.groups.held(held) == {}


async def test_what_its_sink_is_not_told_of_holds_nothing(opener: Any) -> None:
    pager = Route(matchers=(Matcher.parse("severity=critical"),), sinks=("pager",))
    store = await opener(
        Policy(sinks=("chat", "pager"), routes=(pager, Route(sinks=("chat",))), inhibitions=BESIDE.inhibitions)
    )
    await store.commit([here("worse", severity="critical"), here("lesser", 1)])
    assert await told(store) == [ids("lesser")], "chat has not been told of the critical one"

    quiet = await opener(BESIDE)
    await quiet.drills.plan([fingerprint("drill")], pages=False)
    await quiet.commit([here("drill", 5, severity="critical", service="d"), here("real", 6, service="d")])
    assert ids("real") in await told(quiet), "a drill holds back nothing"
    await quiet.commit([here("silent", 7, severity="critical", service="s")])
    await told(quiet)
    await quiet.commit([here("held", 8, service="s")])
    assert await told(quiet) == []
    await quiet.silences.set(next(iter(ids("silent"))), 3600.0, actor="ada", note="")
    await quiet.groups.tick()
    assert await told(quiet) == [ids("held")], "nor does what was silenced since"


async def test_the_worst_hold_back_before_the_newest(opener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.store.suppression._MOST", 2)
    store = await opener(BESIDE)
    await store.commit([here("worse", severity="critical")])
    others = [here(number, 10 + number, service=f"s{number}", severity="high") for number in range(3)]
    await store.commit([replace(one, time=NOW + 1 + number) for number, one in enumerate(others)])
    await told(store)
    await store.commit([here("lesser", 1), here("other", 2, service="s0", severity="low")])
    assert await told(store) == [ids("other")], "beyond the limit more is told, not less"


async def test_no_more_is_read_than_may_hold_it_back_and_that_once(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def load(connection: Any, ids: Any) -> Any:
        found = load_incidents(connection, ids)
        read.extend(incident.severity for incident in found)
        return found

    monkeypatch.setattr("monitor.store.suppression.load_incidents", load)
    procedure = Procedure("low", (Rung(),), runbook.load)
    by = Inhibition.model_validate({"equal": ["service"], "matchers": ["confidence=high"]})
    policy = Policy(sinks=("chat", "mail"), inhibitions=(by,))
    async with await Store.open(url, policy, clock=clock, procedure=procedure) as store:
        for number, severity in enumerate(("critical", "high", "medium", "low", "info")):
            await store.commit([here(severity, number, severity=severity, service=severity)])
        read.clear()
        await store.commit([here("a", 10, severity="medium")])
        assert sorted(read) == ["critical", "high"]
        read.clear()
        await store.commit([here("b", 11, severity="critical"), here("c", 12, confidence="low")])
        assert read == []


async def test_deadlines_wait_as_long(url: str, clock: Clock) -> None:
    procedure = Procedure("high", (Rung(),), runbook.load)
    async with await Store.open(url, BESIDE, clock=clock, procedure=procedure) as store:
        await store.commit([here("worse", severity="critical"), here("lesser", 1)])
        await told(store)
        clock.now = NOW + 3000
        await store.runs.sweep()
        late = [one for one in await store.outbox.list() if one.reason == "overdue"]
        assert {id_ for one in late for id_ in one.incidents} == ids("worse")
        await store.incidents.transition(fingerprint("worse"), "resolve", actor="ada", resolution="revoked")
        await store.groups.tick()
        clock.now += 60  # of what is overdue a sink is reminded once a minute
        await store.runs.sweep()
        late = [one for one in await store.outbox.list() if one.reason == "overdue"]
        assert {id_ for one in late for id_ in one.incidents} == ids("lesser"), "of what is over nobody is reminded"


async def test_deadlines_are_told_where_the_route_is_not_muted(url: str, clock: Clock) -> None:
    procedure = Procedure("high", (Rung(),), runbook.load)
    routes = (Route(sinks=("mail",), continue_=True), *MUTED.routes)
    policy = Policy(sinks=("chat", "mail"), routes=routes, mutes=MUTED.mutes)
    async with await Store.open(url, policy, clock=clock, procedure=procedure) as store:
        await store.commit([finding("a")])
        clock.now = NOW + 3000
        await store.runs.sweep()
        assert {one.sink for one in await store.outbox.list() if one.reason == "overdue"} == {"mail"}
    async with await Store.open(url, MUTED, clock=clock, procedure=procedure) as store:
        await store.commit([finding("b", 1)])
        clock.now = NOW + 6000
        await store.runs.sweep()
        about = fingerprint("b")[:16]
        assert [one.reason for one in await store.outbox.list(about=about)] == []
        clock.now = END + 1
        await store.runs.sweep()
        assert "overdue" in [one.reason for one in await store.outbox.list(about=about)]


@pytest.mark.parametrize("loud", ["first", "last"])
@pytest.mark.parametrize("hold", ["beside it at once", "while its group waits", "silence", "mute"])
async def test_a_place_where_nothing_holds_it_back_is_not_forgotten(
    opener: Any, clock: Clock, hold: str, loud: str
) -> None:
    wait = "0s" if hold == "beside it at once" else "30s"
    chatty = Route.model_validate({"sinks": ["chat"], "group_wait": wait})
    routes: tuple[Route, ...] = (chatty,)
    if hold == "mute":
        night = Route.model_validate(
            {"sinks": ["chat"], "matchers": ["service=shop"], "group_wait": "30s", "mute": ["later"]}
        )
        routes = (night, chatty)
    later = MuteTime(name="later", times=("08:01-10:00",))
    policy = Policy(sinks=("chat",), routes=routes, inhibitions=BESIDE.inhibitions, mutes=(later,))
    store = await opener(policy)
    clock.now = NOW + 40
    found = [here("less", 1, severity="low"), here("less", 2, severity="low", service="mail", path="/mail.log")]
    found = found if loud == "last" else found[::-1]
    worse = here("worse", 3, severity="critical")
    if hold == "beside it at once":
        await store.commit([worse, *found])
    else:
        await store.commit(found)
    if hold == "while its group waits":
        await store.commit([worse])
    elif hold == "silence":
        await store.silences.add(["service=shop"], 86_400, actor="ada", reason="")
    clock.now += 40
    await store.groups.tick()
    assert ids("less") <= set().union(*await told(store))
    await store.groups.tick()
    assert await told(store) == [], "once"
