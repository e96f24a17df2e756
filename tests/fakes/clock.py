"""A clock that tests turn, in place of a wait: of an event loop, by which all that waits in it is timed."""

from __future__ import annotations

import asyncio

__all__ = ["turn"]


def turn(seconds: float) -> None:
    """What the running loop was asked to do within so many seconds is due now."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]
