from __future__ import annotations

import pytest

from detectors.template import expand
from monitor import config as configuration
from monitor.config import ConfigError
from monitor.host import SourceIntake
from monitor.site import build_engine, open_site, read_rules
from tests.fakes.setup import RULE, Setup, running
from tests.fakes.webhook import FakeWebhook


def test_rules_of_ones_own_are_checked_against_their_examples(site: Setup) -> None:
    site.rule("odd", RULE.format(name="odd").replace("token=odd_", "token=even_"))
    with pytest.raises(ConfigError, match="odd"):
        build_engine(configuration.load(site.config))


async def test_a_site_without_the_daemon_scans_and_keeps(site: Setup, hook: FakeWebhook) -> None:
    """As a command uses it: beside a daemon, without its lock."""
    told: list[str] = []

    def tell(title: str, *_: object, **__: object) -> None:
        told.append(title)

    config = configuration.load(site.config)
    async with running(site.daemon()), open_site(config, tell) as alone:
        (finding,) = await SourceIntake(alone, "x").identify(
            f"is it {expand('acme_{lower:20}{digit:12}', 1)}?".encode()
        )
        assert finding.rule == "acme-acme"
        assert alone.snapshot.rules == 1
        intake = SourceIntake(alone, "x")
        intake.missed("truncated", 1)
        await intake.close()
        assert told == ["Source x missed bytes"]


def test_the_rules_are_those_of_the_configuration(site: Setup) -> None:
    engine = build_engine(configuration.load(site.config))
    assert [rule.id for rule in engine.rules] == ["acme-acme"]
    assert [rule.id for rule in read_rules(configuration.load(site.config))] == ["acme-acme"]
