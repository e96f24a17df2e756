from __future__ import annotations

import os
from typing import Any

import pytest

from monitor.store import Store
from monitor.store.canaries import Canary
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

HOME = "/var/log/app.log"


async def planted(store: Store, path: str | None = HOME, **more: Any) -> None:
    values: dict[str, Any] = {"rule": "github-pat", "place": path or "the wiki", "path": path, "by": "ada"}
    await store.canaries.plant("bird", [fingerprint("bird"), fingerprint("as others see it")], **(values | more))


@pytest.mark.parametrize(
    "path", [HOME, f"{HOME}.1", f"{HOME}.2.gz", f"{HOME}-20261126", "/var/log/app-20261126.log", f"{HOME}.1.zst"]
)
async def test_where_it_was_planted_it_may_be_seen_also_after_a_rotation(store: Store, path: str) -> None:
    await planted(store)
    await store.commit([finding("bird", 40), finding("as others see it", 44)])
    await store.commit([finding("bird", 40, path=path, generation="g2", source="other")])
    assert await store.incidents.count() == 0
    assert [(one.name, one.incident) for one in await store.canaries.list()] == [("bird", None)]


@pytest.mark.parametrize(
    ("where", "offset"),
    [
        ({"path": "/var/log/auth.log"}, 40),
        ({"path": "/srv/copy/app.log"}, 40),
        ({"path": "/var/log/copy-of-app.log"}, 40),
        ({}, 99),  # it was logged again: somebody used it
        ({"source": "github", "path": "acme/api/.env"}, 0),
    ],
)
async def test_anywhere_else_it_is_an_alarm_of_its_own(store: Store, where: dict[str, Any], offset: int) -> None:
    await planted(store)
    await store.commit([finding("bird", 40), finding("as others see it", 41)])
    seen = finding("bird", offset, severity="low", confidence="low", **where)
    await store.commit([seen, finding("as others see it", offset + 1, **where)])
    assert await deliver(store) == ["new"]
    (incident,) = await store.incidents.find()
    assert incident.name == "Canary bird was used or moved"
    assert (incident.severity, incident.confidence, incident.rule, incident.runbook) == (
        *("critical", "high"),
        *("canary", "canary"),
    )
    assert incident.labels["canary"] == "bird"
    assert incident.labels["planted"].startswith(f"{HOME} on ")
    assert incident.occurrences == 2, "both ways to see it are one"
    assert (await store.canaries.list())[0].incident == incident.id


async def test_a_use_in_its_own_file_is_an_alarm_also_when_both_are_read_at_once(store: Store) -> None:
    await planted(store)
    await store.commit([finding("bird", 40), finding("bird", 99), finding("bird", 40, source="another")])
    (incident,) = await store.incidents.find()
    assert (incident.name, incident.occurrences) == ("Canary bird was used or moved", 1)
    await store.commit([finding("bird", 40, generation="g2")])
    assert (await store.incidents.get(incident.id)).occurrences == 1, "the first is where it lies"


async def test_a_form_that_it_has_not_where_it_lies_is_an_alarm_there_too(store: Store) -> None:
    await planted(store, others=[fingerprint("in other words"), fingerprint("bird")])
    await store.commit([finding("bird", 40)])
    assert await store.incidents.count() == 0
    await store.commit([finding("in other words", 99)])
    (incident,) = await store.incidents.find()
    assert (incident.rule, incident.fingerprint) == ("canary", fingerprint("bird"))


async def test_a_path_and_a_note_of_any_bytes_are_kept(store: Store) -> None:
    home = os.fsdecode(b"/srv/caf\xe9/\xff.env")
    await planted(store, home, place=f"{home}\0", by=home)
    await store.commit([finding("bird", 40, path=home), finding("bird", 40, path=f"{home}.1", generation="g2")])
    assert await store.incidents.count() == 0
    (known,) = await store.canaries.list()
    assert known.place == r"/srv/caf\udce9/\udcff.env\x00"


async def test_one_that_lies_outside_may_be_seen_nowhere(store: Store, clock: Clock) -> None:
    await planted(store, None)
    (known,) = await store.canaries.list()
    assert known == Canary("bird", "github-pat", "the wiki", known.host, NOW, "ada", None)
    await store.commit([finding("bird", 40)])
    assert await deliver(store) == ["new"]
    await store.incidents.transition(fingerprint("bird"), "resolve", actor="ada", resolution="revoked")
    assert await deliver(store) == ["resolved"]
    clock.now += 60
    await store.commit([finding("bird", 41, time=clock.now)])
    assert await deliver(store) == ["reopened"]


async def test_a_name_is_used_once_until_it_is_forgotten(store: Store) -> None:
    await planted(store)
    with pytest.raises(ValueError, match="there is a canary bird already"):
        await planted(store, "/elsewhere")
    await store.canaries.forget("bird")
    with pytest.raises(LookupError, match="no canary 'bird'"):
        await store.canaries.forget("bird")
    await store.commit([finding("bird")])
    (incident,) = await store.incidents.find()
    assert (incident.rule, incident.name) == ("github-pat", "GitHub token"), "a leak like any other"


async def test_what_came_before_is_no_alarm(store: Store) -> None:
    await store.commit([finding("bird", 1), finding("real", 2)])
    await planted(store)
    await store.commit([finding("real", 3, path="/elsewhere")])
    assert {one.rule for one in await store.incidents.find()} == {"github-pat"}
