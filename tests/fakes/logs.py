"""Files as services and logrotate write them, with marks in place of secrets."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import zstandard

__all__ = ["append", "compress", "line"]


def append(path: Path, data: bytes | str) -> None:
    """Write at the end, as a service does."""
    with path.open("ab") as file:
        file.write(data.encode() if isinstance(data, str) else data)


def line(mark: int, padding: int = 20) -> str:
    """A line of a log with a mark in it."""
    return f"2026-11-24T10:00:00Z service[{mark}] {'x' * padding} <{mark}>\n"


def compress(path: Path, suffix: str) -> None:
    """What logrotate makes of a rotated file: another one, with its times."""
    data = path.read_bytes()
    target = path.with_name(path.name + suffix)
    target.write_bytes(gzip.compress(data) if suffix == ".gz" else zstandard.compress(data))
    os.utime(target, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    path.unlink()
