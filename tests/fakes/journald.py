"""A real journald of its own, with a /run that only it and its neighbours see."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

_JOURNALD = Path("/usr/lib/systemd/systemd-journald")
_START = (
    "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal && "
    # It is to leave the kernel's log and its audit alone.
    "printf '[Journal]\\nAudit=\\nReadKMsg=no\\n' >/run/systemd/journald.conf.d/test.conf && "
    f"exec {_JOURNALD}"
)


@asynccontextmanager
async def journald() -> AsyncIterator[Sequence[str]]:
    """What goes before a command that is to see it; skips the test where that takes rights we do not have."""
    if not _JOURNALD.exists() or shutil.which("nsenter") is None or shutil.which("unshare") is None:
        pytest.skip("systemd-journald, unshare or nsenter is not installed")
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", _START),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        listening = Path("/proc", str(process.pid), "root", "run/systemd/journal/socket")
        while not listening.exists():
            if process.returncode is not None:
                pytest.skip("a namespace of its own takes rights that we do not have")
            await asyncio.sleep(0.02)
        yield ("nsenter", f"--mount=/proc/{process.pid}/ns/mnt")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
