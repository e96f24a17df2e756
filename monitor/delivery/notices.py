"""Notices about the monitor itself. They do not pass through the database, with which there may be trouble."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from monitor.common.notification import Notification
from monitor.common.severity import Severity
from monitor.routing.routes import Policy

__all__ = ["Notices"]


class Notices:
    """Makes them, says each once in a while only, and finds out whom to tell."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        sinks: Callable[[], Collection[str]],
        post: Callable[[str, Notification, asyncio.Future[None] | None], None],
        url: str | None,
        host: str,
        now: Callable[[], float],
    ) -> None:
        """`post` sends to the sink of that name, and says when that took it; `now`: seconds since the epoch."""
        self._policy, self._sinks, self._post, self._url, self._host = policy, sinks, post, url, host
        self._now = now
        self._last: dict[str, float] = {}
        self._open: dict[str, tuple[Notification, tuple[str, ...]]] = {}  # key → what was said last, and to whom

    def send(
        self,
        notification: Notification,
        sinks: Sequence[str] | None = None,
        taken: asyncio.Future[None] | None = None,
    ) -> tuple[str, ...]:
        """To `sinks`; None: those to which the routes send its severity, else all. Returns who was told."""
        known = self._sinks()
        if sinks is None:
            seen = {
                "severity": notification.severity,
                "confidence": "high",
                "rule": notification.reason,
                "state": "open",
            }
            routed = [target.sink for target in self._policy().targets(seen, notification.key)]
            sinks = [name for name in dict.fromkeys(routed) if name in known] or list(known)
        told = tuple(name for name in sinks if name in known)
        for name in told:
            self._post(name, notification, taken)
        return told

    def tell(
        self, title: str, text: str, *, severity: Severity, key: str, every: float, sinks: Sequence[str] | None
    ) -> asyncio.Future[None] | None:
        """At most once in `every` seconds for one `key`. Returns what is done once a sink took it; None: not now."""
        now = self._now()
        last = self._last.get(key)
        if last is not None and last <= now < last + every:
            return None
        self._last[key] = now
        notification = Notification(
            id=uuid.uuid4().hex,
            key=f"operational:{key}",
            reason="operational",
            title=title,
            text=text,
            severity=severity,
            url=self._url,
            host=self._host,
        )
        taken = asyncio.get_running_loop().create_future()
        told = self.send(notification, sinks, taken)
        earlier = self._open[key][1] if key in self._open else ()
        self._open[key] = (notification, tuple(dict.fromkeys((*earlier, *told))))
        return taken

    def over(self, key: str, text: str) -> None:
        """Nothing when nobody was told of it. Its next occurrence is news again."""
        self._last.pop(key, None)
        if (opened := self._open.pop(key, None)) is None:
            return
        was, told = opened
        # The title stays: some receivers know an alert by it.
        self.send(replace(was, id=uuid.uuid4().hex, reason="recovered", text=text), told)
