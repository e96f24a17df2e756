"""There is no telemetry: every connection that the installed command asks the kernel for, as strace sees it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from detectors.rules.template import expand
from tests.detectors import texts
from tests.fakes.webhook import FakeWebhook

MONITOR = Path(sys.executable).with_name("monitor")
CALLS = "connect,sendto,sendmsg,sendmmsg"
# Where a call goes that names a place: `sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.1")`.
# What is sent on a connection that exists names none.
_INTERNET = re.compile(r'sin6?_port=htons\((\d+)\).*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')
_UNIX = re.compile(r'sa_family=AF_UNIX, sun_path=@?"([^"]+)"')
_LOCAL = re.compile(r"sa_family=AF_(NETLINK|UNSPEC)")  # the kernel itself; the end of a connection
# The C library asks the cache of its name service who the user is, where there is one.
_CACHE = {"/var/run/nscd/socket", "/run/nscd/socket"}


def places(trace: str) -> set[str]:
    """Where its calls go, as host:port or as a path; fails on a call that it cannot read."""
    seen = set()
    for line in trace.splitlines():
        if internet := _INTERNET.search(line):
            seen.add(f"{internet[2]}:{internet[1]}")
        elif unix := _UNIX.search(line):
            seen.add(unix[1])
        else:
            assert "connect(" not in line or _LOCAL.search(line) or "resumed>" in line, line
            assert "msg_name={" not in line or _LOCAL.search(line), line
    return seen - _CACHE


async def traced(folder: Path, *arguments: str, given: bytes = b"") -> tuple[int, set[str]]:
    """The exit code of the command, and where it and all that it starts connect or send to."""
    trace = folder / "trace"
    process = await asyncio.create_subprocess_exec(
        *("strace", "--follow-forks", "--seccomp-bpf", "-s", "0", "--trace", CALLS, "--output", str(trace)),
        *(str(MONITOR), *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate(given)
    text = trace.read_text() if trace.exists() else ""
    if "+++ exited with" not in text:
        pytest.skip(f"no process may be traced here: {errors.decode()[:200]}")
    assert process.returncode is not None
    return process.returncode, places(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a log that has a secret, and rules that are compiled."""
    if os.geteuid() != 0 or shutil.which("strace") is None:
        pytest.skip("needs root, as the monitor lets nobody else look into its memory, and strace")
    texts.lend(tmp_path / ".local/state/exposure-monitor/cache")
    (tmp_path / "app.log").write_text(f"login with {expand('ghp_{alnum:30}{crc32}', 'quiet')}\n")
    return tmp_path


def configured(folder: Path, *urls: str) -> str:
    """A configuration with a webhook for each address."""
    text = (
        f'[monitor]\nstate_dir = "{folder}/.local/state/exposure-monitor"\n[http]\nlisten = "127.0.0.1:0"\n'
        f'[[sources]]\nname = "app"\ntype = "file"\ninclude = ["{folder}/app.log"]\nstart_at = "beginning"\n'
    )
    for number, url in enumerate(urls):
        (folder / f"url-{number}").write_text(url)
        text += f'[[sinks]]\nname = "hook-{number}"\ntype = "webhook"\nurl = "file:{folder}/url-{number}"\n'
    (folder / "config.toml").write_text(text)
    return str(folder / "config.toml")


async def test_the_daemon_connects_to_what_is_configured_and_to_nothing_else(folder: Path) -> None:
    """Each sink that the configuration has is seen, so another connection would be."""
    async with FakeWebhook() as one, FakeWebhook() as other:
        seen = await traced(folder, "run", "--once", "--config", configured(folder, one.url, other.url))
        assert seen == (0, {server.url.split("/")[2] for server in (one, other)})
        assert one.payloads
        assert other.payloads


async def test_commands_connect_to_nothing(folder: Path) -> None:
    line = (folder / "app.log").read_bytes()
    config = configured(folder, "https://hooks.example.org/alert")
    assert await traced(folder, "check", "--config", config) == (0, set())
    assert await traced(folder, "scan", "app.log") == (1, set())
    assert await traced(folder, "mask", given=line) == (0, set())
    assert await traced(folder, "rules", "list") == (0, set())


async def test_a_name_that_is_asked_for_is_seen(folder: Path) -> None:
    """Of a sink by its name: only in a network of its own, from which nothing gets out."""
    asks = "import socket; socket.gethostbyname('telemetry.example.org')"
    process = await asyncio.create_subprocess_exec(
        *(
            "unshare",
            "--net",
            "strace",
            "--trace",
            CALLS,
            "--output",
            str(folder / "trace"),
            sys.executable,
            "-c",
            asks,
        ),
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 1 or not (folder / "trace").exists():
        pytest.skip("no network of its own can be made here")
    assert any(place.endswith(":53") or "/" in place for place in places((folder / "trace").read_text()))
