"""`monitor run` as a child process on a configuration of ours, and a receiver of its webhooks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

KEY = "k" * 64  # not a secret: fingerprints must be known in advance


@asynccontextmanager
async def daemon(folder: Path, config: str, environment: dict[str, str] | None = None) -> AsyncIterator[int]:
    """Runs it in `folder` until the block ends; gives the process id once it is ready."""
    (folder / "key").write_text(KEY)
    (folder / "config.toml").write_text(
        f'[monitor]\nstate_dir = "state"\nfingerprint_key = "file:key"\n[http]\nlisten = "127.0.0.1:0"\n{config}'
    )
    errors = folder / "stderr"
    with errors.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", "run", "--config", str(folder / "config.toml")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            # As it is installed: modules are compiled once, not at every start.
            env={**{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}, **(environment or {})},
        )
    try:
        for _ in range(3000):
            if re.search(r'"event": "ready"', errors.read_text()):
                break
            if process.returncode is not None:
                break
            await asyncio.sleep(0.1)
        else:
            raise TimeoutError("monitor run is not ready after five minutes")
        if process.returncode is not None:
            raise RuntimeError(f"monitor run ended with {process.returncode}: {errors.read_text()[-1500:]}")
        yield process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, dict[str, float]]]:
    """The URL of a webhook's receiver, and what has arrived there: fingerprint → `time.perf_counter` when it first did."""
    arrived: dict[str, float] = {}

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        now = time.perf_counter()
        for incident in json.loads(body)["incidents"]:
            arrived.setdefault(incident["fingerprint"], now)
        return web.Response(status=204)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", arrived
    finally:
        await runner.cleanup()
