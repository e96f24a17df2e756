"""Files that make a start quick and that nothing depends on: whole and ours, or ignored and made anew."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["code", "read", "stamp", "write"]

_MAGIC = b"exposure-monitor cache 2\n"
_DIGEST = 32  # bytes of SHA-256


def stamp(files: Iterable[tuple[str, os.stat_result]]) -> bytes:
    """What the files are, by name, size and both times of change: an image sets the one, but not the other."""
    lines = (f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0" for name, stat in files)
    return "".join(lines).encode(errors="replace")


@cache
def code() -> bytes:
    """A stamp of this package's own code, which decides what is put into a cache."""
    with os.scandir(Path(__file__).parent) as entries:
        return stamp(sorted((entry.name, entry.stat()) for entry in entries if entry.name.endswith((".py", ".json"))))


def read(path: Path) -> memoryview | None:
    """What was written there, or None when there is no whole file of ours."""
    try:
        raw = memoryview(path.read_bytes())
    except OSError:
        return None
    head = len(_MAGIC) + _DIGEST
    body = raw[head:]
    if raw[: len(_MAGIC)] != _MAGIC or raw[len(_MAGIC) : head] != hashlib.sha256(body).digest():
        return None
    return body


def write(path: Path, body: bytes, keep: int) -> None:
    """Write it beside its final name and rename it; of its kind the `keep` newest stay.

    A cache that cannot be written is no error.
    """
    with contextlib.suppress(OSError):
        for folder in [one for one in reversed(path.parents) if not one.exists()]:
            folder.mkdir(mode=0o700, exist_ok=True)  # the first of them may be the state folder of the monitor
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.suffix)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        for old in sorted(path.parent.glob(f"*{path.suffix}"), key=lambda p: p.stat().st_mtime)[:-keep]:
            old.unlink(missing_ok=True)
