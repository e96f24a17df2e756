from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from detectors.fingerprint import fingerprint

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
    assert "copy config.example.toml to config.toml" in answer.stderr
    assert "value-of-mine" not in answer.stdout + answer.stderr


def test_a_missing_key_is_named_and_not_replaced(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[monitor]\nfingerprint_key = 'file:absent'\nstate_dir = 'state'\n")
    answer = monitor("fingerprint", stdin="x\n")
    assert answer.returncode == 78
    assert "monitor.fingerprint_key" in answer.stderr
    assert not (tmp_path / "absent").exists()
