"""The real command in a process of its own, killed and started again; an oracle that knows what was planted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from tests.detectors import texts
from tests.fakes.forks import Forked, Forks

KEY = "k" * 64  # not a secret: fingerprints in these tests must be the same in every process


async def until(condition: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
    """Wait until `condition` holds; fails with `what()`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.02)


class Monitor:
    """`monitor run` in `folder` with the given configuration; stdout and stderr go to files there.

    It finds its rules compiled and is forked off a process that has its modules imported; with `first` neither, at
    its first start.
    `prepared`: what is compiled lies in the folder already.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        environment: dict[str, str] | None = None,
        *,
        first: bool = False,
        prepared: bool = False,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._first = first
        if not (first or prepared):
            texts.lend(folder / "state" / "cache")
        (folder / "key").write_text(KEY)
        self.config = folder / "config.toml"
        self.config.write_text(
            f'[monitor]\nstate_dir = "state"\nfingerprint_key = "file:key"\n[http]\nlisten = "127.0.0.1:0"\n{config}'
        )
        self.environment = {**os.environ, **(environment or {})}
        self.process: asyncio.subprocess.Process | Forked | None = None
        self.starts = 0

    @property
    def errors(self) -> str:
        return (self.folder / "stderr").read_text("utf-8", "replace")

    @property
    def output(self) -> str:
        return (self.folder / "stdout").read_text("utf-8", "replace")

    async def start(
        self,
        *arguments: str,
        wait: bool = True,
        stdin: int = asyncio.subprocess.DEVNULL,
        prefix: Sequence[str] = (),
    ) -> None:
        self.starts += 1
        ready = self.errors.count('"event": "ready"') if (self.folder / "stderr").exists() else 0
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            command = ("run", "--config", str(self.config), *arguments)
            first = self._first and self.starts == 1
            alone = first or prefix or "LD_PRELOAD" in self.environment
            if not alone:
                with open(os.devnull if stdin == asyncio.subprocess.DEVNULL else os.dup(stdin), "rb") as given:
                    output = {"stdin": given, "stdout": out, "stderr": err}
                    self.process = Forks.shared().start(*command, env=self.environment, **output)
            else:
                self.process = await asyncio.create_subprocess_exec(
                    *(*prefix, sys.executable, "-m", "monitor", *command),
                    stdin=stdin,
                    stdout=out,
                    stderr=err,
                    env=self.environment,
                )
        self._ready_before = ready
        if wait:
            await self.ready()
            assert self.process.returncode is None, self.errors[-2000:]

    @property
    def up(self) -> bool:
        """Whether it said that it is ready after its last start."""
        return self.errors.count('"event": "ready"') > self._ready_before

    async def ready(self) -> None:
        """Until it said so after its last start, or has ended."""
        await until(
            lambda: self.up or self.process.returncode is not None,
            500,
            lambda: f"not ready: {self.errors[-2000:]}",
        )

    @property
    def address(self) -> str:
        """Where its HTTP server listens."""
        return re.findall(r'"http": "(http://[^"]+)"', self.errors)[-1]

    async def kill(self) -> None:
        """SIGKILL, wherever it is."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        """SIGTERM, once it is up: before, Python's own handling ends it. Gives the exit code; fails after minutes."""
        assert self.process is not None
        await self.ready()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 240)


class Planter:
    """Writes log lines with secrets in them and remembers their fingerprints."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.planted: dict[str, str] = {}  # fingerprint → value
        self.count = 0

    def secret(self) -> str:
        """A new synthetic token."""
        self.count += 1
        value = expand("ghp_{alnum:30}{crc32}", f"{self.seed}-{self.count}")
        self.planted[fingerprint(KEY.encode(), value.encode())] = value
        return value

    def lines(self, secrets: int) -> bytes:
        """Some log text with so many new secrets, often in the midst of noise, sometimes NUL and broken UTF-8."""
        out = []
        for _ in range(secrets):
            for _ in range(self.random.randrange(4)):
                noise = self.random.choice((b"\x00\xff\xfe", b"", b"\xc3("))
                out.append(b"%d INFO request %d done %b" % (time.time_ns(), self.random.getrandbits(60), noise))
            form = self.random.choice(
                ('{"level":"error","msg":"token %s refused"}', "ERROR auth failed for %s at step 3")
            )
            out.append((form % self.secret()).encode())
        return b"\n".join(out) + b"\n"


def fingerprints(payloads: Sequence[dict[str, object]]) -> set[str]:
    """All fingerprints that arrived."""
    return {incident["fingerprint"] for payload in payloads for incident in payload["incidents"]}  # type: ignore[attr-defined,index]
