"""A real rsyslogd that forwards what is written to a unix socket of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest


@asynccontextmanager
async def rsyslog(folder: Path, port: int, framing: str = "octet-counted") -> AsyncIterator[Path]:
    """The socket to write to; skips the test where rsyslogd is not installed."""
    program = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin")
    if program is None:
        pytest.skip("rsyslogd is not installed (apt install rsyslog)")
    configuration, log = folder / "rsyslog.conf", folder / "log"
    configuration.write_text(
        f'global(workDirectory="{folder}" maxMessageSize="64k")\n'
        f'module(load="imuxsock" SysSock.Use="off")\n'
        f'input(type="imuxsock" Socket="{log}")\n'
        f'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="{framing}"\n'
        f'       template="RSYSLOG_SyslogProtocol23Format" action.resumeRetryCount="-1" action.resumeInterval="1"\n'
        f'       queue.type="LinkedList")\n'
    )
    process = await asyncio.create_subprocess_exec(
        *(program, "-n", "-f", str(configuration), "-i", str(folder / "rsyslog.pid")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        for _ in range(500):
            if log.exists():
                break
            assert process.returncode is None, "rsyslogd has ended"
            await asyncio.sleep(0.02)
        yield log
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
