from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from monitor.config.config import load
from monitor.store import Store
from tests.monitor.cli.test_incidents import finding

Command = Callable[..., subprocess.CompletedProcess[str]]


def fill(config: Path, *rules: str) -> None:
    async def run() -> None:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
            await store.commit([finding(number, rule=rule) for number, rule in enumerate(rules, 1)])

    asyncio.run(run())


def test_without_a_configuration_rules_alone_are_compared(monitor: Command) -> None:
    answer = monitor("rules", "diff", "--since", "2026-11-24")
    assert (answer.returncode, "there is no database" in answer.stderr) == (0, True), answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("since 2026-11-24 23:59:49 UTC, commit e92d140d")
    assert lines[1].split() == ["CHANGE", "RULE", "BEFORE", "NOW", "MORE"]
    table = {line.split()[1]: line for line in lines[2:] if line.split()[1:]}
    assert table["kafka-sasl-jaas-password"].startswith("renamed ")
    assert "is kafka-jaas-password now" in table["kafka-sasl-jaas-password"]
    assert table["superset-secret-key"].split(maxsplit=5)[3:] == [
        "critical/medium",
        "-",
        "generic-secret finds what it found",
    ]
    assert "off by default" in table["private-key-encrypted"]
    assert table["zulip-basic"].split()[:3] == ["added", "zulip-basic", "-"]
    assert lines[-1] == "no open incidents are concerned"


def test_settings_and_open_incidents_that_are_concerned(monitor: Command, config: Path) -> None:
    """An incident stays as it is; what new findings of its rule are, and whether there will be any, is told."""
    text = config.read_text(encoding="utf-8")
    disable = 'packs = ["default"]\ndisable = ["gcp-recaptcha-secret"]'
    config.write_text(text.replace('packs = ["vcs/github"]', disable), encoding="utf-8")
    fill(
        config,
        "github-pat",
        "metabase-api-key",
        "private-key-encrypted",
        "superset-secret-key",
        "finicity-partner-secret",
    )
    monitor("incidents", "resolve", "4" * 16, "--as", "wont_fix")
    answer = monitor("rules", "diff", "--since", "2026-11-24", "--format", "jsonl")
    assert answer.returncode == 1, answer.stderr
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    [setting] = [row for row in rows if row["about"] == "setting"]
    assert (setting["key"], setting["heir"]) == ("rules.disable[0]", "google-recaptcha-secret")
    concerned = {row["rule"]: row for row in rows if row["about"] == "incident"}
    assert concerned.keys() == {"metabase-api-key", "private-key-encrypted", "finicity-partner-secret"}
    assert concerned["metabase-api-key"]["level"] == {"severity": "high", "confidence": "high"}
    assert concerned["finicity-partner-secret"]["effect"] == "new findings are high, with medium confidence"
    assert "in the pack protected" in concerned["private-key-encrypted"]["effect"]
    assert concerned["private-key-encrypted"]["level"] is None
    monitor("incidents", "reopen", "4" * 16)
    lines = monitor("rules", "diff", "--since", "2026-11-24").stdout.splitlines()
    assert "4 open incidents are concerned" in lines
    [gone] = [line for line in lines if line.startswith("4" * 16)]
    assert gone.endswith("its rule is gone; generic-secret finds what it found")
    answer = monitor("rules", "diff", "--since", "2026-11-30")
    assert (answer.returncode, "rules.disable[0]: " in answer.stdout) == (1, True)


def test_an_unknown_version_is_a_mistake(monitor: Command) -> None:
    answer = monitor("rules", "diff", "--since", "0.0.1")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "--since 0.0.1: no rules are known of that version" in answer.stderr
    assert "days from 2026-11-24 on" in answer.stderr
    assert monitor("rules", "diff").returncode == 2


def test_a_rule_is_asked_for_by_an_id_it_had(monitor: Command, config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("vcs/github", "saas/apify"), encoding="utf-8")
    answer = monitor("rules", "show", "apify-token", "--format", "json")
    assert json.loads(answer.stdout)["id"] == "apify-api-token"
    assert "note: the rule apify-token is named apify-api-token now" in answer.stderr
    answer = monitor("rules", "show", "superset-secret-key")
    assert (answer.returncode, "; it went, and generic-secret finds what it found" in answer.stderr) == (2, True)
    sample = monitor("sample", "apify-token").stdout
    found = monitor("scan", "-", "--rule", "apify-token", "--format", "jsonl", stdin=f"{sample}\n").stdout
    assert [json.loads(line)["rule"] for line in found.splitlines()] == ["apify-api-token"]
    fill(config, "apify-token", "github-pat")
    rows = json.loads(monitor("incidents", "list", "--rule", "apify-api-token", "--format", "json").stdout)
    assert [row["rule"] for row in rows] == ["apify-token"]
