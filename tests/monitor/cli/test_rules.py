from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from detectors.rule import load_rules

Command = Callable[..., subprocess.CompletedProcess[str]]

GOOD = """
[[rule]]
id = "acme-key"
name = "Acme key"
pattern = '''\\b(?P<secret>acme_[a-z0-9]{20})\\b'''
severity = "high"
examples = ["key acme_{alnum:20:lower}"]
negative_examples = ["acme_x"]
"""


def own_rules(folder: Path, text: str) -> None:
    (folder / "own.toml").write_text(text)
    (folder / "config.toml").write_text("[rules]\npaths = ['own.toml']\n")


def test_list_in_every_form(monitor: Command) -> None:
    ids = [rule.id for rule in load_rules()]
    text = monitor("rules", "list").stdout.splitlines()
    assert text[0].split() == ["ID", "SEVERITY", "CONFIDENCE", "FAMILY", "VENDOR", "NAME"]
    assert [line.split()[0] for line in text[1:-1]] == ids
    assert [row["id"] for row in json.loads(monitor("rules", "list", "--format", "json").stdout)] == ids
    lines = monitor("rules", "list", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_list_filters(monitor: Command) -> None:
    answer = monitor("rules", "list", "--vendor", "github", "--severity", "critical", "--format", "json")
    rows = json.loads(answer.stdout)
    assert "github-pat" in {row["id"] for row in rows}
    assert {(row["vendor"], row["severity"]) for row in rows} == {("github", "critical")}


def test_show(monitor: Command) -> None:
    row = json.loads(monitor("rules", "show", "github-pat", "--format", "json").stdout)
    assert row["checksum"] == "github-crc32"
    assert "references" in monitor("rules", "show", "github-pat").stdout
    assert monitor("rules", "show", "nothing").returncode == 2


def test_the_shipped_rules_pass(monitor: Command) -> None:
    answer = monitor("rules", "test")
    assert (answer.returncode, answer.stderr) == (0, ""), answer.stdout
    assert f"{len(load_rules())} rules: " in answer.stdout


def test_a_rule_whose_example_is_not_found_fails(monitor: Command, tmp_path: Path) -> None:
    own_rules(tmp_path, GOOD.replace("{alnum:20:lower}", "{alnum:2}"))
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
