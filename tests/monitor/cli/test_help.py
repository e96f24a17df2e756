from __future__ import annotations

import subprocess
from collections.abc import Callable

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_flags_have_no_type_and_examples_keep_their_brackets(monitor: Command) -> None:
    for command in ([], ["scan"], ["test-pattern"], ["incidents", "list"], ["rules", "import", "gitleaks"]):
        answer = monitor(*command, "--help", env={"COLUMNS": "200"})
        assert answer.returncode == 0
        assert "<bool>" not in answer.stdout
    assert "acme_(?P<secret>[a-z0-9]{32})" in monitor("test-pattern", "--help", env={"COLUMNS": "200"}).stdout


def test_severity_means_the_same_everywhere(monitor: Command) -> None:
    for command in (["scan"], ["incidents", "list"], ["rules", "list"]):
        assert "Only this severity and worse." in monitor(*command, "--help", env={"COLUMNS": "200"}).stdout


def test_a_wrong_choice_is_told_in_plain_words_with_what_may_have_been_meant(monitor: Command) -> None:
    answer = monitor("incidents", "resolve", "3f2a", "--as", "revokd", env={"COLUMNS": "200"})
    assert answer.returncode == 2
    assert "'revokd' is not one of 'revoked', " in answer.stderr
    assert "Did you mean 'revoked'?" in answer.stderr
    assert "Value error" not in answer.stderr
