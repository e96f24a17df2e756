"""A test notification, at once and past no queue."""

from __future__ import annotations

import asyncio
import secrets

from monitor.common.http import RemoteError
from monitor.common.notification import Notification, Receipt
from sinks.base import Sink

__all__ = ["trial"]

_PATIENCE = 30.0  # seconds, as for what is delivered


async def trial(sink: Sink, by: str, host: str) -> Receipt | None:
    """`by`: who or what sends it. Raises RemoteError, whatever is wrong with the sink."""
    identity = f"test-{secrets.token_hex(8)}"
    notification = Notification(
        id=identity,
        key=identity,
        reason="test",
        title="Test of the exposure monitor",
        text=f"Sent by {by} on {host}. Nothing has leaked.",
        host=host,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            return await sink.send(notification)
    except RemoteError:
        raise
    except TimeoutError:
        raise RemoteError(f"no answer within {_PATIENCE:g} s", retry=True) from None
    except Exception as error:  # noqa: BLE001 - the boundary around foreign code, whose text may show what it was given
        raise RemoteError(f"unexpected {type(error).__name__} in the sink", retry=True) from None
