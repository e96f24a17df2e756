"""The chain of one incident's history: a keyed hash over each entry and the one before it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

__all__ = ["COLUMNS", "broken", "link", "same", "start"]

COLUMNS = ("at", "actor", "incident", "action", "was", "state", "resolution", "severity", "note", "step")


def start(secret: bytes, id_: str) -> str:
    """Where it begins. The list is empty: databases of version 23 hold what it comes to with one."""
    return _mac(secret, "start", id_, [])


def link(secret: bytes, before: str, row: Mapping[Any, Any]) -> str:
    return _mac(secret, "entry", before, [row[name] for name in COLUMNS])


def broken(secret: bytes, id_: str, rows: Sequence[Row[Any]], entries: int, mac: str) -> str | None:
    """What is wrong with a chain that ends after so many `entries` with `mac`; None: nothing."""
    at = start(secret, id_)
    for place, row in enumerate(rows, 1):
        if row.mac is None or not same(row.mac, link(secret, at, row._mapping)):
            return f"entry {place} was changed, moved or added, or one before it is gone"
        at = row.mac
    if entries > len(rows):
        return f"entries after the {len(rows)}th are gone: {entries - len(rows)}"
    if entries < len(rows) or mac != at:
        return f"entry {len(rows)} was changed, moved or added, or one before it is gone"
    return None


def _mac(secret: bytes, *parts: Any) -> str:
    key = hmac.digest(secret, b"exposure monitor: trail", "sha256")
    return hmac.digest(key, json.dumps(parts).encode(), "sha256").hex()


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
