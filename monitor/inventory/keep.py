"""What is kept of what a manager holds: pure. From here on there is no value.

Of a value what is secret in it counts: the password of a connection string, the key of a PEM bundle, else all of it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from detectors.fingerprint import fingerprint
from monitor.domain.model import Print, SecretVersion
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ManagerConfig, members
from monitor.inventory.validate import alphabet, refusal

__all__ = ["Enrolled", "keep", "parts"]

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,40})-----.*?-----END \1-----", re.DOTALL)
_URI = re.compile(rb"[a-z][a-z0-9+.-]{1,24}://([^\s/@:]*):([^\s/@]+)@", re.IGNORECASE)
# Pairs with semicolons between them, as .NET, ODBC and Azure write connection strings
_ITEM = rb"(?:\"[^\"]*\"|'[^']*'|[^;\"']*)"
_PAIR = re.compile(
    rb"(?i)(?:^|;)\s*(password|pwd|accountkey|sharedaccesskey|sharedaccesssignature|secret|token|access_?key)\s*=\s*("
    + _ITEM
    + rb")"
)
_PAIRS = re.compile(rb"\s*[\w .-]+=" + _ITEM + rb"(?:;\s*[\w .-]+=" + _ITEM + rb")+;?\s*")

Enrolled = tuple[
    SecretVersion, list[tuple[str, bytes]]
]  # the second: fingerprints, and the values that are to be found


def keep(held: HeldSecret, config: ManagerConfig, key: bytes, redact: Callable[[str], str]) -> Iterator[Enrolled]:
    """For each secret of it. `redact`: masks secrets in texts, as names, owners and tags come from outside."""
    for one in members(held):
        yield _kept(_described(one, config, redact), config, key)


def _described(held: HeldSecret, config: ManagerConfig, redact: Callable[[str], str]) -> HeldSecret:
    """With what the entry says of all its secrets."""
    return replace(
        held,
        name=redact(held.name),
        environment=redact(held.environment) or config.environment,
        owner=redact(held.owner) or config.owner,
        consumers=tuple(dict.fromkeys((*config.consumers, *map(redact, held.consumers)))),
        tags=tuple(dict.fromkeys((*config.tags, *map(redact, held.tags)))),
    )


def _kept(held: HeldSecret, config: ManagerConfig, key: bytes) -> Enrolled:
    prints: list[Print] = []
    values: list[tuple[str, bytes]] = []
    mark, refused = "", ""
    if any(fnmatch.fnmatchcase(held.name, pattern) for pattern in config.exclude):
        refused = "excluded by the configuration"
    elif held.value is not None:
        whole = held.value.strip()
        for part, value in parts(whole):
            if why := refusal(value):
                refused = why
                continue
            prints.append(Print(fingerprint(key, value), part, len(value), alphabet(value)))
            values.append((prints[-1].fingerprint, value))
        refused = "" if prints else refused
        mark = fingerprint(key, whole) if prints else ""
    # Of a refused value not even a keyed hash of its digest: it could be tried out.
    digest = "" if refused or not held.digest else _hashed(key, held.digest)
    if not mark:
        mark = f"digest {digest}" if digest else f"version {held.version}" if held.version else ""
    version = SecretVersion(
        name=held.name,
        mark=mark,
        version=held.version,
        standing=held.standing,
        created=held.created,
        rotated=held.rotated,
        expires=held.expires,
        environment=held.environment,
        owner=held.owner,
        consumers=held.consumers,
        tags=held.tags,
        digest=digest,
        refused=refused,
        unread=held.value is None,
        sole=held.sole,
        prints=tuple(dict.fromkeys(prints)),
    )
    return version, values


def _hashed(key: bytes, digest: str) -> str:
    return hmac.new(key, b"digest\0" + digest.encode(), hashlib.sha256).hexdigest()[:32]


def parts(value: bytes) -> Iterator[tuple[str, bytes]]:
    """(what it is, its bytes); an empty name for the whole value. The same part may come in two spellings."""
    value = value.strip()
    blocks = [(block[1].decode().lower(), block[0]) for block in _PEM.finditer(value)]
    if blocks:
        keys = [block for name, block in blocks if "private key" in name]
        yield from [("private key", key) for key in keys] or [("", value)]
        return
    if uri := _URI.match(value):
        yield from _spellings(uri[2])
        return
    if _PAIRS.fullmatch(value) and (pairs := list(_PAIR.finditer(value))):
        yield from ((pair[1].decode().lower(), pair[2].strip(b"\"' ")) for pair in pairs)
        return
    yield "", value


def _spellings(password: bytes) -> Iterator[tuple[str, bytes]]:
    yield "password", password
    if (plain := unquote_to_bytes(password)) != password:
        yield "password", plain
