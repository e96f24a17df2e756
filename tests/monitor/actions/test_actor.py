from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from githubkit_schemas.v2026_03_10.models import CredentialsRevokePostBody

from monitor.actions.actor import Actor
from monitor.actions.config import ActionConfig, Ready, load_ready
from monitor.common.credential import Credential
from monitor.verify.config import VerifyConfig
from monitor.verify.request import MissingPartError
from monitor.verify.verifier import Verifier
from tests.fakes.issuer import FakeIssuer
from tests.fakes.openbao import OpenBao, openbao
from tests.fakes.server import FAULTS, Fault, Received
from tests.monitor.verify.test_verifier import PARTS, body_for

VALUE, ADMIN = "canary0123456789", "admin9876543210"
MORE = {
    "account": "acme",
    "api_key_id": "k1",
    "gitlab_job": "71",
    "gitlab_project": "7",
    "key_id": "k1",
    "key_sid": "SK1",
    "lease_id": "database/creds/app/l1",
    "private_key_id": "p1",
    "project_id": "proj_1",
    "run": "42",
}


@pytest.fixture(autouse=True)
def _credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN", ADMIN)


def configured(kind: str, server: str, /, **keys: object) -> ActionConfig:
    needs = kind in load_ready() and load_ready()[kind].credential
    given = {"name": "a", "type": kind, "server": server, "private": True, "timeout": "60s"}
    return ActionConfig.model_validate(given | ({"credential": "env:ADMIN"} if needs else {}) | keys)


# What each vendor's documentation asks for (the page is `docs` of the table): method, path, how one logs in, body. By
# hand, so that a slip in a table is seen. AWS and Vault are not here: moto and a real OpenBao judge those.
_P = "abcdefghijklmnopqrst"
DOCUMENTED: Mapping[str, tuple[tuple[str, str, Mapping[str, str], object], ...]] = {
    "github-run-logs-delete": (
        ("DELETE", f"/repos/acme/{_P}/actions/runs/42/logs", {"Authorization": f"Bearer {ADMIN}"}, None),
    ),
    "github-revoke": (("POST", "/credentials/revoke", {}, {"credentials": [VALUE]}),),
    "supabase-key-delete": (
        ("GET", f"/v1/projects/{_P}/api-keys?reveal=true", {"Authorization": f"Bearer {ADMIN}"}, None),
        (
            "DELETE",
            f"/v1/projects/{_P}/api-keys/yes?was_compromised=true&reason=leaked",
            {"Authorization": f"Bearer {ADMIN}"},
            None,
        ),
    ),
    "supabase-legacy-disable": (
        ("PUT", f"/v1/projects/{_P}/api-keys/legacy?enabled=false", {"Authorization": f"Bearer {ADMIN}"}, None),
    ),
    "slack-revoke": (("POST", "/api/auth.revoke", {"Authorization": f"Bearer {VALUE}"}, {}),),
    "gcp-key-delete": (
        ("DELETE", "/v1/projects/-/serviceAccounts/a@b.example/keys/p1", {"Authorization": f"Bearer {ADMIN}"}, None),
    ),
    "gcp-token-revoke": (("POST", "/revoke", {}, {"token": [VALUE]}),),
    "npm-revoke": (("DELETE", f"/-/npm/v1/tokens/token/{VALUE}", {"Authorization": f"Bearer {VALUE}"}, None),),
    "gitlab-job-erase": (("POST", "/api/v4/projects/7/jobs/71/erase", {"PRIVATE-TOKEN": ADMIN}, None),),
    "gitlab-revoke-self": (("DELETE", "/api/v4/personal_access_tokens/self", {"PRIVATE-TOKEN": VALUE}, None),),
    "doppler-revoke": (("POST", "/v3/auth/revoke", {}, {"token": VALUE}),),
    "discord-webhook-delete": (("DELETE", f"/api/v10/webhooks/123456789012345678/{VALUE}", {}, None),),
    "openai-key-delete": (
        ("DELETE", "/v1/organization/projects/proj_1/api_keys/k1", {"Authorization": f"Bearer {ADMIN}"}, None),
    ),
    "openai-admin-key-delete": (
        ("DELETE", "/v1/organization/admin_api_keys/k1", {"Authorization": f"Bearer {ADMIN}"}, None),
    ),
    "anthropic-key-deactivate": (
        (
            "POST",
            "/v1/organizations/api_keys/k1",
            {"x-api-key": ADMIN, "anthropic-version": "2023-06-01"},
            {"status": "inactive"},
        ),
    ),
    "cloudflare-token-delete": (
        ("GET", "/client/v4/user/tokens/verify", {"Authorization": f"Bearer {VALUE}"}, None),
        ("DELETE", "/client/v4/user/tokens/t1", {"Authorization": f"Bearer {ADMIN}"}, None),
    ),
    "sendgrid-key-delete": (("DELETE", "/v3/api_keys/k1", {"Authorization": f"Bearer {ADMIN}"}, None),),
    "twilio-key-delete": (
        ("DELETE", "/v1/Keys/SK1", {"Authorization": f"Basic {base64.b64encode(ADMIN.encode()).decode()}"}, None),
    ),
}
_LOGINS = ("Authorization", "PRIVATE-TOKEN", "X-Vault-Token", "x-api-key", "anthropic-version")


def _asked(request: Received) -> tuple[str, str, Mapping[str, str], object]:
    """As a vendor reads it: a body is what its type says it is."""
    kind, body = request.headers.get("Content-Type", ""), request.body.decode()
    said: object = body or None
    if kind == "application/json":
        said = json.loads(body)
    elif kind == "application/x-www-form-urlencoded":
        said = parse_qs(body)
    logins = {name: request.headers[name] for name in _LOGINS if name in request.headers}
    return request.method, request.path, logins, said


class Issuer(FakeIssuer):
    """Answers each request in turn with what the next step of an action expects."""

    def __init__(self, ready: Ready) -> None:
        super().__init__(VALUE)
        self.ready, self.turn = ready, 0

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        step = self.ready.steps[self.turn]
        self.turn += 1
        expected = step.expect[0]
        said: object = body_for(expected)
        if step.keep and not expected.parts:
            said = {"data": {"accessor": "x1"}}
            if any(place.startswith("find:") for place in step.keep.values()):
                said = [{"api_key": "another", "id": "no"}, {"api_key": VALUE, "id": "yes"}]
            if any(place.startswith("re:") for place in step.keep.values()):
                said = "<UserName>ada</UserName>"
        if [part.path for part in expected.parts] == ["result.id"]:
            said = {"result": {"id": "t1"}}
        text = said if isinstance(said, str) else json.dumps(said)
        return web.Response(status=expected.status, text=text)


@pytest.mark.parametrize("ready", load_ready().values(), ids=lambda ready: ready.id)
async def test_each_ready_made_action_asks_as_its_issuer_wants(ready: Ready) -> None:
    steps: list[int] = []

    async def on_step(number: int) -> None:
        steps.append(number)

    async with Issuer(ready) as issuer:
        action = configured(ready.id, issuer.url)
        if any(step.auth.startswith("aws") for step in ready.steps):
            action = action.model_copy(update={"credential": None})  # by the key itself
        outcome = await Actor().run(action, VALUE, {**PARTS, **MORE}, on_step=on_step)
        assert outcome.state == "accepted", outcome
        assert [request.method for request in issuer.requests] == [step.method for step in ready.steps]
        assert steps == list(range(1, len(ready.steps) + 1))
        for request, step in zip(issuer.requests, ready.steps, strict=True):
            whole = f"{request.path} {request.headers} {request.body.decode()}"
            assert (ADMIN in whole) == ("{credential}" in step.auth and not step.auth.startswith("basic"))
            if "{value}" not in step.url + (step.json_ or "") + (step.form or "") and step.auth.startswith("header"):
                assert (VALUE in whole) == ("{credential}" not in step.auth)
        documented = DOCUMENTED.get(ready.id)
        assert (documented is None) == ready.id.startswith(("aws-", "vault-"))
        if documented is not None:
            assert tuple(map(_asked, issuer.requests)) == documented
        if ready.id == "github-revoke":
            CredentialsRevokePostBody.model_validate_json(issuer.requests[0].body)
        assert VALUE not in repr(outcome)
        assert ADMIN not in repr(outcome)


@pytest.mark.parametrize(("status", "state"), [(200, "accepted"), (403, "failed"), (500, "unknown")])
async def test_of_an_answer_of_50_megabytes_only_the_beginning_is_read(status: int, state: str) -> None:
    async with FakeIssuer(VALUE, status, "x" * 50_000_000) as issuer:
        outcome = await Actor().run(configured("http", issuer.url, url=f"{issuer.url}/x"), VALUE)
        assert (outcome.state, len(outcome.reason) < 200) == (state, True)
        assert len(issuer.requests) == 1


@pytest.mark.parametrize("name", ["hang", "reset", "cut", "500", "503"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_what_may_have_taken_effect_cannot_be_known_and_is_not_repeated(name: str, method: str) -> None:
    async with FakeIssuer(VALUE) as issuer:
        issuer.always = FAULTS[name]
        action = configured(
            "http", issuer.url, url=f"{issuer.url}/x", method=method, timeout="2s" if name == "hang" else "60s"
        )
        outcome = await Actor().run(action, VALUE)
        assert outcome.state == "unknown"
        assert "cannot be known" in outcome.reason
        assert len(issuer.requests) == 1
        assert VALUE not in outcome.reason


@pytest.mark.parametrize("name", ["400", "401", "403", "404", "redirect"])
async def test_what_is_refused_has_failed(name: str) -> None:
    async with FakeIssuer(VALUE) as issuer:
        issuer.always = FAULTS[name]
        outcome = await Actor().run(configured("http", issuer.url, url=f"{issuer.url}/x"), VALUE)
        assert outcome.state == "failed"
        assert VALUE not in outcome.reason
        assert len(issuer.requests) == 1


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        (Fault(429), 60.0),
        (Fault(429, headers={"Retry-After": "7"}), 7.0),
        (Fault(403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "600"}), 600.0),
        (Fault(403, headers={"Retry-After": "86400"}), 3600.0),
    ],
)
async def test_where_an_issuer_takes_no_more_nothing_was_done_and_it_says_until_when(fault: Fault, wait: float) -> None:
    async with FakeIssuer(VALUE) as issuer:
        issuer.faults.append(fault)
        outcome = await Actor().run(configured("http", issuer.url, url=f"{issuer.url}/x"), VALUE)
        assert (outcome.state, outcome.wait) == ("limited", wait)

    async with FakeIssuer(VALUE) as issuer:  # what went before stays, so it cannot be begun again
        issuer.faults += [Fault(200, body=f'[{{"api_key": "{VALUE}", "id": "yes"}}]'), fault]
        outcome = await Actor().run(configured("supabase-key-delete", issuer.url), VALUE, PARTS)
        assert (outcome.state, outcome.reason[:11]) == ("failed", "step 2 of 2")


async def test_what_was_never_sent_has_failed() -> None:
    here = "http://127.0.0.1:9/x"
    cases = {
        "nothing was sent": configured("http", here, url=here),
        "not public": configured("http", here, url=here, private=False),
        "resolved": configured("http", "https://nowhere.invalid", url="https://nowhere.invalid/x"),
        "--part key=": configured("http", here, url="https://x.example/{key}"),
        "ADMIN": configured("http", here, url=here, credential="env:NO_ADMIN"),
    }
    for words, action in cases.items():
        outcome = await Actor().run(action, VALUE)
        assert (outcome.state, words in outcome.reason) == ("failed", True), outcome


async def test_a_step_that_fails_is_named_and_ends_it() -> None:
    ready = load_ready()["supabase-key-delete"]
    async with Issuer(ready) as issuer:
        issuer.faults.append(Fault(200, body='[{"api_key": "another", "id": "no"}]'))
        outcome = await Actor().run(configured(ready.id, issuer.url), VALUE, PARTS)
        assert outcome.state == "failed"
        assert outcome.reason.startswith("step 1 of 2: the issuer does not say its key_id")
        assert len(issuer.requests) == 1


def test_a_preview_shows_what_would_be_sent_but_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor()
    lines = actor.preview(ActionConfig(name="a", type="github-revoke"), VALUE, {})
    assert lines == ["POST https://api.github.com/credentials/revoke", '  {"credentials": ["SECRET"]}']
    twostep = configured("supabase-key-delete", "https://api.supabase.com")
    assert "/KEY_ID?" in "\n".join(actor.preview(twostep, VALUE, PARTS))
    aws = ActionConfig(name="a", type="aws-key-delete", credential=Credential("env:ADMIN"))
    shown = "\n".join(actor.preview(aws, VALUE, PARTS))
    assert "Action=DeleteAccessKey" in shown
    command = ActionConfig.model_validate({"name": "a", "type": "command", "command": ["/bin/x", "{rule}"]})
    assert actor.preview(command, VALUE, {}) == ["run /bin/x {rule}", "the secret is given on standard input"]
    with pytest.raises(MissingPartError):
        actor.preview(twostep, VALUE, {})
    assert VALUE not in shown + str(lines)


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("bao")) as server:
        yield server


def asking(bao: OpenBao) -> Verifier:
    given = {"providers": ["vault"], "private": ["vault"], "servers": {"vault": bao.url}}
    return Verifier(VerifyConfig.model_validate(given))


@pytest.mark.parametrize("kind", ["vault-revoke-self", "vault-revoke-accessor"])
async def test_a_token_of_a_real_openbao_is_revoked_and_then_refused(bao: OpenBao, kind: str, tmp_path: Path) -> None:
    token = bao.token()
    verdict = await asking(bao).ask("vault-service-token", token)
    assert (verdict.status, "default" in verdict.facts["scopes"]) == ("valid", True)
    root = tmp_path / "root"
    root.write_text(bao.root)
    keys = {"credential": f"file:{root}"} if kind == "vault-revoke-accessor" else {}
    outcome = await Actor().run(configured(kind, bao.url, **keys), token)
    assert outcome.state == "accepted", outcome
    assert (await asking(bao).ask("vault-service-token", token, taken=True)).status == "refused"
    again = await Actor().run(configured(kind, bao.url, **keys), token)
    assert again.state == "failed"
    assert token not in repr((outcome, again, verdict))


async def test_a_living_token_that_may_not_look_itself_up_is_not_taken_for_dead(bao: OpenBao) -> None:
    token = bao.token("other", no_default_policy=True)
    assert (await asking(bao).ask("vault-service-token", token)).status == "unknown"
    assert (await asking(bao).ask("vault-service-token", token, taken=True)).status == "unknown"
    bao.call("POST", "auth/token/revoke", {"token": token})
    assert (await asking(bao).ask("vault-service-token", token, taken=True)).status == "refused"


async def test_a_living_token_of_other_addresses_is_not_taken_for_dead(bao: OpenBao) -> None:
    bao.call("POST", "auth/token/roles/bound", {"token_bound_cidrs": ["192.0.2.0/24"]})
    made = bao.call("POST", "auth/token/create/bound", {"policies": ["default"], "ttl": "1h"})
    dead = bao.token()
    bao.call("POST", "auth/token/revoke", {"token": dead})
    for token in (str(made["auth"]["client_token"]), dead):
        verdict = await asking(bao).ask("vault-service-token", token)
        assert verdict.status == "unknown"
        assert "of one that is good from other addresses only" in verdict.reason


async def test_what_a_real_openbao_has_leased_is_revoked_by_its_lease(bao: OpenBao, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.write_text(bao.root)
    before = bao.leases("auth/token/create")
    token = bao.token()
    (lease,) = bao.leases("auth/token/create") - before
    action = configured("vault-revoke-lease", bao.url, credential=f"file:{root}")
    outcome = await Actor().run(action, token)
    assert (outcome.state, "--part lease_id=" in outcome.reason) == ("failed", True), outcome
    assert (await asking(bao).ask("vault-service-token", token)).status == "valid"
    outcome = await Actor().run(action, token, {"lease_id": f"auth/token/create/{lease}"})
    assert outcome.state == "accepted", outcome
    assert (await asking(bao).ask("vault-service-token", token, taken=True)).status == "refused"
