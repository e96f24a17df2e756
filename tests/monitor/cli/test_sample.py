from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from detectors.match.engine import Engine
from tests.detectors import texts

Command = Callable[..., subprocess.CompletedProcess[str]]
RULES = texts.rules()


def test_a_sample_is_a_secret_of_its_rule_and_new_each_time(monitor: Command) -> None:
    answer = monitor("sample", "github-pat", "-n", "3")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert len(set(lines)) == 3
    worker = Engine.build([rule for rule in RULES if rule.id == "github-pat"]).worker()
    for line in lines:
        (match,) = worker.scan(line.encode())
        assert match.secret.decode() == line
    assert monitor("sample", "github-pat").stdout not in answer.stdout


def test_samples_and_their_rule_for_scripts(monitor: Command) -> None:
    text = monitor("sample", "github-pat", "-n", "2", "--seed", "1").stdout.splitlines()
    expected = [{"rule": "github-pat", "sample": sample} for sample in text]
    assert json.loads(monitor("sample", "github-pat", "-n", "2", "--seed", "1", "--format", "json").stdout) == expected
    lines = monitor("sample", "github-pat", "-n", "2", "--seed", "1", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected


def test_a_seed_gives_the_same_samples_and_line_the_text_around(monitor: Command) -> None:
    first = monitor("sample", "github-pat", "--seed", "drill").stdout
    assert first == monitor("sample", "github-pat", "--seed", "drill").stdout
    line = monitor("sample", "github-pat", "--seed", "drill", "--line").stdout
    assert first.strip() in line
    assert len(line) > len(first)


def test_an_unknown_rule_is_two_and_names_what_was_meant(monitor: Command) -> None:
    answer = monitor("sample", "github-patt")
    assert answer.returncode == 2
    assert "did you mean github-pat" in answer.stderr
    assert "monitor rules list" in answer.stderr
