from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from detectors.engine import Engine
from detectors.rule import Rule, load_rules
from monitor.cli.sample import one, worker_for

Command = Callable[..., subprocess.CompletedProcess[str]]
RULES = load_rules()


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


def test_a_seed_gives_the_same_samples_and_line_the_text_around(monitor: Command) -> None:
    first = monitor("sample", "github-pat", "--seed", "drill").stdout
    assert first == monitor("sample", "github-pat", "--seed", "drill").stdout
    line = monitor("sample", "github-pat", "--seed", "drill", "--line").stdout
    assert first.strip() in line
    assert len(line) > len(first)


# One in eight: each compiles a rule of its own. That every example is found is held by tests/detectors/test_check.py.
@pytest.mark.parametrize("rule", RULES[::8], ids=lambda rule: rule.id)
def test_rules_give_samples_that_they_find(rule: Rule) -> None:
    worker = worker_for(rule, RULES)
    for seed in range(3):
        text = one(worker, rule, str(seed)).encode()
        assert any(match.rule.id == rule.id for match in worker.scan(text))


def test_an_unknown_rule_is_two_and_names_what_was_meant(monitor: Command) -> None:
    answer = monitor("sample", "github-patt")
    assert answer.returncode == 2
    assert "did you mean github-pat" in answer.stderr
    assert "monitor rules list" in answer.stderr
