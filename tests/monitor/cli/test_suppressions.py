from __future__ import annotations

import json
from pathlib import Path

from tests.monitor.cli.test_runbook import ONE, Command, stored

__all__ = ["stored"]

UNSEEN = "ab" * 32


def test_from_one_host_to_another(monitor: Command, stored: Path) -> None:
    answer = monitor("suppressions", "add", "1111", UNSEEN, "--for", "90d", "-m", "known", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    row = json.loads(answer.stdout)
    assert (row["fingerprints"], row["resolved"]) == (["1" * 64, UNSEEN], [ONE])
    file = monitor("suppressions", "export").stdout
    assert monitor("suppressions", "remove", "1111", "abab").stdout == "2 suppressed no longer\n"
    assert "there is no suppression '1111'" in monitor("suppressions", "remove", "1111").stderr

    answer = monitor("suppressions", "import", "-", stdin=file)
    assert answer.stdout == "2 suppressed\n", answer.stderr
    assert "known" in monitor("suppressions", "list").stdout

    answer = monitor("suppressions", "import", "-", stdin="key = 3")
    assert (answer.returncode, answer.stderr) == (
        2,
        "standard input: made with another fingerprint key, so it knows nothing here\n",
    )
    assert monitor("suppressions", "add", "1111", "--for", "long", "-m", "why").returncode == 2
