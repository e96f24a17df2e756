"""The recipes of docs/webhook.recipes.toml, as they stand there, against what their vendors demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Location, Reason, Receipt, State
from monitor.config.config import parse
from monitor.routing.routes import Policy, Route
from monitor.store import Store
from sinks.base import TooLargeError
from sinks.webhook import Webhook, WebhookConfig
from tests.fakes.delivery import QUICK, delivering_with, finding, until
from tests.fakes.notifications import HOSTILE, event, incident, notification
from tests.fakes.recipes import (
    FILE,
    RECIPES,
    FakeElastic,
    FakeGoogleChat,
    FakeJira,
    FakeMattermost,
    FakeServiceNow,
    FakeSplunk,
    Strict,
    recipe,
)
from tests.fakes.server import Fault

Put = Callable[[str, str], str]
CREDENTIAL = "a credential that nobody may see"


def sink(name: str, fake: Strict, http: Http, credential: Put, **changes: Any) -> Webhook:
    keys = recipe(name, fake.url, credential("proof", fake.proof)) | changes
    return Webhook(WebhookConfig(name="ear", type="webhook", **keys), http)


def life() -> list[tuple[State, Reason]]:
    return [
        *(("open", "new"), ("open", "update"), ("open", "escalated"), ("acknowledged", "acknowledged")),
        *(("resolved", "resolved"), ("open", "reopened")),
    ]


async def told(sink: Webhook, steps: Sequence[tuple[State, Reason]], *about: Any) -> Receipt | None:
    """What delivery would do: the receipt of one is given to the next."""
    receipt: Receipt | None = None
    for number, (state, reason) in enumerate(steps):
        incidents = [replace(one, state=state) for one in about or (incident(),)]
        receipt = await sink.send(notification(*incidents, id=str(number), reason=reason, receipt=receipt)) or receipt
    return receipt


@pytest.mark.parametrize("name", RECIPES)
async def test_every_reason_and_hostile_text_is_taken(name: str, http: Http, credential: Put) -> None:
    """The fakes hold what they get against their vendor's rules."""
    async with RECIPES[name](CREDENTIAL) as fake:
        ear = sink(name, fake, http, credential)
        await told(ear, life())
        for text in filter(str.strip, HOSTILE):
            place = Location(text, text, host=text, service=text, context=text)
            one = incident(name=text, masked=text, owner=text, labels={text: text}, locations=(place,) * 12)
            await told(ear, [("open", "new"), ("open", "update"), ("resolved", "resolved")], one)
            await ear.send(event(title=text, text=text))
        many = [incident(id=f"{number:08x}") for number in range(100)]
        await told(ear, [("open", "digest"), ("open", "update"), ("resolved", "resolved")], *many)
        for reason in ("operational", "recovered", "test"):
            await ear.send(event(reason=reason, host="monitor-1"))
        assert CREDENTIAL not in "".join(request.body.decode() for request in fake.requests)


async def test_a_ticket_of_jira_is_kept_in_step(http: Http, credential: Put) -> None:
    async with FakeJira(CREDENTIAL) as jira:
        ear = sink("Jira", jira, http, credential)
        assert await told(ear, life()[:-1]) == {"ticket": "SEC-1"}
        [issue] = jira.issues.values()
        assert issue["state"] == "done"
        assert issue["summary"] == "GitHub personal access token exposed"
        assert issue["labels"] == ["exposure", "critical"]
        assert "https://monitor.example.org/incidents/7f3a9c2e" in issue["description"]
        assert [text.splitlines()[0].rpartition(": ")[2] for text in issue["comments"]] == [
            *("seen again", "now critical", "acknowledged", "resolved")
        ]
        again = notification(reason="reopened", receipt={"ticket": "SEC-1"})
        await ear.send(again)
        assert issue["state"] == "open"
        with pytest.raises(RemoteError, match=r"400 Bad Request: .*not valid for the current state") as caught:
            await ear.send(again)  # a person has opened it before us
        assert not caught.value.retry
        await sink("Jira", jira, http, credential, reopen={"body": "{}", "accept": [400]}).send(again)
        jira.problems.clear()


async def test_a_record_of_servicenow_is_kept_in_step(http: Http, credential: Put) -> None:
    async with FakeServiceNow(CREDENTIAL) as servicenow:
        ear = sink("ServiceNow", servicenow, http, credential)
        await told(ear, life()[:-1])
        [record] = servicenow.records.values()
        assert (record["state"], record["close_notes"]) == ("6", "GitHub personal access token: resolved")
        await ear.send(notification(reason="reopened_by_hand", receipt={"ticket": f"{1:032x}"}))
        assert record["state"] == "2"
    assert [request.method for request in servicenow.requests] == ["POST"] + ["PATCH"] * 5


async def test_events_of_splunk_and_documents_of_elastic_are_one_an_incident(http: Http, credential: Put) -> None:
    async with FakeSplunk(CREDENTIAL) as splunk, FakeElastic(CREDENTIAL) as elastic:
        for name, fake in (("Splunk", splunk), ("Elastic", elastic)):
            ear = sink(name, fake, http, credential)
            for _ in range(2):  # a repeat
                await ear.send(notification(incident(), incident(id="other", occurrences=3), reason="digest"))
    seen = [entry["event"]["incident"]["occurrences"] for entry in splunk.events]
    assert seen == [17, 3, 17, 3]
    assert [one["incident"]["occurrences"] for one in elastic.documents.values()] == [17, 3]
    assert [one["@timestamp"] for one in elastic.documents.values()] == ["2026-11-02T14:03:07Z"] * 2


async def test_chats_get_a_thread_and_no_mention(http: Http, credential: Put) -> None:
    async with FakeGoogleChat(CREDENTIAL) as google, FakeMattermost(CREDENTIAL) as mattermost:
        for name, fake in (("Google Chat", google), ("Mattermost", mattermost)):
            ear = sink(name, fake, http, credential)
            at = Location("services", "/var/log/@channel/<users/all>.log")
            await told(ear, life(), incident(locations=(at,)))
    [(key, messages)] = google.threads.items()
    assert (key, len(messages)) == ("incident/7f3a9c2e", 6)
    assert "@\u200bchannel/<\u200busers" in messages[0]
    assert "@\u200bchannel/<\u200busers" in mattermost.posts[0]
    assert mattermost.posts[0].endswith("\nhttps://monitor.example.org/incidents/7f3a9c2e")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    ("status", "retry", "after"),
    [(400, False, None), (401, False, None), (404, False, None), (429, True, 7), (503, True, 7)],
)
async def test_what_is_refused_says_why_and_shows_no_credential(
    name: str, status: int, retry: bool, after: int | None, http: Http, credential: Put
) -> None:
    async with RECIPES[name](CREDENTIAL) as fake:
        ear = sink(name, fake, http, credential)
        headers = {"Retry-After": "7"} if after else {}
        for body, quoted in (('{"message": "Field priority is unknown"}', True), (f"bad {CREDENTIAL}", False)):
            fake.faults.append(Fault(status, headers=headers, body=body))
            with pytest.raises(RemoteError) as caught:
                await ear.send(notification())
            assert (caught.value.retry, caught.value.after, caught.value.status) == (retry, after, status)
            assert ("Field priority is unknown" in str(caught.value)) == (quoted and status < 500)
            assert CREDENTIAL not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Elastic", '{"errors":true,"items":[{"index":{"error":{"type":"document_parsing_exception"}}}]}'),
        ("Elastic", '{"errors":"false"}'),
        ("Elastic", "{}"),
        ("Elastic", "<html>login</html>"),
        ("Splunk", '{"text":"Server is busy","code":9}'),
        ("Splunk", '{"code":false}'),
    ],
)
async def test_an_error_within_a_200_is_one(name: str, body: str, http: Http, credential: Put) -> None:
    async with RECIPES[name](CREDENTIAL) as fake:
        fake.faults.append(Fault(200, body=body))
        with pytest.raises(RemoteError, match="is not what expect says") as caught:
            await sink(name, fake, http, credential).send(notification())
        assert [caught.value.again(tries) for tries in (1, 4, 5)] == [True, True, False]
        assert ("document_parsing_exception" in str(caught.value)) == ("parsing" in body)


async def test_what_is_not_indexed_ends_as_a_dead_letter(tmp_path: Path, http: Http, credential: Put) -> None:
    async with FakeElastic(CREDENTIAL) as elastic, await Store.open(tmp_path / "state.db") as store:
        elastic.broken.add("/broken/")
        store.policy = Policy(sinks=("ear",))
        sinks: Any = {"ear": sink("Elastic", elastic, http, credential)}
        async with delivering_with(store, sinks, patience=replace(QUICK, send=30.0)) as delivery:
            await store.commit([replace(finding("a"), path="/broken/a.log")])
            await until(lambda: delivery.stats()["ear"].failed >= 3)
            assert not await store.outbox.list(states=["dead"])
            await until(lambda: delivery.stats()["ear"].failed >= 6)
            await store.commit([finding("b")])
            await until(lambda: delivery.stats()["ear"].dead == 1)
        [dead] = await store.outbox.list(states=["dead"])
        assert "document_parsing_exception" in (dead.error or "")
        assert len(elastic.documents) == 1


async def test_a_flood_is_split_by_size(http: Http, credential: Put) -> None:
    async with FakeElastic(CREDENTIAL) as elastic:
        ear = sink("Elastic", elastic, http, credential, max_body=64 * 1024)
        many = [incident(id=f"{number:08x}") for number in range(200)]
        with pytest.raises(TooLargeError) as caught:
            await ear.send(notification(*many, reason="digest"))
        assert caught.value.parts > 3
        assert ear.limits.body == 64 * 1024
        far = tuple(Location("services", f"/var/log/{number}/{'x' * 4000}") for number in range(100))
        await ear.send(notification(incident(locations=far)))
        [kept] = elastic.documents.values()
        assert 0 < len(kept["incident"]["locations"]) < 100


async def test_a_digest_of_many_arrives_in_parts(tmp_path: Path, http: Http, credential: Put) -> None:
    async with FakeElastic(CREDENTIAL) as elastic, await Store.open(tmp_path / "state.db") as store:
        store.policy = Policy(sinks=("ear",), routes=(Route.model_validate({"sinks": ["ear"], "burst": "1/1h"}),))
        sinks: Any = {"ear": sink("Elastic", elastic, http, credential, max_body=16 * 1024)}
        async with delivering_with(store, sinks, patience=replace(QUICK, send=30.0)) as delivery:
            await store.commit([finding(str(number), number) for number in range(60)])
            assert await delivery.settle(60) == 0
        assert len({one["incident"]["id"] for one in elastic.documents.values()}) == 60
        assert len(elastic.requests) > 4
        assert max(len(request.body) for request in elastic.requests) <= 16 * 1024


async def test_only_an_alarm_opens_another_ticket_for_one_that_was_deleted(http: Http, credential: Put) -> None:
    async with FakeJira(CREDENTIAL) as jira:
        ear = sink("Jira", jira, http, credential)
        gone = {"ticket": "SEC-77"}
        for state, reason in (("open", "update"), ("resolved", "resolved")):
            with pytest.raises(RemoteError, match="404") as caught:
                await ear.send(notification(incident(state=state), reason=reason, receipt=gone))  # type: ignore[arg-type]
            assert not caught.value.retry
        assert not jira.issues
        assert await ear.send(notification(reason="escalated", receipt=gone)) == {"ticket": "SEC-1"}


async def test_what_was_resolved_meanwhile_is_resolved(http: Http, credential: Put) -> None:
    async with FakeJira(CREDENTIAL) as jira:
        ear = sink("Jira", jira, http, credential)
        await told(ear, [("open", "new"), ("resolved", "acknowledged")])
        assert jira.issues["SEC-1"]["state"] == "done"


async def test_what_is_over_opens_no_ticket(http: Http, credential: Put) -> None:
    async with FakeJira(CREDENTIAL) as jira:
        ear = sink("Jira", jira, http, credential)
        assert await ear.send(notification(incident(state="resolved"), reason="resolved")) is None
        assert await ear.send(event(reason="recovered")) is None
        assert await ear.send(notification(reason="progress")) is None
        assert jira.requests == []
        assert await ear.send(notification(incident(state="acknowledged"), reason="acknowledged")) == {
            "ticket": "SEC-1"
        }


@pytest.mark.parametrize(
    "answer",
    [
        *("{}", "[]", "no json", '{"key": null}', '{"key": true}', '{"key": ""}', '{"key": ".."}', '{"key": "a/b"}'),
        *(
            '{"key": "a\\r\\nb"}',
            '{"key": {}}',
            '{"key": "' + "x" * 201 + '"}',
            f'{{"key": "{CREDENTIAL}"}}',
            '{"key": 1.5}',
        ),
        '{"key": "' + CREDENTIAL.replace(" ", "")[:20] + '"}',
    ],
)
async def test_a_name_that_could_be_none_is_not_kept(answer: str, http: Http, credential: Put) -> None:
    async with FakeJira(CREDENTIAL) as jira:
        ear = sink("Jira", jira, http, credential)
        jira.faults.extend([Fault(201, body=answer)] * 2)
        assert await ear.send(notification()) == {"ticket": ""}
        with pytest.raises(RemoteError, match="names no ticket at /key"):
            await ear.send(event(reason="test"))
        with pytest.raises(RemoteError, match="never named this ticket") as caught:
            await ear.send(notification(reason="update", receipt={"ticket": ""}))
        assert not caught.value.retry
        assert await ear.send(notification(reason="escalated", receipt={"ticket": ""})) == {"ticket": "SEC-1"}


async def test_a_number_names_a_ticket_and_is_one_word_of_the_address(http: Http, credential: Put) -> None:
    async with FakeJira(CREDENTIAL) as jira:
        jira.always = Fault(201, body='{"key": 4711}')
        await told(sink("Jira", jira, http, credential), life()[:2])
        await sink("Jira", jira, http, credential).send(notification(reason="update", receipt={"ticket": "a/../b?c"}))
    assert [request.path.rpartition("issue")[2] for request in jira.requests] == [
        *("", "/4711/comment", "/a%2F..%2Fb%3Fc/comment")
    ]


async def test_news_without_a_table_goes_nowhere_and_without_a_body_in_the_first_one(
    http: Http, credential: Put
) -> None:
    keys = {"body": '{"id": "{incident.id}", "why": "{reason}"}', "resolve": {"method": "PUT"}}
    async with Strict(CREDENTIAL) as fake:
        ear = Webhook(WebhookConfig(name="ear", type="webhook", url=f"{fake.url}/{{incident.id}}", **keys), http)  # type: ignore[arg-type]
        assert await told(ear, life()[:-1]) == {"ticket": ""}
    assert [(one.method, one.path, json.loads(one.body)["why"]) for one in fake.requests] == [
        ("POST", "/7f3a9c2e", "new"),
        ("PUT", "/7f3a9c2e", "resolved"),
    ]


async def test_a_field_of_an_address_cannot_lead_elsewhere(http: Http, credential: Put) -> None:
    async with Strict(CREDENTIAL) as fake:
        keys = {"resolve": {"url": f"{fake.url}/a/{{title}}?b={{text:4}}"}, "body": "{}"}
        ear = Webhook(WebhookConfig(name="ear", type="webhook", url=fake.url, **keys), http)  # type: ignore[arg-type]
        over = {"reason": "recovered", "receipt": {"ticket": ""}}
        await ear.send(event(title="x/../y?#z", text="1&c=2", **over))
        for title in ("..", "."):
            with pytest.raises(RemoteError, match="empty or only dots") as caught:
                await ear.send(event(title=title, **over))
            assert not caught.value.retry
    assert [request.path for request in fake.requests] == ["/a/x%2F..%2Fy%3F%23z?b=1%26c%E2%80%A6"]


async def test_several_are_under_way(http: Http, credential: Put) -> None:
    async with FakeMattermost(CREDENTIAL) as fake:
        ear = sink("Mattermost", fake, http, credential)
        await asyncio.gather(*(ear.send(notification(id=str(number))) for number in range(ear.limits.in_flight)))
        assert len(fake.posts) == 8


def test_the_file_is_one_configuration_and_has_no_other_recipes() -> None:
    config = parse(FILE.read_text(encoding="utf-8"), FILE)
    assert [sink.name for sink in config.sinks] == [name.lower().replace(" ", "-") for name in RECIPES]
    assert all(len(line) <= 120 for line in FILE.read_text(encoding="utf-8").splitlines())
