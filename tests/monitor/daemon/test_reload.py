from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from detectors.rules.template import expand
from monitor.config.in_force import last
from tests.fakes.intake import until
from tests.fakes.setup import RULE, Setup, incidents, running, told
from tests.fakes.webhook import FakeWebhook


async def test_a_changed_rule_file_is_taken_over_without_losing_a_line(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1)
        await until(lambda: incidents(hook))
        site.rule("other")
        await until(lambda: daemon.snapshot.rules == 2)
        site.plant(2, "other")
        site.plant(3)
        await until(lambda: incidents(hook, "acme-other") and len(incidents(hook, "acme-acme")) == 2)
        await until(lambda: daemon.snapshot.reloads["ok"])


async def test_a_changed_rule_that_slows_the_scan_down_is_logged(site: Setup) -> None:
    daemon = site.daemon()
    async with running(daemon):
        with structlog.testing.capture_logs() as logs:
            text = RULE.format(name="wide").replace("wide_[", "[a-z]{2,9} [").replace("wide_{", "wide {")
            site.rule("wide", text)
            await until(lambda: [entry for entry in logs if entry["event"] == "a rule slows the scan down"])
    assert "wide.toml: acme-wide: " in str(logs)


async def test_a_rule_named_by_an_id_it_had_is_logged_at_the_start_and_when_that_is_new(site: Setup) -> None:
    def old(logs: list[Any]) -> list[str]:
        return [entry["detail"] for entry in logs if entry["event"] == "a setting names a rule by an old id"]

    silence = "[[silences]]\nmatchers = ['rule=\"{}\"']\n"
    site.configure(silence.format("apify-token"))
    daemon = site.daemon()
    with structlog.testing.capture_logs() as logs:
        async with running(daemon):
            [first] = old(logs)
            site.configure(silence.format("customer-io-api-key"))
            await until(lambda: len(old(logs)) == 2)
    assert "apify-api-token" in first
    assert "customerio-api-key" in old(logs)[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda site: site.rule("bad", "[[rule]\n"),
        lambda site: site.rule("bad", RULE.format(name="bad").replace("(?P<secret>", "(?P<secret>(?<=x)")),
        lambda site: site.rule("bad", RULE.format(name="bad").replace('"token=bad', '"token=good')),
        lambda site: site.configure("[[sinks]]\nname = 7\n"),
        lambda site: site.config.write_text("not toml"),
    ],
)
async def test_a_bad_file_keeps_the_old_set_and_is_told(
    site: Setup, hook: FakeWebhook, spoil: Callable[[Setup], None]
) -> None:
    daemon = site.daemon()
    async with running(daemon):
        spoil(site)
        os.kill(os.getpid(), signal.SIGHUP)
        await told(hook, "A changed configuration was refused")
        assert daemon.snapshot.rules == 1
        assert daemon.snapshot.reloads["refused"] >= 1
        site.plant(1)
        await until(lambda: incidents(hook))


async def test_what_is_in_force_is_kept_for_commands(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        assert last(site.config) == replace(daemon.config, sources=())  # which no such command goes by
        site.configure('[[routes]]\nsinks = ["hook"]\n')
        await until(lambda: daemon.snapshot.reloads["ok"])
        assert daemon.config.routes
        assert last(site.config) == replace(daemon.config, sources=())
        site.config.write_text(f"{site.config.read_text()}\n[[")
        await told(hook, "A changed configuration was refused")
        assert last(site.config) == replace(daemon.config, sources=())


async def test_a_refused_configuration_that_is_mended_is_closed_where_it_was_told(
    site: Setup, hook: FakeWebhook
) -> None:
    async with running(site.daemon()):
        good = site.config.read_text()
        site.config.write_text("not toml")
        os.kill(os.getpid(), signal.SIGHUP)
        await told(hook, "A changed configuration was refused")
        site.config.write_text(good)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: any(payload["reason"] == "recovered" for payload in hook.payloads))
    [over] = [payload for payload in hook.payloads if payload["reason"] == "recovered"]
    assert over["title"] == "A changed configuration was refused"


async def test_sources_and_sinks_come_and_go_with_the_configuration(
    site: Setup, hook: FakeWebhook, tmp_path: Path
) -> None:
    async with FakeWebhook() as second:
        daemon = site.daemon()
        async with running(daemon):
            site.plant(1)
            await until(lambda: incidents(hook))
            (tmp_path / "second").write_text(second.url)
            (tmp_path / "more").mkdir()
            site.configure(
                f'[[sinks]]\nname = "second"\ntype = "webhook"\nurl = "file:{tmp_path}/second"\n'
                '[[sources]]\nname = "more"\ntype = "file"\ninclude = ["more/*.log"]\nreconcile = "100ms"\n'
                'start_at = "beginning"\n'
            )
            await until(lambda: daemon.running.sources.names == {"app", "more"})
            site.plant(2, path=tmp_path / "more/a.log")
            await until(lambda: len(incidents(hook)) == 2 and len(incidents(second)) == 1)
            site.configure()
            await until(lambda: daemon.running.sources.names == {"app"})
            site.plant(3, path=tmp_path / "more/a.log")
            site.plant(4)
            await until(lambda: len(incidents(hook)) == 3)
        assert len(incidents(second)) == 1


async def test_a_sink_that_is_configured_no_more_is_no_longer_told_to_be_deaf(site: Setup, hook: FakeWebhook) -> None:
    gone = f'[[sinks]]\nname = "gone"\ntype = "webhook"\nurl = "file:{site.url}"\n'
    site.configure(gone)
    daemon = site.daemon()
    async with running(daemon):
        daemon.running.delivery.operational("Sink gone hears no buttons", key="listening:gone", sinks=["hook"])
        await told(hook, "Sink gone hears no buttons")
        site.configure()
        await until(lambda: any(payload["reason"] == "recovered" for payload in hook.payloads))
    [over] = [payload for payload in hook.payloads if payload["reason"] == "recovered"]
    assert (over["title"], over["text"]) == ("Sink gone hears no buttons", "It is not configured any more.")


async def test_a_hook_whose_secret_could_not_be_read_is_told_and_goes_with_its_owner(
    site: Setup, hook: FakeWebhook, tmp_path: Path
) -> None:
    for name in ("routing", "signing"):
        (tmp_path / name).write_text(name)
    pager = (
        f'[[sinks]]\nname = "pager"\ntype = "pagerduty"\nrouting_key = "file:{tmp_path}/routing"\n'
        f'webhook_secret = "file:{tmp_path}/signing"\n'
        '[[routes]]\nsinks = ["hook"]\n'
    )
    site.configure(pager)
    daemon = site.daemon()
    async with running(daemon), aiohttp.ClientSession() as client:
        (tmp_path / "signing").unlink()
        headers = {"X-PagerDuty-Signature": "v1=" + "0" * 64}
        async with client.post(f"{daemon.address}/hooks/pagerduty", data=b"{}", headers=headers) as answer:
            assert answer.status == 503
        await told(hook, "The webhook secret of pager cannot be read")
        site.configure()
        await until(lambda: any(payload["reason"] == "recovered" for payload in hook.payloads))
    [over] = [payload for payload in hook.payloads if payload["reason"] == "recovered"]
    assert (over["title"], over["text"]) == (
        "The webhook secret of pager cannot be read",
        "It is not configured any more.",
    )


async def test_a_deleted_file_stays_open_over_a_reload(site: Setup, hook: FakeWebhook) -> None:
    site.plant(1)
    daemon = site.daemon()
    with site.log.open("a", buffering=1) as writer:
        async with running(daemon):
            await until(lambda: len(incidents(hook)) == 1)
            site.log.unlink()
            text = site.config.read_text().replace('quiet = "100ms"', 'quiet = "200ms"')
            site.config.write_text(text)
            daemon.reload()
            await until(lambda: daemon.snapshot.reloads["ok"] >= 1)
            writer.write("token=" + expand("acme_{lower:20}{digit:12}", 2) + "\n")
            await until(lambda: len(incidents(hook)) == 2)
