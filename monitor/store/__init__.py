"""The only SQL. One writer thread; findings, notifications and positions commit together."""

from monitor.store.access import Use
from monitor.store.allowance import AT_ONCE
from monitor.store.leases import owner_name
from monitor.store.reach import reach
from monitor.store.records import AuditEntry, Beside, Leased, Notice, OutboxEntry, Stats
from monitor.store.store import Store
from monitor.store.trouble import DriverError, Recovery, StoreError

__all__ = [
    "AT_ONCE",
    "AuditEntry",
    "Beside",
    "DriverError",
    "Leased",
    "Notice",
    "OutboxEntry",
    "Recovery",
    "Stats",
    "Store",
    "StoreError",
    "Use",
    "owner_name",
    "reach",
]
