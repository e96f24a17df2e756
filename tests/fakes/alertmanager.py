"""Alertmanager's `POST /api/v2/alerts`, validated as its OpenAPI document says, and the alerts that fire after it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator

from tests.fakes.server import FakeServer

LABELS = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    "additionalProperties": {"type": "string"},
}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
VALIDATOR = Draft202012Validator(
    {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["labels"],
            "properties": {
                "labels": {**LABELS, "minProperties": 1},
                "annotations": LABELS,
                "startsAt": TIME,
                "endsAt": TIME,
                "generatorURL": {"type": "string", "pattern": "^https?://"},
            },
        },
    }
)


class FakeAlertmanager(FakeServer):
    """`alerts`: label set → the alert as last posted."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}

    def firing(self) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [alert for alert in self.alerts.values() if datetime.fromisoformat(alert["endsAt"]) > now]

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if (request.method, request.path) != ("POST", "/api/v2/alerts"):
            self.problems.append(f"{request.method} {request.path}")
            return web.Response(status=404)
        posted = json.loads(body)
        problems = [error.message[:200] for error in VALIDATOR.iter_errors(posted)]
        problems += ["start after end" for alert in posted if alert["startsAt"] > alert["endsAt"]]
        if problems:
            self.problems += problems
            return web.json_response("; ".join(problems), status=400)
        for alert in posted:
            self.alerts[frozenset(alert["labels"].items())] = alert
        return web.Response()
