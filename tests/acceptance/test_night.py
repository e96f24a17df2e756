"""A night on call: many secrets in one minute, and nobody does anything for an hour.

By a clock that the test turns, with the store, the delivery and servers as they are: how often each sink is told, and
how soon of what is new and critical.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from monitor import runbook
from monitor.common.http import Http
from monitor.delivery import Delivery
from monitor.delivery import channel as channels
from monitor.domain.model import Finding
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure, Rung
from monitor.store import Store
from monitor.store.schema import incidents
from sinks.pagerduty.config import PagerDutyConfig
from sinks.pagerduty.sink import PagerDuty
from sinks.slack.config import SlackConfig
from sinks.slack.sink import Slack
from sinks.webhook import Webhook, WebhookConfig
from tests.fakes.pagerduty import FakePagerDuty
from tests.fakes.slack import FakeSlack
from tests.fakes.webhook import FakeWebhook
from tests.monitor.store.helpers import finding

NAMES = ("chat", "hook", "pager")
HOUR, MINUTE, STEP = 3600, 60, 5
PROBED = (20, 59, 70, 300, 899, 901, 906, 1200, 1505, 1801, 1806, 2707, 3594)  # seconds at which one is new
STOPS = (*range(0, MINUTE, STEP), *PROBED, HOUR)


class Night:
    """One hour. `told`: sink → at which second a message came, what it was, and its kind."""

    def __init__(self, store: Store, delivery: Delivery, clock: SimpleNamespace, fakes: dict[str, Any]) -> None:
        self.store, self.delivery, self.clock, self.fakes = store, delivery, clock, fakes
        self.start = clock.now
        self.told: dict[str, list[tuple[int, str, str]]] = {name: [] for name in NAMES}
        self.broadcasts = 0
        self.ids: set[str] = set()  # of every incident there is at the end
        self._read = Counter[str]()
        self._step: float | None = None  # when the next step of a runbook is overdue

    @property
    def second(self) -> int:
        return int(self.clock.now - self.start)

    async def turn(self, until: int) -> None:
        """To the next second at which something is due, at the latest `until`."""
        group, waiting = await self.store.groups.agenda()
        due = [at - self.start for at in (group, self._step, *waiting.values()) if at is not None]
        self.clock.now = self.start + max(self.second + 1, min(until, *map(math.ceil, due), until))
        self._step = await self.store.runs.sweep()
        await self.store.groups.tick()
        await self.settle()
        self.look()

    async def settle(self) -> None:
        """Until every sink has what it may be sent at this second."""
        self.delivery.wake()
        async with asyncio.timeout(300):
            while not all(map(self._idle, self.delivery._channels.values())):
                await asyncio.sleep(0.002)

    def _idle(self, channel: channels.Channel) -> bool:
        rests = channel._not_before > self.clock.now
        return not channel._flying and channel._leasing is None and (rests or not channel._due)

    def look(self) -> None:
        """What came since the last look."""
        chat, hook, pager = (self.fakes[name] for name in NAMES)
        for one in (*self._new("chat", [*chat.messages.values()]), *self._replies(chat)):
            self._note("chat", str(one["text"]))
        for payload in self._new("hook", hook.payloads):
            names = [one["name"] for one in payload["incidents"]]
            many = payload["reason"] != "new" or len(names) > 1
            self._note("hook", f"{names}: {len(names)} secrets" if many else names[0])
        for event in self._new("pager", pager.events):
            self._note("pager", str(event["payload"]["summary"]))

    def _replies(self, chat: FakeSlack) -> list[dict[str, Any]]:
        replies = self._new("replies", chat.replies)
        self.broadcasts += sum(bool(one.get("reply_broadcast")) for one in replies)
        return replies

    def _new(self, name: str, all_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = all_[self._read[name] :]
        self._read[name] = len(all_)
        return found

    def _note(self, sink: str, text: str) -> None:
        """`kind`: of many, or a reminder; or else of one, of the flood or a probe."""
        kind = "many" if " secrets" in text or "Overdue" in text else "probe" if "Probe " in text else "one"
        self.told[sink].append((self.second, text, kind))

    def posts(self, sink: str, *kinds: str) -> list[int]:
        """When it was told of the flood."""
        return [at for at, _, kind in self.told[sink] if kind in kinds]

    def missing(self, name: int) -> list[str]:
        return [sink for sink in NAMES if not any(f"Probe {name}." in said for _, said, _ in self.told[sink])]


def secrets(count: int) -> Iterator[Finding]:
    """Half of them one line again and again, the others each in a block without a line."""
    for number in range(count):
        one = finding(number, number, severity="critical")
        yield replace(one, context=f"{number} token=ghp_… used") if number % 2 else one


def probe(number: int) -> Finding:
    return finding(
        f"probe {number}", 10**6 + number, severity="critical", rule=f"probe-{number}", name=f"Probe {number}."
    )


async def night(tmp_path: Path, http: Http, patch: pytest.MonkeyPatch, count: int) -> Night:
    clock = SimpleNamespace(now=1_800_000_000.0)
    patch.setenv("CHAT_TOKEN", "token-of-the-bot")
    patch.setenv("PAGER_KEY", "r" * 32)
    patch.setattr(channels, "time", SimpleNamespace(monotonic=lambda: clock.now, time=lambda: clock.now))
    policy = Policy(sinks=NAMES, pagers=frozenset({"pager"}))
    procedure = Procedure("high", (Rung(), Rung(600.0, ("pager",), "critical")), runbook.load)
    async with (
        FakeSlack() as chat,
        FakeWebhook() as hook,
        FakePagerDuty() as pager,
        await Store.open(
            tmp_path / "night.db", policy, clock=lambda: clock.now, procedure=procedure, secret=b"k" * 16
        ) as store,
    ):
        keys = {"token": "env:CHAT_TOKEN", "channel": "#alerts", "api_url": chat.api_url}
        routing = {"routing_key": "env:PAGER_KEY", "base_url": pager.url, "insecure": True}
        sinks = {
            "chat": Slack(SlackConfig.model_validate({"name": "chat", "type": "slack", **keys}), http),
            "hook": Webhook(WebhookConfig.model_validate({"name": "hook", "type": "webhook", "url": hook.url}), http),
            "pager": PagerDuty(PagerDutyConfig.model_validate({"name": "pager", "type": "pagerduty", **routing}), http),
        }
        delivery = Delivery(store, sinks)
        task = asyncio.create_task(delivery.run())
        try:
            one = Night(store, delivery, clock, {"chat": chat, "hook": hook, "pager": pager})
            await _hour(one, list(secrets(count)))
            one.ids = await store.read(lambda connection: set(connection.execute(select(incidents.c.id)).scalars()))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return one


async def _hour(one: Night, found: list[Finding]) -> None:
    size = -(-len(found) * STEP // MINUTE)
    made: dict[int, int] = {}  # probe → second
    while one.second < HOUR:
        at = one.second
        if at < MINUTE and not at % STEP and (here := found[at // STEP * size : (at // STEP + 1) * size]):
            await one.store.commit(here)
        if at in PROBED:
            made[len(made)] = at
            await one.store.commit([probe(len(made) - 1)])
        await one.settle()
        one.look()
        for number, since in made.items():
            if at - since >= 5:
                assert one.missing(number) == [], f"the one of second {since} is not there {at - since} s later"
        watched = any(at - since < 6 for since in made.values())
        await one.turn(at + 1 if watched else min(second for second in STOPS if second > at))


def _holds(one: Night) -> None:
    pages = {event["dedup_key"] for event in one.fakes["pager"].events}
    print(f"pages {len(pages)}, broadcasts {one.broadcasts}, of the flood:")  # the figures of the docs
    for sink in NAMES:
        posts = one.posts(sink, "one", "many")
        print(f"{sink}: {len(posts)} in all, minute → number: {dict(Counter(at // MINUTE for at in posts))}")
    for number in range(len(PROBED)):
        assert one.missing(number) == []
    for sink in NAMES:
        many = one.posts(sink, "many")
        if sink == "hook":  # a program has the parts of a message at once
            many = sorted(set(many))
        assert len(one.posts(sink, "one")) <= 20, sink
        assert all(later - at >= MINUTE for at, later in pairwise(many)), (sink, many)
        assert max(Counter(at // MINUTE for at in many).values()) == 1, (sink, many)
    # Of a webhook a message takes only so many: it has all of them all the same.
    assert {incident["id"] for payload in one.fakes["hook"].payloads for incident in payload["incidents"]} == one.ids


async def test_an_hour_in_which_nobody_does_anything(
    tmp_path: Path, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    _holds(await night(tmp_path, http, monkeypatch, 120))


@pytest.mark.campaign
async def test_an_hour_after_two_thousand_secrets(tmp_path: Path, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    _holds(await night(tmp_path, http, monkeypatch, 2000))
