from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from monitor.machine.unit import UNIT
from tests.monitor.cli.conftest import ROOT

Command = Callable[..., subprocess.CompletedProcess[str]]

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A bare system in `system`."""
    place = tmp_path / "system"
    (place / "etc").mkdir(parents=True)
    (place / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (place / "etc/group").write_text("root:x:0:\nadm:x:4:\n")
    return place


def files(system: Path) -> set[str]:
    return {path.name for path in system.rglob("*") if path.is_file()}


def test_the_plan_is_shown_and_nothing_is_done(monitor: Command, system: Path) -> None:
    for more in ((), ("--dry-run",)):
        answer = monitor("init", "--install", "--root", str(system), *more)
        assert answer.returncode == 0
        assert answer.stdout.startswith("1. to do  user and group exposure-monitor")
        assert (
            f"$ install -d -m 0750 -o root -g exposure-monitor {system}/etc/exposure-monitor/credentials"
            in answer.stdout
        )
        assert "nothing is changed" in answer.stdout + answer.stderr
        assert "\x1b" not in answer.stdout
        assert files(system) == {"passwd", "group"}


@ROOT_ONLY
def test_it_is_done_with_yes_and_once(monitor: Command, system: Path) -> None:
    answer = monitor("init", "--install", "--root", "system", "--yes")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.count("\ndone  ") == 8
    assert "To take it back:" in answer.stdout
    assert {UNIT, "config.toml", "fingerprint-key"} <= files(system)
    again = monitor("init", "--install", "--root", "system", "--yes")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == "all of it is done already"
    secret = (system / "etc/exposure-monitor/credentials/fingerprint-key").read_text().strip()
    assert secret not in answer.stdout + again.stdout


@ROOT_ONLY
def test_on_a_terminal_it_is_asked_and_coloured(system: Path) -> None:
    for reply, done in (("n", False), ("y", True)):
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "monitor", "init", "--install", "--root", str(system)],
            cwd=str(ROOT),
            env={"PATH": os.environ["PATH"], "TERM": "xterm"},
            timeout=60,
        )
        terminal.expect("Do it")
        assert b"\x1b[" in terminal.before
        terminal.sendline(reply)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0
        assert (UNIT in files(system)) == done


@ROOT_ONLY
def test_a_step_that_fails_says_what_was_done_and_what_is_next(monitor: Command, system: Path) -> None:
    (system / "var").mkdir()
    (system / "var/lib").write_text("a file")
    answer = monitor("init", "--install", "--root", str(system), "--yes")
    assert answer.returncode == 1
    last = answer.stderr.splitlines()
    assert last[0].startswith(f"failed: folder {system}/var/lib/exposure-monitor: ")
    assert last[1].startswith("done before: user and group exposure-monitor")
    assert last[2].startswith("next: mend that and do the same again")
    assert UNIT not in files(system)
    (system / "var/lib").unlink()
    assert monitor("init", "--install", "--root", str(system), "--yes").returncode == 0


def test_a_package_is_left_alone(monitor: Command, system: Path) -> None:
    (system / "usr/lib/systemd/system").mkdir(parents=True)
    (system / "usr/lib/systemd/system" / UNIT).touch()
    answer = monitor("init", "--install", "--root", str(system), "--yes")
    assert answer.returncode == 1
    assert answer.stderr.startswith("not installed, and nothing is changed:\n- ")
    assert "a package has installed the service" in answer.stderr


@ROOT_ONLY
def test_others_than_root_are_told_what_to_run(monitor: Command, system: Path) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run([*nobody, sys.executable, "-c", "import monitor"], capture_output=True, check=False).returncode:
        pytest.skip("this Python, or what it runs, is root's alone")
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        shutil.copytree(system / "etc", Path(root, "etc"))
        for more, code in (((), 0), (("--yes",), 1)):
            answer = monitor("init", "--install", "--root", root, *more, before=nobody, env={"HOME": "/nonexistent"})
            assert answer.returncode == code, answer.stderr
            assert "root may do it: sudo " in answer.stderr
            assert answer.stderr.rstrip().endswith(f"init --install --yes --root {root}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--install", "here.toml"),
        ("--install", "--yes", "--dry-run"),
        ("--yes",),
        ("--root", "/"),
        ("--install", "--root", "nowhere"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(monitor: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert monitor("init", *arguments).returncode == 2
    assert not (tmp_path / "config.toml").exists()
