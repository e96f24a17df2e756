"""How sources and sinks are, in words, of the document about the monitor (monitor.status): on a terminal and on pages.

Texts of the document are as they stand in it: whoever shows them makes them printable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.common.wording import ago

__all__ = ["amount", "sink_state", "size", "source_state", "source_trouble", "span"]

_LATELY = 300.0  # seconds after a failure for which a source counts as failing


def size(count: float) -> str:
    """`12.3 MB`, of bytes."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """`0.4 s`, `5 min`."""
    return f"{max(seconds, 0.0):.1f} s" if seconds < 10 else ago(seconds)


def source_trouble(source: Mapping[str, Any], now: float) -> bool:
    """Whether somebody has to look at it; `now`: seconds since the epoch."""
    return bool(source["problems"]) or _failed(source, now)


def source_state(source: Mapping[str, Any], now: float) -> str:
    """What it does, or what keeps it from it."""
    if _failed(source, now):
        failure, times = source["failed"], source["restarts"]
        return (
            f"started again {span(now - failure['at'])} ago after {failure['error']}, {times:,} times since the start"
        )
    if source["problems"]:
        (part, why), *more = source["problems"].items()
        return f"{part}: {why}" + (f"; and {len(more)} more" if more else "")
    return "reads" if source["last_success"] is not None else "nothing read yet"


def _failed(source: Mapping[str, Any], now: float) -> bool:
    failure = source.get("failed")
    return failure is not None and failure["at"] > now - _LATELY


def sink_state(sink: Mapping[str, Any], now: float) -> str:
    """Whether it takes what it is sent; `now`: seconds since the epoch."""
    if sink["sent"] is None:
        return "not known"
    if sink["refusing"]:
        return f"refuses everything: {sink['refusing']}"
    if (sink.get("rests_until") or 0) > now:
        return f"takes nothing for {span(sink['rests_until'] - now)}: {sink['last_error'] or ''}"
    if sink["failing"]:
        return f"{sink['failing']} failures in a row: {sink['last_error'] or ''}"
    return "works" if sink["sent"] else "nothing sent yet"


def amount(loss: Mapping[str, Any]) -> str:
    """How much was lost: `1,042 bytes and more`; `?` where nobody can know."""
    return f"{loss['count']:,} {loss['unit']}{' and more' if loss['unknown'] else ''}" if loss["count"] else "?"
