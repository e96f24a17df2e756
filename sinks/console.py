"""Alerts on standard output: a picture for people, or one JSON object a line."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import ClassVar, Literal

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Notification, Receipt
from sinks.base import Limits, SinkConfig
from sinks.payload import MOST, encode

__all__ = ["Console", "ConsoleConfig"]


EXAMPLE = """
[[sinks]]
name = "screen"
type = "console"
#format = "text"                # or "json": the webhook's payload, one a line
# Every sink may name another one that takes what it refuses for good:
#fallback = "mail"
"""


class ConsoleConfig(SinkConfig):
    """Prints on standard output.

    - `format`: `"text"` for people (colour on a terminal), or `"json"`: the [payload](webhook.md) of a webhook, one a
      line
    """

    type: Literal["console"]
    format: Literal["text", "json"] = "text"


class Console:
    """Writes to standard output, in a thread: a full pipe must not hold up the monitor."""

    Config: ClassVar[type[SinkConfig]] = ConsoleConfig

    def __init__(self, config: ConsoleConfig, http: Http) -> None:
        self._config = config
        self.limits = Limits(incidents=MOST) if config.format == "json" else Limits()
        self._lock = asyncio.Lock()  # one alert at a time, or two would interleave

    async def send(self, notification: Notification) -> Receipt | None:
        async with self._lock:
            try:
                json = self._config.format == "json"
                text = f"{encode(notification).decode()}\n" if json else _drawn(notification)
                await asyncio.to_thread(_write, text)
            except (OSError, ValueError) as error:  # ValueError: standard output is closed
                code = error.errno if isinstance(error, OSError) else None
                reason = os.strerror(code) if code else "closed"
                raise RemoteError(f"standard output: {reason}", retry=True) from None
        return None


def _drawn(notification: Notification) -> str:
    from sinks.picture import drawn  # slow to import, and mostly nothing is exposed

    return drawn(notification)


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
