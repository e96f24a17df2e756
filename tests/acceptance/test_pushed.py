"""What is pushed to the real daemon: bodies that would be gigabytes as objects, sent one by one and several at once."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Collection
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.harness import Monitor
from tests.fakes.bombs import bombs
from tests.fakes.ports import free_port

CONFIG = """
[[sources]]
name = "pushed"
type = "http"
listen = "127.0.0.1:{port}"
"""
MOST = 300 << 10  # KiB beyond what it takes at rest
TIMEOUT = aiohttp.ClientTimeout(120)


def resident(pid: int, name: str = "VmRSS") -> int:
    """KiB."""
    found = re.search(rf"{name}:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


class Watched:
    """A daemon that is ended when it takes too much."""

    def __init__(self, monitor: Monitor, port: int) -> None:
        assert monitor.process is not None
        self.monitor, self.url = monitor, f"http://127.0.0.1:{port}"
        self.pid = monitor.process.pid
        self.rest = resident(self.pid)
        self.peaks: dict[str, int] = {}
        self.sent = ""

    async def watch(self) -> None:
        while self.monitor.process is not None and self.monitor.process.returncode is None:
            taken = resident(self.pid) - self.rest
            self.peaks[self.sent] = max(self.peaks.get(self.sent, 0), taken)
            if taken > MOST:
                await self.monitor.kill()
            await asyncio.sleep(0.02)

    async def push(self, client: aiohttp.ClientSession, path: str, headers: dict[str, str], body: bytes) -> int:
        async with client.post(self.url + path, data=io.BytesIO(body), headers=headers, timeout=TIMEOUT) as answer:
            await answer.read()
            return answer.status


async def begin(port: int) -> asyncio.StreamWriter:
    """A body of which a part comes, and then no more for a long time."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\n" + b"x" * (3 << 20))
    return writer


async def take(
    tmp_path: Path, one_by_one: Collection[str], at_once: Collection[str], senders: int = 40
) -> dict[str, int]:
    """Send them to a daemon; what it took beyond what it has at rest, by what was sent, in KiB."""
    port = free_port()
    monitor = Monitor(tmp_path, CONFIG.format(port=port))
    await monitor.start()
    watched = Watched(monitor, port)
    watching = asyncio.create_task(watched.watch())
    try:
        async with aiohttp.ClientSession() as client:
            for name, path, headers, body in bombs(one_by_one):
                watched.sent = name
                status = await watched.push(client, path, headers, body)
                assert status in (200, 204, 400, 413, 503), (name, status)
                print(name, status, watched.peaks.get(name))
            watched.sent = "slowly"
            slow = [await begin(port) for _ in range(senders)]
            watched.sent = "at once"
            chosen = list(bombs(at_once))
            await asyncio.gather(*(watched.push(client, *bomb[1:]) for bomb in chosen * 3))
            watched.sent = "a line"
            for writer in slow:
                writer.close()
            while await watched.push(client, "/", {}, b"a line") != 204:
                await asyncio.sleep(0.1)
    except aiohttp.ClientError:
        pytest.fail(f"{watched.sent} takes more than 300 MiB: {watched.peaks}")
    finally:
        watching.cancel()
        await monitor.kill()
    return watched.peaks


SOME = ("otlp resources", "loki protobuf streams", "msgpack nothings")  # those that cost least


@pytest.mark.slow
async def test_no_body_takes_more_than_300_mib(tmp_path: Path) -> None:
    assert await take(tmp_path, SOME, SOME[1:], senders=0)


@pytest.mark.campaign
async def test_no_bodies_take_more_than_300_mib_in_any_form_or_together(tmp_path: Path) -> None:
    peaks = await take(
        tmp_path, (), ("otlp attributes", "msgpack arrays", "list", "loki labels", "otlp json text", "lines")
    )
    assert len(peaks) > 30
