"""The only SQL. One writer thread; findings, notifications and positions commit together."""

from monitor.store.access import Use
from monitor.store.allowance import AT_ONCE
from monitor.store.errors import DriverError, Recovery, StoreError
from monitor.store.leases import owner_name
from monitor.store.reach import reach
from monitor.store.records import AuditEntry, Joined, Leased, Notice, OutboxEntry, StoreStats
from monitor.store.store import Store

__all__ = [
    "AT_ONCE",
    "AuditEntry",
    "DriverError",
    "Joined",
    "Leased",
    "Notice",
    "OutboxEntry",
    "Recovery",
    "Store",
    "StoreError",
    "StoreStats",
    "Use",
    "owner_name",
    "reach",
]
