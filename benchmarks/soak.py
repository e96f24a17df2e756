"""A long run under load: many files that are written and rotated all the time, and what the monitor holds meanwhile.

    python -m benchmarks.soak [--seconds 1200] [--rate 50] [--files 200]

Writes `rate` MB/s of generated logs over the files, two secrets a second among them, and renames each file at `size`
bytes; of what was renamed the last two are kept. Prints memory, descriptors, processor and what is unread every
ten seconds; then how memory and descriptors moved after the first minute, secrets missing, bytes lost, and delays.
Exits 1 when a secret is missing, or more than a tenth of memory or descriptors came on top after the first minute.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks import loggen
from benchmarks.daemon import KEY, daemon, receiver
from benchmarks.idle import resident, spent
from detectors.fingerprint import fingerprint
from detectors.rules.template import expand

CONFIG = """
[[sources]]
name = "logs"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "100000/1m"
"""
TICK = 0.05  # seconds between writes
PIECE = 128 << 10  # bytes of one write
SECRETS = 2.0  # a second
SAMPLE = 10.0  # seconds between looks
WARM = 60.0  # seconds after which memory and descriptors are to stay where they are
MORE = 0.1  # share of both that may come on top
KEPT = 2  # renamed files of each log
PATIENCE = 60.0  # seconds for the last secrets


@dataclass(frozen=True, slots=True)
class Sample:
    """`at`: seconds since the start; `memory`: MiB; `cpu`: share of a core since the sample before."""

    at: float
    memory: float
    descriptors: int
    cpu: float
    unread: int
    lag: float


@dataclass(slots=True)
class Load:
    """What is written. `tick` is for a thread."""

    folder: Path
    files: int
    size: int
    text: bytes
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    written: int = 0
    rotations: int = 0
    planted: dict[str, float] = field(default_factory=dict)  # fingerprint → when it was written
    _open: dict[int, BinaryIO] = field(default_factory=dict)
    _turn: int = 0

    def tick(self, amount: int, secrets: int) -> None:
        """So many bytes to the next few files, with new secrets in them."""
        piece = min(PIECE, self.size // 8)  # a file that is renamed before it was ever seen is another matter
        share = max(1, min(self.files, amount // piece))
        for number in range(share):
            start = self.text.find(b"\n", self.rng.randrange(len(self.text) // 2)) + 1
            end = self.text.rfind(b"\n", start, start + amount // share) + 1
            data = self.text[start:end]
            if number < secrets:
                data += self._secret()
            self._write(self._turn % self.files, data)
            self._turn += 1

    def _secret(self) -> bytes:
        value = expand("ghp_{alnum:30}{crc32}", len(self.planted))
        self.planted[fingerprint(KEY.encode(), value.encode())] = time.perf_counter()
        return f"2026-11-02T14:03:08Z WARN refused token={value}\n".encode()

    def _write(self, number: int, data: bytes) -> None:
        path = self.folder / f"service-{number}.log"
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = path.open("ab", buffering=0)
        file.write(data)
        self.written += len(data)
        if file.tell() < self.size:
            return
        file.close()
        del self._open[number]
        for age in range(KEPT, 0, -1):
            old = path if age == 1 else path.with_name(f"{path.name}.{age - 1}")
            with contextlib.suppress(FileNotFoundError):
                os.replace(old, path.with_name(f"{path.name}.{age}"))
        self.rotations += 1

    def close(self) -> None:
        for file in self._open.values():
            file.close()


def status(folder: Path) -> dict[str, Any]:
    """What the daemon says of its one source."""
    address = re.findall(r'"http": "(http://[^"]+)"', (folder / "stderr").read_text())[-1]
    with urllib.request.urlopen(f"{address}/status", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)["sources"][0]
    return found


async def write(load: Load, rate: float, seconds: float) -> None:
    """At this many bytes a second; what one tick is late by the next ones make up for, if they can."""
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        amount = min(int(rate * (passed + TICK)) - load.written, int(4 * rate * TICK))
        due = int(SECRETS * passed) - sent
        if amount > 0:
            await asyncio.to_thread(load.tick, amount, due)
            sent += due
        await asyncio.sleep(max(0.0, began + passed + TICK - time.monotonic()))


async def watch(folder: Path, pid: int, samples: list[Sample]) -> None:
    """A sample every ten seconds until cancelled."""
    began, before, last = time.monotonic(), spent(pid), time.monotonic()
    while True:
        await asyncio.sleep(SAMPLE)
        found = await asyncio.to_thread(status, folder)
        now, used = time.monotonic(), spent(pid)
        cpu, before, last = (used - before) / (now - last), used, now
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        unread, lag = found["behind_bytes"], found["lag_seconds"]
        samples.append(Sample(now - began, resident(pid), descriptors, cpu, unread, lag))
        one = samples[-1]
        print(
            f"{one.at:6.0f} s  {one.memory:6.0f} MiB  {one.descriptors:5d} descriptors  {one.cpu:5.0%} of a core  "
            f"{one.unread / 1e6:8.1f} MB unread for {one.lag:.1f} s",
            flush=True,
        )


def growth(samples: list[Sample]) -> Iterator[tuple[str, float, float]]:
    """Name, level after the first minute (the most of half of what follows), and the most of the rest."""
    steady = [one for one in samples if one.at > WARM]
    half = len(steady) // 2
    if half:
        for name, read in (("memory", lambda one: one.memory), ("descriptors", lambda one: one.descriptors)):
            yield name, max(map(read, steady[:half])), max(map(read, steady[half:]))


@contextlib.asynccontextmanager
async def watched(folder: Path, pid: int, samples: list[Sample]) -> AsyncIterator[None]:
    task = asyncio.create_task(watch(folder, pid, samples))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def measure(folder: Path, *, seconds: float, rate: float, files: int, size: int) -> int:
    logs = folder / "logs"
    logs.mkdir()
    loggen.generate(8 << 20, folder / "text")
    load = Load(logs, files, size, (folder / "text").read_bytes())
    samples: list[Sample] = []
    async with receiver() as (url, arrived), daemon(folder, CONFIG, {"HOOK_URL": url}) as pid:
        began = time.monotonic()
        async with watched(folder, pid, samples):
            await write(load, rate, seconds)
            took = time.monotonic() - began
            for _ in range(int(PATIENCE / 0.1)):
                if load.planted.keys() <= arrived.keys():
                    break
                await asyncio.sleep(0.1)
        lost = (await asyncio.to_thread(status, folder))["lost"]
    load.close()
    return report(load, arrived, samples, took, lost)


def report(
    load: Load, arrived: dict[str, float], samples: list[Sample], took: float, lost: list[dict[str, Any]]
) -> int:
    """Print it; 1 when it was not good."""
    missing = load.planted.keys() - arrived.keys()
    delays = sorted(arrived[known] - at for known, at in load.planted.items() if known in arrived)
    print(
        f"{load.written / 1e9:.2f} GB in {took:.0f} s ({load.written / took / 1e6:.1f} MB/s), {load.rotations} rotations"
    )
    print(f"{len(load.planted)} secrets, {len(missing)} missing, {len(arrived.keys() - load.planted.keys())} spurious")
    sums: dict[tuple[str, str], list[int]] = {}
    for loss in lost:
        sum_ = sums.setdefault((loss["reason"], loss["unit"]), [0, 0])
        sum_[0] += loss["count"]
        sum_[1] += loss["unknown"]
    losses = [f"{reason} {count} {unit}, {more} times nobody knows" for (reason, unit), (count, more) in sums.items()]
    print(f"lost: {'; '.join(losses) or 'nothing'}")
    if delays:
        p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
        print(f"written → webhook: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, longest {delays[-1] * 1e3:.0f} ms")
    bad = bool(missing) or arrived.keys() > load.planted.keys()
    for name, level, most in growth(samples):
        print(f"{name}: {level:.0f} after the first minute, {most:.0f} at most later")
        bad |= most > level * (1 + MORE)
    return int(bad)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--rate", type=float, default=50.0, help="MB/s")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--size", type=float, default=4.0, help="MB at which a file is renamed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = measure(
            Path(folder), seconds=asked.seconds, rate=asked.rate * 1e6, files=asked.files, size=int(asked.size * 1e6)
        )
        sys.exit(asyncio.run(run))


if __name__ == "__main__":
    main()
