"""The chain of one incident's history: a keyed hash over each entry and the one before it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

__all__ = ["COLUMNS", "broken", "link", "mac_of", "parted", "same", "start"]

COLUMNS = ("at", "actor", "incident", "action", "was", "state", "resolution", "severity", "note", "step")


def start(secret: bytes, id_: str, earlier: Sequence[Mapping[Any, Any]]) -> str:
    """Where it begins: after what was written before there were chains."""
    return mac_of(secret, "start", id_, [_values(row) for row in earlier])


def link(secret: bytes, before: str, row: Mapping[Any, Any]) -> str:
    return mac_of(secret, "entry", before, _values(row))


def parted(rows: Sequence[Row[Any]]) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """Those from before chains, and those that are chained."""
    first = next((place for place, row in enumerate(rows) if row.mac is not None), len(rows))
    return rows[:first], rows[first:]


def broken(secret: bytes, id_: str, rows: Sequence[Row[Any]], entries: int, mac: str) -> str | None:
    """What is wrong with a chain that ends after so many `entries` with `mac`; None: nothing."""
    old, chained = parted(rows)
    at = start(secret, id_, [row._mapping for row in old])
    for place, row in enumerate(chained, len(old) + 1):
        if row.mac is None or not same(row.mac, link(secret, at, row._mapping)):
            return f"entry {place} was changed, moved or added, or one before it is gone"
        at = row.mac
    if entries > len(chained):
        return f"entries after the {len(rows)}th are gone: {entries - len(chained)}"
    if entries < len(chained) or mac != at:
        return f"entry {len(rows)} was changed, moved or added, or one before it is gone"
    return None


def mac_of(secret: bytes, *parts: Any) -> str:
    key = hmac.digest(secret, b"exposure monitor: trail", "sha256")
    return hmac.digest(key, json.dumps(parts).encode(), "sha256").hex()


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _values(row: Mapping[Any, Any]) -> list[Any]:
    return [row[name] for name in COLUMNS]
