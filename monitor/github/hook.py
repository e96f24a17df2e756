"""What GitHub's webhooks say, for the door `/hooks/github` (monitor.web.hooks).

Nothing of a payload is kept but which alert or job of which repository it is about: its present state is read over the
API.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson
import structlog

from monitor.common.credential import Credential
from monitor.common.inbound import Announced, HookDelivery, Owner, UnusableError, same
from monitor.common.outside import at, number, text
from monitor.github.ci import EVENT as JOB
from monitor.github.ci import ActionsLogsConfig
from monitor.github.links import REPOSITORY
from monitor.github.login import GitHubLogin
from monitor.github.source import REVIEWS, GitHubConfig

__all__ = ["GitHubHook", "signature"]

log = structlog.get_logger(__name__)

ALERTS = ("secret_scanning_alert", "secret_scanning_alert_location")
EVENTS = (*ALERTS, "secret_scanning_scan", *REVIEWS, JOB)
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,64}")
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")


def signature(secret: bytes, body: bytes | bytearray) -> str:
    """The hex digest GitHub sends in X-Hub-Signature-256."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


class GitHubHook:
    """A Vendor."""

    most = 25 << 20  # GitHub's own cap
    header = "X-Hub-Signature-256"
    probes = 0

    def probe(self, body: bytearray) -> bool:
        return False

    def secrets(self, owner: Owner) -> Sequence[Credential]:
        return (owner.webhook_secret,) if isinstance(owner, GitHubLogin) and owner.webhook_secret else ()

    def well_formed(self, headers: Mapping[str, str], now: float) -> bool:
        return _SIGNATURE.fullmatch(headers.get(self.header, "")) is not None

    def signed(self, secret: bytes, headers: Mapping[str, str], body: bytes | bytearray) -> bool:
        return same(headers.get(self.header, ""), f"sha256={signature(secret, body)}")

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[Owner]) -> Announced:
        if not _DELIVERY.fullmatch(headers.get("X-GitHub-Delivery", "")):
            raise UnusableError(signed[0], "hook delivery id")
        event = headers.get("X-GitHub-Event", "")
        if event == "ping":
            log.info("webhook is set up", source=signed[0].name)
            return Announced(answer="pong\n")
        owners = [one for one in signed if isinstance(one, ActionsLogsConfig if event == JOB else GitHubConfig)]
        if event not in EVENTS or not owners:
            return Announced(answer="not an event we use\n", status=202)

        payload = _payload(body, headers.get("Content-Type", ""))
        if payload is None:
            raise UnusableError(owners[0], "hook payload")
        if event == JOB and not _has_log(payload):
            return Announced(answer="not an event we use\n", status=202)
        repo, id_ = _subject(payload, event)
        source = next((one for one in owners if one.watches(repo)), owners[0])
        if not id_ and event in (*ALERTS, JOB):
            raise UnusableError(source, "hook payload")
        if event == JOB and not source.watches(repo):
            return Announced(answer="no source reads this repository\n", status=202)
        delivery = HookDelivery(_once(event, body), source.name, event, repo, id_)
        return Announced(delivery, answer="accepted\n", status=202)


def _once(event: str, body: bytearray) -> str:
    """What a delivery is known by: what was signed, not the id beside it, under which it could be sent again."""
    return f"hook:{hashlib.sha256(event.encode() + bytes(1) + body).hexdigest()[:40]}"


def _payload(body: bytes | bytearray, content_type: str) -> dict[str, Any] | None:
    try:
        if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            fields = parse_qs(body.decode("utf-8"), strict_parsing=True, max_num_fields=10)
            body = fields.get("payload", [""])[0].encode()
        payload = orjson.loads(body)
    except (ValueError, RecursionError):  # a decoding error is a ValueError too
        return None
    return payload if isinstance(payload, dict) else None


def _has_log(payload: dict[str, Any]) -> bool:
    """Of a job: it has ended, and was not skipped."""
    return payload.get("action") == "completed" and at(payload, JOB, "conclusion") != "skipped"


def _subject(payload: dict[str, Any], event: str) -> tuple[str, int]:
    """Repository, and number of the alert or of the job, empty and 0 when they are not there."""
    about, called = (JOB, "id") if event == JOB else ("alert", "number")
    name = text(payload, "repository", "full_name")
    return (name, number(payload, about, called)) if REPOSITORY.fullmatch(name) else ("", 0)
