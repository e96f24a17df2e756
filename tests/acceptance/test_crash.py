"""Kill, rotate, fail: every planted secret arrives, nothing else does, repeats carry the same id."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.harness import Monitor, Planter, fingerprints, until
from tests.fakes.server import Fault
from tests.fakes.webhook import FakeWebhook

CONFIG = """
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "10000/1m"  # on a slow machine a second digest would come late
group_interval = "1s"
"""
FEW = '[rules]\npacks = ["vcs/github"]\n'  # compiled in no time; all of them in the campaign
FAULTS = (
    Fault(500),
    Fault(503, headers={"Retry-After": "0"}),
    Fault(429, headers={"Retry-After": "1"}),
    Fault(reset=True),
    Fault(cut=True),
    Fault(500, after=True),
)


def stored(folder: Path) -> set[str]:
    """Fingerprints that are committed: what the reader has passed. Read from outside, as any other program would."""
    path = folder / "state" / "state.db"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            return {row[0] for row in connection.execute("SELECT fingerprint FROM incidents")}
        except sqlite3.OperationalError:
            return set()  # the schema is not there yet


async def trial(folder: Path, seed: int, config: str = CONFIG) -> dict[str, int]:
    """One seeded run; returns what happened. Each sixth begins without compiled rules."""
    planter = Planter(seed)
    rng = planter.random
    logs = folder / "logs"
    logs.mkdir(parents=True)
    names = [logs / f"service-{n}.log" for n in range(rng.randrange(1, 4))]
    rotations = kills = 0
    # Files the reader has caught up with since they were new or cut. One that is renamed out of its sight before it was
    # ever seen is beyond any reader.
    met: set[int] = set()
    async with FakeWebhook() as hook:
        monitor = Monitor(folder, config, {"HOOK_URL": f"{hook.url}/hook"}, first=seed % 6 == 0)
        await monitor.start()
        for _ in range(rng.randrange(8, 14)):
            for name in names:
                if rng.random() < 0.6:
                    text = planter.lines(rng.randrange(1, 4))
                    with name.open("ab", buffering=0) as file:
                        # In pieces, so that a kill may fall between them and inside a line.
                        cut = rng.randrange(len(text))
                        file.write(text[:cut])
                        await asyncio.sleep(rng.random() * 0.02)
                        file.write(text[cut:])
            if planter.planted.keys() <= stored(folder):
                met |= {name.stat().st_ino for name in names if name.exists() and name.stat().st_size}
            if rng.random() < 0.4 and not hook.faults:
                hook.faults.extend(rng.choices(FAULTS, k=rng.randrange(1, 3)))
            action = rng.random()
            if action < 0.35:
                await asyncio.sleep(rng.random() * 0.3)
                await monitor.kill()
                kills += 1
                if rng.random() < 0.5:  # written and renamed while it is down
                    target = rng.choice(names)
                    with target.open("ab") as file:
                        file.write(planter.lines(2))
                    if rng.random() < 0.5 and target.stat().st_ino in met:
                        os.replace(target, target.with_suffix(".log.1"))
                        target.write_bytes(planter.lines(1))
                        rotations += 1
                await monitor.start(wait=rng.random() < 0.7)
            elif action < 0.55:
                target = rng.choice(names)
                if target.exists() and target.stat().st_ino in met:
                    os.replace(target, target.with_suffix(f".{rotations}.old"))
                    target.write_bytes(planter.lines(1))
                    rotations += 1
            elif action < 0.75:
                # copytruncate loses what is written between the copy and the cut, so the reader must have caught up.
                await until(
                    lambda: planter.planted.keys() <= stored(folder), 120, lambda: f"seed {seed}: the reader is behind"
                )
                target = rng.choice(names)
                if target.exists():
                    target.with_suffix(".copy").write_bytes(target.read_bytes())
                    os.truncate(target, 0)
                    met.discard(target.stat().st_ino)  # until something new in it was read
                    rotations += 1
            await asyncio.sleep(rng.random() * 0.1)
        wanted = set(planter.planted)
        await until(
            lambda: wanted <= fingerprints(hook.payloads),
            300,
            lambda: (
                f"seed {seed}: {len(wanted - fingerprints(hook.payloads))} of {len(wanted)} missing\n"
                f"{monitor.errors[-1500:]}"
            ),
        )
        assert await monitor.terminate() == 0
    arrived = fingerprints(hook.payloads)
    assert arrived <= wanted, f"seed {seed}: {len(arrived - wanted)} secrets arrived that were not planted"
    first: dict[str, set[str]] = {}
    incident_ids: dict[str, set[str]] = {}
    for payload in hook.payloads:
        for incident in payload["incidents"]:
            incident_ids.setdefault(incident["fingerprint"], set()).add(incident["id"])
            if payload["reason"] == "new":
                first.setdefault(incident["fingerprint"], set()).add(payload["id"])
    assert all(len(ids) == 1 for ids in first.values()), f"seed {seed}: a first notification came under two ids"
    assert all(len(ids) == 1 for ids in incident_ids.values()), f"seed {seed}: an incident changed its id"
    for value in planter.planted.values():
        assert value not in monitor.errors + monitor.output
    return {"planted": len(wanted), "kills": kills, "rotations": rotations, "payloads": len(hook.payloads)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_over_kills_rotations_and_failing_sinks(tmp_path: Path, seed: int) -> None:
    done = await trial(tmp_path, seed, CONFIG + FEW if seed == 0 else CONFIG)
    assert done["planted"] > 0


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [2, 3, *range(1000, 1120)])
async def test_campaign(tmp_path: Path, seed: int, record_property: Callable[[str, object], None]) -> None:
    for name, value in (await trial(tmp_path, seed)).items():
        record_property(name, value)
