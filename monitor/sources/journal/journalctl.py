"""How journalctl is called, and what it says of itself."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager

from monitor.common.program import begun, run
from monitor.sources.journal.config import JournalConfig, patterns
from monitor.sources.journal.entries import Decoder

__all__ = ["JournalError", "boot", "call", "environment", "filters", "said", "started"]

# Fields that are asked for, beside those that are scanned.
_SHOWN = (
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
_READ = 1 << 20  # bytes at once
_PATIENCE, _LARGEST = 60.0, 1 << 20  # seconds that a look at one record may take, and bytes
_GLOB = re.compile(r"([*?\[\]\\])")


class JournalError(Exception):
    """journalctl cannot do what is asked of it. The message is its own."""


def call(config: JournalConfig, paths: Iterable[str]) -> list[str]:
    """What prints the records in these files. Raises JournalError."""
    fields = f"--output-fields={','.join(dict.fromkeys((*config.fields, *_SHOWN)))}"
    files = ["--file=" + _GLOB.sub(r"\\\1", path) for path in paths]
    merged = ["--merge"] if config.boot is None else []  # or --follow would mean the present boot only
    return [*_begin(), fields, *files, *merged, *filters(config)]


async def boot(config: JournalConfig) -> str | None:
    """The id of the boot that the configuration means by an offset; None: there is none. Raises JournalError."""
    place = [f"--directory={config.directory}"] if config.directory else []
    place += [f"--namespace={config.namespace}"] if config.namespace else []
    command = [*_begin(), *place, f"--boot={config.boot}", "--lines=1", "--output-fields=_BOOT_ID"]
    ran = await run(command, environment(), seconds=_PATIENCE, most=_LARGEST, apart=_LARGEST)
    if ran.code is None:
        raise JournalError("journalctl does not answer")
    return next((entry.text("_BOOT_ID") for entry in Decoder().feed(ran.said)), None)


def _begin() -> list[str]:
    program = shutil.which("journalctl")
    if program is None:
        raise JournalError("journalctl is not on PATH: install systemd, or remove this source")
    return [program, "--quiet", "--output=export", "--no-pager"]


def filters(config: JournalConfig) -> list[str]:
    """What journalctl leaves out by itself; the rest is left out by us."""
    # journalctl takes a pattern for the units that are there when it starts.
    units = () if patterns(config.units) else config.units
    single = {"boot": config.boot, "priority": config.priority}
    return [
        *(f"--identifier={name}" for name in config.identifiers),
        *(f"--unit={unit}" for unit in units),
        *(f"--{name}={value}" for name, value in single.items() if value is not None),
    ]


def environment() -> dict[str, str]:
    """Nothing of ours, which may hold credentials."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}


def said(error: bytes) -> str:
    """Its words in one line."""
    return " ".join(line.strip() for line in error.decode("utf-8", "replace").splitlines() if line.strip())


def started(command: Sequence[str], stderr: int) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A run of it, which ends with the block at the latest; what it prints is in a pipe."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
    return begun(*command, **pipes, env=environment(), limit=_READ)
