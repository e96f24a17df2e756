from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from monitor.common import process
from monitor.common.process import notify, watchdog_interval
from tests.fakes.ports import unread

ROOT = Path(__file__).parents[3]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)


def test_memory_that_is_free_is_given_back() -> None:
    code = (
        "import re\n"
        "from monitor.common.process import spare_memory\n"
        "def resident():\n"
        "    return int(re.search(r'VmRSS:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024\n"
        "blocks = [b'x' * 60_000 for _ in range(1000)]\n"
        "kept, full = blocks[::100], resident()\n"
        "del blocks\n"
        "before = resident()\n"
        "spare_memory()\n"
        "print(full - before < 20, before - resident() > 30)\n"
    )
    assert run(code).stdout.split() == ["True", "True"]


def test_notify_speaks_to_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1\nSTATUS=x")
        assert server.recv(100) == b"READY=1\nSTATUS=x"
    notify("WATCHDOG=1")  # nobody listens any more
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("STOPPING=1")


def test_notify_speaks_to_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"monitor-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert server.recv(100) == b"READY=1"


@pytest.mark.timeout(30)
def test_a_supervisor_that_reads_nothing_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_SUPERVISOR", 0.05)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with unread(tmp_path / "notify") as server:
        notify("WATCHDOG=1")
        assert server.recv(100) == b"text"
        notify("READY=1")
        server.setblocking(False)
        heard: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(server.recv(100))
        assert heard[-1] == b"READY=1"


def test_watchdog_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_interval() == 10
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_interval() is None


def test_logs_are_json_and_show_no_text_of_exceptions() -> None:
    code = (
        "import structlog, logging\n"
        "from monitor.common.process import log_to_stderr\n"
        "log_to_stderr('info')\n"
        "log = structlog.get_logger()\n"
        "log.debug('hidden')\n"
        "try:\n"
        "    value = 's3cr3t'\n"
        "    raise ValueError(value)\n"
        "except ValueError:\n"
        "    log.exception('failed', source='a')\n"
        "logging.getLogger('lib').info('chatter')\n"
        "lib = logging.getLogger('lib')\n"
        "lib.warning('trouble %s', 'ahead')\n"
        "lib.log(35, 'two %s', 'many', 'words')\n"
        "try:\n"
        "    raise ValueError(value)\n"
        "except ValueError:\n"
        "    lib.exception('broken')\n"
    )
    result = run(code)
    assert result.stdout == ""
    own, *others = [json.loads(line) for line in result.stderr.splitlines()]
    assert own.pop("timestamp")
    assert own == {"event": "failed", "level": "error", "source": "a", "error_type": "ValueError"}
    assert [(entry["level"], entry["event"], entry.get("error_type")) for entry in others] == [
        ("warning", "trouble ahead", None),
        ("warning", "two %s", None),
        ("error", "broken", "ValueError"),
    ]
    assert {entry["logger"] for entry in others} == {"lib"}


def test_text_logs_on_request() -> None:
    code = "import structlog; from monitor.common.process import log_to_stderr; log_to_stderr('info', 'text')\n"
    assert "hello" in run(code + "structlog.get_logger().info('hello')").stderr


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_on_a_terminal_logs_are_text_in_colour_unless_it_is_unwanted(
    environment: dict[str, str], coloured: bool
) -> None:
    code = (
        "import structlog; from monitor.common.process import log_to_stderr; "
        "log_to_stderr(); structlog.get_logger().info('hello')"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment}
    child = pexpect.spawn(sys.executable, ["-c", code], env=env, encoding="utf-8", timeout=300)  # type: ignore[arg-type]
    output = child.read()
    child.close()
    assert "hello" in output
    assert ("\x1b[" in output) is coloured


def test_what_a_rule_takes_for_a_secret_is_masked_in_every_log() -> None:
    code = (
        "import logging, structlog\n"
        "from monitor.common.process import log_to_stderr, mask_logs\n"
        "log_to_stderr('info', {form!r})\n"
        "mask_logs(lambda text: text.replace('swordfish', '…'))\n"
        "structlog.get_logger().info('swordfish', path='/a/swordfish', paths=['swordfish', 1], count=2)\n"
        "logging.getLogger('lib').warning('about swordfish')\n"
    )
    for form in ("json", "text"):
        result = run(code.format(form=form))
        assert "swordfish" not in result.stderr
        assert "/a/" in result.stderr
        assert "about" in result.stderr


def test_a_text_log_shows_no_control_characters() -> None:
    code = (
        "import logging, structlog\n"
        "from monitor.common.process import log_to_stderr\n"
        "log_to_stderr('info', {form!r})\n"
        "name = 'a' + chr(27) + ']0;b' + chr(7) + chr(0x9b) + 'c' + chr(0x202e)\n"
        "structlog.get_logger().info('failed ' + name, path=name)\n"
        "logging.getLogger('lib').warning(name)\n"
    )
    for form in ("json", "text"):
        output = run(code.format(form=form)).stderr
        assert not [char for char in output if not char.isprintable() and char != "\n"], output
