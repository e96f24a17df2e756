from __future__ import annotations

import subprocess
import sys

from monitor.cli import COMMANDS


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)


def test_harden_forbids_dumps_and_allows_many_files() -> None:
    code = (
        "import resource, ctypes\n"
        "from monitor.common.hardening import harden\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 200)\n"
    )
    assert run(code).stdout.split("\n")[:2] == ["(0, 0) 0", "True"]


def test_every_command_begins_with_it() -> None:
    """Whatever it does then: all of them hold secrets, the key, or what people type."""
    code = (
        "import ctypes, sys\n"
        "from monitor.cli import COMMANDS, app\n"
        "for name in COMMANDS:\n"
        "    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
        "    sys.argv = ['monitor', name, '--no-such-option']\n"
        "    try:\n"
        "        app()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "    print(name, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    assert run(code).stdout.split("\n")[:-1] == [f"{name} 0" for name in COMMANDS]
