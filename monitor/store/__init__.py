"""The only SQL. One writer thread; findings, notifications and positions commit together."""

from monitor.store.outbox import AT_ONCE, owner_name
from monitor.store.records import AuditEntry, Leased, Notice, OutboxEntry, Stats
from monitor.store.store import Store
from monitor.store.trouble import Recovery, StoreError

__all__ = [
    "AT_ONCE",
    "AuditEntry",
    "Leased",
    "Notice",
    "OutboxEntry",
    "Recovery",
    "Stats",
    "Store",
    "StoreError",
    "owner_name",
]
