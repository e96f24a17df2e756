"""Random histories of a log against a model: every mark written is found, each under one identity."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
from pathlib import Path

import pytest

from monitor.sources.file import source, tracked_file
from tests.fakes import history as hosts
from tests.fakes.intake import MortalIntake
from tests.fakes.mortal import Mortal

AT_ONCE = 12  # histories
FEW = (b"abc \0\xff" * 43)[:256]  # each byte to one of six


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits half a minute for the last word of an open line, or for what an empty log begins with."""
    monkeypatch.setattr(source, "OPEN", 0.1)
    monkeypatch.setattr(tracked_file, "HOPE", 0.3)


class History(Mortal):
    """What a service, logrotate and an unkind fate do to a log, and to the monitor."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "app.log"
        # As logrotate is set up for a log. What does both is found too, but perhaps twice.
        kinds = [[self.rename], [self.copytruncate], [self.rename, self.copytruncate], [self.flip], [self.overwrite]]
        self.rotations = self.random.choice([*kinds, [self.rename]])
        include = self.random.choice([str(self.log), f"{self.log}*", f"{folder}/**/app.log"])
        super().__init__([include], MortalIntake(self.random.choice([0.0, 0.02, 0.1])))
        self.kills = 0
        self.open_line = False
        self.targets = 0
        if self.rotations == [self.flip]:
            (folder / "real").mkdir()
            self.writer = self._target().open("ab", buffering=0)
            self.log.symlink_to(self._target())
        else:
            self.writer = self.log.open("ab", buffering=0)

    def _target(self) -> Path:
        return self.folder / f"real/{self.targets}.log"

    async def caught_up(self) -> None:
        if self.open_line:
            self.write(b"\n")
            self.open_line = False
        await self.all_found()

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def append(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            padding = self.random.randbytes(self.random.choice([0, 3, 50, 700, 20_000])).translate(FEW)
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
        await self.waits(
            lambda: any(state["offset"] == size for state in self.intake.files()) or not size, lambda: "not settled"
        )

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

    async def flip(self) -> None:
        """The link is turned to another file; what the old one still gets is read, too."""
        await self.caught_up()
        await self.settled()
        old = self.writer
        self.targets += 1
        self.writer = self._target().open("ab", buffering=0)
        self.write(b"first of %d %s\n" % (self.random.random() * 1e9, self.mark()))
        link = self.folder / "next"
        link.symlink_to(self._target())
        link.rename(self.log)
        if self.random.random() < 0.5:
            old.write(b"late %s\n" % self.mark())
        old.close()
        await self.caught_up()
        await self.settled()

    async def overwrite(self) -> None:
        """A job that writes its log anew, with the same ends and of the same size, sometimes to another inode."""
        await self.caught_up()
        await self.settled()
        await asyncio.sleep(0.011)
        padding = b"ten bytes\n" * self.random.choice([30, 300, 3000])
        for _ in range(2):
            text = padding + b"<%06d>\n" % int(self.mark()[1:-1]) + padding
            if self.random.random() < 0.5:
                self.writer.close()
                (self.folder / "new").write_bytes(text)
                (self.folder / "new").rename(self.log)
                self.writer = self.log.open("ab", buffering=0)
            else:
                os.truncate(self.log, 0) if self.log.stat().st_size != len(text) else None
                with self.log.open("r+b", buffering=0) as file:
                    file.write(text)
            await self.caught_up()
            await self.settled()
            await asyncio.sleep(0.011)

    async def restart(self) -> None:
        await self.stop()
        if self.random.random() < 0.7:
            self.start()

    async def kill(self) -> None:
        """After so many more transactions, whenever they come."""
        self.kills += 1
        self.intake.left = self.random.randrange(4)

    async def revive(self) -> None:
        await self.tick()

    async def pause(self) -> None:
        await asyncio.sleep(self.random.choice([0.0, 0.001, 0.01, 0.1]))

    async def play(self, steps: int) -> None:
        actions = {
            self.append: 8,
            self.append_open: 2,
            self.append_long: 1,
            **dict.fromkeys(self.rotations, 4),
            # Where it is a link, its target is what the service writes to.
            **({} if self.rotations == [self.flip] else {self.recreate: 1}),
            self.restart: 2,
            self.kill: 4,
            self.revive: 3,
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


async def play(seed: int, folder: Path, steps: int) -> str | None:
    """What went wrong, if anything did."""
    history = History(seed, folder)
    try:
        await history.play(steps)
    except AssertionError as error:
        return f"seed {seed} ({history.rotations[0].__name__}, {history.include}): {error}"
    finally:
        await history.stop()
        history.writer.close()
    found = history.intake.marks
    # Of what came and went before anyone looked nobody can know how much it was, if any.
    lost = [entry for entry in history.intake.lost if entry[1]]
    if set(found) - set(history.planted) or lost:
        return f"seed {seed}: {sorted(set(found) - set(history.planted))} were never written, {lost} counted as lost"
    # A content that was overwritten is told by a new identity at times: read again, not lost.
    if len(history.rotations) == 1 and history.rotations != [history.overwrite] and found != sorted(history.planted):
        twice = sorted(
            f"<{seen.mark}> at {offset} of {generation} in {os.path.basename(seen.path)}"
            for (generation, offset, _), seen in history.intake.found.items()
            if found.count(seen.mark) > 1
        )
        return f"seed {seed} ({history.rotations[0].__name__}, {history.include}): under different identities: {twice}"
    shutil.rmtree(folder)
    return None


async def play_many(seeds: range, folder: Path, steps: int) -> list[str]:
    """Many at once: they mostly wait."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> str | None:
        async with room:
            return await play(
                seed, folder / str(seed) / "logs", steps
            )  # apart: logs may be rotated into a folder beside theirs

    return [wrong for wrong in await asyncio.gather(*(one(seed) for seed in seeds)) if wrong]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100, 25))
async def test_every_mark_is_found_under_one_identity(first: int, tmp_path: Path) -> None:
    assert not await play_many(range(first, first + 25), tmp_path, 25)


@pytest.mark.campaign
@pytest.mark.parametrize("first", [100, *range(1000, 3000, 100)])
async def test_many_histories(first: int, tmp_path: Path) -> None:
    assert not await play_many(range(first, first + 100), tmp_path, 40)


async def play_host(seed: int, folder: Path, steps: int) -> str | None:
    """Several logs at once, each rotated as it is set up; what went wrong, if anything did."""
    host = hosts.History(seed, folder)
    try:
        await host.play(steps)
        wrong = host.wrong()
    except AssertionError as error:
        wrong = str(error)
    finally:
        await host.stop()
        host.close()
    shutil.rmtree(folder)
    return wrong and f"seed {seed}, {host}, {host.done[-10:]}: {wrong}"


async def play_hosts(seeds: range, folder: Path, steps: int) -> list[str]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> str | None:
        async with room:
            return await play_host(seed, folder / str(seed) / "logs", steps)

    return [wrong for wrong in await asyncio.gather(*(one(seed) for seed in seeds)) if wrong]


@pytest.mark.slow
async def test_every_mark_of_several_logs_is_found_under_one_identity(tmp_path: Path) -> None:
    assert not await play_hosts(range(25), tmp_path, 30)


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(5000, 7000, 100))
async def test_many_histories_of_several_logs(first: int, tmp_path: Path) -> None:
    assert not await play_hosts(range(first, first + 100), tmp_path, 40)
