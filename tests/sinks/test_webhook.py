from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Location, Notification, Reason
from sinks.webhook import Webhook, WebhookConfig, encode, payload, signing_keys
from tests.fakes.notifications import EXAMPLES, RUN, event, incident, notification, notifications
from tests.fakes.peer import Open, served
from tests.fakes.server import FAULTS, PERMANENT, FakeServer, Fault
from tests.fakes.webhook import SCHEMA, FakeWebhook, check_payload

Put = Callable[[str, str], str]
SECRET = "whsec_" + base64.b64encode(b"sixteen or more bytes of key").decode()
OTHER = "whsec_" + base64.b64encode(b"the key that comes after it!").decode()


def _chat(name: str) -> Open:
    return served(
        lambda _: FakeServer(),
        lambda fake, credential: (
            {"url": f"env:{name.upper()}_URL", "format": name},
            {f"{name.upper()}_URL": f"{fake.url}/{credential}"},
        ),
    )


PEERS = {
    "webhook": served(
        lambda credential: FakeWebhook(f"whsec_{credential}"),
        lambda fake, credential: (
            {"url": "env:WEBHOOK_URL", "signing_secret": "env:WEBHOOK_SECRET"},
            {"WEBHOOK_URL": f"{fake.url}/{credential}?key={credential}", "WEBHOOK_SECRET": f"whsec_{credential}"},
        ),
    ),
    "webhook discord": _chat("discord"),
    "webhook teams": _chat("teams"),
}


def webhook(http: Http, **keys: Any) -> Webhook:
    return Webhook(WebhookConfig(name="hook", type="webhook", **keys), http)


async def test_the_payload_is_the_contract(http: Http, credential: Put) -> None:
    async with FakeWebhook() as receiver:
        await webhook(http, url=credential("url", receiver.url + "/in")).send(notification(host="monitor-1"))
    assert receiver.payloads == [
        {
            "version": 1,
            "id": "42",
            "reason": "new",
            "host": "monitor-1",
            "drill": False,
            "severity": "critical",
            "title": "GitHub personal access token exposed",
            "text": "Secret: ghp_a1B2…\n"
            "Where: /var/log/app/api.log:1042 (payments on web-3, services)\n"
            "Seen: 17 times in 5 min, first logged 2026-11-02 11:03:07 UTC, seen 2026-11-02 13:58:07 UTC\n"
            "First: Revoke the token on GitHub, then replace it wherever it is used.\n"
            "Acknowledge: cd /srv/monitor && .venv/bin/monitor incidents ack 7f3a9c2e",
            "url": "https://monitor.example.org/incidents/7f3a9c2e",
            "runbook": "https://monitor.example.org/runbooks/github-token",
            "incidents": [
                {
                    "id": "7f3a9c2e",
                    "fingerprint": "5e" * 32,
                    "rule": "github-pat",
                    "name": "GitHub personal access token",
                    "severity": "critical",
                    "state": "open",
                    "resolution": None,
                    "actor": None,
                    "note": "",
                    "masked": "ghp_a1B2…",
                    "confidence": "high",
                    "first_seen": "2026-11-02T13:58:07Z",
                    "first_logged": "2026-11-02T11:03:07Z",
                    "last_seen": "2026-11-02T14:03:07Z",
                    "occurrences": 17,
                    "locations": [
                        {
                            "source": "services",
                            "path": "/var/log/app/api.log",
                            "offset": 90112,
                            "line": 1042,
                            "time": "2026-11-02T14:03:07Z",
                            "logged_at": "2026-11-02T14:03:05Z",
                            "host": "web-3",
                            "service": "payments",
                            "context": "2026-11-02T14:03:05Z INFO login with token=ghp_a1B2… from 192.0.2.7",
                            "url": None,
                        },
                        {
                            "source": "services",
                            "path": "/var/log/app/worker.log",
                            "offset": 512,
                            "line": 8,
                            "time": "2026-11-02T14:02:07Z",
                            "logged_at": None,
                            "host": None,
                            "service": None,
                            "context": None,
                            "url": None,
                        },
                    ],
                    "owner": None,
                    "acknowledge": "cd /srv/monitor && .venv/bin/monitor incidents ack 7f3a9c2e",
                    "first_step": "Revoke the token on GitHub, then replace it wherever it is used.",
                    "runbook": "https://monitor.example.org/runbooks/github-token",
                    "url": "https://monitor.example.org/incidents/7f3a9c2e",
                    "labels": {},
                    "run": None,
                    "validity": None,
                    "asked_at": None,
                    "verdict": "",
                    "verified": {},
                }
            ],
            "more": 0,
        }
    ]


def test_the_documented_schema_names_every_field_and_no_other() -> None:
    whole = payload(notification())
    described = {"": SCHEMA["properties"]} | {
        name: kind.get("properties", {}) for name, kind in SCHEMA["$defs"].items()
    }
    assert described[""].keys() == whole.keys()
    assert described["incident"].keys() == whole["incidents"][0].keys()
    assert described["location"].keys() == whole["incidents"][0]["locations"][0].keys()
    assert set(get_args(Reason)) == set(SCHEMA["properties"]["reason"]["enum"])
    for kind in (SCHEMA, *SCHEMA["$defs"].values()):
        assert set(kind.get("required", ())) == kind.get("properties", {}).keys()  # fields are never left out


def test_a_run_under_way_is_in_the_payload_with_the_command_to_claim() -> None:
    sent = payload(notification(incident(run=RUN)))
    run = sent["incidents"][0]["run"]
    assert run == {
        "book": "github-token",
        "order": "contain",
        "done": 2,
        "total": 9,
        "step": "deploy",
        "title": "Deploy the replacement",
        "deadline": "2026-11-02T14:33:07Z",
        "overdue": True,
        "owner": None,
        "claim": "cd /srv/monitor && .venv/bin/monitor runbook claim 7f3a9c2e deploy",
    }
    assert SCHEMA["$defs"]["run"]["properties"].keys() == run.keys()


def test_only_a_test_of_the_sink_is_a_drill() -> None:
    assert payload(event(reason="test"))["drill"] is True
    assert payload(notification(incident(labels={"drill": "true"})))["drill"] is False, "labels may come from a log"


@pytest.mark.parametrize("accepted", [SECRET, OTHER])
async def test_signed_with_each_key_while_the_secret_changes(http: Http, credential: Put, accepted: str) -> None:
    async with FakeWebhook(accepted) as receiver:
        keys = {"url": credential("url", receiver.url), "signing_secret": credential("secret", f"{SECRET} {OTHER}")}
        await webhook(http, **keys).send(notification())
        with pytest.raises(RemoteError, match=r"401 Unauthorized: .*check url and signing_secret"):
            await webhook(http, url=keys["url"]).send(notification())
    assert len(receiver.payloads) == 1


async def test_a_repeat_carries_the_same_id(http: Http, credential: Put) -> None:
    async with FakeWebhook(SECRET) as receiver:
        sink = webhook(http, url=credential("url", receiver.url), signing_secret=credential("secret", SECRET))
        receiver.faults.append(Fault(hang=True, passes=60, after=True))
        with pytest.raises(RemoteError) as caught:
            await sink.send(notification())
        assert caught.value.retry
        await sink.send(notification())
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["42", "42"]


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "short?", "whsec_a"])
async def test_a_bad_signing_secret_is_permanent_and_not_shown(http: Http, credential: Put, secret: str) -> None:
    async with FakeWebhook() as receiver:
        sink = webhook(http, url=credential("url", receiver.url), signing_secret=credential("secret", secret))
        with pytest.raises(RemoteError, match="signing_secret: must be") as caught:
            await sink.send(notification())
        assert not caught.value.retry
        assert secret == "whsec_" or secret not in str(caught.value)
        assert receiver.requests == []


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(http: Http, credential: Put, name: str) -> None:
    async with FakeWebhook() as receiver:
        sink = webhook(http, url=credential("url", receiver.url))
        receiver.faults.append(FAULTS[name])
        with pytest.raises(RemoteError) as caught:
            await sink.send(notification())
        assert caught.value.retry is (name not in PERMANENT)


async def test_410_disables_the_url_until_it_changes(http: Http, credential: Put) -> None:
    async with FakeWebhook() as receiver:
        sink = webhook(http, url=credential("url", receiver.url))
        receiver.faults.append(Fault(410))
        for _ in range(3):
            with pytest.raises(RemoteError, match="gone for good") as caught:
                await sink.send(notification())
            assert not caught.value.retry
        assert len(receiver.requests) == 1
        credential("url", receiver.url + "/new")
        await sink.send(notification())
        assert len(receiver.payloads) == 1


def test_nothing_is_cut() -> None:
    many = tuple(Location("services", f"/var/log/{n}/" + "x" * 4000, n, n) for n in range(500))
    sent = json.loads(encode(notification(*[incident(locations=many)] * 3)))
    assert [len(one["locations"]) for one in sent["incidents"]] == [500, 500, 500]
    assert sent["incidents"][0]["locations"][499]["path"].endswith("x" * 4000)
    assert sent["url"] is None


def test_operational_events_have_words_and_no_incidents() -> None:
    sent = payload(event())
    assert (sent["reason"], sent["incidents"]) == ("operational", [])
    assert sent["title"] == "The state disk is full"


@EXAMPLES
@given(notifications)
def test_any_notification_is_one_line_of_valid_json(message: Notification) -> None:
    body = encode(message)
    assert b"\n" not in body
    problems = check_payload(orjson.loads(body))
    assert problems == ([] if message.id else ["id: '' should be non-empty"])


async def test_any_id_fits_into_a_header(http: Http, credential: Put) -> None:
    async with FakeWebhook(SECRET) as receiver:
        sink = webhook(http, url=credential("url", receiver.url), signing_secret=credential("secret", SECRET))
        for identity in ("a.b", "x\r\nevil: 1", "\udcff", "é"):
            await sink.send(notification(id=identity))
    assert [request.headers["webhook-id"] for request in receiver.requests] == [
        *("a%2Eb", "x%0D%0Aevil:%201", "%5Cudcff", "%C3%A9")
    ]


def test_configuration_errors_are_clear() -> None:
    with pytest.raises(ValidationError, match="remove one of the two"):
        WebhookConfig(name="h", type="webhook", url="env:U", signing_secret="env:S", format="teams")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="must be a reference"):
        WebhookConfig(name="h", type="webhook", url="https://literal.example/hidden")  # type: ignore[arg-type]
    assert signing_keys("whsec_" + base64.b64encode(b"k").decode().rstrip("=")) == [b"k"]


def test_a_url_may_be_written_out_where_knowing_it_proves_nothing() -> None:
    def config(**keys: str) -> WebhookConfig:
        return WebhookConfig(name="h", type="webhook", **keys)  # type: ignore[arg-type]

    assert config(url="http://127.0.0.1:8080/hook").url == "http://127.0.0.1:8080/hook"
    assert config(url="https://soar.example/hook", signing_secret="env:S").url == "https://soar.example/hook"
    for url in ("https://soar.example/hidden", "http://user:hidden@127.0.0.1/", "http://127.0.0.1/?token=hidden"):
        with pytest.raises(ValidationError) as caught:
            config(url=url)
        assert "hidden" not in str(caught.value)
