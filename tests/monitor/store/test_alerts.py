from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.common.inbound import HookDelivery
from monitor.domain.model import Alert, Finding, Position
from monitor.store import Store
from monitor.store.records import AlertBatch
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, lease, reasons

SOURCE = "github"


def alert(secret: object = "s", number: int = 1, **changes: Any) -> Alert:
    base = Alert(
        id=f"github.com/acme/web#{number}",
        system="GitHub",
        source=SOURCE,
        url=f"https://github.test/acme/web/{number}",
        fingerprint=fingerprint(secret),
        provisional=False,
        severity="high",
        state="open",
        created=NOW - 100,
        updated=NOW - 100,
        labels={"github": f"acme/web#{number}"},
    )
    return replace(base, **changes)


def place(of: Alert, path: str = "acme/web:.env", **changes: Any) -> Finding:
    """A finding of an alert: its id does not depend on the value."""
    found = finding("x", source=SOURCE, path=path, generation=of.id, time=of.created, severity=of.severity)
    return replace(found, id=f"{of.id} {path}", fingerprint=of.fingerprint, labels=of.labels, **changes)


async def take(store: Store, *alerts: Alert, **more: Any) -> int:
    findings = [place(one) for one in alerts]
    return await store.alerts.record(AlertBatch(SOURCE, alerts, more.pop("findings", findings), **more))


async def only(store: Store) -> Any:
    [incident] = await store.incidents.find(locations=True)
    return incident


@pytest.mark.parametrize("first", ["log", "github"])
async def test_one_incident_holds_both_kinds_of_place(store: Store, first: str) -> None:
    if first == "log":
        await store.commit([finding("s")])
        await take(store, alert("s"))
    else:
        await take(store, alert("s"))
        await store.commit([finding("s")])
    incident = await only(store)
    assert {location.path for location in incident.locations} == {"/var/log/app.log", "acme/web:.env"}
    assert incident.occurrences == 2
    assert incident.labels["github"] == "acme/web#1"


async def test_findings_of_alerts_count_like_those_of_logs(store: Store) -> None:
    await take(store, alert("s"))
    await take(store, alert("s", updated=NOW))
    stats = await store.stats()
    assert (sum(stats.findings.values()), stats.repeated, stats.opened) == (1, 1, 1)


async def test_the_same_batch_twice_changes_nothing(store: Store) -> None:
    assert await take(store, alert()) == 1
    before = await only(store)
    assert await take(store, alert()) == 0
    assert await only(store) == before
    assert await reasons(store) == ["new"]
    assert list(await store.alerts.known([alert().id, "other"])) == [alert().id]


async def test_what_is_known_says_how_its_incident_is_shown(store: Store) -> None:
    await take(store, alert(base="low"))
    incident = await only(store)
    [known] = (await store.alerts.known([alert().id])).values()
    assert (known.incident, known.base) == (incident.id, "low")
    assert (known.rule, known.name, known.masked) == (incident.rule, incident.name, incident.masked)


async def test_an_answer_that_was_overtaken_is_no_news(store: Store) -> None:
    done = alert(state="resolved", resolution="revoked", updated=NOW, resolved=NOW)
    await take(store, done)
    await take(store, alert())
    assert (await only(store)).state == "resolved"


async def test_resolved_alerts_open_resolved_and_tell_nobody(store: Store) -> None:
    await take(store, alert(state="resolved", resolution="revoked", resolved=NOW - 50))
    incident = await only(store)
    assert (incident.state, incident.resolution, incident.resolved_at) == ("resolved", "revoked", NOW - 50)
    assert await reasons(store) == []


async def test_revoked_at_github_resolves_the_incident_and_tells(store: Store) -> None:
    await take(store, alert())
    await deliver(store)
    await take(store, alert(state="resolved", resolution="revoked", resolved=NOW, updated=NOW))
    assert (await only(store)).state == "resolved"
    assert await reasons(store) == ["new", "resolved"]
    assert [entry.actor for entry in await store.incidents.history((await only(store)).id)] == ["monitor", "github"]


async def test_an_alert_is_signed_by_the_system_it_comes_from(store: Store) -> None:
    await take(store, alert(system="Vault"))
    await take(store, alert(system="Vault", state="resolved", resolution="revoked", resolved=NOW, updated=NOW))
    entry = (await store.incidents.history((await only(store)).id))[-1]
    assert (entry.actor, entry.note.split(":")[0]) == ("vault", "Vault")


async def test_seen_in_a_log_after_it_was_revoked_is_an_alarm_of_its_own(store: Store, clock: Clock) -> None:
    await take(store, alert())
    await deliver(store)
    await take(store, alert(state="resolved", resolution="revoked", resolved=NOW, updated=NOW))
    await deliver(store)
    clock.now += 60
    await store.commit([finding("s", 1, time=NOW + 60)])
    assert (await only(store)).state == "open"
    assert await reasons(store) == ["new", "resolved", "reopened"]


async def test_revoked_before_a_sighting_we_had_is_an_alarm_of_its_own(store: Store, clock: Clock) -> None:
    await store.commit([finding("s", time=NOW)])
    await take(store, alert())
    await deliver(store)
    clock.now += 5
    await take(store, alert(state="resolved", resolution="revoked", resolved=NOW - 10, updated=NOW + 5))
    incident = await only(store)
    assert (incident.state, incident.reopens) == ("open", 1)
    assert (await reasons(store))[-1] == "reopened"
    await take(store, alert(state="resolved", resolution="revoked", resolved=NOW - 10, updated=NOW + 5))
    assert (await only(store)).reopens == 1


async def test_a_false_positive_there_says_nothing_about_a_log(store: Store) -> None:
    await store.commit([finding("s")])
    await take(store, alert())
    await take(store, alert(state="resolved", resolution="false_positive", resolved=NOW, updated=NOW))
    assert (await only(store)).state == "open"


async def test_a_false_positive_waits_for_the_other_alerts(store: Store) -> None:
    await take(store, alert(number=1), alert(number=2))
    closed: dict[str, Any] = {"state": "resolved", "resolution": "wont_fix", "resolved": NOW, "updated": NOW}
    await take(store, alert(number=1, **closed))
    assert (await only(store)).state == "open"
    await take(store, alert(number=2, **closed))
    assert ((await only(store)).state, (await only(store)).resolution) == ("resolved", "wont_fix")


async def test_reopened_there_is_reopened_here(store: Store) -> None:
    await take(store, alert())
    await take(store, alert(state="resolved", resolution="wont_fix", resolved=NOW, updated=NOW))
    await take(store, alert(updated=NOW + 1))
    assert (await only(store)).state == "open"


async def test_known_to_work_raises_the_severity_and_tells(store: Store) -> None:
    await take(store, alert())
    await deliver(store)
    await take(store, alert(severity="critical", updated=NOW, labels={"validity": "active"}))
    incident = await only(store)
    assert (incident.severity, incident.labels["validity"]) == ("critical", "active")
    assert await reasons(store) == ["new", "escalated"]


async def test_quiet_alerts_open_in_one_summary(store: Store) -> None:
    old = [alert(number, number, quiet=True) for number in range(1, 31)]
    await take(store, *old)
    done: dict[str, Any] = {"state": "resolved", "resolution": "revoked", "resolved": NOW - 60}
    await take(store, alert("d", 31, quiet=True, **done), summary="Older alerts")
    await take(store, summary="Older alerts")
    assert await reasons(store) == ["operational"]
    [entry] = await store.outbox.list()
    assert entry.title == "Older alerts"
    leased = await lease(store, "chat", "me", 60)
    assert leased is not None
    assert "31 alerts are older" in leased.text
    assert "30 high, 1 resolved" in leased.text
    assert leased.severity == "info"
    assert await store.incidents.count() == 31


async def test_what_opened_quietly_becomes_loud_when_something_happens(store: Store, clock: Clock) -> None:
    await take(store, alert("a", 1, quiet=True), alert("b", 2, quiet=True), alert("c", 3, quiet=True))
    clock.now += 86_400
    await store.groups.tick()
    assert await reasons(store) == []
    await take(store, alert("a", 1, severity="critical", updated=NOW, quiet=True))
    assert await reasons(store) == ["new"]
    await store.commit([finding("b")])
    assert await reasons(store) == ["new", "new"]
    assert await store.incidents.count(severities=["critical"]) == 1


async def test_what_opened_quietly_at_its_worst_becomes_loud_when_it_is_public(store: Store) -> None:
    await take(store, alert(severity="critical", quiet=True))
    public = {"publicly_leaked": "true"}
    await take(store, alert(severity="critical", quiet=True, updated=NOW, labels=public))
    assert await reasons(store) == ["new"]


async def test_an_old_alert_that_knows_worse_of_what_a_log_has_shown_is_told(store: Store, clock: Clock) -> None:
    await store.commit([finding("a", severity="high"), finding("b", severity="high")])
    await deliver(store)
    clock.now += 1
    await take(store, alert("a", 1, quiet=True), alert("b", 2, quiet=True, severity="critical"))
    assert await reasons(store) == ["new", "new", "escalated"]
    await take(store, alert("c", 3, quiet=True), alert("c", 4, quiet=True, severity="critical"))
    assert await reasons(store) == ["new", "new", "escalated"]  # nobody knows of it
    await take(store, alert("d", 5, quiet=True))
    worse = alert("d", 5, quiet=True, severity="critical", updated=NOW)
    await take(store, worse, findings=[place(worse), place(worse, "acme/web:another")])
    assert await reasons(store) == ["new", "new", "escalated", "new"]


async def test_an_incident_known_by_its_place_becomes_that_of_its_value(store: Store) -> None:
    hidden = alert("place", provisional=True)
    await take(store, hidden)
    before = await only(store)
    known = alert("value", updated=NOW)
    await take(store, known, findings=[replace(place(known), masked="ghp_ab…", name="A token")])
    after = await only(store)
    assert (after.id, after.fingerprint, after.occurrences) == (before.id, fingerprint("value"), 1)
    assert (after.masked, after.name) == ("ghp_ab…", "A token")
    await store.commit([finding("value")])
    assert (await only(store)).occurrences == 2


async def test_a_value_that_a_log_has_shown_joins_its_incident(store: Store) -> None:
    await store.commit([finding("value")])
    hidden = alert("place", provisional=True)
    await take(store, hidden)
    assert await store.incidents.count() == 2
    await deliver(store)
    await take(store, alert("value", updated=NOW))
    log, place_ = await store.incidents.get(fingerprint("value")), await store.incidents.get(fingerprint("place"))
    assert {location.path for location in log.locations} == {"/var/log/app.log", "acme/web:.env"}
    assert log.occurrences == 2
    assert (place_.state, place_.locations) == ("resolved", ())
    assert log.id in (await store.incidents.history(place_.id))[-1].note
    assert "resolved" in await reasons(store)


async def test_a_value_once_known_is_not_forgotten(store: Store) -> None:
    await take(store, alert("value"))
    await take(store, alert("place", provisional=True, updated=NOW))
    assert (await only(store)).fingerprint == fingerprint("value")
    assert (await store.alerts.known([alert().id]))[alert().id].provisional is False


async def test_an_alert_whose_value_is_another_now_moves(store: Store) -> None:
    await take(store, alert("a", 1), alert("a", 2))
    await take(store, alert("b", 2, updated=NOW))
    assert (await store.incidents.get(fingerprint("a"))).occurrences == 1
    assert (await store.incidents.get(fingerprint("b"))).occurrences == 1


async def test_positions_come_with_the_alerts(store: Store) -> None:
    await take(store, alert(), positions=[Position(SOURCE, "org:acme/default", {"mark": 1.0})])
    assert await store.positions.of(SOURCE) == {"org:acme/default": {"mark": 1.0}}
    with pytest.raises(Exception, match=r"CHECK|check"):
        await take(
            store,
            alert("z", 2, severity="none"),
            positions=[Position(SOURCE, "org:acme/default", {"mark": 2.0})],
        )
    assert await store.positions.of(SOURCE) == {"org:acme/default": {"mark": 1.0}}


async def test_hooks_are_kept_once_until_they_are_dealt_with(store: Store, clock: Clock) -> None:
    hook = HookDelivery("d-1", SOURCE, "secret_scanning_alert", "acme/web", 1)
    assert await store.hooks.enqueue(hook)
    assert not await store.hooks.enqueue(hook)
    [due] = await store.hooks.due(SOURCE)
    assert (due.id, due.repo, due.number, due.attempts) == ("d-1", "acme/web", 1, 0)
    assert await store.hooks.due("other") == []
    await store.hooks.postpone("d-1", 60)
    assert await store.hooks.due(SOURCE) == []
    clock.now += 61
    assert [one.attempts for one in await store.hooks.due(SOURCE)] == [1]
    again = HookDelivery("again", SOURCE, "again", "acme/web", 1, due=clock.now + 10)
    await take(store, alert(), handled=["d-1"], again=[again, again])
    assert await store.hooks.due(SOURCE) == []
    assert not await store.hooks.enqueue(hook)
    clock.now += 11
    assert [one.id for one in await store.hooks.due(SOURCE)] == ["again"]


async def test_only_what_was_resolved_as_revoked_is_written_back(store: Store) -> None:
    await take(store, alert("a", 1), alert("b", 2), alert("c", 3))
    await store.incidents.transition(fingerprint("a"), "resolve", actor="me", resolution="revoked")
    await store.incidents.transition(fingerprint("b"), "resolve", actor="me", resolution="false_positive")
    [write] = await store.alerts.write_backs(SOURCE)
    assert write.alert == "github.com/acme/web#1"
    assert write.incident == (await store.incidents.get(fingerprint("a"))).id
    await take(store, alert("a", 1, state="resolved", resolution="revoked", resolved=NOW, updated=NOW))
    assert await store.alerts.write_backs(SOURCE) == []


async def test_alerts_about_a_merged_incident_are_those_of_the_one_that_stays(store: Store) -> None:
    await store.commit([finding("log")])
    await take(store, alert("s"))
    stays = await store.merges.merge(fingerprint("log")[:16], [fingerprint("s")[:16]], actor="ada")
    await take(store, alert("s", updated=NOW, severity="critical"), alert("s", 2))
    kept = await store.incidents.get(stays.id)
    assert (kept.severity, kept.occurrences) == ("critical", 3)
    await store.incidents.transition(stays.id, "resolve", actor="ada", resolution="revoked")
    assert {one.incident for one in await store.alerts.write_backs(SOURCE)} == {stays.id}
    await store.drills.plan([stays.fingerprint], pages=False)
    assert await store.alerts.write_backs(SOURCE) == [], "nothing is written elsewhere about a drill"
    assert (await store.trail.verify()).problems == ()


@pytest.mark.parametrize("goes", ["by place", "by value"])
async def test_a_value_that_becomes_known_after_a_merge_loses_nothing(store: Store, goes: str) -> None:
    await store.commit([finding("log")])
    await take(store, alert("place", provisional=True))
    both = [fingerprint("log")[:16], fingerprint("place")[:16]]
    into, other = both if goes == "by place" else reversed(both)
    await store.merges.merge(into, [other], actor="ada")
    await take(store, alert("s", updated=NOW))
    await store.commit([finding("log", 9), finding("s", 9)])
    held = {one.id: one for one in await store.incidents.find(states=["open"])}
    assert sum(one.occurrences for one in held.values()) >= 4
    assert into in held


async def test_what_went_by_its_place_has_its_places_again_under_its_value(store: Store) -> None:
    await store.commit([finding("log")])
    await take(store, alert("place", provisional=True))
    into, other = fingerprint("log")[:16], fingerprint("place")[:16]
    places = len((await store.incidents.get(other)).locations)
    await store.merges.merge(into, [other], actor="ada")
    await take(store, alert("s", updated=NOW))
    back = await store.incidents.transition(other, "reopen", actor="bob")
    assert back.merged is None
    assert len((await store.incidents.get(other)).locations) >= places > 0
    assert len((await store.incidents.get(into)).locations) == 1
    assert (await store.trail.verify()).problems == ()
