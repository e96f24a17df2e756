"""`monitor mask` beside `monitor scan` on the same bytes, and what it adds to a line on its way through.

    python -m benchmarks.mask [--size 1G] [--logs FOLDER] [--rounds 3] [--lines 300]

CPU time of the whole process, start included, by turns, of several rounds the least: budget ≥ 0.7 of the throughput of
`scan`. What `cat` takes to fill the pipe is not counted. The delay is wall time, from just before a line is written to
the pipe until it is read behind it, line after line, every tenth with a secret: budget ≤ 50 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import loggen
from benchmarks.__main__ import command, measure, repeated
from detectors.rules.template import expand

_MONITOR = (sys.executable, "-m", "monitor")


def through(folder: Path, logs: Path, out: Path) -> float:
    """All files of `logs` through one pipe, as `cat logs/* | monitor mask > out`; the CPU seconds of the latter."""
    line = (*_MONITOR, "mask", "--quiet", "--config", str(folder / "config.toml"))
    with subprocess.Popen(("cat", *sorted(logs.iterdir())), stdout=subprocess.PIPE) as source, out.open("wb") as target:
        process = subprocess.Popen(line, stdin=source.stdout, stdout=target)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"monitor mask ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def delays(folder: Path, lines: int) -> list[float]:
    """Seconds that each of `lines` lines took through `monitor mask`, in order; fails when one is not as it should be."""
    rng = random.Random(1)
    out = []
    line = (*_MONITOR, "mask", "--quiet", "--config", str(folder / "config.toml"))
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(-1, lines):  # the first one waits for the start
            secret = expand("ghp_{alnum:30}{crc32}", number) if number % 10 == 0 else "none"
            text = b"2026-11-02T14:03:08Z WARN request %d refused, token=%b\n" % (number, secret.encode())
            began = time.perf_counter()
            with contextlib.suppress(BrokenPipeError):  # of one that has ended nothing can be read either
                process.stdin.write(text)
            came = b""
            while not came.endswith(b"\n"):
                if not (piece := process.stdout.read(1 << 16)):
                    raise SystemExit(f"monitor mask ended with {process.wait()}")
                came += piece
            if number >= 0:
                out.append(time.perf_counter() - began)
            if (came == text) is not (secret == "none"):
                raise AssertionError(f"line {number} is not masked as it should be")
            time.sleep(rng.uniform(0.0, 0.1))
        process.stdin.close()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mask", description=__doc__)
    parser.add_argument("--size", default="1G", help="bytes of log text (default 1G)")
    parser.add_argument(
        "--logs", type=Path, help="a folder of real logs, repeated to that size, instead of generated ones"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--lines", type=int, default=300, help="lines whose delay is measured (default 300)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder, logs = Path(name), Path(name) / "logs"
        logs.mkdir()
        (folder / "config.toml").write_text('[monitor]\nstate_dir = "."\nworkers = 1\n[http]\nlisten = ""\n')
        if options.logs:
            repeated(options.logs, loggen.size(options.size), logs)
        else:
            loggen.generate(loggen.size(options.size), logs / "app.log")
        size = sum(path.stat().st_size for path in logs.iterdir())
        config = str(folder / "config.toml")
        scan = partial(command, *_MONITOR, "scan", "--config", config, str(logs), folder=folder, ok=(0, 1))
        scan()  # page cache, and the rules compiled

        scanned = masked = float("inf")
        for _ in range(options.rounds):
            scanned = min(scanned, measure(scan)[1])
            masked = min(masked, through(folder, logs, Path(os.devnull)))
        print(
            f"{size / 1e6:,.0f} MB: `monitor scan` {scanned:.2f} s of CPU, `cat | monitor mask` {masked:.2f} s, "
            f"{scanned / masked:.2f} of its throughput"
        )
        times = sorted(delays(folder, options.lines))
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    print(
        f"line in → line out, {len(times)} lines: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, longest {times[-1] * 1e3:.1f} ms"
    )


if __name__ == "__main__":
    main()
