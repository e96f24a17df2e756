"""A server that forgets under a daemon, at a random moment of what it reads: nothing is missing afterwards."""

from __future__ import annotations

import asyncio
import random

import pytest

from monitor.daemon import Daemon
from monitor.store import postgres
from tests.fakes.intake import until
from tests.fakes.setup import Setup, incidents, running, told
from tests.fakes.webhook import FakeWebhook
from tests.monitor.store.conftest import postgres_server, postgres_url, prepared_postgres
from tests.monitor.store.failover import connected, lagging, take_over

__all__ = ["postgres_server", "postgres_url", "prepared_postgres"]  # fixtures


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(2, 26))])
async def test_failover_to_a_copy_that_lags_behind(
    site: Setup, hook: FakeWebhook, postgres_url: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Forty secrets over two logs; the copy has what was known at one moment, and takes over at a later one. Even
    seeds: nothing is remembered, it has to be read again. Every third: the daemon is down while the copy takes over. In
    the others one log is renamed meanwhile: where a copy never knew it, only memory leads to what stands in it."""
    chance = random.Random(seed)
    if seed % 2 == 0:
        monkeypatch.setattr("monitor.store.memory._MOST", 0)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    site.config.write_text(site.config.read_text().replace("[monitor]", '[monitor]\ndatabase = "env:DATABASE_URL"'))
    logs = [site.log, site.log.with_name("other.log")]
    lags, turn, renames = sorted(chance.sample(range(1, 39), 3))
    if chance.random() < 0.5:
        turn, renames = renames, turn

    async def count(daemon: Daemon) -> dict[str, int]:
        found = await daemon.running.site.store.incidents.find()
        return {one.fingerprint: one.occurrences for one in found}

    async def write(daemon: Daemon, numbers: range, copy: list[dict[str, bytes]]) -> None:
        for number in numbers:
            if number == lags:
                copy.append(lagging(postgres_url))
            if number == turn and seed % 3:
                take_over(postgres_url, copy[0])
            if number == renames and seed % 2 and seed % 3:
                logs[0].rename(logs[0].with_name("app.log.1"))
            site.plant(seed * 100 + number, path=logs[number % 2])
            await asyncio.sleep(chance.choice([0, 0, 0.02, 0.1]))

    copies: list[dict[str, bytes]] = []
    daemon = site.daemon()
    async with running(daemon):
        await write(daemon, range(turn if seed % 3 == 0 else 40), copies)
        if seed % 3 == 0:
            await until(lambda: daemon.running.site.store.transactions)
    if seed % 3 == 0:
        take_over(postgres_url, copies[0])
    daemon = site.daemon()
    async with running(daemon):
        if seed % 3 == 0:
            await write(daemon, range(turn, 40), copies)
        async with asyncio.timeout(60):
            while len(found := await count(daemon)) < 40:
                await asyncio.sleep(0.05)
        assert len(found) == 40
        assert set(found.values()) == {1}
    if seed % 3 or turn > lags:
        await told(hook, "The state database has lost its last transactions")


async def test_a_lock_on_all_tables_is_one_notice_and_no_failure_of_a_part(
    site: Setup, hook: FakeWebhook, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SESSION, "lock_timeout", "100ms")
    monkeypatch.setattr("monitor.store.store._READ_PATIENCE", 0.3)

    monkeypatch.setenv("DATABASE_URL", postgres_url)
    site.config.write_text(site.config.read_text().replace("[monitor]", '[monitor]\ndatabase = "env:DATABASE_URL"'))
    daemon = site.daemon()
    async with running(daemon):
        with connected(postgres_url) as holder:
            names = [row[0] for row in holder.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            holder.execute(f"BEGIN; LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
            site.plant(1)
            await told(hook, "The state database cannot be written canceling statement due to lock timeout")
            retries = daemon.running.site.store
            await until(lambda: retries._writer.stats.retries > 5)
            holder.execute("ROLLBACK")
        await until(lambda: incidents(hook))
        await until(lambda: any(payload["reason"] == "recovered" for payload in hook.payloads))
        titles = {payload["title"] for payload in hook.payloads if not payload["incidents"]}
        assert titles == {"The state database cannot be written"}
