"""A webhook receiver that verifies signatures with the reference library and payloads against the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook, WebhookVerificationError

from tests.fakes.server import FakeServer

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "webhook.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


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
