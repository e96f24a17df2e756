"""Whether rotation is written down, and whether it is done: by the ages that the inventory knows."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from monitor.audit import papers
from monitor.audit.subject import Subject
from monitor.audit.verdict import Evidence, failed, passed, unknown

if TYPE_CHECKING:
    from monitor.store.inventory import Secret

__all__ = ["kept"]

_DAY = 86_400.0


async def kept(subject: Subject) -> AsyncIterator[Evidence]:
    """A page says how often, and no secret of the inventory is older than `audit.rotation`, or expired."""
    for piece in papers.rotation(subject):
        yield piece
    if subject.store is None:
        yield unknown(f"how old secrets are: {subject.no_store}", "monitor inventory list")
        return
    for sync in (await subject.store.inventory.syncs()).values():
        if sync.error:
            yield unknown(f"inventory {sync.entry} could not be read: {sync.error}", "monitor inventory doctor")
    secrets = [one for one in await subject.store.inventory.secrets() if one.gone_at is None]
    late = [aged for one in secrets if (aged := _aged(one, subject)) is not None]
    for aged in late:
        yield aged
    if not secrets:
        yield unknown("the inventory holds no secret, so nobody knows how old one is", "monitor inventory sync")
    elif not late:
        days = subject.settings.rotation / _DAY
        yield passed(f"{len(secrets)} secrets, none older than {days:.0f} days", "monitor inventory list")


def _aged(secret: Secret, subject: Subject) -> Evidence | None:
    """What is wrong with its age, or not known of it."""
    who, most = f"{secret.entry}/{secret.name}", subject.settings.rotation
    repeat = shlex.join(["monitor", "inventory", "show", who])
    current = secret.current
    if current is not None and current.expires is not None and current.expires < subject.now:
        return failed(f"{who} expired on {_day(current.expires)}", repeat)
    since = secret.changed_at
    if since is None:
        if subject.now - secret.first_seen > most:
            return failed(f"{who} has not changed since {_day(secret.first_seen)}, when it was first seen", repeat)
        return unknown(f"{who}: its manager does not say how old it is", repeat)
    if subject.now - since > most:
        return failed(f"{who} was last changed on {_day(since)}, more than {most / _DAY:.0f} days ago", repeat)
    return None


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
