from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from monitor.common import tasks
from monitor.daemon import Daemon, supervise
from monitor.intake import ledger
from monitor.sources.file import source as file
from monitor.sources.standing import standing
from tests.fakes.intake import until
from tests.fakes.server import Fault
from tests.fakes.setup import Setup, incidents, running, shown, told
from tests.fakes.webhook import FakeWebhook
from tests.monitor.store.conftest import postgres_server, postgres_url, prepared_postgres
from tests.monitor.store.failover import lagging, take_over

__all__ = ["postgres_server", "postgres_url", "prepared_postgres"]  # fixtures


async def test_ready_means_that_where_sources_begin_is_durable(site: Setup, hook: FakeWebhook) -> None:
    """Killed at once after that, it goes on from there."""
    site.configure('[[sources]]\nname = "b"\ntype = "file"\ninclude = ["logs/*.txt"]\n')
    seen: list[str] = []

    def ready(daemon: Daemon) -> None:
        with closing(sqlite3.connect(site.root / "state/state.db")) as connection:
            seen.extend(
                row[0] for row in connection.execute("SELECT source FROM positions WHERE key LIKE '%first-run%'")
            )
        daemon.stop()

    assert await site.daemon().run(ready) == 0
    assert sorted(seen) == ["app", "b"]


async def test_a_source_that_fails_is_started_again_and_takes_no_other_down(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FIRST", 0.01)
    real, failures = file.FileSource.run, 5

    async def run(self: file.FileSource, once: bool) -> None:
        nonlocal failures
        if self.config.name == "app" and failures:
            failures -= 1
            raise RuntimeError("unexpected s3cr3t")
        await real(self, once)

    monkeypatch.setattr(file.FileSource, "run", run)
    other = site.root / "other.log"
    site.configure(f'[[sources]]\nname = "b"\ntype = "file"\ninclude = ["{other}"]\nstart_at = "beginning"\n')
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1, path=other)
        site.plant(2)
        await until(lambda: len({incident["fingerprint"] for incident in incidents(hook)}) == 2)
        assert daemon.snapshot.restarts["app"] == 5
        page = await shown(daemon, "/sources/app")
        assert "What to do:" in page
        assert "after RuntimeError, 5 times since the start" in page
        assert "s3cr3t" not in page
        await told(hook, "Source app keeps failing")
    text = next(payload["text"] for payload in hook.payloads if payload["title"] == "Source app keeps failing")
    assert text.startswith("RuntimeError. It is started again")
    assert "s3cr3t" not in str(hook.payloads)


@pytest.mark.parametrize("mended", ["by itself", "by a reload"])
async def test_a_failing_source_that_works_again_is_closed_where_it_was_told(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch, mended: str
) -> None:
    monkeypatch.setattr(tasks, "FIRST", 0.01)
    monkeypatch.setattr(tasks, "LONGEST", 0.05)
    monkeypatch.setattr(tasks, "STEADY", 3.0)  # longer than a busy machine takes from start to failure
    real, fails = file.FileSource.run, True

    async def run(self: file.FileSource, once: bool) -> None:
        if fails and self.config.reconcile != 0.3:
            raise RuntimeError("unexpected")
        await real(self, once)

    def over() -> list[dict[str, Any]]:
        return [payload for payload in hook.payloads if payload["reason"] == "recovered"]

    monkeypatch.setattr(file.FileSource, "run", run)
    daemon = site.daemon()
    async with running(daemon):
        await told(hook, "Source app keeps failing")
        assert not over()
        if mended == "by itself":
            fails = False
        else:
            site.config.write_text(site.config.read_text().replace('reconcile = "100ms"', 'reconcile = "300ms"'))
            daemon.reload()
        await until(over)
        site.plant(1)
        await until(lambda: incidents(hook))
    [closed] = over()
    assert closed["title"] == "Source app keeps failing"


async def test_what_could_not_work_is_forgotten_with_the_configuration_it_was_of(site: Setup) -> None:
    """Else whoever mends the address, or takes the source out, is shown its trouble until the next start."""

    def net(port: int) -> str:
        return f'[[sources]]\nname = "net"\ntype = "syslog"\nlisten = ["tcp:127.0.0.1:{port}"]\n'

    def wrong() -> list[str]:
        return [part for source, part in daemon.snapshot.degraded if source == "net"]

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site.configure(net(port))
        daemon = site.daemon()
        async with running(daemon):
            await until(wrong)
            site.configure(net(0))
            daemon.reload()
            await until(lambda: daemon.snapshot.reloads["ok"] == 1)
            await until(lambda: not wrong(), lambda: f"still {wrong()}")


async def test_a_source_that_cannot_be_made_leaves_no_task_behind_and_nothing_is_counted_twice(
    site: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FIRST", 0.01)
    made = 0

    class Unmade:
        def __init__(self, *_: object) -> None:
            nonlocal made
            made += 1
            if made < 4:
                raise RuntimeError("unexpected")

        async def run(self, once: bool) -> None:
            await asyncio.Event().wait()

    daemon = site.daemon()
    async with running(daemon):
        store = daemon.running.site.store
        earlier = ledger.Ledger("app")
        earlier.restore({})
        earlier.enter("truncated", 100, "/a.log", "bytes", 1.0)
        await store.commit((), earlier.changed())
        await store.flush()
        slow = asyncio.Event()
        real = store.positions.of

        async def of(source: str) -> Any:
            await slow.wait()
            return await real(source)

        monkeypatch.setattr(store.positions, "of", of)
        monkeypatch.setattr(supervise, "load_source", lambda _: Unmade)
        sources = supervise.Sources(daemon.running.site, {})
        sources.start(daemon.config.sources[0])
        await until(lambda: made == 4)
        slow.set()
        await until(lambda: sources._ledgers["app"].restored)
        await sources.stop()
        await store.flush()
        [loss] = ledger.losses(await real(ledger.place("app")))
        assert loss.count == 100


async def test_a_notice_that_is_late_takes_nothing_from_the_ledger_of_a_source_started_anew(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FIRST", 0.01)
    real, losses = file.FileSource.run, [100, 11]

    async def run(self: file.FileSource, once: bool) -> None:
        if losses:
            self._intake.missed("truncated", losses.pop(0), "/a.log")
            raise RuntimeError("unexpected")
        hook.always = None
        await real(self, once)

    monkeypatch.setattr(file.FileSource, "run", run)
    hook.always = Fault(status=503)  # until it runs well
    daemon = site.daemon()
    async with running(daemon):
        await told(hook, "of /a.log (truncated)")

        async def kept() -> list[ledger.Loss]:
            return ledger.losses(await daemon.running.site.store.positions.of(ledger.place("app")))

        while not (found := await kept()) or found[0].untold != 11:  # it says nothing of these
            await asyncio.sleep(0.01)
        assert [loss.count for loss in found] == [111]


async def test_a_database_lost_while_down_is_told_and_nothing_is_skipped(site: Setup, hook: FakeWebhook) -> None:
    site.config.write_text(site.config.read_text().replace('start_at = "beginning"', 'start_at = "end"'))
    site.log.touch()
    daemon = site.daemon()
    async with running(daemon):
        async with asyncio.timeout(120):
            while not await daemon.running.site.store.positions.of("app"):
                await asyncio.sleep(0.02)
        site.plant(1)
        await until(lambda: len(incidents(hook)) == 1)
    for path in (site.root / "state").glob("state.db*"):
        if not path.name.endswith("-mark"):
            path.unlink()
    site.plant(2)
    async with running(site.daemon()):
        await until(lambda: len({one["fingerprint"] for one in incidents(hook)}) == 2)
        await told(hook, "The state database has lost its last transactions")


def _called(site: Setup, name: str, extra: str = "", start_at: str = "end") -> None:
    site.configure(extra)
    text = site.config.read_text().replace('name = "app"', f'name = "{name}"')
    site.config.write_text(text.replace('start_at = "beginning"', f'start_at = "{start_at}"'))


@pytest.mark.parametrize("how", ["restart", "reload"])
async def test_a_source_under_another_name_goes_on_where_it_was(site: Setup, hook: FakeWebhook, how: str) -> None:
    """Though a new one begins at the end of its files; and its losses are its own, under the new name alone."""
    _called(site, "before")
    daemon = site.daemon()

    def missed() -> list[str]:
        return [loss["reason"] for source in standing(daemon.config.sources, rows) for loss in source.row()["lost"]]

    async with running(daemon):
        site.plant(1)
        await until(lambda: len(incidents(hook)) == 1)
        ledger_ = daemon.running.sources._ledgers["before"]
        await until(lambda: ledger_.restored)
        ledger_.enter("gone", 7, "/a", "bytes", 1.0)
        if how == "restart":
            await daemon.running.site.store.commit((), ledger_.changed())
        else:
            task = daemon.running.sources._tasks["before"][1]
            _called(site, "after")
            site.plant(2)  # before anybody looks for it under the new name
            await until(lambda: daemon.running.sources.names == {"after"})
            assert task.done()
            await until(lambda: len(incidents(hook)) == 2)
            site.plant(3)
            await until(lambda: len(incidents(hook)) == 3)
            await daemon.running.site.store.commit((), daemon.running.sources._ledgers["after"].changed())
            rows = await daemon.running.site.store.positions.all()
    if how == "restart":
        site.plant(2)
        _called(site, "after")
        daemon = site.daemon()
        async with running(daemon):
            await until(lambda: len(incidents(hook)) == 2)
            rows = await daemon.running.site.store.positions.all()
    assert missed() == ["gone"]
    assert not rows.get("before")
    assert not [key for key in rows.get("@before", {}) if key != ledger.STATE]


async def test_where_two_may_be_the_one_nothing_is_taken_over_and_it_is_told(site: Setup, hook: FakeWebhook) -> None:
    _called(site, "before")
    async with running(site.daemon()):
        pass
    site.plant(1)
    _called(site, "one", f'[[sources]]\nname = "two"\ntype = "file"\ninclude = ["{site.log.parent}/*.log"]\n')
    daemon = site.daemon()
    async with running(daemon):
        await told(hook, "Positions of before were not taken over")
        await told(hook, "one, two read the same")
        assert set(await daemon.running.site.store.positions.all()) >= {"before", "one", "two"}


async def test_sources_go_back_when_their_server_has_forgotten(
    site: Setup, hook: FakeWebhook, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is remembered is written again at once; here nothing is, so that it must come from the log."""
    monkeypatch.setattr("monitor.store.memory._MOST", 0)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    site.config.write_text(site.config.read_text().replace("[monitor]", '[monitor]\ndatabase = "env:DATABASE_URL"'))
    daemon = site.daemon()

    def seen() -> set[str]:
        return {incident["fingerprint"] for incident in incidents(hook)}

    async with running(daemon):
        store = daemon.running.site.store
        site.plant(1)
        await until(lambda: len(seen()) == 1)
        await store.flush()
        copy = lagging(postgres_url)
        site.plant(2)
        await until(lambda: len(seen()) == 2)
        take_over(postgres_url, copy)
        site.plant(3)
        await until(lambda: len(seen()) == 3)
        await told(hook, "The state database has lost its last transactions")
        async with asyncio.timeout(30):
            while {one.fingerprint for one in await store.incidents.find()} != seen():
                await asyncio.sleep(0.05)
        assert [one.occurrences for one in await store.incidents.find()] == [1, 1, 1]
        kept = ledger.losses(await store.positions.of(ledger.place("app")))
        assert [(loss.reason, loss.unknown, loss.untold) for loss in kept] == [("forgotten", 1, None)]
