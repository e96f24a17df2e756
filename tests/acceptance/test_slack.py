"""Slack both ways, against a Slack of our own: what people press in a message happens once, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sinks.slack.buttons import OWN_WORDS
from tests.acceptance.case import Case
from tests.acceptance.harness import Monitor, Planter, until
from tests.fakes.revoker import FakeRevoker
from tests.fakes.slack import FakeSlack

CHAT = """
[[sinks]]
name = "chat"
type = "slack"
token = "env:SLACK_TOKEN"
channel = "#alerts"
api_url = "{slack.api_url}"
{way}
[sinks.people]
U0ADA = "ada"
U0BOB = "bob"
[sinks.allow]
resolve = ["bob"]
"""
RUN = """
[rules]
packs = ["vcs/github"]
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
"""
SOCKET, DOOR = 'app_token = "env:SLACK_APP"', 'signing_secret = "env:SLACK_SIGNING"'
ACTIONS = """
[verify]
providers = ["github"]
private = ["github"]
servers = {{ github = "{revoker.url}" }}
[[actions]]
name = "revoke-token"
type = "github-revoke"
server = "{revoker.url}"
private = true
approvals = 2
"""
SIGNING = "a-signing-secret"
STEPS = ("revoke",)


@pytest.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as fake:
        monkeypatch.setenv("SLACK_TOKEN", fake.token)
        monkeypatch.setenv("SLACK_APP", fake.app_token)
        monkeypatch.setenv("SLACK_SIGNING", SIGNING)
        yield fake


def words(fake: FakeSlack) -> str:
    """All of the one message."""
    [content] = fake.messages.values()
    return json.dumps(content, ensure_ascii=False)


def buttons(fake: FakeSlack) -> list[str]:
    [content] = fake.messages.values()
    return [one["action_id"] for block in content["blocks"] if block["type"] == "actions" for one in block["elements"]]


def told(fake: FakeSlack) -> list[str]:
    return [reply["text"] for reply in fake.replies]


async def see(fake: FakeSlack, *parts: str) -> None:
    def there() -> bool:
        return bool(fake.messages) and all(part in words(fake) for part in parts)

    await until(there, 120, lambda: f"{parts} not in {list(fake.messages.values())}")


async def arrive(fake: FakeSlack, payload: dict[str, Any]) -> None:
    """Over Socket Mode; sent again, as nobody's press is lost, where a busy machine did not acknowledge it in time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(await fake.deliver(payload), 120)
        return
    await arrive(fake, payload)


async def press(fake: FakeSlack, user: str, action: str) -> None:
    await arrive(fake, fake.press(user, action))


async def shows(fake: FakeSlack, action: str) -> None:
    await until(lambda: fake.messages and action in buttons(fake), 120, lambda: str(fake.messages))


async def refused(fake: FakeSlack, user: str, why: str) -> None:
    """Only they are told, and why."""
    await until(lambda: fake.whispers, 120, lambda: f"nobody told {user}: {why}")
    [whisper] = fake.whispers
    assert whisper["user"] == user
    assert why in whisper["text"]
    fake.whispers.clear()


@pytest.fixture
async def monitor(tmp_path: Path, slack: FakeSlack) -> AsyncIterator[Monitor]:  # its environment names the tokens
    monitor = Monitor(tmp_path / "m", "")
    (monitor.folder / "logs").mkdir()
    yield monitor
    await monitor.kill()


async def begin(monitor: Monitor, extra: str) -> tuple[Case, str]:
    """One secret is logged. Gives what is kept of it, and its value."""
    planter = Planter(7)
    (monitor.folder / "logs/app.log").write_bytes(planter.lines(1))
    monitor.config.write_text(monitor.config.read_text() + RUN + extra)
    return Case(monitor.folder), next(iter(planter.planted.values()))


async def test_an_incident_is_handled_from_slack_over_socket_mode(monitor: Monitor, slack: FakeSlack) -> None:
    revoker = FakeRevoker()
    async with revoker:
        case, value = await begin(monitor, CHAT.format(slack=slack, way=SOCKET) + ACTIONS.format(revoker=revoker))
        revoker.works.add(value)
        await monitor.start()
        await see(slack, "Acknowledge", "Run revoke-token (0 of 2)")
        await until(lambda: slack.sockets, 120, lambda: "no connection")
        first = slack.press("U0ADA", "ack")
        await arrive(slack, first)
        await see(slack, "acknowledged by ada")
        assert "ack" not in buttons(slack)
        await arrive(slack, first)  # told again by Slack: known
        await press(slack, "U0ADA", "resolve:revoked")
        await refused(slack, "U0ADA", "ada may not do this")
        await press(slack, "U0EVE", "silence:3600")
        await refused(slack, "U0EVE", "U0EVE is not among the people")

        await press(slack, "U0BOB", "run:revoke-token")
        await see(slack, "Approve revoke-token (1 of 2)", "1 of 2 have approved it")
        await press(slack, "U0BOB", "run:revoke-token")
        await refused(slack, "U0BOB", "bob has approved it already: it takes 2 different people")
        stale = slack.press("U0ADA", "run:revoke-token")
        await press(slack, "U0ADA", "run:revoke-token")
        await see(slack, "`revoke-token` completed, approved by bob, ada")
        assert (revoker.revocations, revoker.works) == (1, set())
        await arrive(slack, stale)
        await refused(slack, "U0ADA", "revoke-token is completed for this incident already")

        await press(slack, "U0BOB", "resolve:revoked")
        await see(slack, "resolved as revoked by bob")
        assert [name for name in buttons(slack) if name.startswith(("ack", "silence", "resolve", "run"))] == []
        await until(lambda: "Resolved as revoked by bob" in str(told(slack)), 120, lambda: str(told(slack)))
        assert await monitor.terminate() == 0

    lines = "\n".join(told(slack)).splitlines()
    assert [line for line in lines if line.startswith("Acknowledged by ada")]
    assert [line for line in lines if line.startswith("Action by ada: revoke-token approved, 2 of 2")]
    assert [line for line in lines if line.startswith("Step revoke done by monitor")]
    assert value not in json.dumps([*slack.messages.values(), *slack.replies]) + monitor.errors
    assert case.trail().count("acknowledged") == 1
    assert (len(slack.messages), revoker.revocations) == (1, 1)


async def post(address: str, payload: dict[str, Any], **headers: str) -> int:
    body, sent = FakeSlack.over_http(payload, SIGNING, time.time())
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/hooks/slack", data=BytesIO(body), headers=sent | headers) as answer,
    ):
        if answer.status == 200:
            assert await answer.text() == ""
        if answer.status != 503:
            return answer.status
    return await post(address, payload, **headers)  # a busy disk: pressed again


async def test_what_is_pressed_comes_over_the_door_and_nothing_else_does(monitor: Monitor, slack: FakeSlack) -> None:
    case, _ = await begin(monitor, CHAT.format(slack=slack, way=DOOR))
    await monitor.start()
    await shows(slack, "ack")
    press = slack.press("U0ADA", "ack")
    forged, old = f"v0={'0' * 64}", str(int(time.time()) - 301)
    assert await post(monitor.address, press, **{"X-Slack-Signature": forged}) == 401
    assert await post(monitor.address, press, **{"X-Slack-Request-Timestamp": old}) == 401
    assert await post(monitor.address, press | {"fill": "x" * (1 << 20)}) == 413
    assert await post(monitor.address, {"type": "shortcut", "user": {"id": "U0ADA"}}) == 200
    assert await post(monitor.address, press) == 200
    await see(slack, "acknowledged by ada")
    assert await post(monitor.address, press) == 200  # sent again: known
    assert await monitor.terminate() == 0
    assert case.trail().count("acknowledged") == 1
    assert not slack.whispers


async def opened(fake: FakeSlack, send: Callable[[dict[str, Any]], Awaitable[object]], user: str, action: str) -> int:
    """The window for their own words, by its place; pressed again where a busy machine was too late to open it."""
    for _ in range(20):
        before = len(fake.views)
        await send(fake.press(user, action, choice=OWN_WORDS))
        if len(fake.views) > before:
            return before
    raise AssertionError(f"no window: {fake.whispers}")


async def test_presses_survive_kills_and_are_done_once(monitor: Monitor, slack: FakeSlack) -> None:
    """Killed right after Slack heard that a press arrived, each time."""
    case, _ = await begin(monitor, CHAT.format(slack=slack, way=DOOR))
    await monitor.start()
    slack.slow = True
    presses = {"ack": "acknowledged", **{f"done:{step}": f"step_done:{step}" for step in STEPS}}
    for action in presses:
        await shows(slack, action)
        assert await post(monitor.address, slack.press("U0ADA", action)) == 200
        await monitor.kill()
        await monitor.start()
    await until(lambda: "Step revoke done by ada" in str(told(slack)), 120, lambda: str(told(slack)))

    slack.slow = False
    await shows(slack, "skip:replace")
    window = await opened(slack, lambda press: post(monitor.address, press), "U0ADA", "skip:replace")
    written = slack.submit("U0ADA", "nobody uses it", window)
    assert await post(monitor.address, written) == 200
    await monitor.kill()
    await monitor.start()
    assert await post(monitor.address, written) == 200  # sent again: known
    story = "Step replace skipped by ada: nobody uses it"
    await until(lambda: story in str(told(slack)), 120, lambda: str(told(slack)))
    assert await monitor.terminate() == 0
    done = [*presses.values(), "step_skipped:replace"]
    assert [case.trail().count(action) for action in done] == [1] * len(done)
    assert len(slack.messages) == 1
    assert [one for one in slack.whispers if "say why" not in one["text"]] == []


async def test_people_say_why_in_a_window_and_where_none_opens_it_is_as_before(
    monitor: Monitor, slack: FakeSlack
) -> None:
    case, value = await begin(monitor, CHAT.format(slack=slack, way=SOCKET))
    await monitor.start()
    await shows(slack, "skip:revoke")
    await until(lambda: slack.sockets, 120, lambda: "no connection")
    slack.slow = True
    await arrive(slack, slack.press("U0ADA", "skip:revoke", choice=OWN_WORDS))
    await refused(slack, "U0ADA", "say why step revoke is skipped: choose one of the reasons")
    await press(slack, "U0ADA", "done:revoke")
    await shows(slack, "skip:replace")

    slack.slow = False
    window = await opened(slack, lambda pressed: arrive(slack, pressed), "U0ADA", "skip:replace")
    slack.whispers.clear()
    await arrive(slack, slack.submit("U0EVE", "it is mine", window))
    await refused(slack, "U0EVE", "U0EVE is not among the people")
    await arrive(slack, slack.submit("U0ADA", f"nobody uses {value}.", window))
    await shows(slack, "skip:deploy")
    count = len(slack.views)
    await press(slack, "U0BOB", "resolve:false_positive")
    if len(slack.views) > count:
        await arrive(slack, slack.submit("U0BOB", None))
    await see(slack, "resolved as false_positive by bob")
    assert await monitor.terminate() == 0

    story = "\n".join(told(slack))
    assert "Step replace skipped by ada: nobody uses ghp_" in story
    assert value not in json.dumps([*slack.messages.values(), *slack.replies, *slack.views]) + monitor.errors
    assert [case.trail().count(f"step_{what}") for what in ("done:revoke", "skipped:replace")] == [1, 1]
