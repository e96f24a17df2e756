"""`asyncio.timeout` of Python before 3.11.3, mended: Debian 12 has 3.11.2."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

__all__ = ["mend", "mended"]


def mended(base: type[asyncio.Timeout]) -> type[asyncio.Timeout]:
    """`base`, which tells a timeout also where the task was asked to end before it began.

    Such a request stays counted where the task goes on: while it cleans up, and behind a group of which a task failed.
    Up to Python 3.11.2 every timeout from then on came as CancelledError (python/cpython#102780), which ends a loop
    without a word.
    """

    class Timeout(base):  # type: ignore[valid-type, misc]
        async def __aenter__(self) -> Self:
            self._before = _requests()
            await super().__aenter__()
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> Any:
            answer = await super().__aexit__(kind, error, trace)
            if self.expired() and kind is asyncio.CancelledError and _requests() <= self._before:
                raise TimeoutError from error
            return answer

    return Timeout


def mend() -> None:
    """For everyone who asks asyncio for one, libraries as well."""
    asyncio.timeouts.Timeout = asyncio.Timeout = mended(asyncio.Timeout)  # type: ignore[misc]


def _requests() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
