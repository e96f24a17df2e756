"""What a service and its rotation do to log files, operation by operation; knows which secret lies in which inode."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
from pathlib import Path
from typing import Any

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from tests.acceptance.harness import KEY
from tests.acceptance.wrappings import ENCODINGS, LOGGERS, written
from tests.monitor.sources.test_unwrap import cri, docker

__all__ = ["Files"]

_HEAD, _TAIL, _SLOTS = 2000, 600, 3  # of the log of a job: what stays the same, and secrets between


class Files:
    """Paths are relative to `folder`. Each `do_…` is an operation of a plan."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.random = random.Random(name)
        self.values: dict[int, str] = {}  # number → secret, once it is written
        self.prints: dict[str, int] = {}  # fingerprint → number
        self.inodes: dict[int, int] = {}  # number → inode it was written to
        self.written = 0.0
        self._handles: dict[str, int] = {}
        self._sizes: dict[str, int] = {}  # path → size before it was cut
        self._runtime = ""  # of the containers whose lines these are
        self._logger = False  # whether lines are as loggers write them
        self._rest = b""  # of a line that was begun
        for place in ("logs/old", "real", "archive"):
            (folder / place).mkdir(parents=True)

    def close(self) -> None:
        for handle in self._handles.values():
            os.close(handle)

    def secret(self, number: int, *, growing: bool = False) -> bytes:
        """The secret of that number. `growing`: one whose beginnings are secrets, too."""
        form = "acme_{lower:20}{digit:12}" if growing else "ghp_{alnum:30}{crc32}"
        value = expand(form, f"{self.name}-{number}")
        self.values[number] = value
        self.prints[fingerprint(KEY.encode(), value.encode())] = number
        return value.encode()

    def _filler(self, size: int) -> bytes:
        line = b"%08x INFO request done in %d ms\n" % (self.random.getrandbits(32), self.random.randrange(1000))
        return (line * (size // len(line) + 1))[:size]

    def _line(self, number: int, *, growing: bool = False) -> bytes:
        if self._logger:
            message = f"token {self.secret(number).decode()} refused"
            text = written(self.random.choice([*LOGGERS]), message, "user", "ada")
            inner, outer = (self.random.choice([*ENCODINGS]) for _ in range(2))
            # The one in the other is documented as not found.
            outer = "json" if {inner, outer} <= {"base64", "hex"} else outer
            return ENCODINGS[outer](ENCODINGS[inner](text)).encode()
        form = self.random.choice((b'{"level":"error","msg":"token %s refused"}\n', b"ERROR sent with %s at step 3\n"))
        return form % self.secret(number, growing=growing)

    def _write(self, handle: str, data: bytes, numbers: list[int]) -> None:
        descriptor = self._handles[handle]
        inode = os.fstat(descriptor).st_ino
        self.inodes.update(dict.fromkeys(numbers, inode))
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def _wrapped(self, line: bytes) -> bytes:
        """As the runtime writes it, which cuts long lines, and some others as the writer flushes them."""
        if not self._runtime:
            return line + b"\n"
        size = 16 << 10 if self.random.random() < 0.7 else self.random.randrange(40, 400)
        pieces = [line[at : at + size] for at in range(0, len(line), size)] or [b""]
        if self._runtime == "cri":
            tags = ["P"] * (len(pieces) - 1) + ["F"]
            return b"".join(cri(piece, tag=tag) for piece, tag in zip(pieces, tags, strict=True))
        texts = [piece.decode() for piece in pieces]
        return b"".join(docker(piece) for piece in [*texts[:-1], f"{texts[-1]}\n"])

    # Files as a whole

    async def do_make(self, path: str, size: int) -> None:
        (self.folder / path).write_bytes(self._filler(size)[:-1] + b"\n" if size else b"")

    async def do_open(self, handle: str, path: str, mode: str) -> None:
        await self.do_close(handle)
        flags = os.O_WRONLY | (os.O_APPEND | os.O_CREAT if mode == "a" else 0)
        self._handles[handle] = os.open(self.folder / path, flags, 0o644)

    async def do_close(self, handle: str) -> None:
        if handle in self._handles:
            os.close(self._handles.pop(handle))

    async def do_rename(self, old: str, new: str) -> None:
        os.rename(self.folder / old, self.folder / new)

    async def do_copy(self, old: str, new: str) -> None:
        shutil.copyfile(self.folder / old, self.folder / new)

    async def do_truncate(self, path: str, size: int) -> None:
        self._sizes["cut"] = (self.folder / path).stat().st_size
        os.truncate(self.folder / path, size)

    async def do_symlink(self, target: str, link: str) -> None:
        fresh = self.folder / f"{link}.new"
        fresh.symlink_to(self.folder / target)
        os.replace(fresh, self.folder / link)

    async def do_gzip(self, path: str) -> None:
        source = self.folder / path
        part = source.with_name(source.name + ".gz.part")
        part.write_bytes(gzip.compress(source.read_bytes()))
        os.rename(part, source.with_name(source.name + ".gz"))
        source.unlink()

    async def do_age(self, path: str, seconds: int) -> None:
        place = self.folder / path
        before = place.stat().st_mtime - seconds
        os.utime(place, (before, before))

    async def do_zeros(self, path: str, size: int) -> None:
        with (self.folder / path).open("wb") as file:
            if size % 3:  # either way a service may do it
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.write(bytes(size))

    async def do_reuse(self, path: str, size: int) -> None:
        """Another file of `size` at the path, with the inode of the one that was there, where the system gives it."""
        place = self.folder / path
        wanted = place.stat().st_ino
        place.unlink()
        tried: list[Path] = []
        for n in range(2000):
            fresh = self.folder / f"fresh-{n}"
            fresh.touch()
            if fresh.stat().st_ino == wanted:
                break
            tried.append(fresh)
        fresh.write_bytes(self._filler(size)[:-1] + b"\n" if size else b"")
        os.rename(fresh, place)
        for other in tried:
            other.unlink(missing_ok=True)

    # What is written

    async def do_put(self, handle: str, numbers: list[int], how: dict[str, Any]) -> None:
        """Lines with these secrets among others; in two pieces when `how` has a `cut` (share) and a `pause` (s)."""
        lines: list[bytes] = []
        for number in numbers:
            lines += self._filler(self.random.choice((0, 0, 90, 700))).split(b"\n")
            lines += self._line(number).splitlines()
        data = b"".join(map(self._wrapped, lines))
        cut = int(len(data) * how.get("cut", 1.0))
        self._write(handle, data[:cut], numbers)
        if cut < len(data):
            await asyncio.sleep(how.get("pause", 0.0))
            self._write(handle, data[cut:], numbers)

    async def do_runtime(self, name: str) -> None:
        """From now on lines are those of a container: "cri" or "docker"."""
        self._runtime = name

    async def do_loggers(self) -> None:
        """From now on lines are as loggers write them, many in colour, in up to two encodings one in another."""
        self._logger = True

    async def do_lines(self, handle: str, count: int, size: int) -> None:
        """So many lines with nothing in them, of up to `size` bytes."""
        for _ in range(0, count, 1000):
            lines = [self._filler(self.random.randrange(1, size)).replace(b"\n", b" ") for _ in range(min(1000, count))]
            self._write(handle, b"".join(map(self._wrapped, lines)), [])
            await asyncio.sleep(0)

    async def do_half(self, handle: str, numbers: list[int]) -> None:
        """A line that stops within a secret."""
        data = b"ERROR sent with " + self.secret(numbers[0]) + b" at step 3\n"
        cut = 16 + self.random.randrange(1, 40)
        self._rest = data[cut:]
        self._write(handle, data[:cut], numbers)

    async def do_rest(self, handle: str) -> None:
        self._write(handle, self._rest, [])

    async def do_part(self, handle: str, numbers: list[int], pause: float) -> None:
        """A line that stops within a secret whose beginning looks like one."""
        data = b"ERROR sent with " + self.secret(numbers[0], growing=True)
        cut = len(data) - self.random.randrange(1, 14)
        self._write(handle, data[:cut], numbers)
        await asyncio.sleep(pause)
        self._write(handle, data[cut:] + b"\n", numbers)

    async def do_line(self, handle: str, numbers: list[int], megabytes: int) -> None:
        """One line of so many MB with these secrets in it."""
        noise = b"x" * 61 + b" " + b"y" * 65
        spots = sorted(self.random.randrange(megabytes * 8) for _ in numbers)
        waiting = list(zip(spots, numbers, strict=True))
        for eighth in range(megabytes * 8):
            here = [number for spot, number in waiting if spot == eighth]
            secrets = b"".join(b" %s " % self.secret(number) for number in here)
            self._write(handle, noise * 512 + secrets + noise * 512, here)
            if eighth % 8 == 0:
                await asyncio.sleep(0)
        self._write(handle, b"\n", [])

    async def do_regrow(self, handle: str, numbers: list[int]) -> None:
        """At once more than was there before it was cut."""
        text = b"".join(self._line(number) for number in numbers)
        room = self._sizes["cut"] + self.random.randrange(5000)
        before = self.random.randrange(room)
        self._write(handle, self._filler(before) + b"\n" + text + self._filler(room - before) + b"\n", numbers)

    async def do_job(self, path: str, numbers: list[int], how: str) -> None:
        """The log of a job with these secrets: always of the same size, head and tail; new, in place, or by rename."""
        fixed = random.Random(self.name)
        head = b"".join(b"%032x\n" % fixed.getrandbits(128) for _ in range(_HEAD // 33))
        tail = b"".join(b"%032x\n" % fixed.getrandbits(128) for _ in range(_TAIL // 33))
        slots: list[bytes] = [self.secret(number) for number in numbers]
        slots += [b"-" * 40] * (_SLOTS - len(slots))
        self.random.shuffle(slots)
        data = head + b"".join(b"token %s refused\n" % slot for slot in slots) + tail
        place = self.folder / path
        target = place.with_name(place.name + ".part") if how == "replace" else place
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            self.inodes.update(dict.fromkeys(numbers, os.fstat(descriptor).st_ino))
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)
        if how == "replace":
            os.replace(target, place)
