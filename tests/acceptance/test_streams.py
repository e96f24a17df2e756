"""The real daemon, killed in the middle of what a real broker, HTTP clients and syslog send it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from pathlib import Path

import aiohttp
import aiomqtt
import pytest

from tests.acceptance.harness import Monitor, Planter, fingerprints, until
from tests.acceptance.test_crash import stored
from tests.fakes.mosquitto import broker
from tests.fakes.ports import free_port
from tests.fakes.webhook import FakeWebhook

CONFIG = """
[[sources]]
name = "bus"
type = "mqtt"
host = "127.0.0.1"
port = {mqtt}
topics = ["logs/#"]
client_id = "monitor"
[[sources]]
name = "pushed"
type = "http"
listen = "127.0.0.1:{http}"
[[sources]]
name = "syslog"
type = "syslog"
listen = ["tcp:127.0.0.1:{syslog}", "udp:127.0.0.1:{syslog}"]
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "10000/1m"
group_interval = "1s"
"""


async def publish(port: int, planter: Planter, count: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for _ in range(count):
            await client.publish(f"logs/{planter.count % 3}", f"ERROR token {planter.secret()} refused", qos=1)


async def push(port: int, planter: Planter, count: int) -> None:
    """As an agent does: the same body again until it is taken."""
    lines = [json.dumps({"message": f"token {planter.secret()} refused", "host": "web-1"}) for _ in range(count)]
    body = gzip.compress("\n".join(lines).encode())
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                headers = {"Content-Encoding": "gzip"}
                async with session.post(
                    f"http://127.0.0.1:{port}/", data=body, headers=headers, timeout=TIMEOUT
                ) as answer:
                    if answer.status == 204:
                        return
            await asyncio.sleep(0.05)


TIMEOUT = aiohttp.ClientTimeout(20)


async def log(port: int, planter: Planter, count: int) -> None:
    """Counted over TCP, and half of it as datagrams."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            text = f"<13>1 - web-1 app - - - token {planter.secret()} refused".encode()
            if number % 2:
                sender.sendto(text, ("127.0.0.1", port))
            else:
                writer.write(b"%d %b" % (len(text), text))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def trial(folder: Path, seed: int, kills: int) -> None:
    """Between kills the broker may start anew as well."""
    planter = Planter(seed)
    rng = planter.random
    ports = {"mqtt": free_port(), "http": free_port(), "syslog": free_port()}
    async with FakeWebhook() as hook, contextlib.AsyncExitStack() as stack:
        bus = await stack.enter_async_context(contextlib.AsyncExitStack())
        await bus.enter_async_context(broker(folder, port=ports["mqtt"], keeps=True))
        monitor = Monitor(folder, CONFIG.format(**ports), {"HOOK_URL": f"{hook.url}/hook"})
        await monitor.start()
        pushing = []
        for _ in range(kills):
            pushing.append(asyncio.create_task(push(ports["http"], planter, 20)))
            sending = asyncio.create_task(publish(ports["mqtt"], planter, 40))
            await asyncio.sleep(rng.random() * 0.3)
            await monitor.kill()
            await sending
            if rng.random() < 0.5:
                await bus.aclose()
                bus = await stack.enter_async_context(contextlib.AsyncExitStack())
                await bus.enter_async_context(broker(folder, port=ports["mqtt"], keeps=True))
            await monitor.start(wait=rng.random() < 0.5)
        await monitor.ready()
        await asyncio.gather(*pushing)
        await log(ports["syslog"], planter, 40)  # which nobody sends again: all that was received by the end is kept
        wanted = set(planter.planted)
        await until(
            lambda: wanted <= stored(folder) and wanted <= fingerprints(hook.payloads),
            240,
            lambda: f"{len(wanted - fingerprints(hook.payloads))} of {len(wanted)} missing\n{monitor.errors[-1500:]}",
        )
        await log(ports["syslog"], planter, 10)
        assert await monitor.terminate() == 0
        assert set(planter.planted) <= stored(folder)
    assert fingerprints(hook.payloads) <= set(planter.planted)
    told = [line for line in monitor.errors.splitlines() if "missed" in line]
    assert 1 <= len(told) <= kills  # of syslog: who was killed may have had something
    assert all("An unknown number of messages of syslog (killed)" in line for line in told)
    for value in planter.planted.values():
        assert value not in monitor.errors + monitor.output


@pytest.mark.slow
async def test_nothing_is_lost_over_kills(tmp_path: Path) -> None:
    await trial(tmp_path, 7, 2)


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 110))
async def test_nothing_is_lost_over_many_kills(tmp_path: Path, seed: int) -> None:
    await trial(tmp_path, seed, 6)
