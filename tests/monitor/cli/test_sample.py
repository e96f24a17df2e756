from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from detectors.match.engine import Engine, Worker
from detectors.rules.rule import Rule
from monitor.cli.sample import one, worker_for
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


# One in eight: each compiles a rule of its own. That every example is found tests/detectors/author/test_check.py holds.
def test_every_rule_gives_samples() -> None:
    whole = texts.engine().worker()
    for rule in RULES:
        # One engine for all is quick; where a more specific rule takes the sample there, the rule is tried alone.
        assert not shadowed(whole, rule) or not shadowed(worker_for(rule, RULES), rule), rule.id


def shadowed(worker: Worker, rule: Rule) -> bool:
    try:
        one(worker, rule, "1")
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("rule", [rule for rule in RULES if any(other.rule for other in rule.requires)][:5])
def test_a_rule_is_compiled_with_the_companions_it_requires(rule: Rule) -> None:
    worker = worker_for(rule, RULES)
    assert 1 < len(worker.engine.rules) < 10
    assert one(worker, rule, "1")


def test_an_unknown_rule_is_two_and_names_what_was_meant(monitor: Command) -> None:
    answer = monitor("sample", "github-patt")
    assert answer.returncode == 2
    assert "did you mean github-pat" in answer.stderr
    assert "monitor rules list" in answer.stderr
