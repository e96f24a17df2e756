"""The real command in trouble: full disk, reload under load, lost folders, files it may not read, threads that hang."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.harness import Monitor, Planter, fingerprints, until
from tests.fakes.webhook import FakeWebhook

CONFIG = """
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
reconcile = "200ms"
quiet = "200ms"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "100000/1m"
group_interval = "1s"
"""
WAITING = "waiting for the state database"
RULE = """
[[rule]]
id = "acme-{name}"
name = "Acme {name}"
pattern = '''\\b(?P<secret>{name}_[a-z]{{20}}[0-9]{{12}})\\b'''
severity = "high"
examples = ["{name}_{{lower:20}}{{digit:12}}"]
negative_examples = ["{name}_{{lower:4}}"]
references = ["https://acme.example/docs"]
"""


@pytest.fixture
async def hook() -> AsyncIterator[FakeWebhook]:
    async with FakeWebhook() as fake:
        yield fake


@pytest.fixture
async def monitor(tmp_path: Path, hook: FakeWebhook) -> AsyncIterator[Monitor]:
    (tmp_path / "logs").mkdir()
    found = Monitor(tmp_path, CONFIG, {"HOOK_URL": f"{hook.url}/hook"})
    yield found
    if found.process is not None and found.process.returncode is None:
        await found.kill()


def notices(hook: FakeWebhook) -> str:
    return "\n".join(f"{p.get('title')} {p.get('text')}" for p in hook.payloads if not p["incidents"])


async def arrived(hook: FakeWebhook, planter: Planter, seconds: float = 120) -> None:
    wanted = set(planter.planted)
    await until(
        lambda: wanted <= fingerprints(hook.payloads),
        seconds,
        lambda: f"{len(wanted - fingerprints(hook.payloads))} of {len(wanted)} missing; told: {notices(hook)}",
    )


async def metrics(monitor: Monitor) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{monitor.address}/metrics") as answer:
        return await answer.text()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def fill(ballast: Path) -> None:
    """Take all the room there is."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB, room for the compiled rules of some sessions; needs root."""
    place = tmp_path / "state"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
async def test_a_full_disk_stops_the_reading_and_loses_nothing(
    small_disk: Path, monitor: Monitor, hook: FakeWebhook, tmp_path: Path
) -> None:
    planter = Planter(1)
    log = tmp_path / "logs/app.log"
    monitor.config.write_text(monitor.config.read_text() + '[rules]\npacks = ["vcs/github"]\n')
    await monitor.start()
    append(log, planter.lines(5))
    await arrived(hook, planter)
    ballast = small_disk / "ballast"
    fill(ballast)
    # More than what the write-ahead log has room for already.
    rounds = 0
    while "cannot be written" not in notices(hook):
        append(log, planter.lines(50))
        rounds += 1
        assert rounds < 200, "the disk is full and nobody says so"
        await asyncio.sleep(0.1)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{monitor.address}/readyz") as answer:
            assert answer.status == 503
            assert "full" in (await answer.json())["checks"]["store"]
        async with session.get(f"{monitor.address}/healthz") as answer:
            assert answer.status == 200, "a restart would not help"
        append(log, planter.lines(20))
        await asyncio.sleep(1)
        assert monitor.process is not None
        assert monitor.process.returncode is None
        assert not planter.planted.keys() <= fingerprints(hook.payloads)
        ballast.unlink()
        await arrived(hook, planter)
        status = 503
        async with asyncio.timeout(120):
            while status != 200:
                async with session.get(f"{monitor.address}/readyz") as answer:
                    status = answer.status
    assert fingerprints(hook.payloads) == set(planter.planted)
    assert await monitor.terminate() == 0


async def waits(monitor: Monitor, times: int) -> None:
    process = monitor.process
    assert process is not None
    await until(
        lambda: monitor.errors.count(WAITING) >= times or process.returncode is not None,
        120,
        lambda: f"it does not wait: {monitor.errors[-2000:]}",
    )
    assert process.returncode is None, monitor.errors[-2000:]


@pytest.mark.slow
async def test_a_start_on_a_full_disk_waits_and_loses_nothing(
    small_disk: Path, monitor: Monitor, hook: FakeWebhook, tmp_path: Path
) -> None:
    """The first one, which makes the key, too."""
    planter = Planter(8)
    log, ballast = tmp_path / "logs/app.log", small_disk / "ballast"
    text = monitor.config.read_text().replace('fingerprint_key = "file:key"\n', "")
    monitor.config.write_text(text + '[rules]\npacks = ["vcs/github"]\n')
    seen = 0
    for start in (1, 2):
        fill(ballast)
        append(log, planter.lines(5))
        await monitor.start(wait=False)
        await waits(monitor, seen + 2)
        assert "see whether its disk is full" in monitor.errors
        ballast.unlink()
        await monitor.ready()
        await until(
            lambda start=start: len(fingerprints(hook.payloads)) == 5 * start,  # type: ignore[misc]
            120,
            lambda: f"{len(fingerprints(hook.payloads))} of {planter.count}; told: {notices(hook)}",
        )
        assert await monitor.terminate() == 0
        seen = monitor.errors.count(WAITING)
    assert "damaged" not in notices(hook)


@pytest.mark.slow
async def test_a_full_disk_at_the_end_does_not_hold_up_the_end(
    small_disk: Path, monitor: Monitor, hook: FakeWebhook, tmp_path: Path
) -> None:
    monitor.config.write_text(monitor.config.read_text() + '[rules]\npacks = ["vcs/github"]\n')
    planter = Planter(2)
    log = tmp_path / "logs/app.log"
    await monitor.start()
    append(log, planter.lines(2))
    await arrived(hook, planter)
    ballast = small_disk / "ballast"
    fill(ballast)
    for _ in range(100):
        append(log, planter.lines(50))
        await asyncio.sleep(0.1)
        if "cannot be written" in notices(hook):
            break
    assert await monitor.terminate() == 0
    ballast.unlink()
    await monitor.start()
    await arrived(hook, planter)
    assert await monitor.terminate() == 0


@pytest.mark.slow
async def test_no_line_goes_unscanned_while_rules_are_reloaded_under_load(
    monitor: Monitor, hook: FakeWebhook, tmp_path: Path
) -> None:
    (tmp_path / "rules.d").mkdir()
    # With all packs, beside which a rule of one's own is compiled by itself, in a twentieth of a second.
    monitor.config.write_text(monitor.config.read_text() + '[rules]\npaths = ["rules.d/*.toml"]\n')
    await monitor.start()
    assert monitor.process is not None
    planter = Planter(3)
    logs = [tmp_path / f"logs/{n}.log" for n in range(3)]
    refused = "A changed configuration was refused"
    turn = 0
    while turn < 240 or monitor.errors.count('"event": "reloaded"') < 3:
        turn += 1
        if turn <= 240 or turn % 20 == 0:  # a busy machine reloads late: what waits to be told must not grow meanwhile
            append(logs[turn % 3], planter.lines(1))
        await asyncio.sleep(0.02)
        if turn % 20 == 0:
            (tmp_path / f"rules.d/r{turn % 30}.toml").write_text(RULE.format(name=f"acme{turn}"))
        if turn % 25 == 0:
            monitor.process.send_signal(signal.SIGHUP)
        if turn % 60 == 0:
            (tmp_path / "rules.d/bad.toml").write_text("[[rule]\n")
            await asyncio.sleep(0.05)
            monitor.process.send_signal(signal.SIGHUP)
            await until(lambda: refused in notices(hook), 120, lambda: monitor.errors[-1000:])
            (tmp_path / "rules.d/bad.toml").unlink()
    await arrived(hook, planter, 120)
    assert fingerprints(hook.payloads) == set(planter.planted)
    assert await monitor.terminate() == 0


async def test_sources_that_stay_are_not_read_again(monitor: Monitor, hook: FakeWebhook, tmp_path: Path) -> None:
    planter = Planter(4)
    append(tmp_path / "logs/a.log", planter.lines(3))
    await monitor.start()
    await arrived(hook, planter)

    async def scanned() -> float:
        name = "exposure_monitor_scanned_bytes_total "
        return float(next(line for line in (await metrics(monitor)).splitlines() if line.startswith(name)).split()[1])

    before = await scanned()
    (tmp_path / "more").mkdir()
    extra = planter.lines(2)
    append(tmp_path / "more/b.log", extra)
    text = monitor.config.read_text()
    monitor.config.write_text(
        text + '[[sources]]\nname = "more"\ntype = "file"\ninclude = ["more/*.log"]\nstart_at = "beginning"\n'
    )
    await arrived(hook, planter)
    assert await scanned() == before + len(extra)
    monitor.config.write_text(text)
    await until(lambda: monitor.errors.count('"event": "reloaded"') == 2, 120, lambda: monitor.errors[-1000:])
    append(tmp_path / "logs/a.log", planter.lines(1))
    await arrived(hook, planter)
    assert await monitor.terminate() == 0


async def test_a_folder_that_vanishes_and_comes_back(monitor: Monitor, hook: FakeWebhook, tmp_path: Path) -> None:
    planter = Planter(5)
    append(tmp_path / "logs/a.log", planter.lines(2))
    await monitor.start()
    await arrived(hook, planter)
    (tmp_path / "logs").rename(tmp_path / "gone")
    await asyncio.sleep(0.6)
    (tmp_path / "logs").mkdir()
    append(tmp_path / "logs/b.log", planter.lines(2))
    await arrived(hook, planter)
    assert await monitor.terminate() == 0


async def test_a_file_it_may_not_read_is_named_and_read_once_it_may(
    monitor: Monitor, hook: FakeWebhook, tmp_path: Path
) -> None:
    prefix: tuple[str, ...] = ()
    planter = Planter(6)
    append(tmp_path / "logs/open.log", planter.lines(1))
    closed = tmp_path / "logs/closed.log"
    append(closed, planter.lines(1))
    closed.chmod(0)
    if os.geteuid() == 0:  # without the capability root is a user like any other
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is missing (apt install util-linux)")
        prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    await monitor.start(prefix=prefix)
    await until(lambda: "closed.log" in monitor.errors, 120, lambda: monitor.errors)
    await until(lambda: len(fingerprints(hook.payloads)) == 1, 120, lambda: monitor.errors)
    assert 'exposure_monitor_source_degraded{source="app"} 1.0' in await metrics(monitor)
    closed.chmod(0o600)
    await arrived(hook, planter)
    await until(lambda: '"works again"' in monitor.errors, 120, lambda: monitor.errors)
    assert await monitor.terminate() == 0


async def test_standard_input_that_stays_open_does_not_hold_up_the_end(
    monitor: Monitor, hook: FakeWebhook, tmp_path: Path
) -> None:
    monitor.config.write_text(monitor.config.read_text() + '[[sources]]\nname = "pipe"\ntype = "stdin"\n')
    planter = Planter(7)
    reading, writing = os.pipe()
    await monitor.start(stdin=reading)
    os.close(reading)
    os.write(writing, planter.lines(2))
    await arrived(hook, planter)
    assert await monitor.terminate() == 0
    os.close(writing)


async def test_a_thread_that_hangs_does_not_hold_up_the_end(monitor: Monitor, tmp_path: Path) -> None:
    """A FIFO without a writer stands for a dead disk: whoever opens it for reading waits for ever."""
    os.mkfifo(tmp_path / "rules.toml")
    await monitor.start()
    monitor.config.write_text(monitor.config.read_text() + '[rules]\npaths = ["rules.toml"]\n')
    assert monitor.process is not None
    monitor.process.send_signal(signal.SIGHUP)
    await asyncio.sleep(1)
    assert await monitor.terminate() == 0


def stopped(monitor: Monitor) -> bool:
    """Each of its threads."""
    assert monitor.process is not None
    threads = Path(f"/proc/{monitor.process.pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(")")[2].split()[0] in "TZ" for thread in threads)


async def test_systemd_hears_of_each_step(monitor: Monitor, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(120)
        monitor.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        await monitor.start()
        assert monitor.process is not None
        heard: list[str] = []

        async def hear(word: str) -> None:
            while not heard or not heard[-1].startswith(word):
                heard.append((await asyncio.to_thread(server.recv, 1000)).decode())

        await hear("READY=1")
        assert set(heard[:-1]) <= {"WATCHDOG=1"}, "a start may outlast the watchdog's time"
        await hear("WATCHDOG=1")
        monitor.process.send_signal(signal.SIGHUP)
        await hear("RELOADING=1")
        assert "\nMONOTONIC_USEC=" in heard[-1], "Type=notify-reload needs it"
        await hear("READY=1")
        monitor.process.send_signal(signal.SIGTERM)
        await hear("STOPPING=1")
        assert await asyncio.wait_for(monitor.process.wait(), 120) == 0
        # Stopped by force it says nothing more: the watchdog is the daemon's own voice.
        await monitor.start()
        monitor.process.send_signal(signal.SIGSTOP)
        await until(lambda: stopped(monitor), 120, lambda: "it goes on")  # what it says until then is its own
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while server.recv(1000):
                pass
        await asyncio.sleep(0.7)
        with pytest.raises(BlockingIOError):
            server.recv(1000)


async def test_once_says_when_a_source_could_not_be_read(tmp_path: Path, hook: FakeWebhook) -> None:
    (tmp_path / "logs").mkdir()
    monitor = Monitor(tmp_path, CONFIG, {"HOOK_URL": f"{hook.url}/hook"})
    planter = Planter(8)
    append(tmp_path / "logs/a.log", planter.lines(3))
    await monitor.start("--once", wait=False)
    assert monitor.process is not None
    assert await asyncio.wait_for(monitor.process.wait(), 120) == 0
    assert fingerprints(hook.payloads) == set(planter.planted)
    for line in monitor.errors.splitlines():
        json.loads(line)


async def test_a_state_folder_of_a_newer_version_is_said_in_one_line(monitor: Monitor, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "state/state.db")) as connection:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        connection.execute("INSERT INTO meta VALUES ('schema', '9999')")
        connection.commit()
    await monitor.start(wait=False)
    assert monitor.process is not None
    assert await asyncio.wait_for(monitor.process.wait(), 120) == 1
    last = monitor.errors.splitlines()[-1]
    assert "state.db" in last
    assert "Traceback" not in monitor.errors
    assert "bug" not in monitor.errors
