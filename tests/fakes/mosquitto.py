"""A real mosquitto on a free port, with a login when asked."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.ports import free_port


def mosquitto() -> str:
    """The program; skips the test where it is not installed."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    return program


@asynccontextmanager
async def broker(
    folder: Path,
    *,
    login: tuple[str, str] | None = None,
    certificate: tuple[Path, Path] | None = None,
    port: int = 0,
    access: str = "",
    more: str = "",
    keeps: bool = False,
) -> AsyncIterator[int]:
    """The port of a running broker. `folder` takes its configuration; `access`: lines of an access list; `keeps`: it
    has its sessions and messages again after a restart in the same folder."""
    program = mosquitto()
    port = port or free_port()
    lines = [f"user {getpass.getuser()}"]  # else it gives up root and cannot read the test's folder
    lines += [
        f"listener {port} 127.0.0.1",
        f"persistence {str(keeps).lower()}",
        f"allow_anonymous {'false' if login else 'true'}",
    ]
    if keeps:
        lines.append(f"persistence_location {folder}/")
    if certificate:
        lines += [f"certfile {certificate[0]}", f"keyfile {certificate[1]}"]
    if login:
        users = folder / "users"
        users.write_text(f"{login[0]}:{login[1]}\n")
        users.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", users], check=True)
        lines.append(f"password_file {users}")
    if access:
        rules = folder / "access"
        rules.write_text(f"{access}\n")
        rules.chmod(0o600)
        lines.append(f"acl_file {rules}")
    if more:
        lines.append(more)
    configuration = folder / "mosquitto.conf"
    configuration.write_text("\n".join(lines) + "\n")
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(configuration), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _reachable(port)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _reachable(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise TimeoutError(f"mosquitto does not listen on {port}")
