from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.detectors import texts
from tests.fakes.forks import Forks

ROOT = Path(__file__).parents[3]
STATE = Path(".local/state/exposure-monitor")  # in the home of whoever runs it

Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]


@pytest.fixture
def monitor(tmp_path: Path, forks: Forks) -> Command:
    """Runs the real command in `tmp_path`: `monitor("rules", "list", stdin=…, env={…})`.

    Its `config.toml` is named in $MONITOR_CONFIG when there is one: not all commands take it by themselves.
    """
    for state in (tmp_path / STATE, tmp_path / "state"):  # of a configuration, too
        texts.lend(state / "cache")

    def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None, before: Sequence[str] = ()) -> Answer:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "COLUMNS": "100",
            "MONITOR_CONFIG": "config.toml" if (tmp_path / "config.toml").exists() else "",
            **(env or {}),
        }
        return forks.run(*arguments, cwd=tmp_path, env=variables, stdin=stdin, before=before)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small configuration in `tmp_path`: one file source, a console and a webhook."""
    texts.lend(tmp_path / "state/cache")
    path = tmp_path / "config.toml"
    path.write_text(
        """
[monitor]
state_dir = "state"

[http]
listen = "127.0.0.1:0"

[rules]
packs = ["vcs/github"]

[[sources]]
name = "logs"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"

[[sinks]]
name = "screen"
type = "console"

[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
fallback = "screen"
""",
        encoding="utf-8",
    )
    return path
