from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import typer

from monitor.cli import COMMANDS, GROUPS, app
from tests.commands import walk
from tests.monitor.cli.conftest import ROOT

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


def test_commands_are_listed_in_five_groups_by_a_sentence_each(monitor: Command) -> None:
    shown = monitor("--help", env={"COLUMNS": "80"}).stdout
    heads = re.findall(r"(?m)^╭─ (.+?) ─", shown)
    assert heads == ["Options", *GROUPS]
    assert len(GROUPS) == 5
    commands = shown[shown.index(f"─ {heads[1]} ─") :]
    assert re.findall(r"(?m)^│ ([a-z-]+) ", commands) == list(COMMANDS)
    assert len(commands.splitlines()) <= 70


def test_each_command_says_in_a_sentence_what_it_does_and_has_an_example() -> None:
    group: Any = typer.main.get_command(app)
    for name in COMMANDS:
        for words, command in walk(group.get_command(typer.Context(group), name), (name,)):
            assert 10 < len(command.short_help or "") <= 110, words
            assert f"monitor {' '.join(words)}" in command.epilog, words


def test_help_and_completion_load_nothing_that_a_command_works_with() -> None:
    asked = (
        "import importlib, sys; from monitor.cli import COMMANDS; [*map(importlib.import_module, COMMANDS.values())]\n"
        "print({'aiohttp', 'hyperscan', 'pydantic', 're2', 'sqlalchemy', 'yaml'} & sys.modules.keys())"
    )
    answer = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n", "each is a tenth of a second: import it in the function that needs it"
