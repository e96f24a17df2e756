from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.rules.template import expand

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_added_listed_seen_by_routes_and_ended(monitor: Command, config: Path) -> None:
    with config.open("a") as file:
        file.write('[[silences]]\nmatchers = [\'source="old"\']\ncomment = "goes away"\n')
        file.write('[[silences]]\nmatchers = [\'source="older"\']\nauthor = "ada"\ncomment = "a load test"\n')
    assert monitor("run", "--once").returncode == 0
    listed = json.loads(monitor("silences", "list", "--format", "json").stdout)
    assert [(one["by"], one["reason"]) for one in listed] == [
        ("the configuration", "goes away"),
        ("ada", "a load test"),
    ]
    added = monitor("silences", "add", 'severity="low"', "source=staging", "--for", "2h", "--note", "load test")
    assert added.returncode == 0, added.stderr
    id_ = added.stdout.split()[0]
    assert 'severity="low", source="staging" until 20' in added.stdout
    *_, row = map(json.loads, monitor("silences", "list", "--format", "jsonl").stdout.splitlines())
    assert (row["id"], row["matchers"], row["reason"]) == (id_, ['severity="low"', 'source="staging"'], "load test")
    assert "load test" in monitor("silences", "list").stdout
    assert "silenced until" in monitor("routes", "test", "severity=low", "source=staging").stdout
    assert "silenced" not in monitor("routes", "test", "severity=high", "source=staging").stdout
    ended = monitor("silences", "end", id_[:6], "--note", "the test is over")
    assert ended.stdout == f"{id_} silences nothing any more\n"
    [row] = json.loads(monitor("silences", "list", "--over", "--format", "json").stdout)
    assert (row["id"], row["ended_by"], row["ended_why"]) == (id_, row["by"], "the test is over")
    assert f"load test; ended by {row['by']}: the test is over" in monitor("silences", "list", "--over").stdout
    assert "silenced" not in monitor("routes", "test", "severity=low", "source=staging").stdout
    again = monitor("silences", "end", id_)
    assert (again.returncode, "monitor silences list" in again.stderr) == (1, True)


def test_a_rule_is_lowered_and_every_command_about_rules_says_so(monitor: Command, config: Path) -> None:
    before = config.read_bytes()
    assert json.loads(monitor("rules", "list", "--vendor", "github", "--format", "json").stdout)[0]["silences"] == []
    assert monitor("run", "--once").returncode == 0
    lower = ("silences", "add", 'rule="github-pat"', "--lower-to", "low", "--for", "30d", "--note", "test data")
    added = monitor(*lower)
    assert added.returncode == 0, added.stderr
    id_ = added.stdout.split()[0]
    assert added.stdout.startswith(f'{id_} lowers to low rule="github-pat" until 20')
    assert 'rule="github-pat", lowered to low' in monitor("silences", "list").stdout
    listed = monitor("rules", "list", "--vendor", "github")
    assert listed.stderr == ""
    head, *lines = listed.stdout.splitlines()
    assert head.split()[-1] == "NOW"
    assert [line.split()[0] for line in lines if "lowered to low until" in line] == ["github-pat"]
    rows = json.loads(monitor("rules", "list", "--vendor", "github", "--format", "json").stdout)
    (row,) = [row for row in rows if row["silences"]]
    assert (row["id"], row["severity"], row["silences"][0]["severity"]) == ("github-pat", "critical", "low")
    checked = monitor("check")
    assert "note: rule github-pat is lowered to low until" in checked.stdout
    assert f"`monitor silences end {id_}` ends it" in checked.stdout
    assert "lowered to" not in monitor("check", "--no-environment").stdout
    shown = monitor("rules", "show", "github-pat")
    assert (shown.stdout.count("lowered to low until 20"), shown.stderr) == (1, "")
    (one,) = json.loads(monitor("rules", "show", "github-pat", "--format", "json").stdout)["silences"]
    assert (one["id"], one["severity"], one["reason"]) == (id_, "low", "test data")
    trial = ("test-pattern", "--rule", "github-pat", "--text", "x", "--no-cost")
    tried = monitor(*trial)
    assert [line for line in tried.stdout.splitlines() if line.startswith("now: lowered to low until 20")]
    assert json.loads(monitor(*trial, "--format", "json").stdout)["summary"]["silences"] == [one]
    assert "lowered" not in monitor("test-pattern", "x{9}", "--text", "x", "--no-cost").stdout
    assert "silenced" not in monitor("routes", "test", "rule=github-pat").stdout
    assert config.read_bytes() == before
    assert monitor("silences", "end", id_).stdout == f"{id_} lowers nothing any more\n"
    assert "NOW" not in monitor("rules", "list", "--vendor", "github").stdout
    assert "lowered to" not in monitor("check").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source=a", "--lower-to", "low", "--for", "1h", "--note", "x"], "one rule"),
        (["rule=a", "rule=b", "--lower-to", "low", "--for", "1h", "--note", "x"], "one rule"),
        (["rule=github-pta", "--lower-to", "low", "--for", "1h", "--note", "x"], "did you mean github-pat"),
        (["severity", "--for", "1h", "--note", "x"], "not a matcher"),
        (['severity="low"', "--for", "1 fortnight", "--note", "x"], "--for"),
        (['severity="low"', "--for", "0s", "--note", "x"], "longer than nothing"),
        (['severity="low"', "--for", "1h", "--note", " "], "say why"),
        (['severity="low"', "--for", "1h", "--note", "x", "--starts", "2020-01-01"], "over already"),
    ],
)
def test_what_is_no_silence_is_two_and_says_why(
    monitor: Command, config: Path, arguments: list[str], message: str
) -> None:
    answer = monitor("silences", "add", *arguments)
    assert (answer.returncode, message in answer.stderr) == (2, True), answer.stderr


def test_a_secret_is_kept_neither_as_a_matcher_nor_as_a_reason(monitor: Command, config: Path) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 7)
    refused = monitor("silences", "add", f'path="{token}"', "--for", "1h", "--note", "x")
    assert (refused.returncode, token[8:20] in refused.stderr) == (2, False)
    refused = monitor("silences", "add", f'path=~"({token}"', "--for", "1h", "--note", "x")
    assert (refused.returncode, token[8:20] in refused.stderr) == (2, False)
    assert monitor("run", "--once").returncode == 0
    assert monitor("silences", "add", "source=a", "--for", "1h", "--note", f"leaked {token}").returncode == 0
    assert token[8:20] not in monitor("silences", "list", "--format", "json").stdout
