"""Files that make a start quick and that nothing depends on: whole and ours, or ignored and made anew.

What comes with the package (`SHIPPED`, see detectors.compile.prebuilt) is looked for before what the user's cache has.
Both go by the content of what they were made from, so what is out of date is not found.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib.util import source_hash
from pathlib import Path

__all__ = ["SHIPPED", "code", "digest", "put", "read", "shipped", "write"]

SHIPPED = Path(__file__).parent / "compiled"
_MAGIC = b"exposure-monitor cache 5\n"
_DIGEST = 32  # bytes of SHA-256 and of its key
# Rules speak of secrets: as they are, whoever scans a folder with a cache in it, we too, would find hundreds. To pass
# over what says that it is a cache would be a place to hide secrets in.
_VEILED = bytes(byte ^ 0xFF for byte in range(256))


def digest(texts: Iterable[tuple[str, bytes]]) -> bytes:
    """Of texts with their names."""
    whole = hashlib.blake2b(digest_size=_DIGEST)
    for name, text in sorted(texts):
        whole.update(f"{name}\0{len(text)}\0".encode(errors="replace") + text)
    return whole.digest()


@cache
def code() -> bytes:
    """A digest of the code that decides what is put into a cache, and of the Python that reads patterns for it.

    The packages have bytecode in place of sources, with the hash of the source that it was made from (PEP 552).
    """
    root = Path(__file__).parent
    texts = {}
    for path in (path for room in (".", "rules", "compile") for path in (root / room).iterdir()):
        name = str(path.relative_to(root).with_suffix(""))
        if path.suffix == ".py":
            texts[name] = source_hash(path.read_bytes())
        elif path.suffix == ".pyc":
            texts.setdefault(name, path.read_bytes()[8:16])
        elif path.suffix == ".json":
            texts[f"{name}.json"] = path.read_bytes()
    return digest(texts.items()) + str(sys.implementation.cache_tag).encode()


def shipped(name: str, folder: Path | None = None) -> bytes | None:
    """What came with the package (or lies in `folder`) under this name, or None when there is no whole file of that.

    Whoever may write it may write this code: it and its folder belong to whom this file belongs to, to root or to the
    present user, to whom alone they are open for writing.
    """
    folder = folder or SHIPPED
    trusted = (0, os.stat(__file__).st_uid)
    try:
        _ours(folder.stat(), *trusted)
        return _body(_own(folder / name, *trusted), b"")
    except OSError:
        return None


def read(path: Path) -> bytes | None:
    """What was written there, or None when there is no whole file of ours.

    It holds native code's data, so nobody else may have written it: it and its folder belong to the present user, to
    whom alone they are open for writing, and its digest has a key from that folder.
    """
    try:
        key = _key(path.parent, make=False)
        return _body(_own(path), key)
    except OSError:
        return None


def _body(raw: bytes, key: bytes) -> bytes | None:
    head = len(_MAGIC) + _DIGEST
    body = raw[head:]
    if raw[: len(_MAGIC)] != _MAGIC or not hmac.compare_digest(raw[len(_MAGIC) : head], _digest(key, body)):
        return None
    return body.translate(_VEILED)


def _digest(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")  # in hardware on most machines: half of the time of BLAKE2b


def _own(path: Path, *others: int) -> bytes:
    """The content of a file of ours, or of these users. Raises OSError, also when it may be somebody else's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _ours(os.fstat(descriptor), *others)
        return file.read()


def _ours(status: os.stat_result, *others: int) -> None:
    if status.st_uid not in (os.geteuid(), *others) or status.st_mode & 0o022:
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
    """Write it beside its final name and rename it; of its kind the `keep` newest stay.

    A cache that cannot be written is no error.
    """
    with contextlib.suppress(OSError):
        missing = [folder for folder in reversed(path.parents) if not folder.exists()]
        if missing and missing[0].parent.stat().st_uid not in (0, os.geteuid()):
            return  # whoever that is, as a service whose commands root runs, could neither read nor replace ours
        for folder in missing:
            folder.mkdir(mode=0o700, exist_ok=True)  # the first of them may be the state folder of the monitor
        put(path, body, keep, _key(path.parent, make=True))


def put(path: Path, body: bytes, keep: int, key: bytes = b"") -> None:
    """The same without a key for a file to be shipped, in a folder that is there. Raises OSError."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.suffix)
    try:
        with os.fdopen(fd, "wb") as file:
            veiled = body.translate(_VEILED)
            file.write(_MAGIC + _digest(key, veiled) + veiled)
            if not key:
                os.fchmod(fd, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    found = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda p: p.stat().st_mtime)
    for old in found[:-keep]:
        old.unlink(missing_ok=True)
