"""A notification as data: the JSON that the webhook posts, and what templates of a body are filled from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from monitor.common.notification import Notification
from monitor.common.payload import record
from monitor.common.text import clean, clip, printable
from sinks.base import TooLargeError
from sinks.text import headline, links, summary

__all__ = ["MOST", "encode", "payload"]

MOST = 500  # incidents in one payload


def encode(
    notification: Notification, limit: int | None = None, form: Callable[[dict[str, Any]], bytes] = orjson.dumps
) -> bytes:
    """The payload as `form` writes it (one line of JSON in UTF-8), of at most `limit` bytes. Raises TooLargeError.

    Several incidents are to be sent in parts then; of a single one, the oldest of its places are left out, and texts of
    a senseless length are cut.
    """
    whole = payload(notification)
    body = form(whole)
    if limit is None or len(body) <= limit:
        return body
    if len(notification.incidents) <= 1:
        for places, width in ((50, None), (10, None), (3, None), (1, 2000), (0, 200), (0, 30)):
            for incident in whole["incidents"]:
                incident["locations"] = incident["locations"][:places]
            shorter = form(_cut(whole, width) if width else whole)
            if len(shorter) <= limit:
                return shorter
    raise TooLargeError(f"{len(body):,} bytes, and the sink takes {limit:,}", len(body) * 5 // (limit * 4) + 1)


def _cut(value: Any, width: int) -> Any:
    """Every text in it cut to so many characters."""
    if isinstance(value, str):
        return clip(value, width)
    if isinstance(value, list):
        return [_cut(item, width) for item in value]
    return {key: _cut(item, width) for key, item in value.items()} if isinstance(value, dict) else value


def payload(notification: Notification) -> dict[str, Any]:
    """What scripts depend on. Keys are only ever added."""
    url, runbook = links(notification)
    return {
        "version": notification.version,
        "id": clean(notification.id),
        "reason": notification.reason,
        "host": clean(notification.host),
        "drill": notification.drill,
        "severity": notification.severity,
        "title": printable(notification.title) or headline(notification),
        "text": clean(summary(notification)),
        "incidents": [record(incident) for incident in notification.incidents],
        "more": notification.more,
        "url": url and clean(url),
        "runbook": runbook and clean(runbook),
    }
