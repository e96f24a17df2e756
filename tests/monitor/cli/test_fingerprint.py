from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect

from detectors.fingerprint import fingerprint

ROOT = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_one_fingerprint_a_line_with_the_configured_key(monitor: Command, config: Path) -> None:
    answer = monitor("fingerprint", stdin="first secret\r\n\nsecond secret")
    assert answer.returncode == 0, answer.stderr
    key = (config.parent / "state" / "fingerprint.key").read_bytes().strip()
    assert answer.stdout.splitlines() == [fingerprint(key, b"first secret"), "", fingerprint(key, b"second secret")]
    assert answer.stderr == ""
    assert "secret" not in answer.stdout


def test_objects_for_scripts(monitor: Command, config: Path) -> None:
    first, _, second = monitor("fingerprint", stdin="a\n\nb\n").stdout.splitlines()
    expected = [{"fingerprint": first}, {"fingerprint": None}, {"fingerprint": second}]
    assert json.loads(monitor("fingerprint", "--format", "json", stdin="a\n\nb\n").stdout) == expected
    lines = monitor("fingerprint", "--format", "jsonl", stdin="a\n\nb\n").stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected


def test_a_sample_can_be_piped_in(monitor: Command, config: Path) -> None:
    sample = monitor("sample", "github-pat").stdout
    answer = monitor("fingerprint", "--config", str(config), stdin=sample * 2)
    first, second = answer.stdout.split()
    assert first == second
    assert len(first) == 64


def test_without_a_configuration_there_is_no_key(monitor: Command, tmp_path: Path) -> None:
    answer = monitor("fingerprint", stdin="value-of-mine\n")
    assert answer.returncode == 78
    assert "make one with `monitor init`" in answer.stderr
    assert "value-of-mine" not in answer.stdout + answer.stderr


def test_a_missing_key_is_named_and_not_replaced(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[monitor]\nfingerprint_key = 'file:absent'\nstate_dir = 'state'\n")
    answer = monitor("fingerprint", stdin="x\n")
    assert answer.returncode == 78
    assert "monitor.fingerprint_key" in answer.stderr
    assert not (tmp_path / "absent").exists()


def test_what_is_typed_is_not_shown_and_no_core_is_left(tmp_path: Path, config: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "MONITOR_CONFIG": str(config)}
    arguments = ["-m", "monitor", "fingerprint"]
    child = pexpect.spawn(sys.executable, arguments, env=env, encoding="utf-8", timeout=300)  # type: ignore[arg-type]
    child.expect("secret: ")
    limits = Path(f"/proc/{child.pid}/limits").read_text(encoding="ascii")
    assert re.search(r"Max core file size\s+0\s+0", limits)
    child.sendline("swordfish-of-mine")
    child.expect("[0-9a-f]{64}")
    shown = child.before + child.after
    child.expect("secret: ")  # what is typed before the prompt is thrown away
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "swordfish" not in shown
    key = (config.parent / "state" / "fingerprint.key").read_bytes().strip()
    assert fingerprint(key, b"swordfish-of-mine") in shown
