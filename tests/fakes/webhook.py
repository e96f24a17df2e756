"""A webhook receiver that verifies signatures with the reference library and payloads against the contract."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook, WebhookVerificationError

from tests.fakes.server import FakeServer

TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
OPTIONAL = {"type": ["string", "null"]}
PAYLOAD: dict[str, Any] = {
    "type": "object",
    "required": ["version", "id", "reason", "incidents", "url", "runbook"],
    "properties": {
        "version": {"const": 1},
        "id": {"type": "string", "minLength": 1},
        "reason": {"type": "string", "minLength": 1},
        "url": OPTIONAL,
        "runbook": OPTIONAL,
        "incidents": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    *("id", "fingerprint", "rule", "name", "severity", "state", "masked"),
                    *("first_seen", "last_seen", "occurrences", "locations"),
                ],
                "properties": {
                    "severity": {"enum": ["critical", "high", "medium", "low", "info"]},
                    "state": {"enum": ["open", "acknowledged", "resolved"]},
                    "first_seen": TIME,
                    "last_seen": TIME,
                    "occurrences": {"type": "integer", "minimum": 0},
                    "locations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["source", "path", "offset", "line", "time"],
                            "properties": {
                                "source": {"type": "string"},
                                "path": {"type": "string"},
                                "offset": {"type": ["integer", "null"]},
                                "line": {"type": ["integer", "null"]},
                                "time": {"anyOf": [TIME, {"type": "null"}]},
                            },
                        },
                    },
                },
            },
        },
    },
}
VALIDATOR = Draft202012Validator(PAYLOAD)


def check_payload(payload: Any) -> list[str]:
    """Where a payload breaks the contract."""
    return [f"{'.'.join(map(str, error.path))}: {error.message[:200]}" for error in VALIDATOR.iter_errors(payload)]


class FakeWebhook(FakeServer):
    """`payloads` in the order they came. With `secret` an unsigned or badly signed request is answered 401."""

    def __init__(self, secret: str | None = None) -> None:
        super().__init__()
        self.secret = secret
        self.payloads: list[dict[str, Any]] = []

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if self.secret:
            try:
                Webhook(self.secret).verify(body, dict(request.headers))
            except WebhookVerificationError:
                return web.Response(status=401, text="bad signature")
        payload = json.loads(body)
        self.problems += check_payload(payload)
        if request.headers.get("webhook-id") != payload["id"] and payload["id"].isascii() and payload["id"].isalnum():
            self.problems.append("webhook-id is not the notification's id")
        self.payloads.append(payload)
        return web.Response(status=204)
