"""Telling GitHub what was done: off by default, one write a second, and a dry run that says what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import structlog

from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.github.client import Client
from monitor.github.poll import Poller
from monitor.intake import AlertIntake
from monitor.model import WriteBack

__all__ = ["Mode", "WriteBacks", "plan"]

log = structlog.get_logger(__name__)

Mode = Literal["off", "dry-run", "on"]


def plan(write: WriteBack) -> tuple[str, str, dict[str, Any]]:
    """Repository, path and body of the request that resolves the alert."""
    _, _, rest = write.alert.partition("/")
    repo, _, number = rest.partition("#")
    comment = f"Revoked. Exposure monitor, incident {write.incident}."
    body = {"state": "resolved", "resolution": "revoked", "resolution_comment": comment}
    return repo, f"/repos/{repo}/secret-scanning/alerts/{number}", body


class WriteBacks:
    """Resolves alerts whose incident is resolved as revoked, and assigns new ones."""

    def __init__(self, client: Client, intake: AlertIntake, poller: Poller, mode: Mode, assignee: str | None) -> None:
        self.client = client
        self.intake = intake
        self.poller = poller
        self.mode = mode
        self.assignee = assignee
        self._settled: set[str] = set()  # refused by GitHub, or shown in a dry run: once each while we run

    async def resolve(self, most: int = 50) -> None:
        """Write what is to be written, at most so many. Raises RemoteError when it is worth trying again."""
        # What is settled is still to be written as far as the store knows, and must not stand in front of the rest.
        for write in await self.intake.write_backs(most + len(self._settled)):
            if write.alert in self._settled:
                continue
            repo, path, body = plan(write)
            answer = await self._write(path, body, write.alert)
            if answer is not None:
                await self.poller.take_one(answer, repo)

    async def assign(self, delivery: HookDelivery) -> None:
        """Assign one alert."""
        path = f"/repos/{delivery.repo}/secret-scanning/alerts/{delivery.number}"
        if self.assignee is not None:  # it was, when the alert was read
            await self._write(path, {"assignee": self.assignee}, delivery.id)
        await self.intake.record_alerts([], [], [], handled=[delivery.id])

    async def _write(self, path: str, body: Mapping[str, Any], name: str) -> Any:
        """GitHub's answer; None when nothing was written."""
        if self.mode != "on":
            self._settled.add(name)
            shown = ", ".join(f"{key}={value}" for key, value in body.items())
            log.info("would write to GitHub", request=f"PATCH {path}", body=shown)
            return None
        try:
            answer = await self.client.write("PATCH", path, body)
        except RemoteError as error:
            if error.retry or error.status == 401:
                raise
            # Delegated dismissal (403), already changed (400), an unknown assignee or an old GHES (422).
            self._settled.add(name)
            log.warning("GitHub refused a change", source=self.poller.source, alert=name, reason=str(error))
            return None
        log.info("wrote to GitHub", source=self.poller.source, alert=name)
        return answer.body
