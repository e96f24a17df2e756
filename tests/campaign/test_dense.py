"""Texts of 20,000 different credentials and nothing else: what `scan`, `run --once` and `mask` leave out, or make up.

pytest -m campaign -s tests/campaign/test_dense.py
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from detectors.fingerprint import fingerprint
from tests.detectors.texts import dense, lend, values

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1800)]

COUNT = 20_000
FORMS = ("assignments", "json", "sql", "csv", "env")
KEY = b"k" * 32
CONFIG = """
[monitor]
state_dir = "{folder}/state"
fingerprint_key = "file:{folder}/key"
[[sources]]
name = "dense"
type = "file"
include = ["{folder}/dense.log"]
start_at = "beginning"
"""


def _monitor(folder: Path, *arguments: str, code: int, stdin: IO[bytes] | None = None) -> bytes:
    command = [sys.executable, "-m", "monitor", *arguments]
    done = subprocess.run(
        command, stdin=stdin, capture_output=True, timeout=1500, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout


def _scan(folder: Path) -> list[str]:
    config = ("--config", str(folder / "config.toml"))
    lines = _monitor(folder, "scan", *config, "--format", "jsonl", str(folder / "dense.log"), code=1).splitlines()
    return [json.loads(line)["fingerprint"] for line in lines]


def _run(folder: Path) -> list[str]:
    _monitor(folder, "run", "--once", "--config", str(folder / "config.toml"), code=0)
    (database,) = (folder / "state").glob("*.db")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT fingerprint FROM incidents")]


def _mask(folder: Path) -> bytes:
    with (folder / "dense.log").open("rb") as text:
        return _monitor(folder, "mask", "--config", str(folder / "config.toml"), code=0, stdin=text)


@pytest.mark.parametrize("form", FORMS)
def test_every_command_reports_each_of_many_credentials(form: str, tmp_path: Path) -> None:
    secrets = values(COUNT)
    text = dense(form, secrets)
    (tmp_path / "dense.log").write_bytes(text)
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path))
    lend(tmp_path / "state/cache")
    wanted = {fingerprint(KEY, secret.encode()) for secret in secrets}
    reported = []
    for command in (_scan, _run):
        found = set(command(tmp_path))
        reported.append((command.__name__[1:], len(wanted - found), len(found - wanted)))
    masked = _mask(tmp_path)
    left = sum(secret.encode() in masked for secret in secrets)
    reported.append(("mask", left, len(re.findall(rb"\[[\w-]+:[0-9a-f]+\]", masked)) - COUNT))
    for row in reported:
        print("| {} | {} | {:,} | {:,} |".format(form, *row), flush=True)
    assert not [row for row in reported if row[1] or row[2]]
