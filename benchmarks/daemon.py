"""`monitor run` as a child process on a configuration of ours."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

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
        for _ in range(600):
            if re.search(r'"event": "ready"', errors.read_text()):
                break
            if process.returncode is not None:
                break
            await asyncio.sleep(0.1)
        else:
            raise TimeoutError("monitor run is not ready after a minute")
        if process.returncode is not None:
            raise RuntimeError(f"monitor run ended with {process.returncode}: {errors.read_text()[-1500:]}")
        yield process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
