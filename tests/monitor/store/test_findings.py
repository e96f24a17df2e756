from __future__ import annotations

import resource
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import CacheStats

from monitor.domain.model import Position
from monitor.routing.routes import Policy
from monitor.store import Notice, Store
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, lease, reasons


async def test_one_incident_for_one_secret(store: Store) -> None:
    assert await store.commit([finding("a", 1), finding("a", 2), finding("b", 3)]) == 3
    shown = await store.incidents.find(locations=True)
    assert sorted(incident.occurrences for incident in shown) == [1, 2]
    twice = await store.incidents.get(fingerprint("a"))
    assert [place.offset for place in twice.locations] == [2, 1]
    assert twice.locations[0].line == 3
    assert twice.locations[0].time is not None
    assert twice.locations[0].time.timestamp() == NOW


async def test_a_replay_changes_nothing(store: Store, clock: Clock) -> None:
    found = [finding("a", 1), finding("b", 2), finding("a", 3)]
    assert await store.commit([*found, found[0]]) == 3
    await deliver(store)
    before = await store.incidents.find()
    clock.now += 1_000_000
    assert await store.commit(found) == 0
    assert await store.incidents.find() == before
    assert (await store.stats()).repeated == 4


async def test_file_names_that_are_not_text_are_kept_readable(store: Store) -> None:
    odd = finding("a", path="/var/log/caf\udce9.log", name="a\0b", labels={"x": "\udcff"}, url="u\0")
    await store.commit([odd])
    incident = await store.incidents.get(fingerprint("a"))
    assert incident.locations[0].path == "/var/log/caf\\udce9.log"
    assert incident.name == "a\\x00b"


async def test_the_same_text_of_another_kind_is_another_secret(store: Store) -> None:
    shared = fingerprint("a")[:16]
    await store.commit([finding("a"), finding("x", 1, fingerprint=shared + "f" * 48)])
    assert len({incident.id for incident in await store.incidents.find()}) == 2
    with pytest.raises(LookupError, match="several"):
        await store.incidents.get(shared[:10])


async def test_old_locations_are_pruned_and_places_kept(store: Store) -> None:
    places = [finding("a", n, path=f"/var/log/{n % 7}.log") for n in range(50)]
    await store.commit([finding("a", 0, path="/var/log/first.log"), *places])
    for start in range(1_000, 4_000, 500):
        await store.commit([finding("a", start + n) for n in range(500)])
    incident = await store.incidents.get(fingerprint("a"))
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
        rows.append(len((await store.incidents.get(fingerprint("a"))).locations))
    assert (await store.incidents.get(fingerprint("a"))).occurrences == 20_000
    assert max(rows) <= 200
    assert len(await store.outbox.list()) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


async def test_quiet_commits_open_incidents_and_tell_in_one_word(store: Store, clock: Clock) -> None:
    backfill = [finding(("old", n), n) for n in range(50)]
    summary = Notice("50 older alerts", reason="digest", severity="high", key="backfill:github")
    assert await store.commit(backfill, [Position("github", "mark", {"at": 1})], notify=False, notices=[summary]) == 50
    assert [(entry.reason, entry.title) for entry in await store.outbox.list()] == [("digest", "50 older alerts")]
    # Loud as soon as one of them turns up elsewhere.
    await store.commit([finding(("old", 7), 99, source="logs")])
    assert await reasons(store) == ["digest", "new"]


async def test_what_a_record_says_of_itself_is_kept_beside_when_it_was_read(url: str) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), node="web-3") as store:
        facts = {"service": "shop", "context": "k=ghp_… ok"}
        await store.commit([finding("a", 1), finding("a", 2, logged_at=NOW - 50.5, **facts)])
        await store.commit([finding("a", 3, logged_at=NOW - 20, **facts)])
        (incident,) = await store.incidents.find(locations=True)
    assert incident.first_logged == NOW - 50.5
    newest, told, silent = incident.locations
    assert newest.logged_at is not None
    assert newest.logged_at.timestamp() == NOW - 20
    assert (told.host, told.service, told.context) == ("web-3", "shop", "k=ghp_… ok")
    assert (silent.logged_at, silent.service, silent.context) == (None, None, None)


async def test_a_finding_costs_few_statements_and_none_is_built_anew(store: Store) -> None:
    """From the commit to the receipt. What is built or compiled at each execution costs more than all the rest."""
    seen: list[tuple[str, object]] = []

    def note(connection: Connection, cursor: object, statement: str, values: object, context: Any, many: bool) -> None:
        seen.append((statement, getattr(context, "cache_hit", None) if context.compiled else CacheStats.CACHE_HIT))

    async def cycle(number: int) -> None:
        await store.commit([finding(number, number)])
        leased = await lease(store, "chat")
        assert leased is not None
        await store.outbox.sent(leased.id, {"ts": "1"})

    await cycle(0)
    await cycle(1)
    event.listen(store._database.writer, "before_cursor_execute", note)
    await cycle(2)
    anew = [statement for statement, hit in seen if hit is not CacheStats.CACHE_HIT]
    assert not [statement for statement in anew if "SAVEPOINT" not in statement]
    assert len(seen) < 72, len(seen)
