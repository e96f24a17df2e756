"""The file source on the real store, killed between any two of its transactions while a log is rotated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from monitor.domain.model import Block, Finding, Position
from monitor.sources.file.source import FileConfig, FileSource
from monitor.store import Store, database
from tests.fakes.intake import FakeIntake
from tests.monitor.store.helpers import finding

ROOT = Path(__file__).parents[4]
PATIENCE = 60.0  # seconds, however busy the machine is


class StoredIntake(FakeIntake):
    """Commits to a real store. The line of a finding is its mark."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        hits = await asyncio.to_thread(self._pull, blocks)
        found = [finding(mark, offset, generation=generation, line=mark) for (generation, offset, mark), _ in hits]
        return await self.store.commit(found, list(positions()))

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        return await self.store.commit(list(findings), list(positions))

    async def started(self) -> None:
        await self.store.flush()

    async def positions(self) -> dict[str, object]:  # type: ignore[override]
        return dict(await self.store.positions.of("services"))


def serve(state: str, log: str) -> None:
    """For each number on standard input a process that follows, forked off this one: told are its id and its end."""
    for left in sys.stdin:
        if (pid := os.fork()) == 0:
            asyncio.run(follow(state, log, int(left)))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


async def follow(state: str, log: str, left: int) -> None:
    """In a process of its own, which ends by SIGKILL after `left` transactions."""
    store = await Store.open(Path(state))

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    database.after_commit = count
    keys = {"include": [log], "start_at": "beginning", "reconcile": "40ms", "quiet": "60ms"}
    config = FileConfig.model_validate({"name": "services", "type": "file", **keys})
    await FileSource(config, StoredIntake(store), b"k" * 32).run(False)


def found(state: Path) -> list[int]:
    if not state.exists():
        return []
    connection = sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=10)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'findings'").fetchone():
            return []
        return sorted(mark for (mark,) in connection.execute("SELECT line FROM findings"))
    finally:
        connection.close()


class Service:
    """Writes marks and rotates."""

    def __init__(self, log: Path) -> None:
        self.log, self.planted = log, 0
        self.file = log.open("ab", buffering=0)

    def write(self) -> None:
        self.file.write(b"%d <%d>\n" % (time.monotonic_ns(), self.planted))
        self.planted += 1

    def rotate(self) -> None:
        time.sleep(0.011)  # two files do not share one tick of the file system's clock
        for number in range(9, 0, -1):
            old = self.log.with_name(f"app.log.{number}")
            if old.exists():
                old.rename(self.log.with_name(f"app.log.{number + 1}"))
        self.log.rename(self.log.with_name("app.log.1"))
        late, self.file = self.file, self.log.open("ab", buffering=0)
        late.write(b"late <%d>\n" % self.planted)
        self.planted += 1
        late.close()


class Follower:
    """What follows the log, started again and again by a process that has all imported."""

    def __init__(self, state: Path, log: Path) -> None:
        command = [sys.executable, "-u", "-m", __name__, str(state), str(log)]
        self._server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._pid = 0

    def start(self, left: int) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(b"%d\n" % left)
        self._pid = int(self._server.stdout.readline())

    def ended(self) -> int | None:
        """How it ended; None: it runs."""
        assert self._server.stdout is not None
        return int(self._server.stdout.readline()) if select.select([self._server.stdout], [], [], 0)[0] else None

    def close(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._server.communicate()


@pytest.mark.slow
def test_no_kill_between_two_transactions_loses_a_mark(tmp_path: Path) -> None:
    state, log = tmp_path / "state.db", tmp_path / "logs/app.log"
    log.parent.mkdir()
    service = Service(log)
    service.write()
    follower = Follower(state, log)
    try:
        for left in (0, 1, 2, 3, 4, 6):
            follower.start(left)
            deadline = time.monotonic() + PATIENCE
            while (end := follower.ended()) is None:
                assert time.monotonic() < deadline, f"alive after {left} transactions"
                service.write()
                time.sleep(0.05)
            assert end == -signal.SIGKILL
            if found(state):  # what is rotated away before the monitor ever met it is beyond any reader
                service.rotate()
            service.write()
        follower.start(1 << 30)
        deadline = time.monotonic() + PATIENCE
        while set(found(state)) < set(range(service.planted)):
            assert time.monotonic() < deadline, f"missing {sorted(set(range(service.planted)) - set(found(state)))}"
            time.sleep(0.05)
    finally:
        follower.close()
        service.file.close()
    assert found(state) == list(range(service.planted))


if __name__ == "__main__":
    serve(*sys.argv[1:])
