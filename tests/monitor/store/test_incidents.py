from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Unpack

import pytest
from sqlalchemy import event

from monitor.common.severity import Severity
from monitor.domain.incidents import TransitionError
from monitor.store import Store
from monitor.store.incidents import Filter, Order, cursor
from monitor.store.records import Activity
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint


async def test_lookup_by_id_fingerprint_and_prefix(store: Store) -> None:
    await store.commit([finding("a"), finding("b", 1)])
    for ref in (fingerprint("a")[:16], fingerprint("a"), fingerprint("a")[:6], f" {fingerprint('a')[:20]} "):
        assert (await store.incidents.get(ref)).fingerprint == fingerprint("a")
    for ref in ("", "zzz", "%", "_"):
        with pytest.raises(LookupError):
            await store.incidents.get(ref)


async def test_filters(store: Store) -> None:
    await store.commit(
        [
            finding("a", severity="critical"),
            finding("b", 1, rule="npm", name="npm token", source="web", path="/srv/100%/x", time=NOW + 5),
        ]
    )
    await store.incidents.transition(fingerprint("a"), "ack", actor="ada")

    async def names(**filters: object) -> list[str]:
        shown = [incident.rule for incident in await store.incidents.find(**filters)]  # type: ignore[arg-type]
        assert await store.incidents.count(**filters) == len(shown)  # type: ignore[arg-type]
        return shown

    assert await names() == ["npm", "github-pat"]
    assert await names(states=["acknowledged"]) == ["github-pat"]
    assert await names(severities=["high"]) == ["npm"]
    assert await names(rules=["npm", "x"]) == ["npm"]
    assert await names(source="web") == ["npm"]
    assert await names(since=NOW + 1) == ["npm"]
    assert await names(search="NPM TOK") == ["npm"]
    assert await names(search="100%/x") == ["npm"]
    assert await names(search="%%") == []
    assert await names(search=fingerprint("b")[:9]) == ["npm"]
    assert await names(owner="ada") == ["github-pat"]
    assert await names(owner="nobody") == []
    assert [incident.rule for incident in await store.incidents.find(limit=1, offset=1)] == ["github-pat"]


async def test_filters_by_place_confidence_validity_and_drill(store: Store) -> None:
    await store.drills.plan([fingerprint("c")], pages=False)
    await store.commit(
        [
            finding("a", confidence="low", service="billing"),
            finding("b", 1, rule="npm", service="web"),
            finding("c", 2, rule="drilled"),
        ]
    )

    async def names(**filters: object) -> set[str]:
        return {incident.rule for incident in await store.incidents.find(**filters)}  # type: ignore[arg-type]

    everything = {"github-pat", "npm", "drilled"}
    assert await names(confidences=["low"]) == {"github-pat"}
    assert await names(service="web") == {"npm"}
    assert await names(drill=True) == {"drilled"}
    assert await names(drill=False) == everything - {"drilled"}
    assert await names(validity="valid") == set()
    host = (await store.incidents.get(fingerprint("a"))).locations[0].host
    assert await names(host=host) == everything
    assert await names(host="elsewhere") == set()


@pytest.mark.parametrize("order", ["recent", "urgent"])
async def test_pages_of_every_order_hold_each_incident_once(store: Store, order: Order) -> None:
    severities: tuple[Severity, ...] = ("critical", "high", "low")
    await store.commit(
        [finding(f"{n}", n, severity=severities[n % 3], time=NOW + (7 * n) % 5) for n in range(23)]  # with equal times
    )
    for n in (3, 4):
        await store.incidents.transition(fingerprint(f"{n}"), "ack", actor="ada")
    whole = [one.id for one in await store.incidents.find(order=order)]
    paged: list[str] = []
    after = ""
    while page := await store.incidents.find(limit=4, order=order, after=after):
        paged += [one.id for one in page]
        after = cursor(order, page[-1])
    assert len(whole) == 23
    assert paged == whole
    for nowhere in ("x", "1", "a_b_c", "1_2_3_4"):
        with pytest.raises(ValueError, match="names no place"):
            await store.incidents.find(order=order, after=nowhere)


async def test_the_most_urgent_is_open_worst_and_oldest(store: Store) -> None:
    await store.commit(
        [
            finding("young", 1, severity="critical", time=NOW + 9),
            finding("old", 2, severity="critical"),
            finding("mild", 3, severity="low"),
            finding("taken", 4, severity="critical"),
        ]
    )
    await store.incidents.transition(fingerprint("taken"), "ack", actor="ada")
    listed = [one.fingerprint for one in await store.incidents.find()]
    assert listed == [fingerprint(name) for name in ("old", "young", "mild", "taken")]


async def test_transitions_are_told_and_recorded(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]
    ref = fingerprint("a")
    clock.now += 1
    assert (await store.incidents.transition(ref, "ack", actor="ada", note="on it")).owner == "ada"
    assert await deliver(store) == ["acknowledged"]
    clock.now += 1
    await store.incidents.transition(ref[:8], "resolve", actor="ada", resolution="revoked")
    assert await deliver(store) == ["resolved"]
    clock.now += 1
    await store.commit([finding("a", 7, time=clock.now)])
    assert await deliver(store) == ["reopened"]
    history = await store.incidents.history(ref)
    assert [(entry.actor, entry.action, entry.was, entry.state, entry.note) for entry in history] == [
        ("monitor", "opened", None, "open", ""),
        ("ada", "acknowledged", "open", "acknowledged", "on it"),
        ("ada", "resolved", "acknowledged", "resolved", ""),
        ("monitor", "reopened", "resolved", "open", ""),
    ]
    assert [entry.at for entry in history] == [NOW, NOW + 1, NOW + 2, NOW + 3]
    assert history[2].resolution == "revoked"


async def test_what_was_judged_harmless_stays_quiet(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await deliver(store)
    await store.incidents.transition(fingerprint("a"), "resolve", actor="ada", resolution="false_positive")
    await deliver(store)
    clock.now += 100_000
    await store.commit([finding("a", 7, time=clock.now, severity="critical")])
    await store.groups.tick()
    assert await deliver(store) == []
    incident = await store.incidents.get(fingerprint("a"))
    assert (incident.state, incident.occurrences) == ("resolved", 2)


async def test_a_refused_transition_leaves_everything_and_everyone_else_alone(store: Store) -> None:
    await store.commit([finding("a")])
    results = await asyncio.gather(
        store.incidents.transition(fingerprint("a"), "resolve", actor="ada"),
        store.commit([finding("b", 1)]),
        store.incidents.transition(fingerprint("a"), "ack", actor="ada"),
        store.incidents.transition(fingerprint("nobody"), "ack", actor="ada"),
        return_exceptions=True,
    )
    assert isinstance(results[0], TransitionError)
    assert results[1] == 1
    assert not isinstance(results[2], BaseException)
    assert isinstance(results[3], LookupError)


@pytest.mark.parametrize(
    ("filters", "reads"),
    [
        ({}, "SCAN incidents USING INDEX incidents_last_seen"),
        ({"states": ["open"]}, "SCAN incidents USING INDEX incidents_last_seen"),
        (
            {"states": ["open", "acknowledged"], "severities": ["high"]},
            "SCAN incidents USING INDEX incidents_last_seen",
        ),
        ({"source": "s"}, "SEARCH findings USING COVERING INDEX findings_source (source=?)"),
    ],
)
async def test_lists_of_very_many_incidents_read_indexes(
    tmp_path: Path, filters: dict[str, object], reads: str
) -> None:
    async with await Store.open(tmp_path / "state.db") as store:
        seen: list[str] = []

        def explain(connection, cursor, statement, parameters, *rest):  # type: ignore[no-untyped-def]
            rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(row[3] for row in rows if statement.startswith("SELECT"))

        event.listen(store._database.reader, "before_cursor_execute", explain)
        await store.incidents.find(order="recent", **filters)  # type: ignore[arg-type]
    assert reads in seen
    assert "SCAN findings" not in seen


async def test_a_note_is_in_the_history_once(store: Store) -> None:
    await store.commit([finding("a")])
    for note in ("asked for", "asked for", "asked again"):
        await store.incidents.note(fingerprint("a"), note, actor="ada")
    noted = [one for one in await store.incidents.history(fingerprint("a")) if one.action == "noted"]
    assert [(one.actor, one.note) for one in noted] == [("ada", "asked for"), ("ada", "asked again")]
    with pytest.raises(LookupError):
        await store.incidents.note("none", "x", actor="ada")


async def test_filters_by_age_and_by_rules_that_it_is_not_of(store: Store) -> None:
    await store.commit([finding(n, rule=f"rule-{n}", time=NOW - 100 * n) for n in range(4)])

    async def rules(**filters: Unpack[Filter]) -> set[str]:
        return {incident.rule for incident in await store.incidents.find(**filters)}

    assert await rules(first_since=NOW - 100) == {"rule-0", "rule-1"}
    assert await rules(first_before=NOW - 100) == {"rule-2", "rule-3"}
    assert await rules(first_before=NOW, first_since=NOW - 200) == {"rule-1", "rule-2"}
    assert await rules(but_rules=["rule-0", "rule-3"]) == {"rule-1", "rule-2"}


async def test_a_page_of_the_list_knows_how_many_there_are_and_ids_are_those_of_the_list(store: Store) -> None:
    await store.commit([finding(n, time=NOW + n) for n in range(5)])
    first = await store.incidents.page(limit=2, order="urgent")
    assert (len(first.incidents), first.total, first.more) == (2, 5, True)
    assert first.incidents[0].locations
    after = cursor("urgent", first.incidents[-1])
    second = await store.incidents.page(limit=3, order="urgent", after=after)
    assert (len(second.incidents), second.total, second.more) == (3, 5, False)
    ids = [incident.id for incident in (*first.incidents, *second.incidents)]
    assert await store.incidents.ids(limit=10) == ids
    assert await store.incidents.ids(limit=3) == ids[:3]
    only = await store.incidents.page(limit=5, order="recent", severities=["low"])
    assert (only.incidents, only.total, only.more) == ([], 0, False)


async def test_activity_counts_what_was_opened_and_is_another_with_each_change(store: Store) -> None:
    assert await store.incidents.activity(Activity()) == Activity()
    await store.commit([finding(n, severity="low" if n else "high") for n in range(3)])
    opened = await store.incidents.activity(Activity())
    assert opened.opened == 3
    assert await store.incidents.activity(opened) == opened
    assert await store.incidents.unresolved() == {"low": 2, "high": 1}
    (high,) = await store.incidents.find(severities=["high"])
    await store.incidents.transition(high.id, "resolve", actor="ada", resolution="revoked")
    resolved = await store.incidents.activity(opened)
    assert (resolved.revision > opened.revision, resolved.opened) == (True, 3)
    assert await store.incidents.unresolved() == {"low": 2}
    await store.incidents.transition(high.id, "reopen", actor="ada")
    again = await store.incidents.activity(resolved)
    assert again.opened == 4
    assert (await store.incidents.page(limit=1, order="urgent", activity=resolved)).activity == again
