"""How journalctl is called, and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Sequence

from monitor.sources.journald import Decoder, Entry

__all__ = [
    "JournalError",
    "between",
    "cursor_of",
    "entry_at",
    "environment",
    "newest",
    "put_to_end",
    "refused",
    "said",
]

_PATIENCE = 60.0  # seconds that one look at one record may take


class JournalError(Exception):
    """journalctl cannot do what is asked of it. The message is its own."""


def newest(call: Sequence[str]) -> str | None:
    """The cursor of the newest record; "" when there is none, None when it cannot be told. Blocking."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [*call, "--lines=1"], env=environment(), capture_output=True, timeout=_PATIENCE, check=False
        )
        if done.returncode == 0 and not refused(done.stderr):
            return cursor_of(_first(done.stdout))
    return None


async def entry_at(call: Sequence[str], cursor: str) -> str:
    """The cursor of the record at `cursor`, or of the one that is found there instead; "" when there is none.
    Raises JournalError."""
    process = await asyncio.create_subprocess_exec(
        *(*call, f"--cursor={cursor}", "--lines=1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            out, error = await process.communicate()
    except TimeoutError:
        raise JournalError("journalctl does not answer") from None
    finally:
        await put_to_end(process)
    if process.returncode and refused(error):
        raise JournalError(said(error))
    return cursor_of(_first(out))


def cursor_of(entry: Entry | None) -> str:
    return entry.fields.get("__CURSOR", b"").decode("ascii", "replace") if entry else ""


def between(before: str, after: str) -> int:
    """How many records there were between those of two cursors, as far as their numbers tell; at least one."""
    one, other = (dict(pair.split("=", 1) for pair in c.split(";") if "=" in pair) for c in (before, after))
    if one.get("s") == other.get("s") and one.get("s"):
        with contextlib.suppress(KeyError, ValueError):
            return max(1, int(other["i"], 16) - int(one["i"], 16) - 1)
    return 1


def _first(out: bytes) -> Entry | None:
    return next(iter(Decoder().feed(out)), None)


def environment() -> dict[str, str]:
    """Nothing of ours, which may hold credentials."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}


def refused(error: bytes) -> bool:
    """Whether it says that it may not read everything."""
    text = error.lower()
    return b"permission" in text or b"not seeing messages" in text


def said(error: bytes) -> str:
    """Its words in one line."""
    lines = [line.strip() for line in error.decode("utf-8", "replace").splitlines() if line.strip()]
    return " ".join(lines)[-500:]


async def put_to_end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
