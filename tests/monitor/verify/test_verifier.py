from __future__ import annotations

import asyncio
import base64
import functools
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.common.credential import Credential
from monitor.routing.routes import Rate
from monitor.verify.config import VerifyConfig
from monitor.verify.place import ProbeTarget
from monitor.verify.probe import AnswerCondition, Probe, ProbeResponse, load_probes
from monitor.verify.request import parts_of
from monitor.verify.verifier import ProbeVerdict, Verifier
from tests.fakes.issuer import BAD_CREDENTIALS, FakeIssuer
from tests.fakes.server import FAULTS, FakeServer

PARTS = {
    "access_key_id": "AKIA" + "A" * 16,
    "account": "AC123",
    "account_id": "a1",
    "centre": "us1",
    "client_email": "a@b.example",
    "client_id": "c1",
    "email": "a@b.example",
    "id": "123456789012345678",
    "jwt_ref": "abcdefghijklmnopqrst",
    "organization": "acme",
    "personal": "canary0123456789",
    "project": "abcdefghijklmnopqrst",
    "shop": "acme",
    "stack": "acme",
    "tenant": "t1",
    "token": "canary0123456789",
    "token_id": "t2",
    "username": "acme",
}
VALUE = "canary0123456789"
PROBES = load_probes()
HTTP = [probe for probe in PROBES if probe.auth not in ("postgres", "google-jwt") and probe.unasked is None]
# Answers of whatever may stand between us and an issuer, or in its place.
STRANGERS = ["401 ", "403 ", "401 {}", '403 {"message": "Forbidden"}', "302 ", "407 {}", "200 ", "200 hello"]
PAGES = ["<html><body>{}</body></html>", "\n<!DOCTYPE html>\n<p>{}"]


def identity(probe: Probe) -> str:
    return f"{probe.provider} {probe.rules[0]}"


@functools.cache
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def value_of(probe: Probe) -> str:
    """One that says by itself what a request can take out of it."""
    claims = base64.urlsafe_b64encode(b'{"ref": "abcdefghijklmnopqrst"}').decode().rstrip("=")
    return {
        "aws": "AKIA" + "A" * 16 + ":" + "x" * 40,
        "discord-webhook-url": "1" * 18 + "/" + "x" * 40,
        "figma-access-token": "figd_" + "x" * 40,
        "mailchimp": "0" * 32 + "-us1",
        "gcp-service-account-key": pem() if probe.auth == "google-jwt" else "",
        "supabase-legacy-jwt": f"eyx.{claims}.x",
    }.get(probe.provider if probe.provider in ("aws", "mailchimp") else probe.rules[0]) or VALUE


def parts_for(probe: Probe) -> dict[str, str]:
    """What somebody has to say beside the secret."""
    return {name: PARTS[name] for name in needed(probe)}


def needed(probe: Probe) -> frozenset[str]:
    """What a secret of it does not say by itself; a whole address of PostgreSQL says all."""
    within = parts_of(probe.shape, value_of(probe), {})
    return frozenset() if probe.auth == "postgres" else frozenset(probe.names | probe.parts.keys()) - within.keys()


def settings(server: FakeServer, probe: Probe | str = "github", **more: object) -> VerifyConfig:
    provider = probe if isinstance(probe, str) else probe.provider
    given = {"providers": [provider], "servers": {provider: server.url}, "private": [provider], "timeout": "60s"}
    return VerifyConfig.model_validate(given | more)


def body_for(answer: AnswerCondition) -> object:
    """A body that fits an answer of a probe."""
    whole: dict[str, object] = {}
    for part in answer.parts:
        if not part.path:
            assert part.text is not None
            return re.sub(r"\\|\^|\(\?[a-z]+\)", "", part.text.pattern.split("|")[0])
        value: object = part.values[0] if part.values else {"there": 1}
        if part.text is not None:
            value = re.sub(r"\^|\(\?[a-z]+\)", "", part.text.pattern.split("|")[0])
        value = {"true": True, "false": False}.get(str(value), value)
        at: Any = whole
        steps = [0 if step == "*" or step.isdigit() else step for step in part.path.split(".")]
        for step, after in itertools.pairwise([*steps, None]):
            if after is None:
                at[step] = value
            elif isinstance(at, dict):
                at.setdefault(step, [{}] if after == 0 else {})
            at = at[step]
    return whole


@pytest.mark.parametrize("probe", HTTP, ids=identity)
async def test_each_probe_asks_as_its_issuer_wants(probe: Probe) -> None:
    kind, _, rest = probe.auth.partition(" ")
    expected = {
        "bearer": {"authorization"},
        "basic": {"authorization"},
        "header": {rest.split(" ")[0].lower()},
        "query": {"query"},
        "path": {"path"},
        "body": {"body"},
        "aws-sigv4": set[str](),
    }[kind]
    async with FakeIssuer(VALUE) as issuer:
        for answer in probe.valid:
            issuer.status, issuer.body = answer.status, body_for(answer)
            verdict = await Verifier(settings(issuer, probe)).ask(probe.rules[0], VALUE, PARTS)
            assert verdict.status == "valid", (answer, issuer.body, verdict)
            assert issuer.seen() == expected
        issuer.status, issuer.body = 500, "broken"
        verdict = await Verifier(settings(issuer, probe)).ask(probe.rules[0], VALUE, PARTS)
        assert (verdict.status, verdict.after) == ("unknown", 60.0)
        assert {request.method for request in issuer.requests} == {probe.method}
        assert VALUE not in repr(verdict)


class Table:
    """One probe and an issuer that answers what its row says."""

    def __init__(self, issuer: FakeIssuer, probe: Probe) -> None:
        self.issuer, self.probe = issuer, probe
        self.value, self.parts = value_of(probe), parts_for(probe)

    async def ask(self, answer: str, kind: str = "", **more: Any) -> str:
        status, _, body = answer.partition(" ")
        self.issuer.status, self.issuer.body = int(status), body
        self.issuer.kind = kind or ("text/xml" if body.startswith("<") else "application/json")
        verifier = Verifier(settings(self.issuer, self.probe))
        return (await verifier.ask(self.probe.rules[0], self.value, self.parts, **more)).status

    async def known(self) -> dict[str, str]:
        """What is known once it was taken here, and with these parts."""
        answer = self.probe.valid[0]
        body = body_for(answer)
        self.issuer.status, self.issuer.body, self.issuer.kind = answer.status, body, "application/json"
        verdict = await Verifier(settings(self.issuer, self.probe)).ask(self.probe.rules[0], self.value, self.parts)
        assert verdict.status == "valid"
        return dict(verdict.facts)


@pytest.mark.parametrize("probe", [one for one in PROBES if one.auth != "postgres" and not one.unasked], ids=identity)
async def test_only_what_an_issuer_says_of_an_invalid_one_is_a_refusal(probe: Probe) -> None:
    async with FakeIssuer("no such value") as issuer:
        table = Table(issuer, probe)
        certain = {"known": await table.known(), "taken": True}  # nothing else can be wrong
        for answer in probe.answers.invalid:
            fits = probe.refused or probe.refused_secret
            assert await table.ask(answer, **certain) == ("refused" if fits else "unknown"), answer
        may_live = probe.answers.restricted + probe.answers.place + probe.answers.throttled + probe.answers.suspended
        for answer in (*may_live, *STRANGERS):
            if answer != '403 {"errors": ["permission denied"]}':  # which counts once Vault has taken it from here
                assert await table.ask(answer, **certain) != "refused", answer
        for answer, page in itertools.product((*probe.answers.invalid[:1], "200 "), PAGES):
            status, _, body = answer.partition(" ")
            kind = "text/html" if page is PAGES[0] else "text/plain"
            assert await table.ask(f"{status} {page.format(body)}", kind, **certain) == "unknown", answer


def test_every_row_has_its_examples_and_its_issuers_page() -> None:
    for probe in PROBES:
        if probe.auth == "postgres":
            continue
        readings = [_reading(answer) for answer in probe.answers.invalid]
        for answer in (*probe.refused, *probe.refused_secret):
            assert any(answer.fits(reading) for reading in readings), (identity(probe), answer)
        assert readings or not (probe.refused or probe.refused_secret)
        assert probe.errors or not (probe.refused or probe.refused_secret)


def _reading(answer: str) -> ProbeResponse:
    status, _, body = answer.partition(" ")
    return ProbeResponse(int(status), {}, body, {})


def test_the_docs_say_how_many_rows_say_refused() -> None:
    """`at once`: without anything else that is known of the secret."""
    text = " ".join((Path(__file__).parents[3] / "docs/verification.md").read_text().split())
    named = [probe for probe in PROBES if probe.evidence]
    assert all(probe.refused or probe.refused_secret or probe.auth == "postgres" for probe in named)
    able = [one for one in named if any(one.shared.get(rule) != "" for rule in one.rules)]
    sure = [one for one in able if one.elsewhere in (False, "rarely") or one.url.startswith("{server}")]
    at_once = [one for one in sure if one.refused_secret or not needed(one)]
    assert len(able) >= 60
    assert f"{len(able)} of {len(PROBES)} can say *refused*, {len(at_once)} at once" in text
    rests = Counter(probe.evidence for probe in able)
    assert f"{rests['page']} rest on the vendor's page, {rests['sdk']} on its own code" in text
    assert f"{rests['quoted']} on answers that several people quote" in text


async def test_facts_are_what_the_issuer_says_and_never_the_secret() -> None:
    said = {"login": "octocat", "token": VALUE}
    scopes = {"X-OAuth-Scopes": "repo, workflow", "GitHub-Authentication-Token-Expiration": f"never {VALUE}"}
    async with FakeIssuer(VALUE, 200, said, scopes) as issuer:
        verdict = await Verifier(settings(issuer), clock=lambda: 5.0).ask("github-pat", VALUE)
    assert verdict == ProbeVerdict(
        "valid", "GitHub takes it (HTTP 200)", 5.0, "github", {"account": "octocat", "scopes": "repo, workflow"}
    )


@pytest.mark.parametrize(
    ("rule", "value", "body"),
    [
        ("discord-bot-token", VALUE, '{"message": "401: Unauthorized", "code": 0}'),  # of a user
        ("openai-key-near", VALUE, '{"error": {"code": "invalid_api_key"}}'),  # of who speaks the same protocol
        ("terraform-cloud-token", VALUE, '{"errors": [{"title": "unauthorized"}]}'),  # of an agent
        ("digitalocean-legacy-token", VALUE, '{"id": "unauthorized", "message": "Unable to authenticate you."}'),
    ],
)
async def test_what_looks_like_a_secret_of_another_kind_is_dead_only_where_it_was_taken(
    rule: str, value: str, body: str
) -> None:
    probe = next(one for one in PROBES if rule in one.rules)
    async with FakeIssuer(value, 401, body) as issuer:
        verifier = Verifier(settings(issuer, probe))
        verdict = await verifier.ask(rule, value)
        assert (verdict.status, "look the same" in verdict.reason) == ("unknown", True)
        assert (await verifier.ask(rule, value, taken=True)).status == "refused"


async def test_of_one_rule_only_the_values_that_another_kind_has_are_in_doubt() -> None:
    async with FakeIssuer(VALUE, 400, '{"error": "invalid_token"}') as issuer:
        verifier = Verifier(settings(issuer, "gcp"))
        assert (await verifier.ask("gcp-oauth-access-token", "ya29.a" + VALUE)).status == "refused"
        assert (await verifier.ask("gcp-oauth-access-token", "ya29.d." + VALUE)).status == "unknown"


async def test_what_its_issuer_takes_in_another_place_of_a_request_is_not_asked_about() -> None:
    async with FakeIssuer(VALUE, 403, '{"status": 403, "err": "Invalid token"}') as issuer:
        verifier = Verifier(settings(issuer, "figma"))
        assert (await verifier.ask("figma-access-token", f"figd_{VALUE}")).status == "refused"
        verdict = await verifier.ask("figma-access-token", f"figu_{VALUE}")
        assert (verdict.status, len(issuer.requests)) == ("unknown", 1)
        assert "personal access token" in verdict.reason


async def test_a_secret_beside_the_id_of_another_key_is_not_taken_for_dead() -> None:
    aws = next(probe for probe in HTTP if probe.provider == "aws")
    body = "<Code>SignatureDoesNotMatch</Code>: the signature does not match the signature you provided"
    async with FakeIssuer(VALUE, 403, body) as issuer:
        verdict = await Verifier(settings(issuer, aws)).ask(aws.rules[0], VALUE, PARTS)
    assert verdict.status == "unknown"


async def test_another_secret_in_a_fact_is_masked() -> None:
    async with FakeIssuer(VALUE, 200, {"login": "me and ANOTHER-SECRET"}) as issuer:
        verifier = Verifier(settings(issuer), redact=lambda text: text.replace("ANOTHER-SECRET", "…"))
        assert (await verifier.ask("github-pat", VALUE)).facts == {"account": "me and …"}


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("401",)])
async def test_whatever_goes_wrong_is_unknown_with_a_reason_that_holds_nothing(name: str) -> None:
    async with FakeIssuer(VALUE) as issuer:
        issuer.always = FAULTS[name]
        verdict = await Verifier(settings(issuer, timeout="2s" if name == "hang" else "60s")).ask("github-pat", VALUE)
    assert verdict.status == "unknown"
    assert verdict.reason
    assert VALUE not in repr(verdict)
    assert issuer.url not in repr(verdict)
    # No redirect is followed; what was cut off before any answer, aiohttp reads once more.
    assert len(issuer.requests) in ((1, 2) if name == "reset" else (1,))


async def test_only_what_is_allowed_is_sent() -> None:
    async with FakeIssuer(VALUE) as issuer:
        off = settings(issuer, providers=["openai"])
        verdict = await Verifier(off).ask("github-pat", VALUE)
        assert (verdict.status, verdict.provider) == ("unknown", "github")
        assert "verify.providers" in verdict.reason
        assert (
            await Verifier(settings(issuer)).ask("generic-password", VALUE)
        ).reason == "there is no probe for its rule"
        assert issuer.requests == []


async def test_this_machine_and_private_networks_are_not_asked_unless_it_is_said() -> None:
    async with FakeIssuer(VALUE) as issuer:
        for url in (issuer.url, issuer.url.replace("127.0.0.1", "localhost")):
            asked = settings(issuer, private=[], servers={"github": url})
            verdict = await Verifier(asked).ask("github-pat", VALUE)
            assert verdict.status == "unknown"
            assert "not public" in verdict.reason
        link = settings(issuer, servers={"github": "https://169.254.169.254"})
        assert "not public" in (await Verifier(link).ask("github-pat", VALUE)).reason
        assert issuer.requests == []


async def test_a_name_that_does_not_resolve_is_asked_again_later() -> None:
    asked = VerifyConfig.model_validate({"providers": ["github"], "servers": {"github": "https://nowhere.invalid"}})
    verdict = await Verifier(asked).ask("github-pat", VALUE)
    assert (verdict.status, verdict.reason, verdict.after) == ("unknown", "the host name cannot be resolved", 60.0)


async def test_a_provider_is_asked_so_often_and_no_more() -> None:
    now = [1000.0]
    async with FakeIssuer(VALUE, 200, {"login": "a"}) as issuer:
        verifier = Verifier(settings(issuer, rate="2/1m"), clock=lambda: now[0])
        assert verifier.settings.rate == Rate(2, 60.0)
        first = [await verifier.ask("github-pat", VALUE) for _ in range(3)]
        assert [verdict.status for verdict in first] == ["valid", "valid", "unknown"]
        assert first[-1].after == 60.0
        now[0] += 61.0
        assert (await verifier.ask("github-pat", VALUE)).status == "valid"
        assert len(issuer.requests) == 3


async def test_a_provider_that_asks_for_a_pause_gets_it() -> None:
    now = [1000.0]
    async with FakeIssuer(VALUE, 200, {"login": "a"}) as issuer:
        issuer.faults.append(FAULTS["429"])
        verifier = Verifier(settings(issuer), clock=lambda: now[0])
        assert (await verifier.ask("github-pat", VALUE)).after == 7.0
        assert (await verifier.ask("github-pat", VALUE)).after == 7.0
        assert len(issuer.requests) == 1
        now[0] += 8.0
        assert (await verifier.ask("github-pat", VALUE)).status == "valid"


async def test_a_long_answer_is_cut() -> None:
    async with FakeIssuer(VALUE, 200, '{"login": "me"}' + " " * (8 << 20)) as issuer:
        verdict = await Verifier(settings(issuer, timeout="20s")).ask("github-pat", VALUE)
    assert (verdict.status, verdict.facts) == ("valid", {"account": "me"})


async def test_the_next_site_is_asked_when_one_refuses() -> None:
    async with FakeIssuer(VALUE, 403, {}) as first, FakeIssuer(VALUE, 200, {"valid": True}) as second:
        [probe] = [probe for probe in PROBES if probe.provider == "datadog"]
        verifier = Verifier(VerifyConfig.model_validate({"providers": ["datadog"], "private": ["datadog"]}))
        verifier.place = lambda *_: ProbeTarget((first.url, second.url))  # type: ignore[method-assign, assignment]
        assert (await verifier.ask("datadog-api-key", VALUE)).status == "valid"
        assert (len(first.requests), len(second.requests)) == (1, 1)
        assert Verifier(verifier.settings).place(probe).origins == probe.sites


async def test_only_what_no_site_takes_is_refused() -> None:
    dead = {"errors": ["Forbidden"]}
    async with FakeIssuer(VALUE, 403, dead) as first, FakeIssuer(VALUE, 403, dead) as second:
        verifier = Verifier(VerifyConfig.model_validate({"providers": ["datadog"], "private": ["datadog"]}))
        verifier.place = lambda *_: ProbeTarget((first.url, second.url))  # type: ignore[method-assign, assignment]
        assert (await verifier.ask("datadog-api-key", VALUE)).status == "refused"
        for status, body in ((403, {"errors": ["not your address"]}), (302, ""), (500, "")):
            second.status, second.body = status, body
            assert (await verifier.ask("datadog-api-key", VALUE)).status == "unknown"
            verifier._paused.clear()


async def test_what_costs_money_is_not_asked() -> None:
    verdict = await Verifier(VerifyConfig(providers=("*",))).ask("voyage-api-key", VALUE)
    assert (verdict.status, verdict.reason) == ("unknown", "Voyage AI is not asked: each of its requests is paid for")
    labels = {"rule": "voyage-api-key", "severity": "critical", "confidence": "high"}
    assert not VerifyConfig(providers=("*",), automatic=True).wants(labels)


async def test_what_is_of_another_server_is_sent_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever leaves goes through this proxy."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.close()

    proxy = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with proxy:
        monkeypatch.setenv("VERIFY_PROXY", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        asked = VerifyConfig(providers=("*",), proxy=Credential("env:VERIFY_PROXY"))
        line = f"clone https://x:{VALUE}@code.acme.example/app"
        verdict = await Verifier(asked).ask("github-pat", VALUE, lines=[line])
        assert (verdict.status, "code.acme.example" in verdict.reason) == ("unknown", True)
        assert VALUE not in verdict.reason
        beside = asked.beside({"github": frozenset({"ghe.acme.example"})})
        assert "ghe.acme.example" in (await Verifier(beside).ask("github-pat", VALUE)).reason
        assert heard == []
        assert (await Verifier(asked).ask("github-pat", VALUE)).status == "unknown"
        assert heard[0].startswith(b"CONNECT api.github.com:443 ")  # nothing speaks of another one


async def test_a_refusal_at_one_of_several_places_counts_where_it_was_taken_before() -> None:
    async with FakeIssuer(VALUE, 200, {"login": "a"}) as issuer:
        asked = settings(issuer).beside({"github": frozenset({"api.github.com"})})
        known = (await Verifier(asked).ask("github-pat", VALUE)).facts
        assert known["server"] == "127.0.0.1"
        issuer.status, issuer.body = 401, BAD_CREDENTIALS
        assert (await Verifier(asked).ask("github-pat", VALUE)).status == "unknown"
        assert (await Verifier(asked).ask("github-pat", VALUE, known=known)).status == "refused"


async def test_it_goes_through_the_proxy_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeIssuer(VALUE, 200, {"login": "me"}) as proxy:
        monkeypatch.setenv("VERIFY_PROXY", proxy.url)
        asked = VerifyConfig(providers=("github",), proxy=Credential("env:VERIFY_PROXY"))
        # Unencrypted, which no configuration may say: a proxy only sees inside of that.
        asked = asked.model_copy(update={"servers": {"github": "http://github.invalid"}})
        assert (await Verifier(asked).ask("github-pat", VALUE)).status == "valid"
        assert proxy.requests[0].headers["Host"] == "github.invalid"
        here = asked.model_copy(update={"servers": {"github": "http://127.0.0.1:9"}})
        assert "this machine" in (await Verifier(here).ask("github-pat", VALUE)).reason
        monkeypatch.delenv("VERIFY_PROXY")
        assert "verify.proxy" in (await Verifier(asked).ask("github-pat", VALUE)).reason


async def test_many_at_once_do_not_mix() -> None:
    async with FakeIssuer(VALUE, 200, {"login": "a"}) as issuer:
        verifier = Verifier(settings(issuer))
        verdicts = await asyncio.gather(*(verifier.ask("github-pat", VALUE) for _ in range(10)))
    assert {verdict.status for verdict in verdicts} == {"valid"}


async def test_the_public_place_cannot_refuse_what_may_be_of_ones_own_server() -> None:
    async with FakeIssuer(VALUE, 401, {"message": "401 Unauthorized"}) as issuer:
        public = settings(issuer, "gitlab", servers={})
        verifier = Verifier(public)
        verifier.place = lambda *_: ProbeTarget((issuer.url,), sure=False)  # type: ignore[method-assign, assignment]
        verdict = await verifier.ask("gitlab-pat", VALUE)
        assert (verdict.status, "verify.servers.gitlab" in verdict.reason) == ("unknown", True)
        assert (await Verifier(settings(issuer, "gitlab")).ask("gitlab-pat", VALUE)).status == "refused"


def test_where_a_request_goes_is_shown() -> None:
    probes = {probe.provider: probe for probe in load_probes()}
    verifier = Verifier(VerifyConfig(servers={"vault": "https://vault.example.org"}))
    assert verifier.where(probes["openai"]) == "api.openai.com"
    assert verifier.where(probes["vault"]) == "vault.example.org"
    assert "verify.servers" in verifier.where(probes["onepassword"])
