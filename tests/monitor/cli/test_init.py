from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from monitor import __version__
from monitor.cli import COMMANDS

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_help_lists_every_command_with_a_line_on_it(monitor: Command) -> None:
    answer = monitor("--help")
    assert answer.returncode == 0
    for name in COMMANDS:
        (line,) = [line for line in answer.stdout.splitlines() if line.strip("│ ").split(" ")[0] == name]
        assert len(line.strip("│ ").split()) > 3, line
    assert "78 bad configuration" in answer.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_in_its_help(monitor: Command, name: str) -> None:
    app = import_module(COMMANDS[name]).app
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    for command in commands:
        words = [name] if len(commands) == 1 and not app.info.no_args_is_help else [name, command]
        answer = monitor(*words, "--help")
        assert answer.returncode == 0, answer.stderr
        assert f"Example: monitor {' '.join(words)}" in answer.stdout or "| monitor " in answer.stdout, words
        assert "--config" in answer.stdout


@pytest.mark.parametrize("words", ["", "incidents", "rules", "rules import", "sinks", "github"])
def test_every_group_has_an_example_in_its_help(monitor: Command, words: str) -> None:
    assert f"Example: monitor {words}" in monitor(*words.split(), "--help").stdout


def test_help_imports_nothing_slow() -> None:
    """What makes `monitor --help` start at once, without measuring time."""
    code = (
        "import sys\nfrom monitor.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
        "slow = ('hyperscan', 're2', 'sqlalchemy', 'aiohttp', 'pydantic', 'cryptography', 'structlog', 'orjson')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_no_arguments_is_help_and_wrong_usage_is_two(monitor: Command) -> None:
    assert "Usage: monitor" in monitor().stdout + monitor().stderr
    answer = monitor("rnu")
    assert answer.returncode == 2
    assert "Did you mean 'run'?" in answer.stderr
    assert monitor("rules", "list", "--nonsense").returncode == 2
    assert monitor("rules", "list", "--format", "xml").returncode == 2


def test_version(monitor: Command) -> None:
    assert monitor("--version").stdout == f"exposure-monitor {__version__}\n"


def test_config_may_stand_before_the_command(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[[sinks]]\nname = 'only'\ntype = 'console'\n")
    answer = monitor("--config", "other.toml", "sinks", "list", "--format", "jsonl")
    assert '"name":"only"' in answer.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("monitor ru", {"run", "rules"}),
        ("monitor sample github-p", {"github-pat"}),
        ("monitor incidents list --rule github-p", {"github-pat"}),
        ("monitor sinks test s", {"screen"}),
    ],
)
def test_shell_completion(config: Path, words: str, wanted: set[str]) -> None:
    environment = {
        **os.environ,
        "_MONITOR_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "MONITOR_CONFIG": str(config),
    }
    answer = subprocess.run(
        [sys.executable, "-m", "monitor"], capture_output=True, text=True, env=environment, check=False
    )
    assert wanted <= set(answer.stdout.split()), answer.stderr


def test_completion_with_a_broken_configuration_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[sinkz]")
    environment = {
        **os.environ,
        "_MONITOR_COMPLETE": "complete_bash",
        "COMP_WORDS": "monitor sinks test ",
        "COMP_CWORD": "3",
        "MONITOR_CONFIG": str(tmp_path / "config.toml"),
    }
    answer = subprocess.run(
        [sys.executable, "-m", "monitor"], capture_output=True, text=True, env=environment, check=False
    )
    assert (answer.stdout.strip(), answer.stderr) == ("", "")
