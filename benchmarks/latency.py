"""From a line in a followed file to the webhook's receiver, among many files at rest.

    python -m benchmarks.latency [--quiet 1000] [--writes 200]

Wall time: from just before write(2) to the request's last byte in the receiver. Budget: p50 ≤ 25 ms, p99 ≤ 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from benchmarks.daemon import KEY, daemon, receiver
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


async def measure(folder: Path, *, quiet: int, writes: int, pause: float = 0.05) -> list[float]:
    """Seconds each of `writes` secrets took to arrive, in the order they were written; fails when one does not.

    They go to `quiet + 1` files in turn, `pause` seconds apart on average.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    files = [logs / f"service-{number}.log" for number in range(quiet + 1)]
    for path in files:
        path.write_text("2026-11-02T14:03:07Z INFO started\n")
    async with receiver() as (url, arrived), daemon(folder, CONFIG, {"HOOK_URL": url}):
        rng = random.Random(1)
        written: dict[str, float] = {}
        await asyncio.sleep(2.0)  # the files are found and read to their ends
        for number in range(writes):
            secret = expand("ghp_{alnum:30}{crc32}", number)
            line = f"2026-11-02T14:03:08Z WARN refused token={secret}\n".encode()
            with rng.choice(files).open("ab", buffering=0) as file:
                written[fingerprint(KEY.encode(), secret.encode())] = time.perf_counter()
                file.write(line)
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
        deadline = time.monotonic() + 60
        while missing := written.keys() - arrived.keys():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(missing)} of {writes} secrets did not arrive")
            await asyncio.sleep(0.01)
    if extra := arrived.keys() - written.keys():
        raise AssertionError(f"{len(extra)} secrets arrived that nobody wrote")
    return [arrived[key] - start for key, start in written.items()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--quiet", type=int, default=1000, help="files at rest beside the one written to")
    parser.add_argument("--writes", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = sorted(asyncio.run(measure(Path(folder), quiet=options.quiet, writes=options.writes)))
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    print(
        f"line written → webhook received, {options.writes} writes, {options.quiet:,} other files followed: "
        f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, longest {times[-1] * 1e3:.1f} ms"
    )


if __name__ == "__main__":
    main()
