from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from detectors.rules.template import expand
from monitor.config import config as configuration
from monitor.config.locate import ConfigError
from monitor.domain.model import Block
from monitor.host import SourceIntake
from monitor.site import build_engine, open_site, read_rules
from monitor.store import StoreError
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


async def test_who_comes_second_leaves_the_marks_of_the_first_alone(site: Setup) -> None:
    """Marks of blocks at work that somebody else reads look like those of a process that was killed at them."""
    config = configuration.load(site.config)
    mark = config.state_dir / "blocks.mark"
    async with open_site(config, lambda *_, **__: None, alone=True) as first:
        block = Block("app", str(site.log), "g", 0, b"text\n", 0.0)
        marks = first.scanner._marks
        assert marks is not None
        number = marks.begin(block)
        before = mark.read_bytes()
        with pytest.raises(StoreError, match="running on this state already"):
            async with open_site(config, lambda *_, **__: None, alone=True):
                pass
        assert mark.read_bytes() == before
        marks.end(number)


async def test_a_lock_for_which_there_is_no_room_is_waited_for(site: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration.load(site.config)
    real, told = os.open, list[str]()

    def full(path: Any, *arguments: Any, **keys: Any) -> int:
        if str(path).endswith("/lock") and len(told) < 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *arguments, **keys)

    monkeypatch.setattr(os, "open", full)
    async with open_site(config, lambda *_, **__: None, alone=True, waiting=told.append):
        with pytest.raises(StoreError, match="running on this state already"):
            async with open_site(config, lambda *_, **__: None, alone=True):
                pass
    assert len(told) == 2
    assert "lock: No space left on device" in told[0]


def test_the_rules_are_those_of_the_configuration(site: Setup) -> None:
    engine = build_engine(configuration.load(site.config))
    assert [rule.id for rule in engine.rules] == ["acme-acme"]
    assert [rule.id for rule in read_rules(configuration.load(site.config))] == ["acme-acme"]
