"""Whether rotation is written down, and whether it is done: by `[rotation]` and the ages that the inventory knows."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from monitor.audit import papers
from monitor.audit.check import Evidence, Subject, failed, passed, unknown
from monitor.rotation.schedule import calendar, policy_of
from monitor.rotation.settings import RotationConfig
from monitor.rotation.work import look

if TYPE_CHECKING:
    from monitor.store import Store

__all__ = ["kept"]


async def kept(subject: Subject) -> AsyncIterator[Evidence]:
    """A page or `[rotation]` says how often, and no secret of the inventory is overdue or has expired."""
    own = subject.config.rotation.policies
    if own != RotationConfig().policies:
        yield passed(f"{len(own)} [[rotation.policies]] say how often", "monitor rotation due")
    else:
        for piece in papers.rotation(subject):
            yield piece
    if subject.store is None:
        yield unknown(f"how old secrets are: {subject.no_store}", "monitor rotation due")
        return
    async for piece in _ages(subject, subject.store):
        yield piece


async def _ages(subject: Subject, store: Store) -> AsyncIterator[Evidence]:
    for sync in (await store.inventory.syncs()).values():
        if sync.error:
            yield unknown(f"inventory {sync.entry} could not be read: {sync.error}", "monitor inventory doctor")
    fine = True
    secrets = await look(store)
    ruled = [one for one in secrets if policy_of(one, subject.config.rotation) is not None]
    late = [one for one in calendar(secrets, subject.config.rotation, subject.now) if one.standing == "overdue"]
    for one in late:
        yield failed(f"{one.secret.title} was due on {_day(one.at)}: {one.why}", "monitor rotation due")
    titles = {one.secret.title for one in late}
    for managed in ruled:
        if managed.changed is None and managed.title not in titles:
            fine = False
            why = "its manager does not say how old it is"
            yield unknown(f"{managed.title}: {why}", _show(managed.entry, managed.name))
    if not ruled:
        why = "no [[rotation.policies]] fits one of them" if secrets else "so nobody knows how old one is"
        yield unknown(f"the inventory holds {len(secrets) or 'no'} secrets, and {why}", "monitor rotation due")
    elif fine and not late:
        yield passed(f"{len(ruled)} secrets under a policy, none overdue", "monitor rotation due")


def _show(entry: str, name: str) -> str:
    return shlex.join(["monitor", "inventory", "show", f"{entry}/{name}"])


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
