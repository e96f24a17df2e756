from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from detectors.template import expand
from monitor import config as configuration
from monitor import daemon as module
from monitor.config import ConfigError
from monitor.daemon import Daemon, SourceIntake
from monitor.model import Position
from monitor.sources.file import source as file
from monitor.store import Recovery, StoreError
from tests.fakes.intake import until
from tests.fakes.server import Fault
from tests.fakes.webhook import FakeWebhook

RULE = """
[[rule]]
id = "acme-{name}"
name = "Acme {name} token"
pattern = '''\\b(?P<secret>{name}_[a-z0-9]{{32}})\\b'''
severity = "critical"
examples = ["token={name}_{{lower:20}}{{digit:12}}", "{name}_{{lower:16}}{{digit:16}}"]
negative_examples = ["{name}_{{lower:4}}", "{name}"]
references = ["https://acme.example/docs"]
"""


@pytest.fixture(autouse=True)
def not_hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    # It would hold for the rest of the test process.
    monkeypatch.setattr(module, "harden", lambda: None)


class Site:
    """A folder with a configuration, rules and logs."""

    def __init__(self, root: Path, hook: FakeWebhook) -> None:
        self.root = root
        self.log = root / "logs/app.log"
        self.log.parent.mkdir()
        (root / "rules.d").mkdir()
        self.rule("acme")
        self.url = root / "hook-url"
        self.url.write_text(hook.url)
        self.config = root / "config.toml"
        self.configure()

    def rule(self, name: str, text: str | None = None) -> None:
        (self.root / f"rules.d/{name}.toml").write_text(RULE.format(name=name) if text is None else text)

    def configure(self, extra: str = "", listen: str = "127.0.0.1:0", include: str = "logs/*.log") -> None:
        self.config.write_text(
            f'[monitor]\nstate_dir = "state"\n[http]\nlisten = "{listen}"\n'
            f'[rules]\npacks = []\npaths = ["rules.d/*.toml"]\n'
            f'[[sources]]\nname = "app"\ntype = "file"\ninclude = ["{include}"]\nstart_at = "beginning"\n'
            f'reconcile = "100ms"\nquiet = "100ms"\n'
            f'[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "file:{self.url}"\n{extra}'
        )

    def daemon(self, once: bool = False) -> Daemon:
        return Daemon(configuration.load(self.config), once=once)

    def plant(self, seed: int, name: str = "acme", path: Path | None = None) -> str:
        value = expand(f"{name}_{{lower:20}}{{digit:12}}", seed)
        with (path or self.log).open("a") as log:
            log.write(f"refused token={value} of request {seed}\n")
        return value


@pytest.fixture
async def hook() -> AsyncIterator[FakeWebhook]:
    async with FakeWebhook() as hook:
        yield hook


@pytest.fixture
def site(tmp_path: Path, hook: FakeWebhook) -> Site:
    return Site(tmp_path, hook)


@contextlib.asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[asyncio.Task[int]]:
    ready = asyncio.Event()
    task = asyncio.create_task(daemon.run(on_ready=lambda _: ready.set()))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield task
    finally:
        daemon.stop()
        await asyncio.wait_for(task, 15)


def incidents(hook: FakeWebhook, rule: str | None = None) -> list[dict[str, Any]]:
    found = [incident for payload in hook.payloads for incident in payload["incidents"]]
    return [incident for incident in found if rule is None or incident["rule"] == rule]


def notices(hook: FakeWebhook) -> list[str]:
    return [f"{payload.get('title')} {payload.get('text')}" for payload in hook.payloads if not payload["incidents"]]


async def told(hook: FakeWebhook, words: str) -> None:
    await until(lambda: any(words in notice for notice in notices(hook)), lambda: f"only {notices(hook)}")


# From a line to an alert


async def test_a_secret_becomes_an_alert_and_nothing_shows_it(
    site: Site, hook: FakeWebhook, capfd: pytest.CaptureFixture[str]
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


async def test_it_goes_on_where_it_stopped(site: Site, hook: FakeWebhook) -> None:
    async with running(site.daemon()):
        site.plant(1)
        await until(lambda: len(incidents(hook)) == 1)
    site.plant(2)
    async with running(site.daemon()):
        await until(lambda: len(incidents(hook)) == 2)
        await asyncio.sleep(0.2)
    assert [incident["occurrences"] for incident in incidents(hook)] == [1, 1]


async def test_once_reads_to_the_end_delivers_and_ends(site: Site, hook: FakeWebhook) -> None:
    for seed in range(20):
        site.plant(seed)
    assert await asyncio.wait_for(site.daemon(once=True).run(), 20) == 0
    assert len({incident["fingerprint"] for incident in incidents(hook)}) == 20
    sent = len(hook.payloads)
    assert await asyncio.wait_for(site.daemon(once=True).run(), 20) == 0
    assert len(hook.payloads) == sent


async def test_once_says_when_something_could_not_be_delivered(
    site: Site, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ONCE_SETTLE", 0.5)
    hook.always = Fault(503)
    site.plant(1)
    assert await asyncio.wait_for(site.daemon(once=True).run(), 20) == 1
    hook.always = None
    assert await asyncio.wait_for(site.daemon(once=True).run(), 20) == 0
    assert len(incidents(hook)) == 1


# Start


async def test_start_fails_with_every_problem_of_the_rules(site: Site) -> None:
    site.rule("bad", RULE.format(name="bad").replace("{32}", "{32}(?=x)"))
    site.rule("worse", RULE.format(name="worse").replace("critical", "terrible"))
    with pytest.raises(ConfigError) as caught:
        await site.daemon().run()
    assert len(caught.value.problems) >= 2
    assert all(problem.key == "rules" for problem in caught.value.problems)


async def test_rules_of_ones_own_are_checked_against_their_examples(site: Site) -> None:
    site.rule("odd", RULE.format(name="odd").replace("token=odd_", "token=even_"))
    with pytest.raises(ConfigError, match="odd"):
        await site.daemon().run()


async def test_an_address_that_is_taken_is_an_error_of_the_configuration(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        site.configure(listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ConfigError, match=r"http\.listen: 127.*is a monitor running already"):
            await site.daemon().run()


async def test_two_do_not_share_a_state(site: Site) -> None:
    async with running(site.daemon()):
        for once in (False, True):
            with pytest.raises(StoreError, match="a monitor is running on this state already"):
                await site.daemon(once).run()
    assert await site.daemon(once=True).run() == 0


async def test_without_http(site: Site, hook: FakeWebhook) -> None:
    site.configure(listen="")
    daemon = site.daemon()
    async with running(daemon):
        assert daemon.address is None
        site.plant(1)
        await until(lambda: incidents(hook))


async def test_a_corrupt_database_is_kept_aside_and_told(site: Site, hook: FakeWebhook) -> None:
    (site.root / "state").mkdir()
    (site.root / "state/state.db").write_bytes(b"this is no database" * 500)
    async with running(site.daemon()):
        await told(hook, "damaged")
        site.plant(1)
        await until(lambda: incidents(hook))
    assert list((site.root / "state").glob("state.db.corrupt-*"))


# Health


async def test_health_readiness_and_metrics(site: Site, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon), aiohttp.ClientSession() as session:
        site.plant(1)
        await until(lambda: incidents(hook))
        for page in ("healthz", "readyz"):
            async with session.get(f"{daemon.address}/{page}") as answer:
                assert answer.status == 200, await answer.text()
        await asyncio.sleep(0.1)
        async with session.get(f"{daemon.address}/metrics") as answer:
            text = await answer.text()
        assert "exposure_monitor_rules 1.0" in text
        assert 'exposure_monitor_notifications_total{outcome="sent",sink="hook"} 1.0' in text
        scanned = next(line for line in text.splitlines() if line.startswith("exposure_monitor_scanned_bytes_total "))
        assert float(scanned.split()[1]) == site.log.stat().st_size
        daemon._sources["app"][1].cancel()
        await asyncio.sleep(0.1)
        async with session.get(f"{daemon.address}/readyz") as answer:
            assert answer.status == 503
            assert "app" in await answer.text()


async def test_what_is_stuck_is_not_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = site.daemon()
    async with running(daemon):
        assert set(daemon.live().values()) == {None}
        monkeypatch.setattr(daemon.scanner, "longest", lambda: 100.0)
        assert daemon.live()["scanner"] == "at one block for 100 s"
        daemon._lag = 100.0
        assert daemon.live()["event loop"] == "late by 100 s"


async def test_systemd_is_told_and_the_watchdog_fed_only_while_alive(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
                    heard.append(server.recv(1000).decode().split("\n")[0])
            return heard

        daemon = site.daemon()
        async with running(daemon):
            await until(lambda: "WATCHDOG=1" in listen())
            assert heard[0] == "READY=1"
            daemon.reload()
            await until(lambda: heard.count("READY=1") == 2 or not listen())
            assert "RELOADING=1" in heard
            monkeypatch.setattr(daemon, "_vital", lambda: {"scanner": "stuck"})
            await asyncio.sleep(0.15)
            listen()
            heard.clear()
            await asyncio.sleep(0.4)
            assert listen() == []
        assert "STOPPING=1" in listen()


# Reload


async def test_a_changed_rule_file_is_taken_over_without_losing_a_line(site: Site, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1)
        await until(lambda: incidents(hook))
        site.rule("other")
        await until(lambda: daemon.snapshot.rules == 2)
        site.plant(2, "other")
        site.plant(3)
        await until(lambda: incidents(hook, "acme-other") and len(incidents(hook, "acme-acme")) == 2)
        assert daemon.snapshot.reloads["ok"] >= 1


async def test_a_changed_rule_that_slows_the_scan_down_is_logged(site: Site) -> None:
    daemon = site.daemon()
    async with running(daemon):
        with structlog.testing.capture_logs() as logs:
            text = RULE.format(name="wide").replace("wide_[", "[a-z]{2,9} [").replace("wide_{", "wide {")
            site.rule("wide", text)
            await until(lambda: [entry for entry in logs if entry["event"] == "a rule slows the scan down"])
    assert "wide.toml: acme-wide: " in str(logs)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda site: site.rule("bad", "[[rule]\n"),
        lambda site: site.rule("bad", RULE.format(name="bad").replace("(?P<secret>", "(?P<secret>(?<=x)")),
        lambda site: site.rule("bad", RULE.format(name="bad").replace('"token=bad', '"token=good')),
        lambda site: site.configure("[[sinks]]\nname = 7\n"),
        lambda site: site.config.write_text("not toml"),
    ],
)
async def test_a_bad_file_keeps_the_old_set_and_is_told(
    site: Site, hook: FakeWebhook, spoil: Callable[[Site], None]
) -> None:
    daemon = site.daemon()
    async with running(daemon):
        spoil(site)
        os.kill(os.getpid(), signal.SIGHUP)
        await told(hook, "A changed configuration was refused")
        assert daemon.snapshot.rules == 1
        assert daemon.snapshot.reloads["refused"] >= 1
        site.plant(1)
        await until(lambda: incidents(hook))


async def test_a_refused_configuration_that_is_mended_is_closed_where_it_was_told(
    site: Site, hook: FakeWebhook
) -> None:
    async with running(site.daemon()):
        good = site.config.read_text()
        site.config.write_text("not toml")
        os.kill(os.getpid(), signal.SIGHUP)
        await told(hook, "A changed configuration was refused")
        site.config.write_text(good)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: any(payload["reason"] == "recovered" for payload in hook.payloads))
    [over] = [payload for payload in hook.payloads if payload["reason"] == "recovered"]
    assert over["title"] == "A changed configuration was refused"


async def test_sources_and_sinks_come_and_go_with_the_configuration(
    site: Site, hook: FakeWebhook, tmp_path: Path
) -> None:
    async with FakeWebhook() as second:
        daemon = site.daemon()
        async with running(daemon):
            site.plant(1)
            await until(lambda: incidents(hook))
            (tmp_path / "second").write_text(second.url)
            (tmp_path / "more").mkdir()
            site.configure(
                f'[[sinks]]\nname = "second"\ntype = "webhook"\nurl = "file:{tmp_path}/second"\n'
                '[[sources]]\nname = "more"\ntype = "file"\ninclude = ["more/*.log"]\nreconcile = "100ms"\n'
            )
            await until(lambda: set(daemon._sources) == {"app", "more"})
            await asyncio.sleep(0.3)
            site.plant(2, path=tmp_path / "more/a.log")
            await until(lambda: len(incidents(hook)) == 2 and len(incidents(second)) == 1)
            site.configure()
            await until(lambda: set(daemon._sources) == {"app"})
            site.plant(3, path=tmp_path / "more/a.log")
            site.plant(4)
            await until(lambda: len(incidents(hook)) == 3)
        assert len(incidents(second)) == 1


async def test_a_deleted_file_stays_open_over_a_reload(site: Site, hook: FakeWebhook) -> None:
    site.plant(1)
    daemon = site.daemon()
    with site.log.open("a", buffering=1) as writer:
        async with running(daemon):
            await until(lambda: len(incidents(hook)) == 1)
            site.log.unlink()
            text = site.config.read_text().replace('quiet = "100ms"', 'quiet = "200ms"')
            site.config.write_text(text)
            daemon.reload()
            await until(lambda: daemon.snapshot.reloads["ok"] >= 1)
            writer.write("token=" + expand("acme_{lower:20}{digit:12}", 2) + "\n")
            await until(lambda: len(incidents(hook)) == 2)


async def test_ready_means_that_where_sources_begin_is_durable(site: Site, hook: FakeWebhook) -> None:
    """Killed at once after that, it goes on from there."""
    site.configure('[[sources]]\nname = "b"\ntype = "file"\ninclude = ["logs/*.txt"]\n')
    seen: list[str] = []

    def ready(daemon: Daemon) -> None:
        with sqlite3.connect(site.root / "state/state.db") as connection:
            seen.extend(
                row[0] for row in connection.execute("SELECT source FROM positions WHERE key LIKE '%first-run%'")
            )
        daemon.stop()

    assert await site.daemon().run(ready) == 0
    assert sorted(seen) == ["app", "b"]


# Trouble


async def test_a_source_that_fails_is_started_again_and_takes_no_other_down(
    site: Site, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RESTART_FIRST", 0.01)
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
        await told(hook, "Source app keeps failing")
    assert "s3cr3t" not in str(hook.payloads)


async def test_a_database_lost_while_down_is_told_and_nothing_is_skipped(site: Site, hook: FakeWebhook) -> None:
    site.config.write_text(site.config.read_text().replace('start_at = "beginning"', 'start_at = "end"'))
    site.log.touch()
    daemon = site.daemon()
    async with running(daemon):
        async with asyncio.timeout(20):
            while not await daemon.store.positions.of("app"):
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


async def test_a_disk_that_hangs_is_neither_ready_nor_healthy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.daemon._SLOW", 0.1)
    monkeypatch.setattr("monitor.daemon._HANGS", 0.3)
    daemon, works = site.daemon(), threading.Event()
    async with running(daemon), aiohttp.ClientSession() as session:

        async def status(path: str) -> int:
            async with session.get(f"{daemon.address}{path}") as answer:
                return answer.status

        async def becomes(path: str, wanted: int) -> None:
            async with asyncio.timeout(20):
                while await status(path) != wanted:
                    await asyncio.sleep(0.02)

        await becomes("/readyz", 200)
        monkeypatch.setattr(daemon.store._database, "replaced", lambda: not works.wait(60))
        site.plant(1)
        await becomes("/readyz", 503)
        await becomes("/healthz", 503)
        assert set(daemon._vital().values()) == {None}, "a restart would not help"
        works.set()
        await becomes("/readyz", 200)
        await becomes("/healthz", 200)


async def test_a_database_that_cannot_be_written_stops_the_reading_and_is_told(site: Site, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1)
        await until(lambda: incidents(hook))
        blocker = sqlite3.connect(site.root / "state/state.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        site.plant(2)
        await told(hook, "The state database cannot be written")
        assert daemon.ready()["store"] is not None
        assert set(daemon.live().values()) == {None}, "a restart would not help"
        blocker.execute("ROLLBACK")
        blocker.close()
        await until(lambda: len(incidents(hook)) == 2)
        await until(lambda: daemon.ready()["store"] is None)


async def test_what_a_source_misses_is_counted_and_told_once(site: Site, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon, "app")
        intake.missed("truncated", 100, "/var/log/a.log")
        intake.missed("truncated", 11, "/var/log/a.log")
        await told(hook, "100 bytes of /var/log/a.log (truncated)")
        assert daemon.snapshot.missed["app", "truncated"] == 111
        intake.degraded("/var/log/b.log", "cannot be read")
        assert daemon.snapshot.degraded == {("app", "/var/log/b.log"): "cannot be read"}
        intake.degraded("/var/log/b.log", None)
        assert daemon.snapshot.degraded == {}
        await asyncio.sleep(0.1)
    assert len(notices(hook)) == 1


async def test_the_intake_keeps_positions(site: Site) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon, "x")
        await intake.record((), [Position("x", "a", {"offset": 1}), Position("x", "b", {"offset": 2})])
        assert await intake.positions() == {"a": {"offset": 1}, "b": {"offset": 2}}
        await intake.record((), [Position("x", "a", None)])
        assert await intake.positions() == {"b": {"offset": 2}}
        assert (rule := intake.rule("acme-acme")) is not None
        assert rule.id == "acme-acme"
        assert intake.rule("none") is None
        value = expand("acme_{lower:20}{digit:12}", 1)
        (finding,) = await intake.identify(f"is it {value}?".encode())
        assert finding.rule == "acme-acme"


async def test_a_recovery_is_told_with_what_was_kept(site: Site, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        daemon._recovered(Recovery("damaged", Path("/s/state.db.corrupt-x"), "malformed", {"incidents": 3}))
        await told(hook, "kept at /s/state.db.corrupt-x. Carried over: 3 incidents. Some rows could not be read.")


# The end, in a process of its own


async def start(site: Site) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "run", "--config", str(site.config)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stderr is not None
    while True:
        line = await asyncio.wait_for(process.stderr.readline(), 20)
        assert line, "ended before it was ready"
        if b'"ready"' in line:
            return process


async def test_sigterm_ends_with_0_although_a_sink_hangs(site: Site, hook: FakeWebhook) -> None:
    hook.always = Fault(hang=True)
    process = await start(site)
    site.plant(1)
    await until(lambda: hook.requests)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0
    assert time.monotonic() - began < 10
    hook.always = None
    process = await start(site)
    await until(lambda: incidents(hook))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_once_ends_at_a_signal_also_while_it_waits_for_a_sink(site: Site, hook: FakeWebhook) -> None:
    hook.always = Fault(503)
    site.plant(1)
    daemon = site.daemon(once=True)
    running = asyncio.create_task(daemon.run())
    await until(lambda: hook.requests)
    daemon.stop()
    assert await asyncio.wait_for(running, 5) == 0


async def test_a_second_signal_ends_at_once(site: Site, hook: FakeWebhook) -> None:
    hook.always = Fault(hang=True)
    process = await start(site)
    site.plant(1)
    await until(lambda: hook.requests)
    process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 2) == 130
