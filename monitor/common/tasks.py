"""Tasks of asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["cancel"]


async def cancel(task: asyncio.Task[Any]) -> None:
    """Returns when it has ended, however. Can be cancelled itself."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # nobody else asks for it
