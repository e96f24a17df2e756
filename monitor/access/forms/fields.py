"""When a record was written, and what it is known by."""

from __future__ import annotations

import hashlib
from typing import Any

from monitor.common.outside import instant

__all__ = ["MalformedError", "identity", "moment"]

_LATEST = 253_402_300_799.0  # the end of the year 9999


class MalformedError(ValueError):
    """A record that its form does not allow. The message names the field and shows nothing of it."""


def moment(value: Any) -> float:
    """RFC 3339, or seconds, milliseconds or microseconds since 1970, as seconds. Raises MalformedError."""
    seconds = instant(value)
    if seconds is None:
        raise MalformedError("the time is missing, or none")
    if not isinstance(value, str):
        unit = next((unit for unit in (1e6, 1e3) if seconds >= 1e8 * unit), 1.0)  # 1973 in seconds
        seconds /= unit
    if not 0.0 <= seconds <= _LATEST:
        raise MalformedError("the time is out of all bounds")
    return seconds


def identity(*parts: object) -> str:
    """An id for a record that brings none: the same for the same facts."""
    joined = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(joined.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
