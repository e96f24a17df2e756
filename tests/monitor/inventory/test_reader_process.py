"""The process that reads an entry: what it says, and to whom."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import string
import subprocess
import sys
from pathlib import Path

from aiohttp import web

from monitor.inventory.reader_process import LEFT, width
from monitor.inventory.validate import bits
from tests.fakes.server import FakeServer

COMMAND = [sys.executable, "-m", "monitor.inventory.reader_process"]
VALUE = "".join(random.Random(4).choices(string.ascii_letters + string.digits, k=40))


def task(**entry: object) -> bytes:
    """What it is told first."""
    return json.dumps({"entry": entry, "key": (b"k" * 32).hex()}).encode() + b"\n"


def test_an_anchor_leaves_sixty_four_bits_unknown_where_the_value_has_them() -> None:
    source = random.Random(5)
    for size in (12, 14, 16, 18, 20, 40):
        value = bytes(source.choices((string.ascii_letters + string.digits).encode(), k=size))
        left = bits(value) * (size - width(value)) / size
        assert 4 <= width(value) <= 8
        assert left >= LEFT or width(value) == 4
        assert left > 45
    assert width(VALUE.encode()) == 8


def test_it_speaks_to_a_pipe_only_and_never_of_a_value(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in (".env", "gone.env")]
    (tmp_path / ".env").write_text(f"KEY={VALUE}\nMODE=x\n")
    with (tmp_path / "out").open("wb") as out:
        refused = subprocess.run(
            COMMAND, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (refused.returncode, "for the monitor itself" in refused.stderr) == (1, True)
    assert (tmp_path / "out").read_bytes() == b""

    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(task(name="e", type="dotenv", path=paths))
        process.stdin.flush()
        said = process.stdout.read().decode()
    *rows, last = map(json.loads, said.splitlines())
    assert "no such file" in last["error"]
    assert [(row["kept"]["name"], len(row["anchors"])) for row in rows] == [
        (f"{tmp_path}/.env:KEY", 1),
        (f"{tmp_path}/.env:MODE", 0),
    ]
    print_, piece, at, size, _ = rows[0]["anchors"][0]
    assert bytes.fromhex(piece).decode() == VALUE[at : at + 8]
    assert (print_, size) == (rows[0]["kept"]["prints"][0]["fingerprint"], 40)
    assert not any(VALUE[at : at + 9] in said for at in range(31))


class Login(FakeServer):
    """A Vault that lets in, and then does not answer; to log out takes two tries."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.tried, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.path == "/v1/auth/approle/login":
            return web.json_response({"auth": {"client_token": "t"}})
        if request.path != "/v1/auth/token/revoke-self":
            self.asked.set()
            await self.left.wait()
        elif self.tried.is_set():
            assert request.headers["X-Vault-Token"] == "t"
            self.left.set()
            return web.Response(status=204)
        self.tried.set()
        return web.Response(status=503)


async def test_it_logs_out_when_who_started_it_is_no_more_also_when_told_again(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("s")
    async with Login() as server:
        approle = {"role_id": "r", "secret_id": f"file:{tmp_path}/id"}
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(task(name="e", type="vault", server=server.url, approle=approle))
        await server.asked.wait()
        process.stdin.close()
        await server.tried.wait()
        process.send_signal(signal.SIGTERM)
        await server.left.wait()
        assert (await process.communicate())[0] == b""
        assert process.returncode == 1


def test_what_only_the_daemon_needs_is_not_imported() -> None:
    """Every reading starts such a process."""
    told = "import sys, monitor.inventory.reader_process; print({'sqlalchemy', 'structlog', 'rich'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", told], check=True, capture_output=True).stdout == b"set()\n"
