from __future__ import annotations

import asyncio
import json
from collections import Counter
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from githubkit_schemas.v2026_03_10 import models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from monitor.common.inbound import Announced, HookDelivery
from monitor.github.ci import ActionsLogsConfig
from monitor.github.hook import GitHubHook, signature
from monitor.github.login import GitHubLogin
from monitor.github.source import REVIEWS, GitHubConfig
from monitor.web import hooks as module
from monitor.web.hooks import Vendors, routes
from tests.examples import examples
from tests.fakes.github import FakeGitHub, repository, user
from tests.fakes.github_actions import FakeActions

WITHIN = module.ANSWER_WITHIN
SECRET = "It's a Secret to Everybody"


def config(name: str = "github", **more: Any) -> GitHubConfig:
    base = {"name": name, "type": "github", "org": "acme", "token": "env:X", "webhook_secret": "env:HOOK_SECRET"}
    return GitHubConfig.model_validate(base | more)


class Hooks:
    """The route in a real server, and what it handed on."""

    def __init__(self) -> None:
        self.queue: dict[str, HookDelivery] = {}
        self.malformed: Counter[tuple[str, str]] = Counter()
        self.troubled: dict[str, str] = {}
        self.delay = 0.0
        self.sources: list[GitHubLogin] = []
        self.client: TestClient[Any, Any]

    async def keep(self, said: Announced) -> bool:
        await asyncio.sleep(self.delay)
        assert said.delivery is not None
        delivery = said.delivery
        return self.queue.setdefault(delivery.id, delivery) is delivery

    def count(self, source: str, what: str) -> None:
        self.malformed[source, what] += 1

    def problem(self, source: str, why: str | None) -> None:
        if why:
            self.troubled[source] = why
        else:
            self.troubled.pop(source, None)

    async def post(
        self, body: bytes, secret: str = SECRET, event: str = "secret_scanning_alert", **headers: str
    ) -> Any:
        sent = {
            "X-Hub-Signature-256": f"sha256={signature(secret.encode(), body)}",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "Content-Type": "application/json",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/hooks/github", data=BytesIO(body), headers=sent)


@pytest.fixture
async def hooks(aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("OTHER_SECRET", "another")
    monkeypatch.setattr(module, "ANSWER_WITHIN", 60.0)
    hooks = Hooks()
    other = config("other", org="umbrella", webhook_secret="env:OTHER_SECRET")
    hooks.sources = [config(), other, config("twin", org="twin")]
    app = web.Application(client_max_size=26 << 20)
    app.add_routes(routes(Vendors(), lambda: hooks.sources, hooks.keep, hooks.count, problem=hooks.problem))
    hooks.client = await aiohttp_client(app)
    return hooks


def payload(action: str = "created", repo: str = "acme/web", number: int = 42) -> dict[str, Any]:
    """A webhook as GitHub describes it: no state, no secret."""
    fake = FakeGitHub()
    alert = fake.body(fake.add(repo, None, number=number))
    for name in ("state", "secret", "first_location_detected", "has_more_locations", "is_base64_encoded"):
        alert.pop(name, None)
    body = {"action": action, "alert": alert, "repository": repository(repo, models.RepositoryWebhooks)}
    body["repository"] |= {"license": None, "mirror_url": None, "owner": user(repo.partition("/")[0])}
    TypeAdapter(models.WebhookSecretScanningAlertCreated).validate_python(body | {"action": "created"})
    return body


def test_the_published_vector() -> None:
    expected = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature(b"It's a Secret to Everybody", b"Hello, World!") == expected


async def test_there_is_nothing_here_without_a_secret(hooks: Hooks) -> None:
    hooks.sources = [config(webhook_secret=None)]
    assert (await hooks.post(b"{}")).status == 404
    hooks.sources.append(config("added"))
    assert (await hooks.post(b"{}", event="ping")).status == 200


async def test_a_hook_is_noted_and_answered(hooks: Hooks) -> None:
    answer = await hooks.post(json.dumps(payload()).encode())
    assert (answer.status, await answer.text()) == (202, "accepted\n")
    [delivery] = hooks.queue.values()
    assert (delivery.source, delivery.repo, delivery.number) == ("github", "acme/web", 42)


async def test_a_repeat_is_answered_and_ignored(hooks: Hooks) -> None:
    body = json.dumps(payload()).encode()
    await hooks.post(body)
    answer = await hooks.post(body)
    assert (answer.status, await answer.text()) == (202, "known already\n")
    assert len(hooks.queue) == 1


async def test_a_body_sent_again_under_another_id_is_ignored(hooks: Hooks) -> None:
    body = json.dumps(payload()).encode()
    await hooks.post(body)
    answer = await hooks.post(body, X_GitHub_Delivery="9d3162e0-cc78-11e3-81ab-4c9367dc0000")
    assert (answer.status, await answer.text()) == (202, "known already\n")
    assert len(hooks.queue) == 1


@pytest.mark.parametrize("tamper", ["body", "secret", "missing", "sha1", "short", "upper"])
async def test_what_is_not_signed_is_refused_before_it_is_looked_at(hooks: Hooks, tamper: str) -> None:
    body = json.dumps(payload()).encode()
    good = signature(SECRET.encode(), body)
    header = {
        "body": f"sha256={good}",
        "secret": f"sha256={signature(b'wrong', body)}",
        "missing": "",
        "sha1": f"sha1={good[:40]}",
        "short": f"sha256={good[:-1]}",
        "upper": f"sha256={good.upper()}",
    }[tamper]
    answer = await hooks.post(body + b" " if tamper == "body" else body, **{"X-Hub-Signature-256": header})
    assert answer.status == 401
    assert hooks.queue == {}
    assert hooks.malformed["", "hook signature"] == 1


async def test_the_source_is_the_one_whose_secret_signed(hooks: Hooks) -> None:
    await hooks.post(json.dumps(payload(repo="umbrella/x")).encode(), "another", X_GitHub_Delivery="a")
    await hooks.post(json.dumps(payload(repo="twin/x")).encode(), X_GitHub_Delivery="b")
    assert [delivery.source for delivery in hooks.queue.values()] == ["other", "twin"]


async def test_the_form_encoding_of_location_events(hooks: Hooks) -> None:
    body = urlencode({"payload": json.dumps(payload())}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await hooks.post(body, event="secret_scanning_alert_location", **form)
    assert answer.status == 202
    assert [delivery.number for delivery in hooks.queue.values()] == [42]


async def test_a_scan_needs_no_alert_and_a_ping_nothing(hooks: Hooks) -> None:
    scan = {"action": "completed", "type": "backfill", "source": "git"}
    assert (await hooks.post(json.dumps(scan).encode(), event="secret_scanning_scan")).status == 202
    assert (await hooks.post(b'{"zen": "x"}', event="ping", X_GitHub_Delivery="p")).status == 200
    assert (await hooks.post(b"{}", event="push", X_GitHub_Delivery="q")).status == 202
    assert [delivery.event for delivery in hooks.queue.values()] == ["secret_scanning_scan"]


@pytest.mark.parametrize("event", REVIEWS)
async def test_a_request_to_a_reviewer_needs_no_alert(event: str, hooks: Hooks) -> None:
    request = {"id": 1, "status": "pending", "requester_comment": "a value"}
    body = {"action": "created", "exemption_request": request, "repository": {"full_name": "twin/web"}}
    assert (await hooks.post(json.dumps(body).encode(), event=event)).status == 202
    (kept,) = hooks.queue.values()
    assert (kept.event, kept.source, kept.repo, kept.number) == (event, "twin", "twin/web", 0)
    assert "a value" not in str(kept)


async def test_a_job_that_has_ended_is_for_the_source_that_reads_its_log(hooks: Hooks) -> None:
    fake = FakeActions()
    job = fake.body_of_job(fake.add_job(fake.add_run()))
    body = {"action": "completed", "workflow_job": job, "repository": repository("acme/web", models.RepositoryWebhooks)}
    body["repository"] |= {"license": None, "mirror_url": None}
    body |= {"sender": user("octocat")}
    TypeAdapter(models.WebhookWorkflowJobCompleted).validate_python(body)
    sent = json.dumps(body).encode()
    assert await (await hooks.post(sent, event="workflow_job")).text() == "not an event we use\n"  # no such source
    hooks.sources.append(
        ActionsLogsConfig.model_validate(
            {
                "name": "ci",
                "type": "github-actions",
                "org": "acme",
                "token": "env:X",
                "webhook_secret": "env:HOOK_SECRET",
            }
        )
    )
    answers = [
        (await hooks.post(json.dumps(body | more).encode(), event="workflow_job")).status
        for more in (
            {},
            {"action": "queued"},
            {"workflow_job": job | {"conclusion": "skipped"}},
            {"repository": {"full_name": "other/x"}},
            {"workflow_job": {}},
        )
    ]
    assert answers == [202, 202, 202, 202, 400]
    [delivery] = hooks.queue.values()
    assert (delivery.source, delivery.event, delivery.repo, delivery.number) == ("ci", "workflow_job", "acme/web", 1)
    assert hooks.malformed == {("ci", "hook payload"): 1}
    await hooks.post(json.dumps(payload()).encode())
    assert sorted(one.source for one in hooks.queue.values()) == ["ci", "github"]


async def test_too_large_is_refused(hooks: Hooks) -> None:
    assert (await hooks.post(b"x" * (GitHubHook.most + 1))).status == 413
    assert hooks.queue == {}


async def test_a_big_payload_still_counts(hooks: Hooks) -> None:
    body = json.dumps(payload() | {"padding": "x" * (3 << 20)}).encode()
    assert (await hooks.post(body)).status == 202
    assert len(hooks.queue) == 1


async def test_a_slow_database_is_told_within_a_second(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WITHIN < 1.0
    monkeypatch.setattr(module, "ANSWER_WITHIN", WITHIN)
    hooks.delay = 3600.0
    assert (await hooks.post(json.dumps(payload()).encode())).status == 503


async def test_an_unreadable_secret_is_our_fault(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTHER_SECRET")
    body = json.dumps(payload()).encode()
    assert (await hooks.post(body, "another")).status == 503
    assert "OTHER_SECRET" in hooks.troubled["other"]
    assert (await hooks.post(body)).status == 202  # who signs with one that can be read is let in


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"[" * 5000, b'{"alert": 5}', b"\xff", b'{"alert":{"number":1}}']
)
async def test_malformed_hooks_are_counted_and_not_kept(hooks: Hooks, body: bytes) -> None:
    assert (await hooks.post(body)).status == 400
    assert hooks.queue == {}
    assert hooks.malformed["github", "hook payload"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(75), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_payload_breaks_the_hook(hooks: Hooks, data: st.DataObject) -> None:
    body: Any = payload()
    for _ in range(data.draw(st.integers(1, 4))):
        target = data.draw(st.sampled_from([body, body.get("alert"), body.get("repository")]))
        if isinstance(target, dict) and target:
            name = data.draw(st.sampled_from(sorted(target)))
            if data.draw(st.booleans()):
                target.pop(name)
            else:
                target[name] = data.draw(JSON)
    answer = await hooks.post(json.dumps(body).encode())
    assert answer.status in (202, 400)
