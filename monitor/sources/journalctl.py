"""How journalctl is called, and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Sequence

from monitor.sources.journald import Decoder, Entry

__all__ = [
    "SHOWN",
    "JournalError",
    "Numbers",
    "between",
    "cursor_of",
    "entry_at",
    "environment",
    "newest",
    "numbered",
    "put_to_end",
    "refused",
    "said",
]

# Fields that are asked for, beside those that are scanned.
SHOWN = (
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "_SYSTEMD_INVOCATION_ID",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_PID",
    "_HOSTNAME",
    "_BOOT_ID",
    "CONTAINER_NAME",
    "CONTAINER_ID",
    "IMAGE_NAME",
    "_STREAM_ID",
    "_LINE_BREAK",
    "MESSAGE_ID",
    "N_DROPPED",
    "_TRANSPORT",
    "OBJECT_SYSTEMD_UNIT",
)
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


def numbered(cursor: str) -> tuple[str, int] | None:
    """Who gave the record of a cursor its number, and that; None: the cursor does not say."""
    parts = dict(pair.split("=", 1) for pair in cursor.split(";") if "=" in pair)
    with contextlib.suppress(KeyError, ValueError):
        return parts["s"], int(parts["i"], 16)
    return None


def between(before: str, after: str) -> int:
    """How many records there were between those of two cursors, as far as their numbers tell; at least one."""
    one, other = numbered(before), numbered(after)
    return max(1, other[1] - one[1] - 1) if one and other and one[0] == other[0] else 1


class Numbers:
    """Jumps in the numbers that journald gives its records. One means that records were deleted before they were read,
    or may not be seen here: the former, if the record before it is gone as well, as the oldest are deleted first."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, str]] = {}  # who gives numbers → the last one, with its cursor
        self.before = ""  # cursor of the record before the first jump that was not looked at
        self.jumped = 0  # records that were left out since

    def see(self, cursor: str) -> None:
        """The next record."""
        if (named := numbered(cursor)) is None:
            return
        who, number = named
        last, before = self._last.get(who, (number - 1, ""))
        if number > last + 1:
            self.before = self.before or before
            self.jumped += number - last - 1
        self._last[who] = number, cursor

    def forget(self) -> None:
        """The jumps were looked at."""
        self.before, self.jumped = "", 0


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
    return " ".join(lines)


async def put_to_end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
