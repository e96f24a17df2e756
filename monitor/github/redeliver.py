"""Hook deliveries that failed: GitHub does not send them again by itself, but an App may ask for it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from monitor.common.http import RemoteError
from monitor.common.outside import at, number, text
from monitor.domain.model import Position
from monitor.github.client import GitHubClient
from monitor.intake.protocol import Intake

__all__ = ["redeliver"]

log = structlog.get_logger(__name__)

KEY = "redeliveries"
FINAL = (400, 413)  # our hook's word on what it cannot use: it would say the same again, every ten minutes
PAGES = 10  # of 100: deliveries are kept for three days; polling has recovered what is older


async def redeliver(client: GitHubClient, intake: Intake, source: str, events: str, last: int | None = None) -> int:
    """Ask again for what failed since the last look, unless a later attempt succeeded. `events`: how the names of
    those begin that the source deals with; `last`: what the last look returned, None: it is read from the positions,
    which may be many. Raises RemoteError."""
    if last is None:
        last = (await intake.positions()).get(KEY, {}).get("last")
    limit = newest = last if isinstance(last, int) else 0
    delivered: set[str] = set()
    failed: dict[str, int] = {}
    where: str | None = "/app/hook/deliveries"
    parameters: dict[str, str] | None = {"per_page": "100"}
    for _ in range(PAGES):
        if where is None:
            break
        answer = await client.app("GET", where, parameters)
        ids = []
        for entry in answer.body if isinstance(answer.body, list) else [None]:
            if (known := _entry(entry)) is None:
                intake.malformed("delivery")
                continue
            id_, guid, status, event = known
            ids.append(id_)
            if 200 <= status < 300:
                delivered.add(guid)
            elif id_ > limit and event.startswith(events) and status not in FINAL:
                failed.setdefault(guid, id_)
        newest = max([newest, *ids])
        where, parameters = (answer.next, None) if ids and min(ids) > limit else (None, None)
    for guid, id_ in failed.items():
        if guid not in delivered:
            try:
                await client.app("POST", f"/app/hook/deliveries/{id_}/attempts")
                log.info("asked GitHub to deliver again", source=source, delivery=id_)
            except RemoteError as error:
                if error.retry or error.status not in (400, 404, 422):
                    raise
                # Too old, say; polling recovers it, and the others are asked for all the same.
                log.warning("GitHub does not deliver again", source=source, delivery=id_, reason=str(error))
            await asyncio.sleep(1.0)  # GitHub asks for a second between writes
    await intake.record([], [Position(source, KEY, {"last": newest, "at": time.time()})])
    return newest


def _entry(body: Any) -> tuple[int, str, int, str] | None:
    id_, guid, status = number(body, "id"), text(body, "guid"), at(body, "status_code")
    return (id_, guid, status, text(body, "event")) if id_ and guid and isinstance(status, int) else None
