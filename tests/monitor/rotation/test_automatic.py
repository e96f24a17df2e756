"""New values by the provider: asked for once, whatever becomes of whoever asks."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from monitor.config.config import Config, parse
from monitor.config.locate import ConfigError
from monitor.inventory.held import OvertakenError
from monitor.rotation.automatic import Automatic, Rotations, ask_provider, by_provider
from monitor.rotation.work import Proof, begin, close, look, sweep, under_way
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.runbook.runbook_store import load
from monitor.store import Store
from monitor.store.actions import ActionError
from monitor.store.inventory import Print, SecretVersion
from monitor.store.records import ActionRun
from tests.fakes.server import Fault
from tests.fakes.vendor import CANARY, Vendor
from tests.monitor.store.helpers import Clock, fingerprint

DAY = 86_400.0
KEY = b"k" * 32
DOTENV = '[[inventory]]\nname = "env"\ntype = "dotenv"\npath = [".env"]\n'
ASKED = "/v1/database/rotate-role/app"


class Bao(Vendor):
    """A database engine with one static role. `refuses`: the status by which it does."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-rotates", header="X-Vault-Token", scheme="")
        self.refuses: Fault | None = None

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        if where == "GET /v1/sys/internal/ui/mounts/database":
            if self.refuses:
                self.faults.append(self.refuses)  # of the next request, which asks for the new value
            return {"data": {"type": "database"}}
        return {} if (where, body) == (f"POST {ASKED}", b"{}") else None

    @property
    def asked(self) -> int:
        return sum(request.path == ASKED for request in self.requests)


@pytest.fixture
async def bao() -> AsyncIterator[Bao]:
    async with Bao() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(tmp_path: Path, clock: Clock) -> Any:
    procedure = Procedure(start_at="high", book=load)
    return Store.open(tmp_path / "db", Policy(sinks=("chat",)), procedure=procedure, clock=clock)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    async with await opened(tmp_path, clock) as store:
        yield store


def text(tmp_path: Path, server: str, *, automatic: str = "true", rotate: bool = True) -> str:
    (tmp_path / "reads").write_text(f"{CANARY}-reads")
    (tmp_path / "rotates").write_text(f"{CANARY}-rotates")
    return (
        f'[[inventory]]\nname = "bao"\ntype = "vault"\nserver = "{server}"\nmount = "database"\ntoken = "file:reads"\n'
        + ('rotate = { token = "file:rotates" }\n' if rotate else "")
        + f'[[rotation.policies]]\nevery = "30d"\nseverity = "high"\nautomatic = {automatic}\n'
    )


def config_of(tmp_path: Path, server: str, **keys: Any) -> Config:
    return parse(text(tmp_path, server, **keys), tmp_path / "config.toml")


async def save(store: Store, clock: Clock, value: str, age: float) -> None:
    prints = (Print(fingerprint(value), "", 20, "mixed"),)
    rotated = clock.now - age * DAY
    kept = SecretVersion("database/app", fingerprint(value), f"at {rotated}", rotated=rotated, prints=prints)
    await store.inventory.save("bao", [kept], whole=True)


async def rounds(store: Store, config: Config, count: int = 3) -> list[str]:
    """What the daemon does every quarter of an hour. Returns the entries that are to be read again."""
    again: list[str] = []
    automatic = Automatic(store, KEY, lambda: config, again.append)
    for _ in range(count):
        await sweep(store, config.rotation, KEY, await automatic.sweep())
    return again


async def told(store: Store) -> tuple[str, ActionRun]:
    """How bad the one incident is, and what came of the asking."""
    [incident] = await store.incidents.find()
    [run] = await store.actions.find(incident=incident.id)
    return incident.severity, run


async def test_what_is_due_is_asked_for_once_and_is_done_when_the_value_changes(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", 29)
    assert await rounds(store, config) == []
    assert (bao.asked, await store.incidents.find()) == (0, [])

    clock.now += 2 * DAY
    await save(store, clock, "one", 31)
    assert await rounds(store, config) == ["bao"]
    severity, run = await told(store)
    assert (bao.asked, severity, run.action, run.state) == (1, "low", "rotate:bao", "accepted")

    clock.now += 900
    await save(store, clock, "two", 0)
    assert await rounds(store, config) == []
    severity, run = await told(store)
    assert (bao.asked, severity, run.state) == (1, "low", "completed")
    assert "the fingerprint at bao has changed" in run.outcome
    steps = await store.runs.get(run.incident)
    assert steps is not None
    assert {task.id: task.state for task in steps.tasks}["new"] == "done"


@pytest.mark.parametrize(("age", "read"), [(29.995, 600.0), (40.0, DAY)])  # due since it was read; read too long ago
async def test_what_was_read_before_is_read_again_first(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path, age: float, read: float
) -> None:
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", age)
    clock.now += read
    assert await rounds(store, config, 1) == ["bao"]
    assert (bao.asked, await store.incidents.find()) == (0, [])
    await save(store, clock, "two", 0.001)  # it has changed meanwhile, by whoever's hand
    assert await rounds(store, config) == []
    assert (bao.asked, await store.incidents.find()) == (0, [])


async def test_nobody_is_asked_while_the_entry_cannot_be_read(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", 31)
    clock.now += 900
    await store.inventory.save("bao", (), whole=False, error="inventory bao: HTTP 403")
    await rounds(store, config)
    [incident] = await store.incidents.find(locations=True)
    assert (bao.asked, incident.rule, incident.severity) == (0, "rotation-due", "high")
    assert any("cannot be read: inventory bao: HTTP 403" in (place.context or "") for place in incident.locations)

    await save(store, clock, "one", 31)
    assert await rounds(store, config) == ["bao"]
    assert bao.asked == 1


async def test_an_entry_that_is_not_read_for_a_day_is_no_excuse(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", 31)
    clock.now += 1.1 * DAY
    await rounds(store, config, 1)
    [incident] = await store.incidents.find()
    assert (bao.asked, incident.rule, incident.severity) == (0, "rotation-due", "high")


async def test_one_that_refuses_is_overdue_like_any_other_and_not_asked_again(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bao.url)
    bao.refuses = Fault(403, echo=True)
    await save(store, clock, "one", 31)
    await rounds(store, config)
    severity, run = await told(store)
    assert (bao.asked, severity, run.state) == (1, "high", "failed")
    assert "HTTP 403: it is not permitted to that; nothing has changed" in run.outcome
    assert CANARY not in run.outcome
    [incident] = await store.incidents.find(locations=True)
    assert any("; rotate:bao failed: " in (place.context or "") for place in incident.locations)


class _Overtaken:
    """A provider that has another version than the one that is to go."""

    async def rotate(self, name: str, version: str, tries: int) -> str:
        raise OvertakenError(f"{name} is not at version {version!r} any more")

    async def close(self) -> None:
        pass


async def test_one_that_was_overtaken_is_awaited_like_one_that_was_asked(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.rotation.automatic.make_rotator", lambda entry: _Overtaken())
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", 31)
    assert await rounds(store, config) == ["bao"]
    severity, run = await told(store)
    assert (bao.asked, severity, run.state) == (0, "low", "accepted")
    assert run.outcome == f"database/app is not at version 'at {clock.now - 31 * DAY}' any more"
    await save(store, clock, "two", 0)
    await rounds(store, config)
    assert (await told(store))[1].state == "completed"


@pytest.mark.parametrize("fault", [Fault(reset=True, after=True), Fault(500, echo=True), Fault(cut=True, after=True)])
async def test_where_nobody_knows_it_is_said_and_only_a_person_asks_again(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path, fault: Fault
) -> None:
    config = config_of(tmp_path, bao.url)
    bao.refuses = fault
    await save(store, clock, "one", 31)
    await rounds(store, config)
    severity, run = await told(store)
    assert (bao.asked, severity, run.state) == (1, "high", "unknown")
    assert "whether it took effect cannot be known" in run.outcome
    assert CANARY not in run.outcome

    bao.refuses = None
    [secret] = await look(store)
    again = await ask_provider(store, config, secret, run.incident, actor="ada")
    assert (bao.asked, again.state) == (2, "accepted")
    with pytest.raises(ActionError, match="rotate:bao is accepted for this incident already"):
        await ask_provider(store, config, secret, run.incident, actor="ada")
    assert bao.asked == 2


async def test_a_value_that_stays_the_same_is_overdue_after_a_day_whatever_was_said(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", 31)
    await rounds(store, config)
    clock.now += 0.9 * DAY
    await rounds(store, config)
    assert (await told(store))[0] == "low"
    clock.now += 0.2 * DAY
    await rounds(store, config)
    severity, run = await told(store)
    assert (bao.asked, severity, run.state) == (1, "high", "unknown")
    assert "no other value was seen within a day (the database engine has set another password)" in run.outcome
    [secret] = await look(store)
    assert (await ask_provider(store, config, secret, run.incident, actor="ada")).state == "accepted"
    assert bao.asked == 2


async def test_a_person_may_ask_again_after_a_day_where_no_policy_does(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    config = config_of(tmp_path, bao.url, automatic="false")
    await save(store, clock, "one", 1)
    [secret] = await look(store)
    incident, _ = await begin(store, KEY, secret, why="they leaked", actor="ada")
    await ask_provider(store, config, secret, incident.id, actor="ada")
    clock.now += 0.9 * DAY
    with pytest.raises(ActionError, match="rotate:bao is accepted for this incident already"):
        await ask_provider(store, config, secret, incident.id, actor="ada")
    clock.now += 0.2 * DAY
    await ask_provider(store, config, secret, incident.id, actor="ada")
    assert (bao.asked, [run.state for run in await store.actions.find()]) == (2, ["accepted", "unknown"])


@pytest.mark.parametrize("changed", [True, False])
async def test_what_a_person_had_asked_for_is_done_or_given_up_where_no_policy_asks(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path, changed: bool
) -> None:
    config = config_of(tmp_path, bao.url, automatic="false")
    await save(store, clock, "one", 1)
    [secret] = await look(store)
    incident, _ = await begin(store, KEY, secret, why="they leaked", actor="ada")
    await ask_provider(store, config, secret, incident.id, actor="ada")
    clock.now += 900
    if changed:  # and whoever closes it is quicker than the next look
        await save(store, clock, "two", 0)
        [(incident, seen)] = await under_way(store, KEY, await store.inventory.secrets())
        await close(store, incident, seen, Proof("issuer", "it is refused"), actor="ada", note="", whole=True)
    clock.now += DAY
    await rounds(store, config)
    [run] = await store.actions.find()
    assert (bao.asked, run.state) == (1, "completed" if changed else "unknown")


async def test_a_value_that_comes_back_is_overdue(bao: Bao, store: Store, clock: Clock, tmp_path: Path) -> None:
    config = config_of(tmp_path, bao.url)
    await save(store, clock, "one", 31)
    await rounds(store, config)
    await save(store, clock, "two", 0)
    await rounds(store, config)
    await save(store, clock, "one", 31)
    await rounds(store, config)
    [incident] = await store.incidents.find(locations=True)
    assert (bao.asked, incident.severity) == (1, "high")
    assert any("the value from before is in use again" in (place.context or "") for place in incident.locations)


_ASKS = """
import asyncio, sys
from pathlib import Path
from tests.monitor.rotation.test_automatic import *

async def main(folder: Path, now: float) -> None:
    clock = Clock()
    clock.now = now
    async with await opened(folder, clock) as store:
        config = parse((folder / "config.toml").read_text(), folder / "config.toml")
        await rounds(store, config, 1)

asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
"""


async def test_a_process_that_is_killed_at_it_is_followed_by_none_that_asks_again(
    bao: Bao, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(text(tmp_path, bao.url))
    config = config_of(tmp_path, bao.url)
    async with await opened(tmp_path, clock) as store:
        await save(store, clock, "one", 31)
    bao.refuses = Fault(hang=True, after=True)
    process = subprocess.Popen(
        [sys.executable, "-c", _ASKS, str(tmp_path), str(clock.now)], cwd=Path(__file__).parents[3]
    )
    try:
        while not bao.asked and process.poll() is None:
            await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    assert bao.asked == 1

    bao.refuses = None
    async with await opened(tmp_path, clock) as store:
        assert (await told(store))[1].state == "running"
        await rounds(store, config, 1)
        severity, run = await told(store)
    assert (bao.asked, severity, run.state) == (1, "high", "unknown")
    assert "cannot be known" in run.outcome


async def test_it_is_off_unless_a_policy_and_an_entry_say_so(
    bao: Bao, store: Store, clock: Clock, tmp_path: Path
) -> None:
    await save(store, clock, "one", 31)
    [secret] = await look(store)
    off = config_of(tmp_path, bao.url, automatic="false")
    assert not by_provider(off, secret)
    assert by_provider(config_of(tmp_path, bao.url), secret)
    await rounds(store, off)
    [incident] = await store.incidents.find()
    assert (bao.asked, incident.rule, await store.actions.find()) == (0, "rotation-due", [])
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, bao.url, rotate=False)
    [problem] = caught.value.problems
    assert problem.key == "rotation.policies[0].automatic"
    assert "no [[inventory]] has a table `rotate`" in problem.message
    bare = config_of(tmp_path, bao.url, automatic="false", rotate=False)
    with pytest.raises(LookupError, match=r"\[\[inventory\]\] bao has no `rotate`"):
        await ask_provider(store, bare, secret, incident.id, actor="ada")


async def test_overdue_secrets_become_incidents_by_themselves_where_there_is_an_inventory(tmp_path: Path) -> None:
    config = parse("")
    async with await Store.open(tmp_path / "db", Policy(sinks=("chat",))) as store:
        prints = (Print(fingerprint("x"), "", 20, "mixed"),)
        old = SecretVersion("KEY", fingerprint("x"), rotated=1.0, tags=("critical",), prints=prints)
        await store.inventory.save("env", [old], whole=True)
        rotations = Rotations(store, KEY, lambda: config, str)
        await rotations.sweep()
        assert await store.incidents.find() == []

        config = parse(DOTENV, tmp_path / "config.toml")
        await rotations.sweep()
        assert [one.rule for one in await store.incidents.find()] == ["rotation-due"]
