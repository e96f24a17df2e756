"""Random histories of a log against a model: every mark written is found, each under one identity."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
from pathlib import Path

import pytest

from monitor.sources.file import source
from monitor.sources.file.source import FileConfig, FileSource
from tests.fakes.intake import FakeIntake, until


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits half a minute for the last word of an open line."""
    monkeypatch.setattr(source, "OPEN", 0.1)


class History:
    """What a service, logrotate and an unkind fate do to a log, and to the monitor."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.log = folder / "app.log"
        # As logrotate is set up for a log. What does both is found too, but perhaps twice.
        self.rotations = self.random.choice([[self.rename], [self.copytruncate], [self.rename, self.copytruncate]])
        self.glob = self.random.choice([str(self.log), f"{self.log}*", f"{folder}/**/app.log"])
        self.intake = FakeIntake()
        self.planted: list[int] = []
        self.task: asyncio.Task[None] | None = None
        self.writer = self.log.open("ab", buffering=0)
        self.open_line = False

    def start(self) -> None:
        config = FileConfig.model_validate(
            {
                "name": "services",
                "type": "file",
                "include": [self.glob],
                "start_at": "beginning",
                "reconcile": "40ms",
                "quiet": "60ms",
            }
        )
        self.task = asyncio.create_task(FileSource(config, self.intake, b"k" * 32).run(False))

    async def stop(self) -> None:
        task, self.task = self.task, None
        if task is None:
            return
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])

    async def caught_up(self) -> None:
        if self.task is None:
            self.start()
        if self.open_line:
            self.write(b"\n")
            self.open_line = False
        task = self.task
        assert task is not None
        await until(
            lambda: task.result() if task.done() else set(self.intake.marks) == set(self.planted),
            lambda: f"missing {sorted(set(self.planted) - set(self.intake.marks))}",
        )

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def mark(self) -> bytes:
        self.planted.append(len(self.planted))
        return b"<%d>" % self.planted[-1]

    async def append(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            padding = bytes(self.random.choices(b"abc \0\xff", k=self.random.choice([0, 3, 50, 700, 20_000])))
            self.write(b"%d %s %s\n" % (self.random.random() * 1e9, padding, self.mark()))
            self.open_line = False

    async def append_open(self) -> None:
        self.write(b"half %d %s" % (self.random.random() * 1e9, self.mark()))
        self.open_line = True

    async def append_long(self) -> None:
        self.write(b"z" * self.random.choice([500_000, 1_200_000]) + self.mark() + b"\n")
        self.open_line = False

    def _shift(self, compress: bool) -> None:
        for number in range(12, 0, -1):
            for end in ("", ".gz"):
                old = self.log.with_name(f"app.log.{number}{end}")
                if old.exists():
                    old.rename(self.log.with_name(f"app.log.{number + 1}{end}"))
        second = self.log.with_name("app.log.2")
        if compress and second.exists():
            status = second.stat()
            target = self.log.with_name("app.log.2.gz")
            target.write_bytes(gzip.compress(second.read_bytes()))
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            second.unlink()

    async def rename(self) -> None:
        await asyncio.sleep(0.011)  # two files do not share one tick of the file system's clock
        self._shift(compress=self.random.random() < 0.3 and self.task is None)
        self.log.rename(self.log.with_name("app.log.1"))
        old, self.writer = self.writer, self.log.open("ab", buffering=0)
        if self.random.random() < 0.3:
            old.write(b"late %s\n" % self.mark())  # the service reopens a little later
        old.close()
        self.open_line = False
        self.write(b"first of %d %s\n" % (self.random.random() * 1e9, self.mark()))

    async def copytruncate(self) -> None:
        await self.caught_up()
        await self.settled()
        await asyncio.sleep(0.011)
        self._shift(compress=False)
        shutil.copyfile(self.log, self.log.with_name("app.log.1"))
        os.truncate(self.log, 0)

    async def settled(self) -> None:
        """Not only scanned but committed, as far as whole lines go."""
        size = self.log.stat().st_size
        await until(lambda: any(state["offset"] == size for state in self.intake.files()) or not size)

    async def recreate(self) -> None:
        await self.caught_up()
        self.writer.close()
        self.log.unlink()
        if self.random.random() < 0.5:
            await asyncio.sleep(0.05)
        self.writer = self.log.open("ab", buffering=0)
        # What is rotated away before the monitor ever met it is beyond any reader.
        await self.append()
        await self.caught_up()

    async def restart(self) -> None:
        await self.stop()
        if self.random.random() < 0.7:
            self.start()

    async def pause(self) -> None:
        await asyncio.sleep(self.random.choice([0.0, 0.001, 0.01, 0.1]))

    async def play(self, steps: int) -> None:
        actions = {
            self.append: 8,
            self.append_open: 2,
            self.append_long: 1,
            **dict.fromkeys(self.rotations, 4),
            self.recreate: 1,
            self.restart: 3,
            self.pause: 5,
        }
        await self.append()
        await self.caught_up()  # what is rotated away before the very first start is none of ours
        await self.settled()
        for action in self.random.choices(list(actions), list(actions.values()), k=steps):
            await action()
        await self.caught_up()
        await self.stop()
        self.writer.close()


@pytest.mark.parametrize("seed", range(12))
async def test_every_mark_is_found_under_one_identity(seed: int, tmp_path: Path) -> None:
    history = History(seed, tmp_path)
    try:
        await history.play(40)
    finally:
        await history.stop()
        history.writer.close()
    if len(history.rotations) == 1:
        assert history.intake.marks == sorted(history.planted)
    assert not history.intake.lost


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1000, 1300))
async def test_many_histories(seed: int, tmp_path: Path) -> None:
    await test_every_mark_is_found_under_one_identity(seed, tmp_path)
