"""What is kept of what a manager holds: pure. From here on there is no value."""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import replace

from detectors.fingerprint import fingerprint
from monitor.domain.model import Print, SecretVersion
from monitor.inventory.fragments import parts
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ManagerConfig, members
from monitor.inventory.validate import alphabet, refusal

__all__ = ["Enrolled", "keep"]

Enrolled = tuple[
    SecretVersion, list[tuple[str, bytes]]
]  # the second: fingerprints, and the values that are to be found


def keep(held: HeldSecret, config: ManagerConfig, key: bytes, scrub: Callable[[str], str]) -> Iterator[Enrolled]:
    """For each secret of it. `scrub`: masks secrets in texts, as names, owners and tags come from outside."""
    for one in members(held):
        yield _kept(_described(one, config, scrub), config, key)


def _described(held: HeldSecret, config: ManagerConfig, scrub: Callable[[str], str]) -> HeldSecret:
    """With what the entry says of all its secrets."""
    return replace(
        held,
        name=scrub(held.name),
        environment=scrub(held.environment) or config.environment,
        owner=scrub(held.owner) or config.owner,
        consumers=tuple(dict.fromkeys((*config.consumers, *map(scrub, held.consumers)))),
        tags=tuple(dict.fromkeys((*config.tags, *map(scrub, held.tags)))),
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
    kept = SecretVersion(
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
    return kept, values


def _hashed(key: bytes, digest: str) -> str:
    return hmac.new(key, b"digest\0" + digest.encode(), hashlib.sha256).hexdigest()[:32]
