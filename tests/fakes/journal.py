"""A journal written by the real systemd-journal-remote, to be read by the real journalctl."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from monitor.intake.protocol import Intake
from monitor.sources.journal.source import JournalConfig, JournalSource

REMOTE = Path("/usr/lib/systemd/systemd-journal-remote")


class Journal:
    """Records appended to `folder`. What is written is in the file, and can be read, once `settled` returns."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._number = itertools.count(seed)
        self._waiting = b""
        self.written = 0

    def write(self, message: bytes, **fields: str) -> None:
        """One record, held back until `settle`."""
        number = next(self._number)
        known = {
            "__REALTIME_TIMESTAMP": str(time.time_ns() // 1000),
            "__MONOTONIC_TIMESTAMP": str(1_000_000 + number),
            "_BOOT_ID": "a" * 32,
            "_HOSTNAME": "db-1",
            "PRIORITY": "6",
            "_SYSTEMD_UNIT": "app.service",
            "SYSLOG_IDENTIFIER": "app",
            "_PID": "12",
            **fields,
        }
        self._waiting += "".join(f"{name}={value}\n" for name, value in known.items()).encode()
        self._waiting += b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n"
        self.written += 1

    async def settle(self, name: str = "system") -> None:
        """Append what was written to a journal file."""
        data, self._waiting = self._waiting, b""
        process = await asyncio.create_subprocess_exec(
            *(str(REMOTE), "--output", str(self.folder / f"{name}.journal"), "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _, error = await process.communicate(data)
        assert process.returncode == 0, error.decode()


def source(journal: Journal, intake: Intake, **keys: object) -> JournalSource:
    """What reads it from its beginning."""
    keys = {"directory": str(journal.folder), "start_at": "beginning", **keys}
    return JournalSource(
        JournalConfig.model_validate({"name": "journal", "type": "journal", **keys}), intake, b"k" * 32
    )


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journalctl of our own, first on PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / "journalctl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
