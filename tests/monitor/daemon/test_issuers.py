from __future__ import annotations

from tests.fakes.intake import until
from tests.fakes.issuer import FakeIssuer
from tests.fakes.setup import RULE, Setup, running
from tests.fakes.webhook import FakeWebhook

VERIFY = """
[verify]
automatic = true
providers = [{providers}]
private = ["github"]
servers = {{ github = "{url}" }}
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
