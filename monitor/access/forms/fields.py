"""When a record was written, and what it is known by."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

__all__ = ["MalformedError", "identity", "moment"]

_LATEST = 253_402_300_799.0  # the end of the year 9999


class MalformedError(ValueError):
    """A record that its form does not allow. The message names the field and shows nothing of it."""


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
