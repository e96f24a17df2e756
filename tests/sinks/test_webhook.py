from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import standardwebhooks
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from sinks.webhook import Webhook, WebhookConfig, signing_keys
from tests.fakes.notifications import notification
from tests.fakes.peer import Open, served
from tests.fakes.recipes import FakeJira, recipe
from tests.fakes.server import FAULTS, PERMANENT, FakeServer, Fault
from tests.fakes.webhook import FakeWebhook

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
    "webhook ticket": served(
        FakeJira,
        lambda fake, credential: (recipe("Jira", fake.url, "env:JIRA_LOGIN"), {"JIRA_LOGIN": fake.proof}),
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


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"body": "{"}, "no JSON: line 1, column 2"),
        ({"body": '{"a": {"b": "{titel}"}}'}, 'at /a/b: unknown field "titel"; did you mean {title}?'),
        ({"body": '{"a": "{receipt}"}'}, "not known before the first answer"),
        ({"update": {"body": '{"a": "{receipt}"}'}}, "update: {receipt} needs receipt"),
        ({"update": {"url": "http://127.0.0.1/{receipt}"}}, "update: {receipt} needs receipt"),
        ({"update": {"url": "http://{receipt}/"}}, "must be a URL such as"),
        ({"update": {"url": "http://a.{receipt}/"}}, "path or the query only"),
        ({"update": {"url": "http://me:hidden@127.0.0.1/"}}, "must not carry a user name"),
        ({"resolve": {"method": "DELETE"}}, "'POST', 'PUT' or 'PATCH'"),
        ({"receipt": "/key"}, "of no use without update or acknowledge"),
        ({"receipt": "key", "update": {}}, "must be a JSON pointer"),
        ({"expect": {"ok": True}}, "must be a JSON pointer"),
        ({"per_incident": True}, "needs a body"),
        ({"content_type": "text/plain\r\nX: 1"}, "match pattern"),
        ({"headers": {"Content-Type": "a/b"}}, "use content_type"),
        ({"headers": {"Webhook-Id": "1"}}, "not yours to set"),
        ({"headers": {"a b": "1"}}, "is no name of a header"),
        ({"headers": {"X-A": "a\nb"}}, "printable ASCII"),
        ({"headers": {"X-A": "{env}"}}, "printable ASCII"),
        ({"headers": {"X-A": 1}}, "must be a string"),
        ({"headers": "a"}, "must be a table"),
        ({"headers": {"Authorization": "Bearer hidden"}}, "must be a reference in braces"),
        ({"headers": {"PRIVATE-TOKEN": "hidden"}}, "must be a reference in braces"),
        ({"headers": {"X-A": "a1b2c3d4hidden5a1b2c3d4"}}, "must be a reference in braces"),
        ({"format": "teams", "body": "{}"}, "body: of no use with format"),
        ({"format": "discord", "update": {}}, "update: of no use with format"),
        ({"accept": [200]}, "greater than or equal to 300"),
        (
            {"headers": {"Authorization": "Bearer {env:A}"}, "update": {"url": "http://tickets.example.org/"}},
            "update.url: the credentials in headers would go over the network unencrypted",
        ),
    ],
)
def test_what_is_wrong_in_a_template_is_said_with_its_place(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookConfig(name="h", type="webhook", **{"url": "http://127.0.0.1/", **keys})
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_headers_are_made_of_texts_and_references(http: Http, credential: Put) -> None:
    headers = {
        "X-Both": f"a {{{credential('one', '1')}}} b {{{credential('two', '2')}}}",
        "X-Key": credential("three", "3"),
    }
    async with FakeWebhook() as receiver:
        await webhook(http, url=receiver.url, headers=headers).send(notification())
        [request] = receiver.requests
        assert (request.headers["X-Both"], request.headers["X-Key"]) == ("a 1 b 2", "3")
        with pytest.raises(RemoteError, match=r"headers.X-A: environment variable NOT_THERE is not set") as caught:
            await webhook(http, url=receiver.url, headers={"X-A": "env:NOT_THERE"}).send(notification())
        assert caught.value.retry
        with pytest.raises(RemoteError, match="not a valid http") as caught:
            await webhook(http, url=receiver.url, headers={"X-A": credential("four", "a\nhidden")}).send(notification())
        assert "hidden" not in str(caught.value)


async def test_a_body_by_a_template_is_signed(http: Http, credential: Put) -> None:
    async with FakeServer() as receiver:
        keys = {"body": '{"text": "{title}"}', "signing_secret": credential("secret", SECRET)}
        await webhook(http, url=receiver.url, **keys).send(notification())
        [request] = receiver.requests
    verified = standardwebhooks.Webhook(SECRET).verify(request.body, dict(request.headers))
    assert verified == {"text": "GitHub personal access token exposed"}


def test_a_url_may_be_written_out_beside_a_credential_in_headers() -> None:
    headers = {"Authorization": "Bearer {env:A}"}
    config = WebhookConfig(name="h", type="webhook", url="https://a.example/x?y=z", headers=headers)  # type: ignore[arg-type]
    assert config.url == "https://a.example/x?y=z"
    with pytest.raises(ValidationError, match="must be a reference"):
        WebhookConfig(name="h", type="webhook", url="https://a.example/x?y=a1b2c3d4e5f6a1b2c3d4e5f6", headers=headers)  # type: ignore[arg-type]
