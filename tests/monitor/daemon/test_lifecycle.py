from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import stat
import sys
import time
from pathlib import Path

import pytest

from detectors.match.cost import Pace
from monitor.config.locate import ConfigError
from monitor.daemon import lifecycle
from monitor.store import Recovery, StoreError
from tests.fakes.forks import Forked, Forks
from tests.fakes.intake import until
from tests.fakes.server import Fault
from tests.fakes.setup import RULE, Setup, incidents, running, told
from tests.fakes.webhook import FakeWebhook

# From a line to an alert


async def test_a_secret_becomes_an_alert_and_nothing_shows_it(
    site: Setup, hook: FakeWebhook, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon = site.daemon()
    async with running(daemon) as task:
        value = site.plant(1)
        await until(lambda: incidents(hook))
    assert task.result() == 0
    (incident,) = incidents(hook)
    assert (incident["rule"], incident["severity"], incident["occurrences"]) == ("acme-acme", "critical", 1)
    (location,) = incident["locations"]
    assert location["path"] == str(site.log)
    assert location["line"] == 1
    out, err = capfd.readouterr()
    everything = out + err + "".join(repr(request) for request in hook.requests)
    everything += "".join(
        path.read_bytes().decode("latin-1") for path in (site.root / "state").rglob("*") if path.is_file()
    )
    assert value not in everything
    assert stat.S_IMODE((site.root / "state/fingerprint.key").stat().st_mode) == 0o600


async def test_it_goes_on_where_it_stopped(site: Setup, hook: FakeWebhook) -> None:
    async with running(site.daemon()):
        site.plant(1)
        await until(lambda: len(incidents(hook)) == 1)
    site.plant(2)
    async with running(site.daemon()):
        await until(lambda: len(incidents(hook)) == 2)
        await asyncio.sleep(0.2)
    assert [incident["occurrences"] for incident in incidents(hook)] == [1, 1]


async def test_once_reads_to_the_end_delivers_and_ends(site: Setup, hook: FakeWebhook) -> None:
    for seed in range(20):
        site.plant(seed)
    daemon = site.daemon(once=True)
    assert await asyncio.wait_for(daemon.run(), 120) == 0
    assert daemon._schedule._scheduler is None, "it is slow to import"
    assert len({incident["fingerprint"] for incident in incidents(hook)}) == 20
    sent = len(hook.payloads)
    assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 0
    assert len(hook.payloads) == sent


async def test_once_says_what_could_not_be_searched(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.scanning.scanner.PACE", Pace(turn=-1.0, piece=-1.0))
    site.plant(1)
    size = site.log.stat().st_size
    assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 1
    await told(hook, f"{size} bytes of {site.log} (unscannable)")


async def test_what_is_old_is_forgotten_while_it_runs_and_at_the_end_of_once(site: Setup, hook: FakeWebhook) -> None:
    async with running(site.daemon()):
        site.plant(1)
        await until(lambda: incidents(hook))
        await until(lambda: old_and_sent(site) == (0, 1))

    with contextlib.closing(sqlite3.connect(site.root / "state/state.db", isolation_level=None)) as database:
        database.execute("UPDATE outbox SET finished_at = finished_at - 8 * 86400")
    assert old_and_sent(site) == (1, 1)
    async with running(site.daemon()):
        await until(lambda: old_and_sent(site) == (0, 0))

    site.plant(2)
    assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 0
    with contextlib.closing(sqlite3.connect(site.root / "state/state.db", isolation_level=None)) as database:
        database.execute("UPDATE outbox SET finished_at = finished_at - 8 * 86400")
    assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 0
    assert old_and_sent(site) == (0, 0)


def old_and_sent(site: Setup) -> tuple[int, int]:
    """Notifications that were sent long ago, and all that were sent."""
    with contextlib.closing(sqlite3.connect(site.root / "state/state.db")) as database:
        query = "SELECT count(*) FILTER (WHERE finished_at < ?), count(*) FROM outbox WHERE state = 'sent'"
        old, every = database.execute(query, (time.time() - 7 * 86_400,)).fetchone()
    return int(old), int(every)


async def test_once_says_when_something_could_not_be_delivered(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_ONCE_SETTLE", 0.5)
    hook.always = Fault(503)
    site.plant(1)
    assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 1
    hook.always = None
    monkeypatch.setattr(lifecycle, "_ONCE_SETTLE", 120.0)  # until the pause after the first attempt is over
    assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 0
    assert len(incidents(hook)) == 1


# Start


async def test_start_fails_with_every_problem_of_the_rules(site: Setup) -> None:
    site.rule("bad", RULE.format(name="bad").replace("{32}", "{32}(?=x)"))
    site.rule("worse", RULE.format(name="worse").replace("critical", "terrible"))
    with pytest.raises(ConfigError) as caught:
        await site.daemon().run()
    assert len(caught.value.problems) >= 2
    assert all(problem.key == "rules" for problem in caught.value.problems)


async def test_an_address_that_is_taken_is_an_error_of_the_configuration(site: Setup) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        site.configure(listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ConfigError, match=r"http\.listen: 127.*is a monitor running already"):
            await site.daemon().run()


async def test_two_do_not_share_a_state(site: Setup) -> None:
    async with running(site.daemon()):
        for once in (False, True):
            with pytest.raises(StoreError, match="a monitor is running on this state already"):
                await site.daemon(once).run()
    assert await site.daemon(once=True).run() == 0


async def test_a_first_start_finds_no_folder_and_needs_none_for_key_and_rules(site: Setup) -> None:
    (site.root / "key").write_text("k" * 32)
    shipped = site.config.read_text().replace('packs = []\npaths = ["rules.d/*.toml"]', "")
    site.config.write_text(shipped.replace("[http]", 'fingerprint_key = "file:key"\n[http]'))
    async with running(site.daemon()):
        with pytest.raises(StoreError, match="a monitor is running on this state already"):
            await site.daemon(once=True).run()
    assert (site.root / "state/state.db").is_file()


async def test_without_http(site: Setup, hook: FakeWebhook) -> None:
    site.configure(listen="")
    daemon = site.daemon()
    async with running(daemon):
        assert daemon.address is None
        site.plant(1)
        await until(lambda: incidents(hook))


async def test_what_sends_is_at_hand_from_the_start(site: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    site.configure(listen="")
    monkeypatch.setitem(sys.modules, "aiohttp", None)  # as if it lay there no more
    with pytest.raises(ImportError, match="aiohttp"):
        await site.daemon().run()


async def test_a_corrupt_database_is_kept_aside_and_told(site: Setup, hook: FakeWebhook) -> None:
    (site.root / "state").mkdir()
    (site.root / "state/state.db").write_bytes(b"this is no database" * 500)
    async with running(site.daemon()):
        await told(hook, "damaged")
        site.plant(1)
        await until(lambda: incidents(hook))
    assert list((site.root / "state").glob("state.db.corrupt-*"))


async def test_a_database_that_cannot_be_written_stops_the_reading_and_is_told(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1)
        await until(lambda: incidents(hook))
        blocker = sqlite3.connect(site.root / "state/state.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        site.plant(2)
        await told(hook, "The state database cannot be written")
        assert daemon.running.health.ready()["store"] is not None
        assert set(daemon.running.health.live().values()) == {None}, "a restart would not help"
        blocker.execute("ROLLBACK")
        blocker.close()
        await until(lambda: len(incidents(hook)) == 2)
        await until(lambda: daemon.running.health.ready()["store"] is None)


async def test_a_recovery_is_told_with_what_was_kept(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        daemon._recovered(Recovery("damaged", Path("/s/state.db.corrupt-x"), "malformed", {"incidents": 3}))
        await told(hook, "stored at /s/state.db.corrupt-x. Carried over: 3 incidents. Some rows could not be read.")


# The end, in a process of its own


def said(site: Setup) -> bytes:
    return site.config.with_name("stderr").read_bytes()


async def start(site: Setup) -> Forked:
    with site.config.with_name("stderr").open("wb") as out:
        process = Forks.shared().start("run", "--config", str(site.config), env=os.environ, stdout=out, stderr=out)
    await until(lambda: b'"ready"' in said(site) or process.returncode is not None)
    assert process.returncode is None, "ended before it was ready"
    return process


async def test_sigterm_ends_with_0_although_a_sink_hangs(site: Setup, hook: FakeWebhook) -> None:
    hook.always = Fault(hang=True)
    process = await start(site)
    site.plant(1)
    await until(lambda: hook.requests)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 120) == 0
    hook.always = None
    process = await start(site)
    await until(lambda: incidents(hook))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 120) == 0


async def test_once_ends_at_a_signal_also_while_it_waits_for_a_sink(site: Setup, hook: FakeWebhook) -> None:
    hook.always = Fault(503)
    site.plant(1)
    daemon = site.daemon(once=True)
    running = asyncio.create_task(daemon.run())
    await until(lambda: hook.requests)
    daemon.stop()
    assert await asyncio.wait_for(running, 120) == 0  # by itself it ends with 1, as something is left


async def test_it_ends_at_once_while_it_waits_for_its_database(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(lifecycle, "_wait_for_store", told.append)
    monkeypatch.setattr("monitor.store.store._AWAY_FIRST", 3600.0)
    monkeypatch.setattr("monitor.store.store._AWAY_LONGEST", 3600.0)
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://monitor@/x?host=/nonexistent")
    away = '[monitor]\ndatabase = "env:DATABASE_URL"'
    site.config.write_text(site.config.read_text().replace("[monitor]", away))
    daemon = site.daemon()
    ending = asyncio.create_task(daemon.run())
    await until(lambda: told, seconds=60)
    daemon.stop()
    assert await asyncio.wait_for(ending, 120) == 0


async def test_a_second_signal_ends_at_once(site: Setup, hook: FakeWebhook) -> None:
    hook.always = Fault(hang=True)
    process = await start(site)
    site.plant(1)
    await until(lambda: hook.requests)
    process.send_signal(signal.SIGTERM)
    await until(lambda: b'"stopping"' in said(site))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 120) == 130
