from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.drill.ammunition import Ammunition
from monitor.drill.follow import Hop
from monitor.drill.plant import DrillError
from monitor.drill.run import FireDrill
from monitor.routing.routes import Policy
from monitor.sources.file.source import FileConfig
from monitor.store import Store
from tests.monitor.store.helpers import deliver, finding
from tests.monitor.store.helpers import fingerprint as stored

SHOT = Ammunition("what is planted", "", [stored("drill")], [], [])


def drill_in(folder: Path, patience: float = 30.0) -> FireDrill:
    source = FileConfig(name="services", type="file", include=(f"{folder}/*.log",))
    return FireDrill(source, None, "github-pat", SHOT, False, ("pager",), "ada", patience, lambda place: "[masked]")


async def found(store: Store, folder: Path, drilling: asyncio.Task[None]) -> None:
    """As the daemon does it."""
    while not (planted := [*folder.iterdir()]):
        assert not drilling.done(), drilling.exception()
        await asyncio.sleep(0.01)
    assert "drill, nothing leaked: what is planted\n" in planted[0].read_text()
    await store.commit([finding("drill", source="services")])


async def test_it_is_planted_followed_closed_and_taken_back(tmp_path: Path) -> None:
    (logs := tmp_path / "logs").mkdir()
    hops: list[Hop] = []
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat", "pager"), pagers=("pager",))) as store:
        task = asyncio.create_task(drill_in(logs).run(store, hops.append))
        await found(store, logs, task)
        while not task.done():
            await deliver(store)
            await asyncio.sleep(0.01)
        await task
        incident = await store.incidents.get(stored("drill"))
        assert (incident.resolution, await store.outbox.list(sink="pager")) == ("used_in_tests", [])
        assert {entry.actor for entry in (await store.incidents.history(incident.id))[1:]} == {"ada (drill)"}
        (row,) = await store.drills.all()
        assert row.run is not None
        assert [name for name, _, _ in row.run.hops] == [hop.name for hop in hops]
        assert (row.run.by, row.run.source, row.run.rule, row.run.standing) == (
            "ada",
            "services",
            "github-pat",
            "whole",
        )
    assert [hop.name for hop in hops][:2] == ["planted", "detected"]
    assert (hops[0].detail, hops[-1].name) == ("[masked]", "closed")
    assert list(logs.iterdir()) == []


@pytest.mark.parametrize("cut", [True, False])
async def test_however_it_ends_what_was_planted_is_taken_back(tmp_path: Path, cut: bool) -> None:
    (logs := tmp_path / "logs").mkdir()
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        task = asyncio.create_task(drill_in(logs, 30.0 if cut else 0.0).run(store, lambda hop: None))
        if cut:
            await found(store, logs, task)
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cut else DrillError):
            await task
        assert await store.drills.among(SHOT.logged) == {stored("drill")}
        (row,) = await store.drills.all()
        assert row.run is not None
        assert row.run.broken.partition(":")[0] == ("it was cut short" if cut else "[masked]")
    assert list(logs.iterdir()) == []
