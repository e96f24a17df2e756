from __future__ import annotations

import asyncio

import pytest

from monitor.daemon import issuers
from tests.fakes.intake import until
from tests.fakes.issuer import FakeIssuer
from tests.fakes.revoker import FakeRevoker
from tests.fakes.server import Fault
from tests.fakes.setup import RULE, Setup, running
from tests.fakes.webhook import FakeWebhook

VERIFY = """
[verify]
automatic = true
providers = [{providers}]
private = ["github"]
servers = {{ github = "{url}" }}
"""
ACT = """
[[actions]]
name = "revoke"
type = "github-revoke"
server = "{url}"
private = true
approvals = 0
automatic = ['severity="critical"', 'rule="github-pat"']
"""


async def test_what_is_found_at_the_very_first_start_is_asked_about(site: Setup, hook: FakeWebhook) -> None:
    """The mark lies before anything that a source brings."""
    site.rule("acme", RULE.format(name="acme").replace('"acme-acme"', '"github-pat"'))
    value = site.plant(1)
    async with FakeIssuer(value, 200, {"login": "octocat"}) as issuer:
        site.configure(VERIFY.format(url=issuer.url, providers='"github"'))
        async with running(site.daemon()):
            await until(lambda: issuer.requests)
            await until(lambda: hook.payloads)
        assert issuer.seen() == {"authorization"}


async def test_nobody_is_asked_who_is_not_named(site: Setup, hook: FakeWebhook) -> None:
    site.rule("acme", RULE.format(name="acme").replace('"acme-acme"', '"github-pat"'))
    value = site.plant(1)
    async with FakeIssuer(value, 200, {"login": "octocat"}) as issuer:
        site.configure(VERIFY.format(url=issuer.url, providers=""))
        async with running(site.daemon()):
            await until(lambda: hook.payloads)
        assert issuer.requests == []


async def test_once_asks_and_acts_before_it_ends_and_counts_what_came_of_it(site: Setup, hook: FakeWebhook) -> None:
    site.rule("acme", RULE.format(name="acme").replace('"acme-acme"', '"github-pat"'))
    value = site.plant(1)
    async with FakeRevoker(value) as github:
        site.configure(VERIFY.format(url=github.url, providers='"github"') + ACT.format(url=github.url))
        daemon = site.daemon(once=True)
        assert await asyncio.wait_for(daemon.run(), 120) == 0
        assert (github.revocations, github.works) == (1, set())
        assert daemon.snapshot.acted == {("revoke", "completed"): 1}
        assert daemon.snapshot.verdicts["github", "refused"] == 1

        asked = len(github.requests)
        again = site.daemon(once=True)
        assert await asyncio.wait_for(again.run(), 120) == 0
        assert (len(github.requests), again.snapshot.acted) == (asked, {}), "it was done again"


async def test_an_issuer_that_does_not_answer_holds_up_no_alert_of_once(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "_ONCE", 5.0)
    site.rule("acme", RULE.format(name="acme").replace('"acme-acme"', '"github-pat"'))
    value = site.plant(1)
    async with FakeIssuer(value, 200, {}) as issuer:
        issuer.always = Fault(hang=True)
        site.configure(VERIFY.format(url=issuer.url, providers='"github"'))
        assert await asyncio.wait_for(site.daemon(once=True).run(), 120) == 0
        assert issuer.requests
    assert hook.payloads
