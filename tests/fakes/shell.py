"""Commands in this process: what a test of a command needs, at a tenth of what a process of its own costs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

__all__ = ["in_process"]


def in_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`monitor("rules", "list", stdin=…, env={…})` in `folder`, whose `config.toml` is named in $MONITOR_CONFIG."""
    from monitor.cli import app

    monkeypatch.setattr("monitor.common.hardening.harden", lambda: None)  # it would hold for the rest of the process
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("MONITOR_CONFIG", str(folder / "config.toml"))

    def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        done = CliRunner().invoke(app, list(arguments), input=stdin, env=env)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return run
