from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from monitor.rotation.settings import RotationConfig
from monitor.rotation.work import begin, look, sweep, under_way
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure, RunError
from monitor.runbook.runbook_store import load
from monitor.store import Store
from monitor.store.inventory import Print, SecretVersion
from tests.monitor.store.helpers import Clock, finding, fingerprint

DAY = 86_400.0
KEY = b"k" * 32
SETTINGS = RotationConfig()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    procedure = Procedure(start_at="high", book=load)
    policy = Policy(sinks=("chat",))
    async with await Store.open(tmp_path / "db", policy, procedure=procedure, clock=clock) as store:
        yield store


def kept(value: str, version: str = "1", **changes: Any) -> SecretVersion:
    print_ = Print(fingerprint(value), "", 20, "mixed")
    facts: dict[str, Any] = {"tags": ("critical",), "owner": "platform", "prints": (print_,), **changes}
    return SecretVersion("secret/app.KEY", fingerprint(value), version, **facts)


async def save(store: Store, *versions: SecretVersion) -> None:
    await store.inventory.save("bao", versions, whole=True)


async def titles(store: Store) -> list[str]:
    return [entry.title for entry in reversed(await store.outbox.list()) if entry.reason == "operational"]


async def test_what_is_due_soon_is_told_once_and_what_is_overdue_is_an_incident(store: Store, clock: Clock) -> None:
    await save(store, kept("one", rotated=clock.now - 80 * DAY))
    for _ in range(2):
        [due] = await sweep(store, SETTINGS, KEY)
        assert (due.standing, due.why) == ("soon", "every 90 days, last changed 80 days ago")
    assert await titles(store) == ["1 secret is due for rotation within 14 days"]
    assert await store.incidents.find() == []

    clock.now += 20 * DAY
    for _ in range(3):
        [due] = await sweep(store, SETTINGS, KEY)
        assert due.standing == "overdue"
    [incident] = await store.incidents.find(locations=True)
    assert (incident.rule, incident.severity, incident.occurrences) == ("rotation-due", "high", 1)
    assert incident.locations[0].context == "every 90 days, last changed 100 days ago"
    run = await store.runs.get(incident.id)
    assert run is not None
    assert [task.id for task in run.tasks] == ["new", "both", "verify", "remove", "document"]
    assert run.order == "replace"

    await save(store, kept("two", "2", rotated=clock.now))
    assert await sweep(store, SETTINGS, KEY) == []
    clock.now += 77 * DAY
    await sweep(store, SETTINGS, KEY)
    assert len(await titles(store)) == 2  # of another value


async def test_what_its_manager_lets_expire_is_told_and_overdue_before(store: Store, clock: Clock) -> None:
    ends = clock.now + 30 * DAY
    await save(store, kept("one", rotated=clock.now, expires=ends, tags=()))
    assert await sweep(store, SETTINGS, KEY) == []
    clock.now = ends - 20 * DAY
    assert [due.standing for due in await sweep(store, SETTINGS, KEY)] == ["soon"]
    assert await titles(store) == ["1 secret is due for rotation within 14 days"]
    clock.now = ends - 7 * DAY
    await sweep(store, SETTINGS, KEY)
    [incident] = await store.incidents.find(locations=True)
    assert (incident.rule, incident.severity) == ("rotation-due", "high")
    assert str(incident.locations[0].context).startswith("it expires on ")

    await save(store, kept("two", "2", rotated=clock.now, expires=ends + 90 * DAY, tags=()))
    assert await sweep(store, SETTINGS, KEY) == []


async def test_a_secret_that_leaked_is_due_whatever_its_age(store: Store, clock: Clock) -> None:
    await save(store, kept("one", rotated=clock.now, tags=()))
    assert await sweep(store, SETTINGS, KEY) == []
    await store.commit([finding("one", time=clock.now)])
    [due] = await sweep(store, SETTINGS, KEY)
    assert (due.why, due.standing, due.at) == ("it was exposed", "soon", clock.now + DAY)
    assert (await look(store))[0].exposed == clock.now


async def test_it_is_due_however_many_other_incidents_are_open(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.incidents._LONGEST_LIST", 1)
    await save(store, kept("one", rotated=clock.now, tags=()))
    await store.commit([finding("one", time=clock.now), finding("other", time=clock.now + 60)])
    await store.commit([finding("closed", time=clock.now)])
    await store.inventory.save("bao", [kept("closed", "2", rotated=clock.now, tags=())], whole=False)
    await store.incidents.transition(fingerprint("closed"), "resolve", actor="ops", resolution="revoked")
    assert await store.inventory.exposed() == {}
    await save(store, kept("one", rotated=clock.now, tags=()))
    [due] = await sweep(store, SETTINGS, KEY)
    assert (due.why, due.at) == ("it was exposed", clock.now + DAY)


async def test_what_is_overdue_and_was_exposed_meanwhile_is_told_to_be_worse(store: Store, clock: Clock) -> None:
    await save(store, kept("one", rotated=clock.now - 100 * DAY))
    await sweep(store, SETTINGS, KEY)
    await store.commit([finding("one", time=clock.now)])
    clock.now += 1.1 * DAY
    for _ in range(2):
        await sweep(store, SETTINGS, KEY)
    [incident] = await store.incidents.find(rules=("rotation-due",), locations=True)
    assert (incident.severity, incident.occurrences) == ("critical", 2)


async def test_steps_are_closed_by_what_the_inventory_shows(store: Store, clock: Clock) -> None:
    await save(store, kept("one"))
    [secret] = await look(store)
    incident, run = await begin(store, KEY, secret, why="a test", actor="ada")
    assert (incident.severity, incident.rule) == ("low", "rotation")
    assert run.next is not None
    assert run.next.id == "new"
    again, _ = await begin(store, KEY, secret, why="again", actor="bob")
    assert again.id == incident.id

    clock.now += 60
    await save(store, kept("two", "2"), kept("one", standing="previous"))
    await sweep(store, SETTINGS, KEY)
    states = await steps(store, incident.id)
    assert states["new"] == ("done", "the new secret works: the fingerprint at bao has changed, version 2")
    assert states["verify"][0] == "open"  # consumers have not moved
    await store.runs.act(incident.id, "both", "done", actor="ada")
    await sweep(store, SETTINGS, KEY)
    assert (await steps(store, incident.id))["verify"][0] == "done"
    assert (await steps(store, incident.id))["remove"][0] == "open"

    await save(store, kept("two", "2"))  # the first one was destroyed
    await sweep(store, SETTINGS, KEY)
    assert (await steps(store, incident.id))["remove"][0] == "done"
    note = next(entry.note for entry in await store.incidents.history(incident.id) if entry.step == "remove")
    assert "bao gives version 1 no more" in note


async def test_a_manager_without_versions_shows_nothing_about_the_old_value(store: Store) -> None:
    await save(store, kept("one", ""))
    [secret] = await look(store)
    await begin(store, KEY, secret, why="", actor="ada")
    for _ in range(3):
        await save(store, kept("two", ""))
    [(_, seen)] = await under_way(store, KEY, await store.inventory.secrets())
    assert (seen.changed, seen.gone, seen.old.standing) == (True, False, "previous")


@pytest.mark.parametrize(
    "versions",
    [("id", "id"), ("1", "2", "3"), ("1", "")],
    ids=["one for all of them", "another between", "fewer are read"],
)
async def test_a_version_that_is_only_not_read_is_not_gone(
    store: Store, clock: Clock, versions: tuple[str, ...]
) -> None:
    await save(store, kept("0", versions[0]))
    [secret] = await look(store)
    await begin(store, KEY, secret, why="", actor="ada")
    for number, version in enumerate((*versions[1:], versions[-1])):
        clock.now += 60
        await save(store, kept(str(min(number + 1, len(versions) - 1)), version))
    [(_, seen)] = await under_way(store, KEY, await store.inventory.secrets())
    assert (seen.changed, seen.gone) == (True, False)


async def test_a_value_that_was_rotated_is_not_rotated_again(store: Store) -> None:
    await save(store, kept("one"))
    [secret] = await look(store)
    incident, _ = await begin(store, KEY, secret, why="", actor="ada")
    await store.incidents.transition(incident.id, "resolve", actor="ada", resolution="revoked")
    with pytest.raises(RunError, match=f"closed .*inventory sync.*incidents reopen {incident.id}"):
        await begin(store, KEY, secret, why="", actor="ada")
    assert await under_way(store, KEY, await store.inventory.secrets()) == []
    await store.incidents.transition(incident.id, "reopen", actor="ada")
    assert (await begin(store, KEY, secret, why="", actor="ada"))[0].id == incident.id


async def steps(store: Store, incident: str) -> dict[str, tuple[str, str]]:
    run = await store.runs.get(incident)
    assert run is not None
    history = await store.incidents.history(incident)
    notes = {entry.step: entry.note for entry in history if entry.action == "step_done"}
    return {task.id: (task.state, notes.get(task.id, "")) for task in run.tasks}
