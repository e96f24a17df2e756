from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from monitor.common.http import Http, RemoteError
from monitor.common.inbound import InboundRequest
from monitor.common.notification import IncidentView, Location, Offer, Receipt
from sinks.slack.blocks import message
from sinks.slack.config import SlackConfig
from sinks.slack.sink import Slack
from tests.fakes.notifications import HOSTILE, event, incident, notification
from tests.fakes.peer import served
from tests.fakes.server import FAULTS, PERMANENT, Fault
from tests.fakes.slack import DATE, FakeSlack
from tests.sinks.slack.test_buttons import STEP

SEEN = (
    "17 times in 5 min, first logged <!date^1793617387^{date_short_pretty} {time}|2026-11-02 11:03:07 UTC>, "
    "seen <!date^1793627887^{date_short_pretty} {time}|2026-11-02 13:58:07 UTC>"
)

Put = Callable[[str, str], str]


PEERS = {
    "slack bot": served(
        lambda credential: FakeSlack(token=credential),
        lambda fake, credential: (
            {
                "token": "env:SLACK_TOKEN",
                "channel": "#alerts",
                "api_url": fake.api_url,
                "app_token": "env:SLACK_APP_TOKEN",
                "people": {"U0ADA": "ada"},
            },
            {"SLACK_TOKEN": credential, "SLACK_APP_TOKEN": fake.app_token},
        ),
    ),
    "slack webhook": served(
        lambda credential: FakeSlack(webhook=f"/services/{credential}"),
        lambda fake, credential: (
            {"webhook_url": "env:SLACK_URL"},
            {"SLACK_URL": f"{fake.url}/services/{credential}"},
        ),
    ),
}


def bot(http: Http, fake: FakeSlack, credential: Put, **keys: Any) -> Slack:
    keys = {"token": credential("token", fake.token), "channel": "#alerts", "api_url": fake.api_url, **keys}
    return Slack(SlackConfig(name="chat", type="slack", **keys), http)


def two_way(http: Http, fake: FakeSlack, credential: Put) -> Slack:
    secret = credential("signing", "a-signing-secret")
    return bot(http, fake, credential, signing_secret=secret, people={"U0ADA": "ada"})


def hook(http: Http, fake: FakeSlack, credential: Put, path: str = "") -> Slack:
    url = credential("webhook_url", fake.url + (path or fake.webhook))
    return Slack(SlackConfig(name="chat", type="slack", webhook_url=url), http)  # type: ignore[arg-type]


def words(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


async def test_a_webhook_message_says_it_all(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        assert await hook(http, fake, credential).send(notification()) is None
    (post,) = fake.posts
    assert post["unfurl_links"] is False
    assert post["blocks"][0]["text"]["text"] == "🔴 Critical: GitHub personal access token exposed"
    shown = words(post)
    for part in (
        *("`ghp_a1B2…`", "`/var/log/app/api.log:1042` payments on web-3, services", "17 times in 5 min", "high"),
        "Revoke the token on GitHub",
        "`2026-11-02T14:03:05Z INFO login with token=ghp_a1B2… from 192.0.2.7`",
        *(
            "<https://monitor.example.org/runbooks/github-token|Runbook>",
            "`cd /srv/monitor &amp;&amp; .venv/bin/monitor incidents ack 7f3a9c2e`",
        ),
        "<https://monitor.example.org/incidents/7f3a9c2e|Open in the console>",
    ):
        assert part in shown


async def test_a_bot_keeps_one_message_current_and_tells_the_story_in_its_thread(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        sink = bot(http, fake, credential)
        receipt = await sink.send(notification())
        assert receipt == {"channel": "C0ALERTS", "ts": "1700000001.000100"}
        steps: list[tuple[str, dict[str, Any]]] = [
            ("update", {"occurrences": 30}),
            ("escalated", {"severity": "critical"}),
            ("acknowledged", {"state": "acknowledged", "owner": "ana"}),
            ("repeat", {}),
            ("resolved", {"state": "resolved", "owner": "ana"}),
            ("reopened", {}),
        ]
        for reason, changes in steps:
            sent = notification(incident(**changes), reason=reason, receipt=receipt)
            assert await sink.send(sent) == receipt
            (root,) = fake.messages.values()
            assert root["blocks"] == message(sent)["blocks"]
    assert all(reply["thread_ts"] == "1700000001.000100" for reply in fake.replies)
    assert [(reply["text"], reply["reply_broadcast"]) for reply in fake.replies] == [
        ("Severity is now *critical*: GitHub personal access token `ghp_a1B2…`", True),
        ("Acknowledged by ana", False),
        (
            "Still exposed: GitHub personal access token `ghp_a1B2…`, " + SEEN,
            True,
        ),
        ("Resolved by ana", False),
        (
            "Seen again after it was resolved: GitHub personal access token `ghp_a1B2…`, "
            f"{SEEN}, last in `/var/log/app/api.log:1042`",
            True,
        ),
    ]


async def test_what_may_have_been_sent_is_looked_for_before_it_is_sent_again(http: Http, credential: Put) -> None:
    """As after a kill between Slack's answer and the note of it."""
    async with FakeSlack() as fake:
        sink = bot(http, fake, credential, channel="C0ALERTS")
        sent = notification(reason="new")
        receipt = await sink.send(sent)
        for number in range(100):  # with what the channel shows since, the answer is a long one
            await sink.send(notification(id=f"another-{number}", key=f"another-{number}"))
        again = replace(sent, again=True)
        assert await sink.send(again) == receipt
        assert len(fake.messages) == 101

        told = notification(reason="acknowledged", receipt=receipt, id="ack")
        await sink.send(told)
        await sink.send(replace(told, again=True))
        await sink.send(notification(reason="acknowledged", receipt=receipt, id="later", again=True))
        assert [one["metadata"]["event_payload"]["id"] for one in fake.replies] == ["ack", "later"]


@pytest.mark.parametrize("channel", ["C0ALERTS", "#alerts"])
async def test_where_nothing_may_be_read_a_duplicate_beats_a_miss(http: Http, credential: Put, channel: str) -> None:
    async with FakeSlack() as fake:
        fake.readable = channel == "#alerts"  # by its name nothing can be read
        sink = bot(http, fake, credential, channel=channel)
        receipt = await sink.send(notification(reason="new"))
        other = await sink.send(notification(reason="new", again=True))
        assert receipt != other
        assert len(fake.messages) == 2
        # Too busy to look is no answer.
        fake.faults.append(Fault(429, {"Retry-After": "3"}, body='{"ok": false, "error": "ratelimited"}'))
        with pytest.raises(RemoteError) as caught:
            await sink.send(notification(reason="new", again=True))
        assert (caught.value.retry, caught.value.after) == (True, 3.0)


async def test_where_too_much_is_answered_to_a_look_it_is_sent(
    http: Http, credential: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.slack.api._MOST_READ", 100)
    async with FakeSlack() as fake:
        sink = bot(http, fake, credential, channel="C0ALERTS")
        await sink.send(notification(reason="new"))
        await sink.send(notification(reason="new", again=True))
        assert len(fake.messages) == 2


async def test_a_lost_root_is_posted_anew(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        sink = bot(http, fake, credential)
        gone: Receipt = {"channel": "C0ALERTS", "ts": "1.0"}
        receipt = await sink.send(notification(reason="resolved", receipt=gone))
        assert receipt is not None
        assert (receipt["channel"], receipt["ts"]) in fake.messages
        assert fake.replies == []


async def test_a_failed_reply_is_repeated_without_a_second_root(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        sink = bot(http, fake, credential)
        receipt = await sink.send(notification())
        fake.faults += [Fault(200, body='{"ok":true}'), Fault(429, headers={"Retry-After": "30"})]
        reminder = notification(reason="repeat", receipt=receipt)
        with pytest.raises(RemoteError) as caught:
            await sink.send(reminder)
        assert (caught.value.retry, caught.value.after) == (True, 30.0)
        await sink.send(reminder)
        assert (len(fake.messages), len(fake.replies)) == (1, 1)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("way", [bot, hook])
async def test_faults(http: Http, credential: Put, way: Callable[..., Slack], name: str) -> None:
    async with FakeSlack() as fake:
        fake.faults.append(FAULTS[name])
        with pytest.raises(RemoteError) as caught:
            await way(http, fake, credential).send(notification())
        assert caught.value.retry is (name not in PERMANENT)
        assert caught.value.after == {"429": 7.0, "503": 3.0}.get(name)


@pytest.mark.parametrize(
    ("status", "body", "retry", "says"),
    [
        (400, "invalid_payload", False, "invalid_payload"),
        (403, "action_prohibited", False, "administrator"),
        (404, "no_service", False, "no_service: the webhook was removed"),
        (410, "channel_is_archived", False, "unarchive"),
        (500, "rollup_error", True, "rollup_error"),
        (200, "<!doctype html>", True, "web page"),
    ],
)
async def test_webhook_errors(http: Http, credential: Put, status: int, body: str, retry: bool, says: str) -> None:
    async with FakeSlack() as fake:
        fake.faults.append(Fault(status, body=body))
        with pytest.raises(RemoteError, match=says) as caught:
            await hook(http, fake, credential).send(notification())
        assert caught.value.retry is retry


async def test_wrong_credentials_and_channel(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        with pytest.raises(RemoteError, match="channel_not_found"):
            await bot(http, fake, credential, channel="#nowhere").send(notification())
        wrong = credential("other", "not-the-token")
        with pytest.raises(RemoteError, match="invalid_auth"):
            await bot(http, fake, credential, token=wrong).send(notification())
        with pytest.raises(RemoteError, match="no_service"):
            await hook(http, fake, credential, "/services/gone").send(notification())


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_accepted_by_both_ways(http: Http, credential: Put, text: str) -> None:
    places = tuple(Location(text, text, 1, 1, url=f"https://x/{text}") for _ in range(9))
    one = incident(id=text, name=text, masked=text, owner=text, first_step=text, locations=places, labels={text: text})
    async with FakeSlack() as fake:
        for group in ((one,), (one,) * 60):
            receipt = await bot(http, fake, credential).send(notification(*group))
            for reason in ("escalated", "reopened", "acknowledged", "repeat", "resolved"):
                again = notification(*cast(tuple[IncidentView, ...], group), reason=reason, receipt=receipt)
                await bot(http, fake, credential).send(again)
            await hook(http, fake, credential).send(notification(*group))
        await hook(http, fake, credential).send(event(title=text, text=text))
    for reply in fake.replies:
        assert "<" not in re.sub(DATE, "", reply["text"])


async def test_only_a_two_way_sink_has_buttons(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        await bot(http, fake, credential).send(notification())
        await two_way(http, fake, credential).send(notification())
        await two_way(http, fake, credential).send(event())
    kinds = [{block["type"] for block in content["blocks"]} for content in fake.messages.values()]
    assert ["actions" in kind for kind in kinds] == [False, True, False]
    assert "To acknowledge" not in words([*fake.messages.values()][1])


async def test_the_thread_tells_what_happened_and_the_message_shows_it(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        sink = two_way(http, fake, credential)
        receipt = await sink.send(notification())
        turn = {
            "reason": "progress",
            "text": "Step revoke done by ada: it is <gone>\nSilenced by bob",
            "receipt": receipt,
        }
        taken = (Offer("revoke-token", 2, ("ada",), "planned"), Offer("tell", 1, ("bob",), "completed"))
        await sink.send(notification(incident(state="acknowledged", actor="ada", offers=taken), **turn))
        [root] = fake.messages.values()
    assert [reply["text"] for reply in fake.replies] == ["Step revoke done by ada: it is &lt;gone&gt;\nSilenced by bob"]
    assert root["blocks"][0]["text"]["text"].endswith("acknowledged by ada")
    assert "`revoke-token` planned, 1 of 2 have approved it\\n`tell` completed, approved by bob" in words(root)


async def test_what_was_told_in_a_flood_has_no_thread(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        assert await two_way(http, fake, credential).send(notification(reason="progress", text="x")) is None
    assert not fake.requests


async def test_only_who_pressed_is_told_why_it_was_not_done(http: Http, credential: Put) -> None:
    asked = InboundRequest("1", "chat", "ack", "ada", "7f3a", answer={"channel": "C0ALERTS", "user": "U0ADA", "x": "y"})
    async with FakeSlack() as fake:
        sink = two_way(http, fake, credential)
        await sink.answer(asked, "acknowledged", done=True)
        await sink.answer(asked, "incident <7f3a> is already resolved", done=False)
    assert fake.whispers == [
        {"channel": "C0ALERTS", "user": "U0ADA", "text": "Not done: incident &lt;7f3a&gt; is already resolved"}
    ]


async def test_who_presses_is_asked_for_words_once(http: Http, credential: Put) -> None:
    async with FakeSlack() as fake:
        sink = two_way(http, fake, credential)
        await sink.send(notification(incident(run=STEP)))
        pressed = InboundRequest(
            "1", "chat", "done", "ada", "7f3a9c2e", detail="revoke",
            answer={"channel": "C0ALERTS", "user": "U0ADA"}, window=fake.press("U0ADA", "done")["trigger_id"],
        )  # fmt: skip
        assert await sink.ask(pressed)
        assert await sink.ask(pressed)  # told again by Slack, as our acknowledgement was lost
        assert len(fake.views) == 1
        late = replace(pressed, window=fake.press("U0ADA", "done")["trigger_id"])
        fake.slow = True
        assert not await sink.ask(late)


async def test_who_cannot_be_asked_for_words_is_not_waited_for(
    http: Http, credential: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.slack.sink.ASKING", 0.2)
    pressed = InboundRequest(
        "1", "chat", "done", "ada", "7f", detail="revoke", answer={"channel": "C0ALERTS"}, window="t"
    )
    async with FakeSlack() as fake:
        sink = two_way(http, fake, credential)
        for fault in (Fault(503), Fault(hang=True), Fault(reset=True), Fault(429), Fault(200, body="<html>")):
            fake.faults.append(fault)
            assert not await sink.ask(pressed)
        monkeypatch.delenv("TEST_TOKEN")
        assert not await sink.ask(pressed)
    assert fake.views == []
