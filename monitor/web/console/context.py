"""What the pages work with, given by the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.report.view import Links
from monitor.store import Store
from monitor.web.console.live import LiveUpdates
from monitor.web.console.sessions import Reception

__all__ = ["ConsoleContext"]


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """`links`: within the pages. `redact`: what somebody wrote, masked and cut, before anything is done with it.
    `status`: how the monitor is (monitor.status); `live`: what pages that are open are told. `try_sink`: sends a test
    to a sink, by somebody; returns what it is called there, if anything. Raises LookupError and RemoteError.
    `reception`: knows who is signed in; None: nobody can."""

    store: Store
    links: Links
    redact: Callable[[str], Awaitable[str]]
    status: Callable[[], Awaitable[Mapping[str, Any]]]
    live: LiveUpdates
    try_sink: Callable[[str, str], Awaitable[str]]
    reception: Reception | None = None
