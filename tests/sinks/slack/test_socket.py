from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from monitor.common.http import Http
from monitor.common.inbound import InboundRequest
from monitor.common.tasks import cancel
from sinks.slack import socket
from sinks.slack.blocks import message
from sinks.slack.buttons import controls
from sinks.slack.config import SlackConfig
from sinks.slack.socket import SocketMode
from tests.fakes.clock import turn
from tests.fakes.intake import until
from tests.fakes.notifications import incident, notification
from tests.fakes.server import Fault
from tests.fakes.slack import FakeSlack

Put = Callable[[str, str], str]


class Listening:
    """What came over the connection, and what was said about it."""

    def __init__(self) -> None:
        self.asked: list[InboundRequest] = []
        self.problem: list[str | None] = []
        self.full = False  # the database cannot be written

    async def ask(self, requests: Sequence[InboundRequest]) -> bool:
        if self.full:
            return False
        self.asked += requests
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "_FIRST", 0.01)
    monkeypatch.setattr(socket, "_LONGEST", 0.02)


@asynccontextmanager
async def listening(fake: FakeSlack, put: Put, http: Http, **changes: Any) -> AsyncIterator[Listening]:
    keys = {"token": put("token", fake.token), "channel": "#alerts", "api_url": fake.api_url}
    keys |= {"app_token": put("app", fake.app_token), "people": {"U0ADA": "ada"}} | changes
    config = SlackConfig(name="chat", type="slack", **keys)  # type: ignore[arg-type]  # parsed by pydantic
    heard = Listening()
    task = asyncio.create_task(SocketMode(config, http, heard.ask, heard.problem.append, lambda: [config]).run())
    try:
        yield heard
    finally:
        await cancel(task)


def show(fake: FakeSlack) -> None:
    sent = notification(incident())
    fake.messages["C0ALERTS", "1700000001.000100"] = message(sent, controls("chat", sent))


async def test_a_press_is_acknowledged_when_it_is_kept(credential: Put) -> None:
    http = Http(timeout=2.0)  # of one exchange; a connection lives longer
    async with FakeSlack() as fake, listening(fake, credential, http) as heard:
        show(fake)
        await until(lambda: heard.problem)  # it is connected: as long as it is at that, the time of one exchange counts
        turn(2.5)
        await asyncio.sleep(0)
        acknowledged = await fake.deliver(fake.press("U0ADA", "ack"))
        await acknowledged
        assert [(one.verb, one.actor) for one in heard.asked] == [("ack", "ada")]
        assert heard.problem == [None]
    await http.close()


async def test_what_cannot_be_kept_is_not_acknowledged_and_what_is_not_for_us_is(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake, listening(fake, credential, http) as heard:
        show(fake)
        await until(lambda: fake.sockets)
        heard.full = True
        lost = await fake.deliver(fake.press("U0ADA", "ack"))
        await (await fake.deliver({"event": {"type": "app_mention"}}, kind="events_api"))
        await (await fake.deliver({"type": "view_submission"}))
        assert not lost.done()
        heard.full = False
        await (await fake.deliver(fake.press("U0ADA", "ack")))
        assert len(heard.asked) == 1


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_the_next_connection_is_there_before_the_old_one_goes(http: Http, credential: Put, reason: str) -> None:
    async with FakeSlack() as fake, listening(fake, credential, http) as heard:
        show(fake)
        await until(lambda: fake.sockets)
        old = fake.sockets[0]
        await old.send_json({"type": "disconnect", "reason": reason})
        await until(lambda: len(fake.sockets) == 2)
        await (await fake.deliver(fake.press("U0ADA", "ack"), over=old))
        await (await fake.deliver(fake.press("U0ADA", "ack")))
        assert len(heard.asked) == 2
        await old.close()
        await until(lambda: len(fake.sockets) == 1)


async def test_one_that_slack_never_closes_is_left_without_a_word(
    http: Http, credential: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "_LEAVE", 0.05)
    unheard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context["message"]))
    async with FakeSlack() as fake, listening(fake, credential, http) as heard:
        await until(lambda: fake.sockets)
        await fake.sockets[0].send_json({"type": "disconnect", "reason": "warning"})
        await until(lambda: fake.opened == 2 and len(fake.sockets) == 1)
        await until(lambda: len([one for one in asyncio.all_tasks() if "_connection" in repr(one)]) == 1)
        gc.collect()
        assert unheard == []
        assert heard.problem == [None, None]


async def test_a_lost_connection_and_a_refused_one_are_tried_again_and_told(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        fake.faults += [
            Fault(503, echo=True),
            Fault(429, headers={"Retry-After": "0.05"}),
            Fault(reset=True),
            Fault(200, body="{}", echo=True),
        ]
        async with listening(fake, credential, http) as heard:
            await until(lambda: fake.sockets)
            assert len([reason for reason in heard.problem if reason]) == 2  # from the third in a row
            assert fake.app_token not in str(heard.problem)
            await until(lambda: heard.problem[-1] is None)
            await fake.sockets[0].close()
            await until(lambda: fake.opened == 2)


async def test_a_wrong_token_and_a_switch_that_is_off_are_told_at_once(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        async with listening(fake, credential, http, app_token=credential("other", "another")) as heard:
            await until(lambda: heard.problem)
            assert heard.problem[0] == "invalid_auth: check token"
        async with listening(fake, credential, http) as heard:
            await until(lambda: fake.sockets)
            await fake.sockets[0].send_json({"type": "disconnect", "reason": "link_disabled"})
            await until(lambda: [reason for reason in heard.problem if reason])
            assert "Socket Mode is switched off" in str(heard.problem)


async def test_nonsense_ends_nothing(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake, listening(fake, credential, http) as heard:
        show(fake)
        await until(lambda: fake.sockets)
        for text in ("{", "[]", "null", '{"type":"interactive","envelope_id":7}', '{"type":"interactive"}'):
            await fake.sockets[0].send_str(text)
        await fake.sockets[0].send_bytes(b"\xff")
        await (await fake.deliver(fake.press("U0ADA", "ack")))
        assert len(heard.asked) == 1
        assert fake.opened == 1


async def test_an_address_that_is_none_of_slacks_is_not_taken(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        for url in ("https://evil.example/", "ws://evil.example/link", 7):
            fake.faults.append(Fault(200, body='{"ok":true,"url":%s}' % (url if url == 7 else f'"{url}"')))
        async with listening(fake, credential, http) as heard:
            await until(lambda: fake.sockets)
            assert str(heard.problem[0]).startswith("Slack named")
