"""Whose a lease is, and whether its process is still there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable

from sqlalchemy import select, update

from monitor.store.schema import outbox
from monitor.store.transaction import Transaction

__all__ = ["lost_owners", "owner_name", "release_lost"]


def owner_name(node: str) -> str:
    """Names this process in leases: node, pid, and something no later process has."""
    return f"{node}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def lost_owners(open_handles: Iterable[str], owner: str) -> list[str]:
    """Those of the `holders` that are processes of the `owner`'s node, and are gone."""
    node, pid, _ = owner.rsplit(":", 2)
    return [holder for holder in open_handles if holder != owner and _is_gone(holder, node, pid)]


def release_lost(tx: Transaction, owner: str) -> int:
    """At start: leases of processes of this node that are gone need not run out first. Returns their number."""
    open_handles = tx.connection.execute(select(outbox.c.owner).where(outbox.c.state == "leased").distinct()).scalars()
    lost = lost_owners(open_handles, owner)
    if not lost:
        return 0
    result = tx.connection.execute(
        update(outbox)
        .where(outbox.c.state == "leased", outbox.c.owner.in_(lost))
        .values(state="pending", leased_until=None, owner=None, next_at=tx.now, attempts=outbox.c.attempts + 1)
    )
    return result.rowcount


def _is_gone(holder: str, node: str, own_pid: str) -> bool:
    try:
        there, pid, _ = holder.rsplit(":", 2)
        number = int(pid)
    except ValueError:
        return True
    if there != node:
        return False  # its process ids say nothing here
    if pid == own_pid:
        return True  # our number, not our name: an earlier life (in a container every life has the same number)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
