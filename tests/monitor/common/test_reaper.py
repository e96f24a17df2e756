from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.common import reaper


def reap(*command: str, seconds: float = 30.0, grace: float = 0.0) -> tuple[str, str]:
    """What it says of the command, and what the command printed."""
    reading, status = os.pipe()
    arguments = [sys.executable, "-I", "-S", reaper.__file__, str(seconds), str(grace), str(status), *command]
    ran = subprocess.run(arguments, capture_output=True, text=True, pass_fds=(status,), check=True, timeout=60)
    os.close(status)
    with open(reading, encoding="ascii") as file:
        return file.read(), ran.stdout


@pytest.mark.parametrize(("command", "said"), [("exit 3", "c3"), ("kill -9 $$", "c-9"), ("exit 0", "c0")])
def test_it_says_what_came_of_the_command(command: str, said: str) -> None:
    assert reap("/bin/sh", "-c", command) == (said, "")


def test_and_why_there_is_none() -> None:
    assert reap("/nonexistent")[0] == "e2"
    assert reap("/etc/passwd")[0] == "e13"


def test_nothing_outlives_it_in_whatever_session(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    inner = f"setsid sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600' & wait"
    script = tmp_path / "fled"
    script.write_text(inner)
    fled = f"(setsid sh {script} &) ; until [ -s {pid} ]; do sleep 0.01; done"
    assert reap("/bin/sh", "-c", f"{fled}; exit 4")[0] == "c4"
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()

    pid.unlink()
    reading, status = os.pipe()
    command = [sys.executable, "-I", "-S", reaper.__file__, "600", "0", str(status), "/bin/sh", "-c"]
    with subprocess.Popen([*command, f"{fled}; exec sleep 600"], pass_fds=(status,)) as told_to_end:
        os.close(status)
        while not pid.exists():
            time.sleep(0.01)
        told_to_end.terminate()
    with open(reading, encoding="ascii") as file:
        assert file.read() == "t"
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    assert reap("/bin/sleep", "600", seconds=0.05)[0] == "t"
