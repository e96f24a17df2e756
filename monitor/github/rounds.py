"""Rounds of work with GitHub: a failure is reported as a part that cannot work, and never ends the source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from monitor.common.http import RemoteError
from monitor.github.auth import AuthError
from monitor.intake.protocol import Intake

__all__ = ["Rounds"]

log = structlog.get_logger(__name__)


class Rounds:
    """Of one source."""

    def __init__(self, source: str, intake: Intake) -> None:
        self._source, self._intake = source, intake
        self._reported_wait = False

    async def guarded(self, part: str, work: Callable[[], Awaitable[object]]) -> Exception | None:
        """Run one round of a part. Returns what went wrong."""
        try:
            await work()
        except (RemoteError, AuthError) as error:
            self._intake.degraded(part, str(error))
            log.warning("GitHub", source=self._source, part=part, problem=str(error))
            return error
        except Exception as error:  # noqa: BLE001 - supervision: no answer, however odd, may stop the source
            # Not its text: it may quote the answer, and that may hold a secret.
            self._intake.malformed("answer")
            self._intake.degraded(part, f"internal error: {type(error).__name__}")
            log.error("internal error", source=self._source, part=part, error=type(error).__name__)
            return error
        self._intake.degraded(part, None)
        return None

    def waiting(self, seconds: float) -> None:
        """For `on_wait` of a client."""
        if seconds > 0 or self._reported_wait:
            self._reported_wait = seconds > 0
            message = f"waiting {seconds:.0f} s for GitHub's rate limit" if seconds > 0 else None
            self._intake.degraded("rate limit", message)
