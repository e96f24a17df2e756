"""Telling GitHub what was done: off by default, one write a second, and a dry run that says what it would do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from monitor.common.backoff import backoff
from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.domain.model import WriteBack
from monitor.github.auth import AuthError
from monitor.github.client import GitHubClient
from monitor.github.poll import Poller
from monitor.intake.protocol import AlertIntake

__all__ = ["Mode", "WriteBacks", "plan"]

log = structlog.get_logger(__name__)

Mode = Literal["off", "dry-run", "on"]

_FIRST, _LONGEST = 30.0, 3600.0  # seconds until the same alert is tried again
_IN_A_ROW = 3  # so many failures are GitHub's; fewer may be one alert's


@dataclass(frozen=True, slots=True)
class _Tried:
    """An alert that was written and is still to be written. `due`: monotonic; `error`: None where GitHub took it."""

    count: int
    due: float
    error: str | None


def plan(write: WriteBack) -> tuple[str, str, dict[str, Any]]:
    """Repository, path and body of the request that resolves the alert."""
    _, _, rest = write.alert.partition("/")
    repo, _, number = rest.partition("#")
    comment = f"Revoked. Exposure monitor, incident {write.incident}."
    body = {"state": "resolved", "resolution": "revoked", "resolution_comment": comment}
    return repo, f"/repos/{repo}/secret-scanning/alerts/{number}", body


class WriteBacks:
    """Resolves alerts whose incident is resolved as revoked, and assigns new ones."""

    def __init__(
        self, client: GitHubClient, intake: AlertIntake, poller: Poller, mode: Mode, assignee: str | None
    ) -> None:
        self.client, self.intake, self.poller, self.mode, self.assignee = client, intake, poller, mode, assignee
        self._settled: set[str] = set()  # refused by GitHub, or shown in a dry run: once each while we run
        self._tried: dict[str, _Tried] = {}

    async def resolve(self, most: int = 50) -> None:
        """Write what is to be written, at most so many. What fails waits, ever longer, and holds up nothing behind it.
        Raises RemoteError while there is such, and AuthError."""
        # What is settled or waits is still to be written as far as the store knows, and must not stand before the rest.
        limit = most + len(self._settled) + len(self._tried)
        listed = await self.intake.write_backs(limit)
        if len(listed) < limit:
            left = {write.alert for write in listed}
            self._tried = {alert: tried for alert, tried in self._tried.items() if alert in left}

        failures = 0
        for write in listed:
            tried = self._tried.get(write.alert)
            if write.alert in self._settled or (tried and tried.due > time.monotonic()):
                continue
            count = tried.count + 1 if tried else 1
            error = await self._resolve(write)
            self._tried[write.alert] = _Tried(count, time.monotonic() + backoff(count, _FIRST, _LONGEST), error)
            failures = failures + 1 if error else 0
            if failures >= _IN_A_ROW:
                break

        if errors := [tried.error for tried in self._tried.values() if tried.error]:
            others = f" (so it is with {len(errors)} alerts)" if len(errors) > 1 else ""
            raise RemoteError(f"{errors[0]}{others}", retry=True)

    async def _resolve(self, write: WriteBack) -> str | None:
        """Why it failed; None: it did not. Raises what would befall every other as well."""
        repo, path, body = plan(write)
        try:
            answer = await self._write(path, body, write.alert)
            if answer is not None:
                await self.poller.take_one(answer, repo)
        except AuthError:
            raise
        except RemoteError as error:
            if error.status == 401:
                raise
            return str(error)
        except Exception as error:  # noqa: BLE001 - a supervision boundary: an odd answer is one alert's
            # Not its text: it may quote the answer, and that may hold a secret.
            self.intake.malformed("answer")
            return f"PATCH {path}: internal error: {type(error).__name__}"
        return None

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
