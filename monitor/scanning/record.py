"""What a log record says of itself: when it was written, and by whom. Pure; looked at for the line of a match only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

__all__ = ["HEAD", "TAIL", "LogRecord", "record"]

HEAD, TAIL = 512, 256  # bytes of a line that are looked at: a time stands at its beginning, in JSON often at its end
_AHEAD = 300  # seconds by which another clock may be ahead of ours
_EARLIEST = 631152000  # 1990: what lies before is no time of a log

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_CLOCK = r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_ZONE = r"(?: ?(?P<z>Z|UTC|GMT|[+-]\d\d:?\d\d)(?![\w:]))?"
_NAME = r"(?P<b>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"

# Stamps as they stand at the beginning of a line, or behind a key in it.
_STAMPS = [
    # ISO 8601, RFC 3339, RFC 5424; Python, Java, PostgreSQL (2026-11-02 13:58:12,123); Go, nginx (2026/11/02 13:58:12)
    rf"(?P<y>\d{{4}})(?P<sep>[-/.])(?P<mo>\d\d)(?P=sep)(?P<d>\d\d)[T _:]{_CLOCK}{_ZONE}",
    # ISO 8601 without separators
    r"(?P<y>\d{4})(?P<mo>\d\d)(?P<d>\d\d)T(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?(?P<z>Z|[+-]\d{4})",
    # common log (02/Nov/2026:13:58:12 +0000), Tomcat (02-Nov-2026 13:58:12.123), Redis (02 Nov 2026 13:58:12.123)
    rf"(?P<d>\d\d)[-/ ]{_NAME}[-/ ](?P<y>\d{{4}})[: ]{_CLOCK}{_ZONE}",
    # Apache's error log, asctime: Mon Nov  2 13:58:12.123456 2026
    rf"{_NAME} +(?P<d>\d\d?) {_CLOCK} (?P<y>\d{{4}})",
    # RFC 3164: Nov  2 13:58:12
    rf"{_NAME} +(?P<d>\d\d?) {_CLOCK}",
    # klog: I1102 13:58:12.123456
    rf"[IWEFD](?P<mo>\d\d)(?P<d>\d\d) {_CLOCK}",
    # seconds, milliseconds, microseconds or nanoseconds since the epoch
    r"(?P<e>\d{10}(?:\d{3}|\d{6}|\d{9})?)(?:\.(?P<f>\d{1,9}))?(?![\w.:-])",
]
# What each of them has in it: a line without is not held against them, which takes twenty times as long.
_DIGITS = re.compile(r"\d\d:\d\d:\d\d|\d{8}T\d{6}|\d{10}", re.ASCII)
# Before a stamp: the priority of syslog, a level, an address with the users of the common log, the name that docker
# compose puts before a line, a bracket.
_BEFORE = r"(?:<\d{1,3}>(?:1 )?)?(?:[\w.:%-]{1,64}(?: +\| |[ \t]+)){0,3}[\[(\"']?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)?,? ?"
_KEYS = r"(?:time|ts|timestamp|@timestamp|t|date|datetime|asctime|eventTime|log_time|written_at)"
_FIRST = [re.compile(rf"\A[ \t]*{_BEFORE}{stamp}", re.ASCII) for stamp in _STAMPS]
_KEYED = [
    re.compile(rf"(?:(?<![\w@.\"-]){_KEYS}=|\"{_KEYS}\"[ ]?:[ ]?)\"?{stamp}", re.ASCII)
    for stamp in (*_STAMPS[:3], _STAMPS[-1])
] + [re.compile(r"\baudit\((?P<e>\d{10})\.(?P<f>\d{3}):", re.ASCII)]
_TAG = re.compile(r" (?:[\w.:-]{1,255}) (?P<tag>[A-Za-z][\w./-]{0,47})(?P<pid>\[\d{1,10}\])?:(?: |$)", re.ASCII)
_APP = re.compile(r" \S{1,255} (?P<tag>[A-Za-z][\w./-]{0,47}) \S{1,128} \S{1,32} ", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """`logged_at` in seconds since the epoch. `service`: the program that a syslog line names."""

    logged_at: float | None = None
    service: str | None = None


def record(line: bytes, now: float, zone: tzinfo | None = None) -> LogRecord:
    """What `line` says of itself. Only its first HEAD and last TAIL bytes are looked at.

    A time without a zone is one of `zone`, which is that of this host unless given; one that would lie ahead of `now`
    then is taken for UTC, as containers write it. A time ahead of `now` or before 1990 is none.
    """
    head, tail = (part.decode("latin-1") for part in (line[:HEAD], line[HEAD:][-TAIL:]))
    for pattern in _FIRST if _DIGITS.search(head) else ():
        if (found := pattern.match(head)) and (time := _time(found.groupdict(), now, zone)) is not None:
            return LogRecord(time, _service(head, found))

    for text in filter(_DIGITS.search, (head, tail)):
        keyed = (found for pattern in _KEYED for found in pattern.finditer(text))
        for found in sorted(keyed, key=lambda match: match.start()):
            if (time := _time(found.groupdict(), now, zone)) is not None:
                return LogRecord(time)
    return LogRecord()


def _time(parts: Mapping[str, str | None], now: float, zone: tzinfo | None) -> float | None:
    """Seconds since the epoch, or None for what is no plausible time."""
    fraction = float(f"0.{parts['f']}") if parts.get("f") else 0.0
    if epoch := parts.get("e"):
        return _plausible(int(epoch) / 10 ** (len(epoch) - 10) + fraction, now)

    month = parts.get("mo") or _MONTHS[(parts["b"] or "").lower()]
    clock = [int(parts[name] or 0) for name in ("d", "h", "m", "s")]
    known = parts.get("y")
    # Without a year it is the one in which the time lies behind us.
    years = [int(known)] if known else [(year := datetime.fromtimestamp(now, UTC).year) + 1, year, year - 1]
    for year in years:
        try:
            moment = datetime(year, int(month), clock[0], clock[1], clock[2], min(clock[3], 59))  # noqa: DTZ001
            for stated in _zones(parts.get("z"), zone):
                aware = moment.astimezone() if stated is None else moment.replace(tzinfo=stated)
                if (time := _plausible(aware.timestamp() + fraction, now)) is not None:
                    return time
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _zones(stated: str | None, zone: tzinfo | None) -> tuple[tzinfo | None, ...]:
    if stated is None:
        return (zone, UTC)
    if stated in ("Z", "UTC", "GMT"):
        return (UTC,)
    digits = stated[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return (timezone(-offset if stated[0] == "-" else offset),)


def _plausible(time: float, now: float) -> float | None:
    return time if _EARLIEST <= time <= now + _AHEAD else None


def _service(head: str, stamp: re.Match[str]) -> str | None:
    """The program of a syslog line. Without syslog's own time, the number of a process tells that it is one."""
    if head.startswith("<") and re.match(r"<\d{1,3}>1 ", head):
        found = _APP.match(head, stamp.end())
        return found["tag"] if found else None
    found = _TAG.match(head, stamp.end())
    return found["tag"] if found and (found["pid"] or "y" not in stamp.re.groupindex) else None
