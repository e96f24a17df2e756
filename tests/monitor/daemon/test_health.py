from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from pathlib import Path

import aiohttp
import pytest

from monitor.intake.ledger import STATE, place
from monitor.snapshot import Known
from monitor.store import Store
from tests.fakes.intake import until
from tests.fakes.setup import Setup, incidents, running, told
from tests.fakes.webhook import FakeWebhook


async def test_health_readiness_and_metrics(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon), aiohttp.ClientSession() as session:
        site.plant(1)
        await until(lambda: incidents(hook))
        for page in ("healthz", "readyz"):
            async with session.get(f"{daemon.address}/{page}") as answer:
                assert answer.status == 200, await answer.text()
        await until(lambda: daemon.running.delivery.stats()["hook"].sent)
        async with session.get(f"{daemon.address}/metrics") as answer:
            text = await answer.text()
        assert "exposure_monitor_rules 1.0" in text
        assert 'exposure_monitor_notifications_total{outcome="sent",sink="hook"} 1.0' in text
        scanned = next(line for line in text.splitlines() if line.startswith("exposure_monitor_scanned_bytes_total "))
        assert float(scanned.split()[1]) == site.log.stat().st_size
        (task,) = daemon.running.sources.tasks
        task.cancel()
        await until(lambda: any(daemon.running.health.ready().values()))
        async with session.get(f"{daemon.address}/readyz") as answer:
            assert answer.status == 503
            assert "app" in await answer.text()


async def test_how_the_sources_are_is_noted_for_others(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1)
        await until(lambda: incidents(hook))
        daemon.snapshot.degraded["app", "/b.log"] = "cannot be read"
        await daemon.running.health.keep()
        state = (await daemon.running.site.store.positions.of(place("app")))[STATE]
        assert state["kept"] == daemon.snapshot.committed["app"]
        assert state["problems"] == {"/b.log": "cannot be read"}
        del daemon.snapshot.degraded["app", "/b.log"]
        await daemon.running.health.keep()
        await daemon.running.site.store.flush()
        positions = await daemon.running.site.store.positions.all()
        assert positions[place("app")][STATE]["problems"] is None
        assert positions["app"]


async def test_what_is_stuck_is_not_alive(site: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = site.daemon()
    async with running(daemon):
        assert set(daemon.running.health.live().values()) == {None}
        monkeypatch.setattr(daemon.running.site.scanner, "longest", lambda: 100.0)
        assert daemon.running.health.live()["scanner"] == "at one block for 100 s"
        daemon.running.health.lag = 100.0
        assert daemon.running.health.live()["event loop"] == "late by 100 s"


async def test_systemd_is_told_and_the_watchdog_fed_only_while_alive(
    site: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        heard: list[str] = []

        def listen() -> list[str]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard.extend(server.recv(1000).decode().split("\n"))
            return heard

        daemon = site.daemon()
        async with running(daemon):
            await until(lambda: {"READY=1", "WATCHDOG=1"} <= set(listen()))
            daemon.reload()
            await until(lambda: heard.count("READY=1") == 2 or not listen())
            assert "RELOADING=1" in heard
            watched = f"STATUS=watching {len(daemon.config.sources)} sources"
            await until(lambda: heard.count(watched) == 2 or not listen())
            monkeypatch.setattr(daemon.running.health, "vital", lambda: {"scanner": "stuck"})
            await asyncio.sleep(0.15)
            listen()
            heard.clear()
            await asyncio.sleep(0.4)
            assert listen() == []
        assert "STOPPING=1" in listen()


async def test_a_disk_that_hangs_is_neither_ready_nor_healthy(site: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.daemon.health._SLOW", 0.1)
    monkeypatch.setattr("monitor.daemon.health._HANGS", 0.3)
    daemon, works = site.daemon(), threading.Event()
    async with running(daemon), aiohttp.ClientSession() as session:

        async def status(path: str) -> int:
            async with session.get(f"{daemon.address}{path}") as answer:
                return answer.status

        async def becomes(path: str, wanted: int) -> None:
            async with asyncio.timeout(120):
                while await status(path) != wanted:
                    await asyncio.sleep(0.02)

        await becomes("/readyz", 200)
        monkeypatch.setattr(daemon.running.site.store._database, "replaced", lambda: not works.wait(60))
        site.plant(1)
        await becomes("/readyz", 503)
        await becomes("/healthz", 503)
        assert set(daemon.running.health.vital().values()) == {None}, "a restart would not help"
        works.set()
        await becomes("/readyz", 200)
        await becomes("/healthz", 200)


async def test_a_database_that_hangs_and_a_clock_that_is_wrong_are_reported_and_over(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.daemon.health._BEAT", 0.05)
    daemon = site.daemon()
    async with running(daemon):
        with monkeypatch.context() as patch:
            patch.setattr(daemon.running.site.store, "stalled", lambda: 12.0)
            patch.setattr(Store, "ahead", -40.0)
            await told(hook, "does not answer a write has been under way for 12 s")
            await told(hook, "is wrong It is 40 s behind the clock of the database server")
            daemon.snapshot.sign_ins["password", "refused"] += 60
            await told(hook, "guesses passwords of the console 60 were refused within 15 minutes.")
        monkeypatch.setattr("monitor.daemon.health._LATELY", 0.0)
        await until(lambda: sum(payload["reason"] == "recovered" for payload in hook.payloads) == 3)


async def test_a_list_of_secrets_that_is_out_of_date_is_not_ready(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        daemon.snapshot.inventory["vault"] = Known(time.time() - 10, 60.0)
        assert daemon.running.health.ready()["inventory"] is None
        daemon.snapshot.inventory["vault"] = Known(time.time() - 100, 60.0)
        assert str(daemon.running.health.ready()["inventory"]).startswith("not read to its end for long: vault (100 s")


async def test_a_credential_of_a_sink_that_cannot_be_had_is_not_ready(site: Setup, hook: FakeWebhook) -> None:
    headers = 'headers = {{ Authorization = "Bearer {{env:{name}}}" }}\n'
    url = site.url.read_text()
    site.url.unlink()
    daemon = site.daemon()
    async with running(daemon), aiohttp.ClientSession() as session:

        async def missing() -> dict[str, str]:
            async with session.get(f"{daemon.address}/readyz") as answer:
                checks = (await answer.json())["checks"]
                assert answer.status == (200 if set(checks.values()) == {"ok"} else 503)
                return {key: text for key, text in checks.items() if text != "ok"}

        assert await missing() == {"sinks[0].url": f'sink "hook": file:{site.url}: No such file or directory'}
        site.url.write_text(url)
        await until(lambda: not any(daemon.running.health.ready().values()))
        site.configure(headers.format(name="NOT_SET_ANYWHERE"))
        await until(lambda: any(daemon.running.health.ready().values()))
        said = 'sink "hook": environment variable NOT_SET_ANYWHERE is not set'
        assert await missing() == {"sinks[0].headers.Authorization[1]": said}
        await told(hook, "credentials cannot be read")
