"""Random histories of logs: what services, their rotation and an unkind fate do to files, and to the monitor."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.intake import MortalIntake
from tests.fakes.mortal import Mortal

__all__ = ["History", "Log"]

TICK = 0.011  # seconds: two files do not share one tick of the file system's clock
FEW = (b"abc \0\xff" * 43)[:256]  # each byte to one of six
KEPT = 12  # rotated files


@dataclass
class Log:
    """A log and how it is rotated."""

    path: Path
    dated: bool  # rotated to a name that it keeps, not to a number that grows
    compress: str  # never, at once, delayed
    fresh: bool  # compressed by a logger, which gives the archive no time of another file
    how: str  # rename, copy, link, or none: the log is not made before the service comes back to it
    rotations: int = 0
    open_line: bool = False
    writer: int = -1
    first: int | None = None  # the first mark since it was cut off
    numbers: list[int] = field(default_factory=list)  # of the rotated files that are there, the youngest last

    def open(self) -> None:
        self.close()
        self.writer = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def close(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def rotated(self, number: int) -> Path:
        """The path of the rotated file of that number, without the ending of an archive."""
        if self.dated:
            return self.path.with_name(f"{self.path.name}-{20260101 + number}")
        return self.path.with_name(f"{self.path.name}.{self.rotations - number + 1}")

    def shift(self) -> Path:
        """Make room for another rotated file, whose path is returned. What is numbered gets other names."""
        olds = [self.rotated(number) for number in self.numbers]
        self.rotations += 1
        for number, old in zip(self.numbers, olds, strict=True):
            for end in ("", ".gz"):
                place = Path(f"{old}{end}")
                if place.exists() and not self.dated:
                    place.rename(f"{self.rotated(number)}{end}")
        self.numbers.append(self.rotations)
        return self.rotated(self.rotations)

    def squeeze(self, number: int) -> None:
        """Compress a rotated file."""
        place = self.rotated(number)
        if not place.exists():
            return
        status = place.stat()
        archive = Path(f"{place}.gz")
        data = gzip.compress(place.read_bytes())
        if self.fresh:
            part = place.with_name("part")
            part.write_bytes(data)
            part.rename(archive)
        else:
            archive.write_bytes(data[: len(data) // 2])
            archive.write_bytes(data)
            os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
        place.unlink()


def _drained(state: Mapping[str, Any]) -> bool:
    return max(state["offset"], state["flushed"]) >= state["size"]


class History(Mortal):
    """Of some logs in one folder, as a seed has it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        names = self.random.choice([["app.log"], ["app.log", "other.log"], ["app.log", "app-1.log"], ["web", "web.1"]])
        # `web.1` is no name that numbers could be counted up from.
        self.logs = [self._log(folder / name, dated="web" in names) for name in names]
        every = [f"{folder}/{names[0]}*", f"{folder}/{names[-1]}*"]
        include = self.random.choice(
            [[f"{folder}/{name}" for name in names], every, [f"{folder}/**/{name}" for name in names]]
        )
        if "web" in names:
            include = [f"{folder}/{name}" for name in names]
        super().__init__(include, MortalIntake(self.random.choice([0.0, 0.02, 0.1])))
        self.done: list[str] = []

    def _log(self, path: Path, dated: bool) -> Log:
        choose = self.random.choice
        log = Log(
            path,
            dated or choose([True, False]),
            choose(["never", "never", "at once", "delayed"]),
            choose([False, False, True]),
            choose(["rename", "rename", "copy", "link", "none"]),
        )
        log.open()
        return log

    def __str__(self) -> str:
        logs = [
            f"{log.path.name} {log.how} {log.compress} {'dated' if log.dated else 'numbered'} {log.fresh}"
            for log in self.logs
        ]
        return f"{logs} {[os.path.relpath(path, self.folder) for path in self.include]}"

    # What is found

    async def caught_up(self) -> None:
        for log in self.logs:
            if log.open_line:
                os.write(log.writer, b"\n")
                log.open_line = False
        await self.all_found()

    async def settled(self) -> None:
        """Not only scanned but committed, as far as whole lines go."""
        await self.caught_up()

        def committed() -> bool:
            at = {state["ino"]: state["offset"] for state in self.intake.files()}
            seen = [log.path.stat() for log in self.logs if log.path.exists()]
            return all(at.get(status.st_ino) == status.st_size for status in seen if status.st_size)

        await self.waits(committed, lambda: "not settled")

    async def met(self, log: Log) -> None:
        """Something was read of it: a content that comes and goes in one file unread is beyond any reader."""
        if log.open_line:
            self.write(log, b"\n")
        await self.waits(lambda: log.first is None or log.first in self.intake.marks, lambda: "not met")
        log.first = None

    # What is written

    def write(self, log: Log, data: bytes, *, ends: bool = True) -> None:
        os.write(log.writer, data)
        log.first = self.planted[-1] if log.first is None else log.first
        log.open_line = not ends

    def first(self, log: Log) -> None:
        self.write(log, b"first of %d %s\n" % (self.random.random() * 1e9, self.mark()))

    async def append(self, log: Log) -> None:
        for _ in range(self.random.randint(1, 6)):
            padding = self.random.randbytes(self.random.choice([0, 3, 50, 700, 20_000])).translate(FEW)
            self.write(log, b"%d %s %s\n" % (self.random.random() * 1e9, padding, self.mark()))

    async def append_open(self, log: Log) -> None:
        self.write(log, b"half %d %s" % (self.random.random() * 1e9, self.mark()), ends=False)

    async def append_long(self, log: Log) -> None:
        self.write(log, b"z" * self.random.choice([500_000, 1_200_000]) + self.mark() + b"\n")

    # What becomes of files

    async def rotate(self, log: Log) -> None:
        if log.how == "copy":
            await self.met(log)
        await asyncio.sleep(TICK)
        target = log.shift()
        late = log.how != "copy" and self.random.random() < 0.3
        if log.how == "copy":
            shutil.copyfile(log.path, target)
            os.truncate(log.path, 0)
            log.open_line = False
        else:
            await self._away(log, target, late)
        if log.compress == "at once" and not late:
            log.squeeze(log.numbers[-1])
        elif log.compress != "never":
            for number in log.numbers[:-1]:
                log.squeeze(number)

    async def _away(self, log: Log, target: Path, late: bool) -> None:
        if log.how == "link":
            os.link(log.path, target)
            log.path.unlink()
        else:
            log.path.rename(target)
        old, log.writer, log.open_line = log.writer, -1, False
        if log.how == "none":
            await asyncio.sleep(self.random.choice([0.0, 0.05]))
        if late and log.how == "none":
            os.write(old, b"late %s\n" % self.mark())
        log.open()
        if late and log.how != "none":
            os.write(old, b"late %s\n" % self.mark())  # the service comes back to it a little later
        os.close(old)
        self.first(log)

    async def recreate(self, log: Log) -> None:
        """Deleted and made anew, or another file moved in its place."""
        await self.settled()
        if self.random.random() < 0.5:
            log.close()
            log.path.unlink()
            await asyncio.sleep(self.random.choice([0.0, 0.05]))
            log.open()
            self.first(log)
        else:
            new = log.path.with_name("new")
            new.write_bytes(b"first of %d %s\n" % (self.random.random() * 1e9, self.mark()))
            new.rename(log.path)
            log.open()
        await self.caught_up()

    async def edit(self, log: Log) -> None:
        """Saved by an editor with a line more: another file."""
        await self.settled()
        new = log.path.with_name(".swap")
        new.write_bytes(log.path.read_bytes() + b"edited %d %s\n" % (self.random.random() * 1e9, self.mark()))
        new.rename(log.path)
        log.open()
        await self.settled()

    async def expire(self, log: Log) -> None:
        """The oldest rotated files go. Others get their inodes."""
        await self.settled()
        await self.waits(lambda: all(map(_drained, self.intake.files())), lambda: "not drained")
        if self.random.random() < 0.5:
            await self.stop()
        for number in log.numbers[:-1]:
            for end in ("", ".gz"):
                Path(f"{log.rotated(number)}{end}").unlink(missing_ok=True)
        del log.numbers[:-1]

    async def renumber(self, log: Log) -> None:
        """Restored on another disk: other numbers of device and inode, also those of other files."""
        await self.settled()
        await self.stop()
        saved = {key: dict(state) for key, state in self.intake.saved.items() if not key.startswith("@")}
        inodes = [state["ino"] for state in saved.values()]
        self.random.shuffle(inodes)
        other = self.random.random() < 0.5
        for state, number in zip(saved.values(), inodes, strict=True):
            state["ino"], state["dev"] = (state["ino"], state["dev"] + 1) if other else (number, state["dev"])
        self.intake.saved |= saved

    # The monitor's fate

    async def restart(self, log: Log) -> None:
        await self.stop()
        if self.random.random() < 0.7:
            self.start()

    async def kill(self, log: Log) -> None:
        """After so many more transactions, whenever they come."""
        self.intake.left = self.random.randrange(4)

    async def revive(self, log: Log) -> None:
        await self.tick()

    async def pause(self, log: Log) -> None:
        await asyncio.sleep(self.random.choice([0.0, 0.001, 0.01, 0.1]))

    async def play(self, steps: int) -> None:
        actions: dict[Callable[[Log], Awaitable[None]], int] = {
            self.append: 8,
            self.append_open: 2,
            self.append_long: 1,
            self.rotate: 5,
            self.recreate: 1,
            self.edit: 1,
            self.expire: 1,
            self.renumber: 1,
            self.restart: 2,
            self.kill: 4,
            self.revive: 3,
            self.pause: 5,
        }
        for log in self.logs:
            await self.append(log)
        await self.settled()  # what is rotated away before the very first start is none of ours
        for action in self.random.choices(list(actions), list(actions.values()), k=steps):
            log = self.random.choice(self.logs)
            self.done.append(f"{action.__name__} {log.path.name} {len(self.planted)}")
            await action(log)
        await self.caught_up()
        await self.stop()

    def close(self) -> None:
        for log in self.logs:
            log.close()

    def wrong(self) -> str | None:
        """What is not as it should be, once it was played."""
        found = self.intake.marks
        # Of what came and went before anyone looked nobody can know how much it was, if any.
        lost = [entry for entry in self.intake.lost if entry[1] and entry[0] != "truncated"]
        if set(found) - set(self.planted) or lost:
            return f"{sorted(set(found) - set(self.planted))} were never written, {lost} counted as lost"
        if found != sorted(self.planted):
            twice = sorted(
                f"<{seen.mark}> at {offset} of {generation} in {os.path.basename(seen.path)}"
                for (generation, offset, _), seen in self.intake.found.items()
                if found.count(seen.mark) > 1
            )
            return f"under different identities: {twice}"
        return None
