from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web

from monitor.common.credential import Credential
from monitor.common.inbound import Announced, HookDelivery, InboundRequest, Owner, UnusableError, same
from monitor.sources.base import SourceConfig
from monitor.web import hooks
from monitor.web.hooks import HOOKS, Vendors, routes
from sinks.pagerduty.config import PagerDutyConfig
from sinks.pagerduty.inbound import signature
from sinks.slack.config import SlackConfig
from tests.fakes.pagerduty import announcement

NOW = 1_800_000_000.0


class AcmeConfig(SourceConfig):
    secret: Credential | None = None
    former: Credential | None = None


class Acme:
    """A vendor that announces numbers."""

    most = 100
    header = "X-Acme"
    probes = 20

    def __init__(self) -> None:
        self.parsed = 0

    def secrets(self, owner: Owner) -> Sequence[Credential]:
        return [one for one in (owner.secret, owner.former) if one] if isinstance(owner, AcmeConfig) else ()

    def well_formed(self, headers: Mapping[str, str], now: float) -> bool:
        return len(headers.get(self.header, "")) == 64 and float(headers.get("X-Time", NOW)) >= now - 300

    def signature(self, secret: bytes, body: bytes) -> str:
        return hmac.new(secret, body, hashlib.sha256).hexdigest()

    def signed(self, secret: bytes, headers: Mapping[str, str], body: bytes | bytearray) -> bool:
        return same(headers[self.header], self.signature(secret, bytes(body)))

    def probe(self, body: bytearray) -> bool:
        return body == b"are you there"

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[Owner]) -> Announced:
        self.parsed += 1
        if body == b"ack":
            return Announced(requests=[InboundRequest("acme:ack", signed[0].name, "ack", "ada", "7f3a9c2e")])
        if body == b"words":
            return Announced(
                requests=[InboundRequest("acme:done", signed[0].name, "done", "ada", "7f3a9c2e", window="w")]
            )
        if body == b"hello":
            return Announced(answer="hello\n")
        if not body.isdigit():
            raise UnusableError(signed[0], "acme number")
        delivery = HookDelivery(f"acme:{int(body)}", signed[0].name, "number", "", int(body))
        return Announced(delivery, answer="accepted\n", status=202)


class Door:
    """The routes in a real server."""

    def __init__(self) -> None:
        self.vendor = Acme()
        self.noted: dict[str, HookDelivery] = {}
        self.asked: dict[str, InboundRequest] = {}
        self.malformed: list[tuple[str, str]] = []
        self.problem: list[tuple[str, str | None]] = []
        self.sources: list[SourceConfig] = []
        self.pause = 0.0  # seconds that it takes to keep something
        self.client: Any

    async def keep(self, said: Announced) -> bool:
        await asyncio.sleep(self.pause)
        if said.delivery is not None:
            return self.noted.setdefault(said.delivery.id, said.delivery) is said.delivery
        return [self.asked.setdefault(one.id, one) is one for one in said.requests] != [False]

    async def post(
        self, body: bytes, secret: bytes = b"one", given: str | None = None, **headers: str
    ) -> tuple[int, str]:
        given = self.vendor.signature(secret, body) if given is None else given
        sent = {"X-Acme": given} | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.post("/hooks/acme", data=BytesIO(body), headers=sent)
        return answer.status, await answer.text()


@pytest.fixture
async def door(aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setenv("ONE", "one")
    monkeypatch.setenv("TWO", "two")
    door = Door()
    door.sources = [
        AcmeConfig(name="first", type="acme", secret="env:ONE"),  # type: ignore[arg-type]  # parsed by pydantic
        AcmeConfig(name="second", type="acme", secret="env:TWO"),  # type: ignore[arg-type]
        SourceConfig(name="other", type="file"),
    ]
    app = web.Application()

    def count(source: str, what: str) -> None:
        door.malformed.append((source, what))

    def problem(owner: str, why: str | None) -> None:
        door.problem.append((owner, why))

    app.add_routes(
        routes({"acme": door.vendor}, lambda: door.sources, door.keep, count, problem=problem, now=lambda: NOW)
    )
    door.client = await aiohttp_client(app)
    return door


async def test_what_is_signed_is_noted_once_for_the_source_whose_secret_signed(door: Door) -> None:
    assert await door.post(b"7", b"two") == (202, "accepted\n")
    assert await door.post(b"7", b"two") == (202, "known already\n")
    assert [(one.source, one.number) for one in door.noted.values()] == [("second", 7)]


async def test_what_is_not_signed_is_never_parsed(door: Door) -> None:
    for given in ("", "short", "0" * 64, door.vendor.signature(b"three", b"7")):
        assert (await door.post(b"7", given=given))[0] == 401
    assert door.vendor.parsed == 0
    assert door.malformed == [("", "hook signature")] * 4


async def test_what_only_tries_the_way_needs_no_signature_and_does_nothing(door: Door) -> None:
    for given in ("", "0" * 64, None):  # none, a forged one, its own
        assert await door.post(b"are you there", given=given) == (200, "")
    assert (await door.post(b"are you there" + b" " * 20, given=""))[0] == 401
    assert (await door.post(b"7", given=""))[0] == 401
    assert (door.vendor.parsed, door.noted, door.asked) == (0, {}, {})
    assert door.malformed == [("", "hook signature")] * 2
    door.sources = []
    assert (await door.post(b"are you there", given=""))[0] == 404


async def test_slack_tries_the_certificate_without_a_signature(
    aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S", "a-signing-secret")
    values = {"name": "chat", "type": "slack", "token": "env:T", "channel": "#alerts", "signing_secret": "env:S"}
    sink, door, app = SlackConfig.model_validate(values | {"people": {"U0ADA": "ada"}}), Door(), web.Application()
    counted: list[str] = []
    app.add_routes(
        routes(Vendors(), lambda: [sink], door.keep, lambda _, what: counted.append(what), problem=lambda *_: None)
    )
    client = await aiohttp_client(app)
    # As Slack's page on slash commands has it: a form with ssl_check=1 and the (deprecated) token, nothing else.
    answer = await client.post("/hooks/slack", data={"ssl_check": "1", "token": "x" * 24})
    assert (answer.status, await answer.text(), counted) == (200, "", [])
    assert (await client.post("/hooks/slack", data={"ssl_check": "1", "payload": "{}"})).status == 401
    assert not door.asked


async def test_a_request_is_kept_and_answered_as_its_vendor_says(door: Door) -> None:
    assert await door.post(b"ack") == (200, "")
    assert await door.post(b"ack") == (200, "")
    assert [(one.sink, one.verb, one.actor) for one in door.asked.values()] == [("first", "ack", "ada")]


async def test_what_was_signed_long_ago_is_not_taken_again(door: Door) -> None:
    assert (await door.post(b"ack", X_Time=str(NOW - 301)))[0] == 401
    assert not door.asked
    assert (await door.post(b"ack", X_Time=str(NOW - 299)))[0] == 200


async def test_any_of_several_secrets_may_have_signed(door: Door) -> None:
    door.sources = [AcmeConfig(name="first", type="acme", secret="env:ONE", former="env:TWO")]  # type: ignore[arg-type]
    for secret in (b"one", b"two"):
        assert (await door.post(b"7", secret))[0] == 202


async def test_a_secret_that_cannot_be_read_closes_its_own_door_only(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONE")
    for _ in range(2):
        assert await door.post(b"7", b"one") == (503, "a webhook secret cannot be read\n")
        assert (await door.post(b"7", b"two"))[0] == 202
    assert (await door.post(b"7", b"three"))[0] == 503  # it may be the one that cannot be read
    assert door.problem == [("first", "environment variable ONE is not set")]
    assert {one.source for one in door.noted.values()} == {"second"}
    monkeypatch.setenv("ONE", "one")
    assert (await door.post(b"8", b"one"))[0] == 202
    assert door.problem[1:] == [("first", None)]
    assert (await door.post(b"7", b"three"))[0] == 401


async def test_what_cannot_be_used_is_counted_and_what_needs_no_work_is_answered(door: Door) -> None:
    assert await door.post(b"x") == (400, "acme number cannot be used\n")
    assert await door.post(b"hello") == (200, "hello\n")
    assert (await door.post(b"1" * 101))[0] == 413
    assert door.malformed == [("first", "acme number")]
    assert not door.noted


async def test_the_door_is_open_only_while_a_source_expects_something(door: Door) -> None:
    sources, door.sources = door.sources, [SourceConfig(name="other", type="file")]
    assert (await door.post(b"7"))[0] == 404
    door.sources = sources
    assert (await door.post(b"7"))[0] == 202


async def test_a_secret_that_is_configured_no_more_is_no_trouble(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONE")
    assert (await door.post(b"7", b"one"))[0] == 503
    door.sources = [SourceConfig(name="first", type="file")]
    assert (await door.post(b"7", b"one"))[0] == 404
    assert door.problem[-1] == ("first", None)


def test_the_vendors_of_the_table_are_there() -> None:
    assert dict(Vendors()).keys() == HOOKS.keys()


async def test_pagerduty_forged_replayed_and_oversized(aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW", "new")
    monkeypatch.setenv("OLD", "old")
    values = {"name": "pager", "type": "pagerduty", "routing_key": "env:R", "webhook_secret": ["env:NEW", "env:OLD"]}
    door, app = Door(), web.Application()
    counted: list[str] = []
    sink = PagerDutyConfig.model_validate(values)
    app.add_routes(
        routes(Vendors(), lambda: [sink], door.keep, lambda _, what: counted.append(what), problem=lambda *_: None)
    )
    client = await aiohttp_client(app)

    async def post(body: bytes, *secrets: bytes) -> int:
        signatures = ",".join(signature(secret, body) for secret in secrets)
        headers = {"X-PagerDuty-Signature": signatures} if secrets else {}
        return int((await client.post("/hooks/pagerduty", data=BytesIO(body), headers=headers)).status)

    body = announcement("incident.acknowledged", "incident:00112233aabbccdd")
    assert [await post(body), await post(body, b"forged")] == [401, 401]
    assert not door.asked
    assert [await post(body, b"forged", b"old"), await post(body, b"new"), await post(body, b"new", b"old")] == [
        202
    ] * 3
    assert list(door.asked) == ["pagerduty:pager:01BRB6ZP4M6T8ZG4X6BP63ZB9O"]
    assert await post(body + b" " * (1 << 20), b"new") == 413
    assert await post(b"{}", b"new") == 400
    assert counted == ["hook signature", "hook signature", "hook payload"]


async def test_what_is_asked_about_first_has_time_for_that(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "ANSWER_WITHIN", 0.0)
    monkeypatch.setattr(hooks, "ASKING", 60.0)
    door.pause = 0.01
    assert (await door.post(b"ack"))[0] == 503
    assert (await door.post(b"words"))[0] == 200
    assert "acme:done" in door.asked
