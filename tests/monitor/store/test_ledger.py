from __future__ import annotations

import asyncio
import resource

import pytest

from monitor.incidents import TransitionError
from monitor.model import Position
from monitor.store import Notice, Store
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, reasons


async def test_one_incident_for_one_secret(store: Store) -> None:
    assert await store.commit([finding("a", 1), finding("a", 2), finding("b", 3)]) == 3
    shown = await store.incidents(locations=True)
    assert sorted(incident.occurrences for incident in shown) == [1, 2]
    twice = await store.incident(fingerprint("a"))
    assert [place.offset for place in twice.locations] == [2, 1]
    assert twice.locations[0].line == 3
    assert twice.locations[0].time is not None
    assert twice.locations[0].time.timestamp() == NOW


async def test_a_replay_changes_nothing(store: Store, clock: Clock) -> None:
    found = [finding("a", 1), finding("b", 2), finding("a", 3)]
    assert await store.commit([*found, found[0]]) == 3
    await deliver(store)
    before = await store.incidents()
    clock.now += 1_000_000
    assert await store.commit(found) == 0
    assert await store.incidents() == before
    assert (await store.stats()).repeated == 4


async def test_positions_commit_with_findings_and_survive(opener) -> None:  # type: ignore[no-untyped-def]
    store = await opener()
    weird = "caf\udce9\0\u2603"
    await store.commit([finding("a")], [Position("s", "one", {"offset": 1, "name": weird}), Position("s", weird, {})])
    await store.commit([], [Position("s", "two", {"offset": 2}), Position("other", "one", {"offset": 9})])
    assert await store.positions("s") == {"one": {"offset": 1, "name": weird}, weird: {}, "two": {"offset": 2}}
    await store.commit([], [Position("s", "one", {"offset": 3}), Position("s", "two", None)])
    await store.commit([], [Position("s", weird, None), Position("s", "one", {"offset": 4})])
    await store.close()
    again = await opener()
    assert await again.positions("s") == {"one": {"offset": 4}}
    assert await again.positions("other") == {"one": {"offset": 9}}


async def test_the_last_position_wins_whichever_way_it_came(store: Store) -> None:
    waiting = [
        store.commit([finding("a", n)] if n % 3 == 0 else [], [Position("s", "k", {"offset": n})]) for n in range(50)
    ]
    await asyncio.gather(*waiting)
    assert await store.positions("s") == {"k": {"offset": 49}}


async def test_file_names_that_are_not_text_are_kept_readable(store: Store) -> None:
    odd = finding("a", path="/var/log/caf\udce9.log", name="a\0b", labels={"x": "\udcff"}, url="u\0")
    await store.commit([odd])
    incident = await store.incident(fingerprint("a"))
    assert incident.locations[0].path == "/var/log/caf\\udce9.log"
    assert incident.name == "a\\x00b"


async def test_the_same_text_of_another_kind_is_another_secret(store: Store) -> None:
    shared = fingerprint("a")[:16]
    await store.commit([finding("a"), finding("x", 1, fingerprint=shared + "f" * 48)])
    assert len({incident.id for incident in await store.incidents()}) == 2
    with pytest.raises(LookupError, match="several"):
        await store.incident(shared[:10])


async def test_old_locations_are_pruned_and_places_kept(store: Store) -> None:
    places = [finding("a", n, path=f"/var/log/{n % 7}.log") for n in range(50)]
    await store.commit([finding("a", 0, path="/var/log/first.log"), *places])
    for start in range(1_000, 4_000, 500):
        await store.commit([finding("a", start + n) for n in range(500)])
    incident = await store.incident(fingerprint("a"))
    assert incident.occurrences == 51 + 3_000
    assert 100 <= len(incident.locations) <= 200
    assert incident.locations[0].offset == 3_999
    assert {place.path for place in incident.locations} >= {"/var/log/first.log", "/var/log/3.log"}
    # Recent bytes that are read again are still recognised.
    assert await store.commit([finding("a", 3_900 + n) for n in range(100)]) == 0


async def test_twenty_thousand_repeats_stay_flat(store: Store, url: str) -> None:
    await store.commit([finding("a", n) for n in range(500)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = []
    for start in range(500, 20_000, 500):
        await store.commit([finding("a", n) for n in range(start, start + 500)], [Position("s", "k", {"o": start})])
        rows.append(len((await store.incident(fingerprint("a"))).locations))
    assert (await store.incident(fingerprint("a"))).occurrences == 20_000
    assert max(rows) <= 200
    assert len(await store.outbox()) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


async def test_quiet_commits_open_incidents_and_tell_in_one_word(store: Store, clock: Clock) -> None:
    backfill = [finding(("old", n), n) for n in range(50)]
    summary = Notice("50 older alerts", reason="digest", severity="high", key="backfill:github")
    assert await store.commit(backfill, [Position("github", "mark", {"at": 1})], notify=False, notices=[summary]) == 50
    assert [(entry.reason, entry.title) for entry in await store.outbox()] == [("digest", "50 older alerts")]
    # Loud as soon as one of them turns up elsewhere.
    await store.commit([finding(("old", 7), 99, source="logs")])
    assert await reasons(store) == ["digest", "new"]


async def test_transitions_are_told_and_recorded(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]
    ref = fingerprint("a")
    clock.now += 1
    assert (await store.transition(ref, "ack", actor="ada", note="on it")).owner == "ada"
    assert await deliver(store) == ["acknowledged"]
    clock.now += 1
    await store.transition(ref[:8], "resolve", actor="ada", resolution="revoked")
    assert await deliver(store) == ["resolved"]
    clock.now += 1
    await store.commit([finding("a", 7, time=clock.now)])
    assert await deliver(store) == ["reopened"]
    history = await store.history(ref)
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
    await store.transition(fingerprint("a"), "resolve", actor="ada", resolution="false_positive")
    await deliver(store)
    clock.now += 100_000
    await store.commit([finding("a", 7, time=clock.now, severity="critical")])
    await store.tick()
    assert await deliver(store) == []
    incident = await store.incident(fingerprint("a"))
    assert (incident.state, incident.occurrences) == ("resolved", 2)


async def test_a_refused_transition_leaves_everything_and_everyone_else_alone(store: Store) -> None:
    await store.commit([finding("a")])
    results = await asyncio.gather(
        store.transition(fingerprint("a"), "resolve", actor="ada"),
        store.commit([finding("b", 1)]),
        store.transition(fingerprint("a"), "ack", actor="ada"),
        store.transition(fingerprint("nobody"), "ack", actor="ada"),
        return_exceptions=True,
    )
    assert isinstance(results[0], TransitionError)
    assert results[1] == 1
    assert not isinstance(results[2], BaseException)
    assert isinstance(results[3], LookupError)
