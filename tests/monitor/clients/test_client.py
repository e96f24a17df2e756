"""Limits are waited out, within bounds; whatever goes wrong is told without a word of what was sent or answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from monitor.clients.client import AccessError, ProviderClient, ServiceError, together
from monitor.common.credential import Credential
from tests.fakes.server import FAULTS, FakeServer, Fault

CANARY = "canary-0f3b77"
LIMIT = Fault(429, {"Retry-After": "0.01"}, echo=True)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as fake:
        yield fake


@pytest.fixture
async def client() -> AsyncIterator[ProviderClient]:
    one = ProviderClient("inventory prod", advice={404: "check `project`"})
    one.first_retry = 0.001
    yield one
    await one.close()


async def get(client: ProviderClient, server: FakeServer) -> object:
    headers = {"Authorization": f"Bearer {CANARY}"}
    return await client.json("reading app", "GET", f"{server.url}/v1?q={CANARY}", headers)


async def test_limits_and_failures_are_waited_out(client: ProviderClient, server: FakeServer) -> None:
    server.faults.extend([LIMIT] * 8)
    server.faults.extend([Fault(503), Fault(reset=True), Fault(200, body='{"a": 1}')])
    assert await get(client, server) == {"a": 1}
    assert len(server.requests) == 11


async def test_a_limit_that_lasts_ends_the_reading(client: ProviderClient, server: FakeServer) -> None:
    client.patience = 0.1
    server.always = LIMIT
    with pytest.raises(ServiceError, match=r"inventory prod: reading app: HTTP 429.*ask less often"):
        await get(client, server)
    assert len(server.requests) == 11


async def test_nobody_waits_as_long_as_a_server_asks_for_at_most(client: ProviderClient, server: FakeServer) -> None:
    server.always = Fault(429, {"Retry-After": "3600"})
    with pytest.raises(ServiceError, match="more than 300 s"):
        await get(client, server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("since", ["now", "1970"])
async def test_a_limit_that_says_when_it_ends(client: ProviderClient, server: FakeServer, since: str) -> None:
    ends = 1000 if since == "now" else int(time.time()) + 1000
    server.always = Fault(429, {"X-RateLimit-Reset": str(ends)})
    with pytest.raises(ServiceError, match="more than 300 s"):
        await get(client, server)
    assert len(server.requests) == 1
    server.always = Fault(429, {"X-RateLimit-Reset": "soon"})
    client.patience = 0.01
    with pytest.raises(ServiceError):
        await get(client, server)
    assert len(server.requests) > 2


async def test_a_limit_that_is_told_in_the_body(server: FakeServer) -> None:
    client = ProviderClient("inventory prod", throttled=lambda reply: b"Throttling" in reply.body)
    client.first_retry = 0.001
    server.faults.extend([Fault(400, body="ThrottlingException"), Fault(200, body="[]")])
    assert await get(client, server) == []
    await client.close()


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - {"hang", "429"}))
async def test_no_failure_holds_what_was_sent_or_answered(
    name: str, client: ProviderClient, server: FakeServer
) -> None:
    client.patience = 0.0 if name == "503" else 10
    server.always = FAULTS[name]
    with pytest.raises(ServiceError, match=r"^inventory prod: reading app: ") as caught:
        await get(client, server)
    assert CANARY not in told(caught.value)
    assert isinstance(caught.value, AccessError) is (name == "403")
    if name == "404":
        assert "check `project`" in str(caught.value)


def told(error: BaseException | None) -> str:
    """All that a traceback shows of it."""
    text = ""
    while error is not None:
        text += f"{error!r} {error}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text


@pytest.mark.parametrize("body", ["", "<html>" + CANARY, '{"a": "' + CANARY])
async def test_what_is_no_json_is_no_answer(body: str, client: ProviderClient, server: FakeServer) -> None:
    server.always = Fault(200, body=body)
    with pytest.raises(ServiceError, match="not JSON") as caught:
        await get(client, server)
    assert CANARY not in told(caught.value)


def test_an_answer_without_what_belongs_into_it_is_refused() -> None:
    client = ProviderClient("inventory prod")
    for body in (None, [], {}, {"rows": None}, {"rows": {}}, {"rows": [1]}, CANARY, {"rows": CANARY}):
        with pytest.raises(ServiceError, match="inventory prod: listing: the answer is not as documented") as caught:
            client.rows("listing", body, "rows")
        assert CANARY not in told(caught.value)
    assert client.rows("listing", {"rows": [{}]}, "rows") == [{}]
    assert client.rows("listing", [{}]) == [{}]
    with pytest.raises(ServiceError):
        client.pick("listing", {"n": True}, "n", int)


def test_a_credential_that_is_not_there_names_the_key() -> None:
    with pytest.raises(ServiceError, match=r"inventory prod: token: file:/nowhere/at/all: No such file"):
        ProviderClient("inventory prod").secret(Credential("file:/nowhere/at/all"), "token")


async def test_a_few_at_once_in_order_and_none_is_left_behind() -> None:
    running = most = 0

    async def fetch(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.02 if number % 3 == 0 else 0)
            if number == 40:
                raise ServiceError("no more")
            return number
        finally:
            running -= 1

    assert [one async for one in together(range(30), fetch)] == list(range(30))
    assert 1 < most <= 8
    with pytest.raises(ServiceError, match="no more"):
        [one async for one in together(range(100), fetch)]
    assert running == 0
