"""What the tests of the store share."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from monitor.model import Finding
from monitor.store import Leased, Store, owner_name

NOW = 1_800_000_000.0
OWNER = owner_name("here")


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def fingerprint(secret: object) -> str:
    return hashlib.sha256(repr(secret).encode()).hexdigest()


def finding(secret: object, offset: int = 0, **changes: object) -> Finding:
    found = Finding(
        id="",
        rule="github-pat",
        name="GitHub token",
        severity="high",
        confidence="high",
        fingerprint=fingerprint(secret),
        masked="ghp_…",
        source="services",
        path="/var/log/app.log",
        generation="g1",
        offset=offset,
        time=NOW,
        line=offset + 1,
    )
    found = replace(found, **changes)  # type: ignore[arg-type]
    identity = f"{found.source} {found.path} {found.generation} {found.offset} {found.rule} {found.fingerprint}"
    return replace(found, id=hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest())


async def reasons(store: Store) -> list[str]:
    return [entry.reason for entry in reversed(await store.outbox.list())]


async def lease(store: Store, sink: str, owner: str = OWNER, ttl: float = 60) -> Leased | None:
    """The next notification for `sink`."""
    return next(iter(await store.outbox.lease(sink, owner, ttl)), None)


async def deliver(store: Store, sink: str = "chat") -> list[str]:
    """Mark everything for a sink as sent."""
    seen = []
    while leased := await lease(store, sink):
        seen.append(leased.reason)
        await store.outbox.sent(leased.id, {"ts": str(len(seen))})
    return seen
