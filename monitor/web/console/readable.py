"""Pages while the database is away or locked: they say so soon, and what still holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeVar

from aiohttp import web

from monitor.store import StoreError
from monitor.web.console.pages import page

__all__ = ["readable", "within"]

_PATIENCE = 5.0  # seconds that somebody looks at nothing

_T = TypeVar("_T")
_Show = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def within(reading: Awaitable[_T]) -> _T:
    """What the store answers. Raises StoreError, also where it does not in time."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await reading
    except TimeoutError:
        raise StoreError(f"the database did not answer within {_PATIENCE:g} s") from None


def readable(show: _Show) -> _Show:
    """The page; or one with 503 that says what still holds. For pages that are not sent in pieces."""

    @wraps(show)
    async def shown(request: web.Request) -> web.StreamResponse:
        try:
            return await show(request)
        except StoreError as error:
            return await page(request, "unreadable.html", status=503, why=str(error))

    return shown
