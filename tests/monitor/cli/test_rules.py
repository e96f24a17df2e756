from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.detectors import texts

Command = Callable[..., subprocess.CompletedProcess[str]]

GOOD = """
[[rule]]
id = "acme-key"
name = "Acme key"
pattern = '''\\b(?P<secret>acme_[a-z0-9]{20})\\b'''
severity = "high"
examples = ["key acme_{lownum:20}"]
negative_examples = ["acme_x"]
"""


def own_rules(folder: Path, text: str) -> None:
    (folder / "own.toml").write_text(text)
    (folder / "config.toml").write_text("[rules]\npacks = ['vcs/github']\npaths = ['own.toml']\n")


def test_list_in_every_form(monitor: Command) -> None:
    ids = [rule.id for rule in texts.rules()]
    text = monitor("rules", "list").stdout.splitlines()
    assert text[0].split() == ["ID", "SEVERITY", "CONFIDENCE", "PACK", "FAMILY", "VENDOR", "NAME"]
    assert [line.split()[0] for line in text[1:-1]] == ids
    assert [row["id"] for row in json.loads(monitor("rules", "list", "--format", "json").stdout)] == ids
    lines = monitor("rules", "list", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_list_filters(monitor: Command) -> None:
    answer = monitor("rules", "list", "--vendor", "github", "--severity", "critical", "--format", "json")
    rows = json.loads(answer.stdout)
    assert "github-pat" in {row["id"] for row in rows}
    assert {(row["vendor"], row["severity"]) for row in rows} == {("github", "critical")}


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--severity", "worst", "'worst' is not one of"),
        ("--family", "clod", "cloud"),
        ("--vendor", "strip", "stripe"),
        ("--vendor", "\x1bx", "no rule has the vendor '\\\\x1bx'"),
    ],
)
def test_a_filter_that_nothing_can_pass_is_a_mistake(monitor: Command, option: str, value: str, says: str) -> None:
    answer = monitor("rules", "list", option, value)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert says in answer.stderr


def test_show(monitor: Command) -> None:
    row = json.loads(monitor("rules", "show", "github-pat", "--format", "json").stdout)
    assert row["checksum"] == "github-issued"
    assert "references" in monitor("rules", "show", "github-pat").stdout
    assert monitor("rules", "show", "nothing").returncode == 2


def test_shipped_rules_pass(monitor: Command) -> None:
    """That all do, tests/detectors/author/test_check.py holds."""
    ids = [rule.id for rule in texts.rules() if rule.family == "vcs"]
    answer = monitor("rules", "test", *ids)
    assert (answer.returncode, answer.stderr) == (0, ""), answer.stdout
    assert f"{len(ids)} rules: " in answer.stdout


def test_a_rule_whose_example_is_not_found_fails(monitor: Command, tmp_path: Path) -> None:
    own_rules(tmp_path, GOOD.replace("{lownum:20}", "{alnum:2}"))
    answer = monitor("rules", "test", "acme-key")
    assert answer.returncode == 1
    assert "own.toml: acme-key: examples 1: not found" in answer.stdout
    assert "1 of 2 examples failed" in answer.stderr


def test_a_broken_rule_file_is_bad_configuration(monitor: Command, tmp_path: Path) -> None:
    own_rules(tmp_path, GOOD.replace("{20})", "{20}"))
    answer = monitor("rules", "test")
    assert answer.returncode == 78
    assert "own.toml" in answer.stderr
    assert "acme-key" in answer.stderr
    assert "Traceback" not in answer.stderr
    (tmp_path / "config.toml").write_text("[rules]\npacks = ['nonsense']\ndisable = ['nobody']\n")
    answer = monitor("rules", "list")
    assert answer.returncode == 78
    assert "rules.packs: no pack is called 'nonsense'" in answer.stderr


def test_list_by_confidence_and_text(monitor: Command) -> None:
    answer = monitor("rules", "list", "--confidence", "medium", "--search", "GitHub", "--format", "json")
    rows = json.loads(answer.stdout)
    assert rows
    assert {row["confidence"] for row in rows} == {"medium"}
    assert len(rows) < len(json.loads(monitor("rules", "list", "--search", "github", "--format", "json").stdout))
    assert json.loads(monitor("rules", "list", "--search", "no such text", "--format", "json").stdout) == []


def test_list_as_markdown(monitor: Command) -> None:
    text = monitor("rules", "list", "--family", "vcs", "--format", "markdown").stdout
    count = len([rule for rule in texts.rules() if rule.family == "vcs"])
    assert text.startswith(f"{count} rules in 1 packs.\n\n### vcs ({count})\n\n| rule | finds | severity |")
    assert "| `github-pat` | [GitHub personal access token](https://docs.github.com/" in text
    assert all(line.count("|") - line.count("\\|") == 5 for line in text.splitlines() if line.startswith("|"))


def test_wrapped_examples(monitor: Command, tmp_path: Path) -> None:
    own_rules(tmp_path, GOOD)
    answer = monitor("rules", "test", "acme-key", "--wrapped")
    assert (answer.returncode, answer.stdout) == (0, "1 rules: 9 examples found, 9 counter-examples not found\n")
    own_rules(tmp_path, GOOD.replace("\\b(?P<secret>", "^key (?P<secret>"))
    answer = monitor("rules", "test", "acme-key", "--wrapped")
    assert answer.returncode == 1
    assert "acme-key: examples 1 in syslog: not found" in answer.stdout
    assert "examples 1: " not in answer.stdout


def test_bench_puts_the_worst_first(monitor: Command, tmp_path: Path) -> None:
    slow = GOOD.replace("acme-key", "slow-key").replace("acme_[a-z0-9]{20}", "[a-z0-9]{3,9}:[a-z0-9]{3,9}")
    (tmp_path / "own.toml").write_text(GOOD + slow.replace("acme_{lownum:20}", "abc:def").replace("acme_x", "x"))
    (tmp_path / "config.toml").write_text("[rules]\npacks = ['vcs/github']\npaths = ['own.toml']\n")
    (tmp_path / "sample").write_bytes(b"some text with key:value pairs in it and more:text\n" * 4000)
    answer = monitor("rules", "bench", "--sample", "sample", "--format", "json", "--limit", "3")
    rows = json.loads(answer.stdout)
    assert len(rows) == 3
    assert rows[0]["id"] == "slow-key"
    assert rows[0]["hits_per_mb"] > 10_000
    assert rows[0]["warnings"][0].startswith("anchor: ")
    assert [row["mb_s_alone"] for row in rows] == sorted(row["mb_s_alone"] for row in rows)
    text = monitor("rules", "bench", "--sample", "sample", "acme-key").stdout.splitlines()
    assert text[0].split() == ["RULE", "MB/S", "ALONE", "HITS/MB", "PASS", "ANCHOR"]
    assert all(0 <= row["passing"] <= 1 for row in rows)
    assert text[1].split()[0] == "acme-key"
    assert "1 of 1 rules; all " in text[2]
    (tmp_path / "sample").write_text("short")
    answer = monitor("rules", "bench", "--sample", "sample")
    assert answer.returncode == 2
    assert "64 KiB" in answer.stderr
