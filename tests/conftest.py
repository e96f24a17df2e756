from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.common.http import Http

# Where the tests run in the background of a shell, an interrupt is ignored, by what they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The client as the monitor uses it, with a patience that suits tests."""
    client = Http(timeout=0.5, connect=0.5)
    yield client
    await client.close()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the shipped rules as a first command leaves it, made once for all workers, as it takes seconds."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "warm"
    home.mkdir(exist_ok=True)
    cache = home / ".local" / "state" / "exposure-monitor" / "cache"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.exists():
            subprocess.run(
                [sys.executable, "-m", "monitor", "scan", os.devnull],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=home,
                env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])},
            )
    return cache
