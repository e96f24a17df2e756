"""From a line in a followed file to the webhook's receiver, among many files at rest.

    python -m benchmarks.latency [--quiet 1000] [--writes 200] [--beside 20]

Wall time: from just before write(2) to the request's last byte in the receiver. Budget: p50 ≤ 25 ms, p99 ≤ 100 ms.
`--beside`: so many MB/s of generated logs are written to other followed files at the same time. What the daemon takes
of a processor for each write is printed too: other work on the machine changes that least.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import loggen
from benchmarks.daemon import KEY, daemon, receiver
from benchmarks.idle import spent
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


_BESIDE, _TICK = 20, 0.02  # files that are written to beside; seconds


@contextmanager
def writing(folder: Path, rate: float) -> Iterator[list[int]]:
    """Writes `rate` bytes a second of generated logs to files of `folder` until the block ends; how many it came to."""
    written, ended = [0], threading.Event()
    if not rate:
        yield written
        return
    text = folder.parent / "text"
    loggen.generate(8 << 20, text)
    lines, at = text.read_bytes().splitlines(keepends=True), 0
    files = [(folder / f"beside-{number}.log").open("ab", buffering=0) for number in range(_BESIDE)]

    def write() -> None:
        nonlocal at
        began, turn = time.monotonic(), 0
        while not ended.wait(_TICK):
            piece, due = bytearray(), rate * (time.monotonic() - began) - written[0]
            while len(piece) < min(due, 4 * rate * _TICK):
                piece += lines[at % len(lines)]
                at += 1
            files[turn % _BESIDE].write(piece)
            turn += 1
            written[0] += len(piece)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join()
        for file in files:
            file.close()


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + number // 26**place % 26) for place in (2, 1, 0))


async def measure(
    folder: Path, *, quiet: int, writes: int, pause: float = 0.05, beside: float = 0.0, cost: list[float] | None = None
) -> list[float]:
    """Seconds each of `writes` secrets took to arrive, in the order they were written; fails when one does not.

    They go to `quiet + 1` files in turn, `pause` seconds apart on average, while `beside` bytes a second go to others.
    `cost` gets the seconds of a processor that the daemon took meanwhile, and the bytes a second that came of `beside`.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    files = [logs / f"service-{number}.log" for number in range(quiet + 1)]
    for path in files:
        path.write_text("2026-11-02T14:03:07Z INFO started\n")
    async with receiver() as (url, arrived), daemon(folder, CONFIG, {"HOOK_URL": url}) as pid:
        rng = random.Random(1)
        written: dict[str, float] = {}
        await asyncio.sleep(2.0)  # the files are found and read to their ends
        with writing(logs, beside) as others:
            before, began = spent(pid), time.monotonic()
            for number in range(writes):
                secret = expand("ghp_{alnum:30}{crc32}", number)
                # What keeps coming under one name is told in one thread from the sixth on, at its leisure.
                name = _letters(number // 5)
                line = f"2026-11-02T14:03:08Z WARN refused {name}_token={secret}\n".encode()
                with rng.choice(files).open("ab", buffering=0) as file:
                    written[fingerprint(KEY.encode(), secret.encode())] = time.perf_counter()
                    file.write(line)
                await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
            deadline = time.monotonic() + 300
            while missing := written.keys() - arrived.keys():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(missing)} of {writes} secrets did not arrive")
                await asyncio.sleep(0.01)
            if cost is not None:
                cost += [spent(pid) - before, others[0] / (time.monotonic() - began)]
    if extra := arrived.keys() - written.keys():
        raise AssertionError(f"{len(extra)} secrets arrived that nobody wrote")
    return [arrived[key] - start for key, start in written.items()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--quiet", type=int, default=1000, help="files at rest beside the one written to")
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--beside", type=float, default=0.0, help="MB/s written to other files at the same time")
    options = parser.parse_args()
    cost: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        work = measure(Path(folder), quiet=options.quiet, writes=options.writes, beside=options.beside * 1e6, cost=cost)
        times = sorted(asyncio.run(work))
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    print(
        f"line written → webhook received, {options.writes} writes, {options.quiet:,} other files followed: "
        f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, longest {times[-1] * 1e3:.1f} ms; "
        f"{cost[0] / options.writes * 1e3:.1f} ms of a processor each, {cost[1] / 1e6:.1f} MB/s beside"
    )


if __name__ == "__main__":
    main()
