from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from monitor.actions.actor import Actor
from monitor.actions.config import ActionConfig, Ready, load_ready
from monitor.common.credential import Credential
from monitor.verify.config import VerifyConfig
from monitor.verify.request import MissingPartError
from monitor.verify.verifier import Verifier
from tests.fakes.issuer import FakeIssuer
from tests.fakes.openbao import OpenBao, openbao
from tests.fakes.server import FAULTS, Fault
from tests.monitor.verify.test_verifier import PARTS, body_for

VALUE, ADMIN = "canary0123456789", "admin9876543210"
MORE = {"api_key_id": "k1", "key_id": "k1", "key_sid": "SK1", "private_key_id": "p1", "project_id": "proj_1"}


@pytest.fixture(autouse=True)
def _credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN", ADMIN)


def configured(kind: str, server: str, /, **keys: object) -> ActionConfig:
    needs = kind in load_ready() and load_ready()[kind].credential
    given = {"name": "a", "type": kind, "server": server, "private": True, "timeout": "2s"}
    return ActionConfig.model_validate(given | ({"credential": "env:ADMIN"} if needs else {}) | keys)


class Issuer(FakeIssuer):
    """Answers each request in turn with what the next step of an action expects."""

    def __init__(self, ready: Ready) -> None:
        super().__init__(VALUE)
        self.ready, self.turn = ready, 0

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        step = self.ready.steps[self.turn]
        self.turn += 1
        expected = step.means_taken[0]
        said: object = body_for(expected)
        if step.keep and not expected.path:
            said = {"data": {"accessor": "x1"}}
            if any(place.startswith("find:") for place in step.keep.values()):
                said = [{"api_key": "another", "id": "no"}, {"api_key": VALUE, "id": "yes"}]
            if any(place.startswith("re:") for place in step.keep.values()):
                said = "<UserName>ada</UserName>"
        if expected.path == "result.id":
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
        assert VALUE not in repr(outcome)
        assert ADMIN not in repr(outcome)


@pytest.mark.parametrize("name", ["hang", "reset", "cut", "500", "503"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_what_may_have_taken_effect_cannot_be_known_and_is_not_repeated(name: str, method: str) -> None:
    async with FakeIssuer(VALUE) as issuer:
        issuer.always = FAULTS[name]
        action = configured("http", issuer.url, url=f"{issuer.url}/x", method=method, timeout="300ms")
        outcome = await Actor().run(action, VALUE)
        assert outcome.state == "unknown"
        assert "cannot be known" in outcome.reason
        assert len(issuer.requests) == 1
        assert VALUE not in outcome.reason


@pytest.mark.parametrize("name", ["400", "401", "403", "404", "429", "redirect"])
async def test_what_is_refused_has_failed(name: str) -> None:
    async with FakeIssuer(VALUE) as issuer:
        issuer.always = FAULTS[name]
        outcome = await Actor().run(configured("http", issuer.url, url=f"{issuer.url}/x"), VALUE)
        assert outcome.state == "failed"
        assert VALUE not in outcome.reason
        assert len(issuer.requests) == 1


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
    assert (await asking(bao).ask("vault-service-token", token)).status == "refused"
    again = await Actor().run(configured(kind, bao.url, **keys), token)
    assert again.state == "failed"
    assert token not in repr((outcome, again, verdict))
