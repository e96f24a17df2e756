"""What watching costs when nothing happens.

    python -m benchmarks.idle [--files 3000] [--seconds 20]

CPU time (user + system) of the daemon over the span, as a share of one core, and its resident memory at the end.
Budget: ≤ 1 % of a core, ≤ 150 MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from pathlib import Path

from benchmarks.daemon import daemon

CONFIG = """
[[sources]]
name = "logs"
type = "file"
include = ["logs/*/*.log"]
[[sinks]]
name = "out"
type = "console"
"""


def spent(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Its resident memory in MiB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


async def measure(folder: Path, *, files: int, seconds: float, settle: float = 10.0) -> tuple[float, float]:
    """(CPU share of one core, resident MiB) with `files` files at rest."""
    for number in range(files):
        path = folder / f"logs/{number // 100}/service-{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("2026-11-02T14:03:07Z INFO started\n")
    async with daemon(folder, CONFIG) as pid:
        await asyncio.sleep(settle)  # found, opened, read
        before, start = spent(pid), time.monotonic()
        await asyncio.sleep(seconds)
        return (spent(pid) - before) / (time.monotonic() - start), resident(pid)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        share, memory = asyncio.run(measure(Path(folder), files=options.files, seconds=options.seconds))
    print(f"idle, {options.files:,} files over {options.seconds:.0f} s: {share:.2%} of a core, RSS {memory:.0f} MiB")


if __name__ == "__main__":
    main()
