"""Runbooks: what to do about a kind of secret, in steps with deadlines, and how far somebody has come with them."""

from __future__ import annotations

from monitor.runbook.book import Link, Order, Query, Runbook, Step, advised, fill
from monitor.runbook.shelf import GENERAL, Shelf, load, names, of

__all__ = ["GENERAL", "Link", "Order", "Query", "Runbook", "Shelf", "Step", "advised", "fill", "load", "names", "of"]
