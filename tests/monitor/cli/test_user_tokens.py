from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from monitor.accounts.tokens import stored

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_printed_once_listed_and_revoked(monitor: Command, config: Path) -> None:
    made = monitor("users", "token", "add", "Deploy", "--role", "responder", "--scope", "act", "--for", "30d")
    value = made.stdout.strip()
    assert (made.returncode, len(stored(value))) == (0, 64)
    assert value not in made.stderr
    listed = monitor("users", "token", "list", "--format", "json").stdout
    [row] = json.loads(listed)
    assert (row["name"], row["role"], row["scope"], row["seen"]) == ("deploy", "responder", "act", None)
    state = b"".join(path.read_bytes() for path in (config.parent / "state").glob("state.db*"))
    assert stored(value).encode() in state
    assert value.encode() not in state
    again = monitor("users", "token", "add", "deploy")
    assert (again.returncode, "a token deploy already" in again.stderr) == (1, True)
    for wrong in (["x y"], ["a", "--for", "4"], ["a", "--for", "400d"], ["a", "--scope", "act"]):
        assert monitor("users", "token", "add", *wrong).returncode == 2
    assert monitor("users", "token", "revoke", "deploy").stdout == "deploy is revoked\n"
    assert monitor("users", "token", "revoke", "deploy").returncode == 1
    assert "there are no tokens" in monitor("users", "token", "list").stdout
