"""A command of one's own: no shell, a bare environment, the secret by a descriptor, an end after its time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from monitor.actions.config import ActionConfig
from monitor.common.text import quotable

__all__ = ["Ended", "execute", "untrusted"]

_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SAFE = re.compile(r"[A-Za-z0-9_.:@/+=-]{0,512}")
_SECRET = frozenset({"value", "credential", "secret_key", "token", "password"})
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST = 64 << 10  # bytes of output that are read
_SHOWN = 300  # characters of it


@dataclass(frozen=True, slots=True)
class Ended:
    state: Literal["accepted", "failed", "unknown"]
    reason: str


def untrusted(path: str) -> str | None:
    """Why a program is not run: others than root and this user could have put another in its place."""
    try:
        program, folder = os.stat(path), os.stat(os.path.dirname(path))
    except OSError as error:
        return f"{path}: {(error.strerror or 'cannot be read').lower()}"
    if not stat.S_ISREG(program.st_mode) or not os.access(path, os.X_OK):
        return f"{path}: not a program that this user may run"
    for info in (program, folder):
        if info.st_uid not in (0, os.geteuid()) or (info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX):
            return f"{path}: it or its folder can be written to by others: chmod go-w both"
    return None


async def execute(action: ActionConfig, parts: Mapping[str, str], scrub: Callable[[str], str]) -> Ended:
    """Run it once. Exit code 0: accepted; another: failed; no end in time: unknown."""
    if problem := untrusted(action.command[0]):
        return Ended("failed", problem)
    arguments = [_filled(item, parts) for item in action.command]
    if None in arguments:
        return Ended("failed", "an argument has a hole for which there is no public fact that is safe to fill in")

    environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
    # By a pipe that nobody else has open; it holds far more than any secret is long.
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        if action.value != "none":
            with contextlib.suppress(BlockingIOError):
                os.write(writing, parts["value"].encode())
        os.close(writing)
        by_fd = action.value == "fd"
        if by_fd:
            environment["MONITOR_VALUE_FILE"] = f"/dev/fd/{reading}"
        try:
            process = await asyncio.create_subprocess_exec(
                *[item for item in arguments if item is not None],
                stdin=asyncio.subprocess.DEVNULL if by_fd else reading,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                cwd="/",
                pass_fds=(reading,) if by_fd else (),
                start_new_session=True,
            )
        except OSError as error:
            return Ended("failed", f"it cannot be started: {(error.strerror or 'refused').lower()}")
    finally:
        os.close(reading)
    return await _ended(process, action, parts, scrub)


async def _ended(
    process: asyncio.subprocess.Process, action: ActionConfig, parts: Mapping[str, str], scrub: Callable[[str], str]
) -> Ended:
    assert process.stdout is not None
    output = bytearray()
    try:
        async with asyncio.timeout(action.timeout):
            while chunk := await process.stdout.read(1 << 16):
                output += chunk[: max(0, _MOST - len(output))]
            code = await process.wait()
    except TimeoutError:
        code = None
    finally:
        # Whatever it has started goes with it; also when we are cancelled.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    said = output.decode("utf-8", "replace").strip()[-_SHOWN:]
    hidden = [parts[name] for name in _SECRET if parts.get(name)]
    tail = f": {shown}" if (shown := scrub(quotable(said, *hidden, limit=_SHOWN))) else ""
    if code is None:
        return Ended("unknown", f"no end within {action.timeout:g} s: whether it took effect cannot be known{tail}")
    if code == 0:
        return Ended("accepted", f"the command has ended well{tail}")
    if code < 0:
        return Ended("unknown", f"ended by signal {-code}: whether it took effect cannot be known{tail}")
    return Ended("failed", f"exit code {code}{tail}")


def _filled(item: str, parts: Mapping[str, str]) -> str | None:
    """An argument with its public facts; never a secret, as others on this host see arguments."""
    for name in _HOLE.findall(item):
        if name in _SECRET or name not in parts or not _SAFE.fullmatch(parts[name]) or parts[name].startswith("-"):
            return None
    return _HOLE.sub(lambda found: parts[found[1]], item)
