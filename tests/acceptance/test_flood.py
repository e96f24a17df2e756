"""Two thousand different secrets in ten seconds, and sinks that hold us to their limits."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.common.http import Http
from monitor.common.notification import Notification, Receipt
from monitor.common.severity import SEVERITIES
from monitor.delivery import Delivery
from monitor.routing.routes import Policy
from monitor.store import Store
from sinks.email import Email, EmailConfig
from sinks.mqtt import Mqtt, MqttSinkConfig
from sinks.pagerduty.config import PagerDutyConfig
from sinks.pagerduty.sink import PagerDuty
from sinks.slack.config import SlackConfig
from sinks.slack.sink import Slack
from sinks.webhook import Webhook, WebhookConfig
from tests.fakes.delivery import finding
from tests.fakes.mosquitto import broker
from tests.fakes.pagerduty import FakePagerDuty
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSmtp
from tests.fakes.webhook import FakeWebhook

SECRETS, SECONDS, WITHIN = 2000, 10.0, 60.0
SLACK = 10.0  # seconds for a message that waits for its turn to be made and taken


class Rate:
    """At most `count` in `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self.times: deque[float] = deque()

    def over(self) -> bool:
        now = time.monotonic()
        while self.times and self.times[0] <= now - self.seconds:
            self.times.popleft()
        if len(self.times) >= self.count:
            return True
        self.times.append(now)
        return False


class StrictSlack(FakeSlack):
    """One message a second, with short bursts."""

    rate = Rate(4, 3.0)

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if self.rate.over():
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "1"})
        return await super().answer(request, body)


class StrictPagerDuty(FakePagerDuty):
    rate = Rate(120, 60.0)

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(status=429) if self.rate.over() else await super().answer(request, body)


class StrictWebhook(FakeWebhook):
    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if len(body) > 256 * 1024:
            self.problems.append(f"{len(body)} bytes")
            return web.Response(status=413)
        return await super().answer(request, body)


class Watched:
    """A sink, and when it took what."""

    def __init__(self, sink: Any) -> None:
        self.sink = sink
        self.Config = sink.Config
        self.limits = sink.limits
        self.took: list[tuple[float, Notification]] = []

    async def send(self, notification: Notification) -> Receipt | None:
        receipt: Receipt | None = await self.sink.send(notification)
        self.took.append((time.monotonic(), notification))
        return receipt

    async def close(self) -> None:
        await self.sink.close()

    def told(self) -> set[str]:
        return {incident.id for _, notification in self.took for incident in notification.incidents}

    def spoken(self) -> int:
        """Of how many secrets it has heard: what takes no more in one message hears how many follow."""
        digests = [notification for _, notification in self.took if notification.reason == "digest"]
        return len(self.told()) + (digests[-1].more if digests else 0)


def counted(headlines: list[str]) -> int:
    """How many secrets these speak of."""
    return sum(int(found[1]) if (found := re.search(r"(\d+) secrets", line)) else 1 for line in headlines)


@contextlib.asynccontextmanager
async def peers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[dict[str, Watched], list[Any]]]:
    monkeypatch.setenv("ROUTING", "r" * 32)
    monkeypatch.setenv("TOKEN", "token-of-the-bot")
    http = Http()
    async with contextlib.AsyncExitStack() as stack:
        slack = await stack.enter_async_context(StrictSlack())
        pager = await stack.enter_async_context(StrictPagerDuty())
        hook = await stack.enter_async_context(StrictWebhook())
        smtp = await stack.enter_async_context(FakeSmtp())
        port = await stack.enter_async_context(broker(folder))
        chat = SlackConfig.model_validate(
            {"name": "chat", "type": "slack", "token": "env:TOKEN", "channel": "#alerts", "api_url": slack.api_url}
        )
        page = PagerDutyConfig.model_validate(
            {"name": "pager", "type": "pagerduty", "routing_key": "env:ROUTING", "base_url": pager.url}
        )
        mail = EmailConfig(
            name="mail", type="email", host="127.0.0.1", port=smtp.port, tls="none",
            sender="monitor@example.org", to=("ada@example.org",),
        )  # fmt: skip
        sinks = {
            "chat": Watched(Slack(chat, http)),
            "pager": Watched(PagerDuty(page, http)),
            "hook": Watched(Webhook(WebhookConfig(name="hook", type="webhook", url=hook.url), http)),
            "mail": Watched(Email(mail, http)),
            "bus": Watched(Mqtt(MqttSinkConfig(name="bus", type="mqtt", host="127.0.0.1", port=port), http)),
        }
        stack.push_async_callback(http.close)
        yield sinks, [slack, pager, hook, smtp]


@pytest.mark.campaign
async def test_a_flood_is_told_everywhere_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = [
        replace(finding(f"s{n}", n), severity=SEVERITIES[n % 5], name=f"Key {n % 7}", rule=f"rule-{n % 7}")
        for n in range(SECRETS)
    ]
    async with (
        await Store.open(tmp_path / "state.db") as store,
        peers(tmp_path, monkeypatch) as (sinks, (slack, pager, hook, smtp)),
    ):
        store.policy = Policy(sinks=tuple(sinks))
        delivery = Delivery(store, sinks)
        running = asyncio.create_task(delivery.run())
        began = time.monotonic()
        for start in range(0, SECRETS, 20):
            await store.commit(flood[start : start + 20])
            await asyncio.sleep(max(0.0, began + SECONDS * (start + 20) / SECRETS - time.monotonic()))
        ended = time.monotonic()
        while any(sink.spoken() < SECRETS for sink in sinks.values()):
            missing = {name: SECRETS - sink.spoken() for name, sink in sinks.items()}
            assert time.monotonic() < ended + WITHIN + SLACK, missing
            await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        print({name: (len(sink.took), round(sink.took[-1][0] - began, 1)) for name, sink in sinks.items()})
        assert not await store.outbox.list(states=["dead"])
        follows = {id_ for one in await store.outbox.list(states=["pending"], sink="hook") for id_ in one.incidents}
        assert len({one["id"] for payload in hook.payloads for one in payload["incidents"]} | follows) == SECRETS
        assert counted([message["text"] for message in slack.messages.values()]) >= SECRETS
        assert counted([str(mail.message["Subject"]) for mail in smtp.mails]) >= SECRETS
        assert sum(event["payload"]["custom_details"]["total"] for event in pager.events) >= SECRETS
        for sink in sinks.values():
            digests = [(at, notification) for at, notification in sink.took if notification.reason == "digest"]
            assert all(
                later - at > WITHIN - 1 or (part.key == whole.key and not sink.limits.read)
                for (at, whole), (later, part) in pairwise(digests)
            )
