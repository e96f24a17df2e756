"""Runbooks: what to do about a kind of secret, in steps with deadlines, and how far somebody has come with them."""

from __future__ import annotations

from monitor.runbook.book import Link, Order, Query, Runbook, RunbookStep, advised, fill
from monitor.runbook.runbook_store import GENERAL, RunbookStore, load, names, of

__all__ = [
    "GENERAL",
    "Link",
    "Order",
    "Query",
    "Runbook",
    "RunbookStep",
    "RunbookStore",
    "advised",
    "fill",
    "load",
    "names",
    "of",
]
