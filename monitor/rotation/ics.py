"""The calendar of rotations as an iCalendar file (RFC 5545)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from monitor.common.text import clean, clip, one_line
from monitor.rotation.schedule import Due

__all__ = ["ics"]

_DAY = 86_400.0
_FOLD = 75  # octets of a line


def ics(plan: Iterable[Due], now: float, remind: float, host: str) -> str:
    """An event of a whole day (UTC) for each, with an alarm `remind` seconds before. The id of an event stays the same
    until the secret has another value, so that a calendar moves it instead of doubling it."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//exposure-monitor//rotation//EN", "CALSCALE:GREGORIAN"]
    for one in plan:
        lines += _event(one, now, remind, host)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _event(due: Due, now: float, remind: float, host: str) -> Iterator[str]:
    secret = due.secret
    day = datetime.fromtimestamp(due.at, UTC).date()
    name = hashlib.sha256(f"{secret.entry}\0{secret.name}\0{secret.mark}".encode("utf-8", "backslashreplace"))
    about = f"{due.why}. Owner: {secret.owner or 'nobody'}. Used by: {', '.join(secret.consumers) or 'nobody known'}."
    yield from (
        "BEGIN:VEVENT",
        f"UID:{name.hexdigest()[:32]}@{host}",
        f"DTSTAMP:{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
        f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{_text(f'Rotate {secret.title}')}",
        f"DESCRIPTION:{_text(about)}",
        f"CATEGORIES:{','.join(_text(tag) for tag in ('rotation', *secret.tags))}",
        f"PRIORITY:{ {'critical': 1, 'high': 2, 'medium': 5}.get(due.severity, 9) }",
        "TRANSP:TRANSPARENT",
    )
    if remind:
        yield from (
            "BEGIN:VALARM",
            "ACTION:DISPLAY",
            f"TRIGGER:-P{math.ceil(remind / _DAY)}D",
            f"DESCRIPTION:{_text(f'Rotate {secret.title}')}",
            "END:VALARM",
        )
    yield "END:VEVENT"


def _text(value: str) -> str:
    value = clip(one_line(clean(value)), 500)
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _folded(line: str) -> Iterator[str]:
    """Lines of at most 75 octets, none of which cuts a character."""
    part, size = "", 0
    for char in line:
        octets = len(char.encode())
        if size + octets > _FOLD:
            yield part
            part, size = " ", 1
        part, size = part + char, size + octets
    yield part
