"""What the database is asked for, while it is away or locked: who looks hears so soon (monitor.web.failures)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from monitor.store import StoreError

__all__ = ["within"]

_PATIENCE = 5.0  # seconds that somebody looks at nothing

_T = TypeVar("_T")


async def within(reading: Awaitable[_T]) -> _T:
    """What the store answers. Raises StoreError, also where it does not in time."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await reading
    except TimeoutError:
        raise StoreError(f"the database did not answer within {_PATIENCE:g} s") from None
