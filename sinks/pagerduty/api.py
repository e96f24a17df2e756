"""PagerDuty's REST API: notes on an incident, and its priority and urgency."""

from __future__ import annotations

from typing import Any

import orjson

from monitor.common.http import Http, RemoteError
from monitor.common.outside import tables
from monitor.common.severity import Severity
from monitor.common.text import clip
from sinks.pagerduty.config import PagerDutyConfig

__all__ = ["Api"]

_HINTS = {
    401: "check api_token",
    402: "the account's plan does not have this",
    403: "check that the user of from_email may change incidents",
    404: "the incident is not there, or is another account's",
}
_MOST = 25_000  # characters of a note


class Api:
    """For one sink whose `api_token` is set."""

    def __init__(self, config: PagerDutyConfig, http: Http) -> None:
        self._config, self._http = config, http
        self._priorities: dict[str, str] | None = None  # name → id

    async def note(self, incident: str, text: str) -> None:
        """Raises RemoteError."""
        await self._call("POST", f"/incidents/{incident}/notes", {"note": {"content": clip(text, _MOST)}})

    async def rank(self, incident: str, severity: Severity) -> None:
        """Priority and urgency of this severity, where the configuration has any. Raises RemoteError."""
        change: dict[str, Any] = {}
        if severity in self._config.urgencies:
            change["urgency"] = self._config.urgencies[severity]
        if severity in self._config.priorities:
            name = self._config.priorities[severity]
            change["priority"] = {"id": await self._priority(name), "type": "priority_reference"}
        if change:
            await self._call("PUT", f"/incidents/{incident}", {"incident": {"type": "incident_reference", **change}})

    async def _priority(self, name: str) -> str:
        if self._priorities is None:
            answer = await self._call("GET", "/priorities", None)
            self._priorities = {str(row.get("name")): str(row.get("id")) for row in tables(answer, "priorities")}
        found = self._priorities.get(name)
        if found is None:
            self._priorities = None  # somebody may add it
            raise RemoteError(f"priorities: the account has no priority {name!r}", retry=False)
        return found

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        assert self._config.api_token is not None
        token = self._config.api_token.resolve("api_token")
        headers = {
            "Authorization": f"Token token={token}",
            "Accept": "application/json",
            "From": self._config.from_email or "",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        sent = None if body is None else orjson.dumps(body)
        reply = await self._http.request(method, self._config.rest_url + path, sent, headers)
        reply.check(_HINTS)
        return reply.json()
