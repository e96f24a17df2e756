"""Fields of a record that anybody may have written: there or not, of any type."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitor.common.outside import taken

__all__ = ["MalformedError", "at", "identity", "listed", "moment", "tables", "text"]

_LATEST = 253_402_300_799.0  # the end of the year 9999
_MANY = 1000  # entries of a list


class MalformedError(ValueError):
    """A record that its form does not allow. The message names the field and shows nothing of it."""


def at(record: Any, *path: str) -> Any:
    """What lies there; None where the way ends before."""
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record


def text(record: Any, *path: str) -> str:
    """The text there, which the reader masks and cuts; empty for anything else."""
    value = at(record, *path)
    return taken(value) if isinstance(value, str) else ""


def listed(record: Any, *path: str) -> Sequence[Any]:
    """The list there, of at most a thousand; empty for anything else."""
    value = at(record, *path)
    return value[:_MANY] if isinstance(value, list) else ()


def tables(record: Any, *path: str) -> Sequence[Mapping[str, Any]]:
    """The tables of a list there."""
    return [one for one in listed(record, *path) if isinstance(one, Mapping)]


def moment(value: Any) -> float:
    """RFC 3339, or seconds, milliseconds or microseconds since 1970, as seconds. Raises MalformedError."""
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value[:40])
        except ValueError:
            raise MalformedError("the time is none") from None
        value = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedError("the time is missing")
    else:
        value = float(value)
        for unit in (1e6, 1e3):
            if value >= 1e8 * unit:  # 1973 in seconds
                value /= unit
                break
    if not 0.0 <= value <= _LATEST:
        raise MalformedError("the time is out of all bounds")
    return float(value)


def identity(*parts: object) -> str:
    """An id for a record that brings none: the same for the same facts."""
    joined = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(joined.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
