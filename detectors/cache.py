"""Files that make a start quick and that nothing depends on: whole and ours, or ignored and made anew."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["code", "read", "stamp", "write"]

_NAME = b"exposure-monitor cache "
_MAGIC = _NAME + b"4\n"
_DIGEST = 32  # bytes of BLAKE2b and of its key
# Rules speak of secrets: as they are, whoever scans a folder with a cache in it, we too, would find hundreds. To pass
# over what says that it is a cache would be a place to hide secrets in.
_VEILED = bytes(byte ^ 0xFF for byte in range(256))


def stamp(files: Iterable[tuple[str, os.stat_result]]) -> bytes:
    """What the files are, by name, size and both times of change: an image sets the one, but not the other."""
    lines = (f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0" for name, stat in files)
    return "".join(lines).encode(errors="replace")


@cache
def code() -> bytes:
    """A stamp of this package's own code, which decides what is put into a cache."""
    root = Path(__file__).parent
    inside = (path for room in (".", "rules", "compile", "match") for path in (root / room).iterdir())
    files = sorted(path for path in inside if path.suffix in (".py", ".json"))
    return stamp((str(path.relative_to(root)), path.stat()) for path in files)


def read(path: Path) -> bytes | None:
    """What was written there, or None when there is no whole file of ours.

    It holds native code's data, so nobody else may have written it: it and its folder belong to the present user, to
    whom alone they are open for writing, and its digest has a key from that folder.
    """
    try:
        key = _key(path.parent, make=False)
        raw = _own(path)
    except OSError:
        return None
    head = len(_MAGIC) + _DIGEST
    body = raw[head:]
    if raw[: len(_MAGIC)] != _MAGIC or not hmac.compare_digest(raw[len(_MAGIC) : head], _digest(key, body)):
        return None
    return body.translate(_VEILED)


def _digest(key: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=key, digest_size=_DIGEST).digest()


def _own(path: Path) -> bytes:
    """The content of a file of ours. Raises OSError, also when it may be somebody else's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _ours(os.fstat(descriptor))
        return file.read()


def _ours(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError("others may have written it")


def _key(folder: Path, make: bool) -> bytes:
    """The key of the digests in `folder`. Raises OSError, also when the folder may be somebody else's."""
    _ours(folder.stat())
    path = folder / "cache.key"
    if make:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_DIGEST))
    key = _own(path)
    if len(key) != _DIGEST:  # a full disk, or a kill: the next write makes another one
        if make:
            path.unlink()
        raise OSError("no whole key")
    return key


def write(path: Path, body: bytes, keep: int) -> None:
    """Write it beside its final name and rename it; of its kind the `keep` newest stay, and none of other versions.

    A cache that cannot be written is no error.
    """
    with contextlib.suppress(OSError):
        for folder in [one for one in reversed(path.parents) if not one.exists()]:
            folder.mkdir(mode=0o700, exist_ok=True)  # the first of them may be the state folder of the monitor
        key = _key(path.parent, make=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.suffix)
        try:
            with os.fdopen(fd, "wb") as file:
                veiled = body.translate(_VEILED)
                file.write(_MAGIC + _digest(key, veiled) + veiled)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        found = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda p: p.stat().st_mtime)
        for old in (*found[:-keep], *filter(_of_another_version, found[-keep:])):
            old.unlink(missing_ok=True)


def _of_another_version(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    return start.startswith(_NAME) and start != _MAGIC
