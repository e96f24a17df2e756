"""Durations in the configuration are strings with a unit: `"500ms"`, `"30s"`, `"1m30s"`, `"4h"`, `"7d"`, `"2w"`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

__all__ = ["LONGEST", "Duration", "parse_duration"]

_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONGEST = 36_500 * 86_400.0  # seconds: what ends behind the year 9999 has no date
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|w|d|h|m|s)")


def parse_duration(value: object) -> float:
    """Seconds. Takes the string form only, so that no number is read with the wrong unit. Raises ValueError."""
    if isinstance(value, str):
        text = value.strip()
        parts = _PART.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
            if seconds > LONGEST:
                raise ValueError("must be 36500d at most")
            return seconds
    raise ValueError('must be a duration such as "30s", "5m" or "4h"')


def _written(seconds: float) -> str:
    return f"{seconds:f}s"


# Seconds once validated; a default in code is given in seconds. In JSON it is text again.
Duration = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(_written, when_used="json")]
