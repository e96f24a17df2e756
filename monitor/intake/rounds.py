"""Rounds of work with another system: a failure is reported as a part that cannot work, and never ends the source."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

import structlog

from monitor.common.backoff import backoff
from monitor.common.inbound import HookDelivery
from monitor.intake.protocol import AlertIntake

__all__ = ["Rounds", "later"]

log = structlog.get_logger(__name__)

AGAIN_AFTER = 300.0  # seconds
HOOK_PAUSE = 1.0  # seconds between looks for new hook deliveries …
WORK_PAUSE = 5.0  # … and, without a webhook, for work that was put off


def later(attempts: int) -> float:
    """Seconds until work that failed so often before is tried again: five minutes, doubling up to a day."""
    return backoff(attempts + 1, AGAIN_AFTER, 86_400.0)


class Rounds:
    """Of one source. `system`: whom it asks; `errors`: failures whose words show nothing of an answer."""

    def __init__(self, source: str, intake: AlertIntake, system: str, errors: tuple[type[Exception], ...]) -> None:
        self._source, self._intake = source, intake
        self._system, self._errors = system, errors
        self._reported_wait = False

    async def tried(self, work: Callable[[], Awaitable[object]]) -> Exception | None:
        """Run a piece of work. Returns what went wrong."""
        try:
            await work()
        except self._errors as error:
            return error
        except Exception as error:  # noqa: BLE001 - supervision: no answer, however odd, may stop the source
            self._intake.malformed("answer")
            log.error("internal error", source=self._source, error=type(error).__name__)
            return error
        return None

    def words(self, error: Exception) -> str:
        """For people. Of an error that nobody foresaw not its text: it may quote the answer, and that may hold a
        secret."""
        return str(error) if isinstance(error, self._errors) else f"internal error: {type(error).__name__}"

    async def guarded(self, part: str, work: Callable[[], Awaitable[object]]) -> Exception | None:
        """Run one round of a part, and report how it stands. Returns what went wrong."""
        error = await self.tried(work)
        problem = None if error is None else self.words(error)
        self._intake.degraded(part, problem)
        if problem is not None:
            log.warning(self._system, source=self._source, part=part, problem=problem)
        return error

    async def hooks(self, answer: Callable[[], Awaitable[object]], *, announced: bool) -> NoReturn:
        """Look for deliveries, and for work that was put off. `announced`: a webhook brings some."""
        while True:
            await self.guarded("hook queue", answer)
            await asyncio.sleep(HOOK_PAUSE if announced else WORK_PAUSE)

    async def deal(self, part: str, delivery: HookDelivery, work: Callable[[HookDelivery], Awaitable[object]]) -> None:
        """Deal with a delivery. One that fails must not be the first thing tried every second."""
        if await self.guarded(part, partial(work, delivery)) is not None:
            await self._intake.postpone(delivery.id, later(delivery.attempts))

    def waiting(self, seconds: float) -> None:
        """For a client that waits for a limit; 0: it goes on."""
        if seconds > 0 or self._reported_wait:
            self._reported_wait = seconds > 0
            message = f"waiting {seconds:.0f} s for {self._system}'s rate limit" if seconds > 0 else None
            self._intake.degraded("rate limit", message)
