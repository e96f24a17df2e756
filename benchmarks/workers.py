"""What a second worker brings: many files read by one thread and by two, `scan` and the catch-up of `run`.

    python -m benchmarks.workers [--size 2G] [--files 20] [--rounds 5] [--logs FOLDER]

Each is also read by two processes of one thread with half of the files each, which share no lock of Python: as fast as this
machine can be with two. Of several rounds, in which all take their turns, the least of each. What a start with nothing to
read takes is measured as well and taken off in the last three columns. Budget: two workers ≥ 1.8 × one, wall time.

On a machine that is busy with other work wall time says nothing: `chrt -r 10 python -m benchmarks.workers` (as root) goes
before it.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import loggen
from benchmarks.__main__ import measure
from monitor.config.state import DATABASE_FILE

# What is there is found by its folder, so that each process has its half.
CONFIG = """
[monitor]
state_dir = "state-{name}"
workers = {workers}
[http]
listen = ""
[[sources]]
name = "logs"
type = "file"
include = ["{logs}/*.log"]
start_at = "beginning"
[[sinks]]
name = "out"
type = "console"
"""


def fill(folder: Path, size: int, files: int, real: Path | None) -> None:
    """`files` logs of together `size` bytes in folder/0 and folder/1: the same text, begun elsewhere in each."""
    if real is None:
        loggen.generate(min(size // files, loggen.SEGMENT), folder / "text")
        text = (folder / "text").read_bytes()
        (folder / "text").unlink()
    else:
        text = b"".join(path.read_bytes() for path in sorted(real.glob("**/*.log")))
    if not text:
        raise SystemExit(f"{real}: no *.log to repeat")

    for number in range(files):
        path = folder / str(number % 2) / f"{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        at = text.rfind(b"\n", 0, len(text) * number // files) + 1
        part = text[at:] + text[:at]
        with path.open("wb") as file:
            while (left := size // files - file.tell()) > 0:
                file.write(part[:left])


def together(*commands: list[str], folder: Path) -> None:
    """Run them at once to their ends."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    quiet = subprocess.DEVNULL
    running = [subprocess.Popen(line, cwd=folder, env=environment, stdout=quiet, stderr=quiet) for line in commands]
    for line, process in zip(commands, running, strict=True):
        if process.wait() not in (0, 1):
            raise SystemExit(f"{' '.join(line[:5])} ended with {process.returncode}")


def scans(folder: Path) -> dict[str, Callable[[], None]]:
    """`monitor scan` by one thread, by two, as two processes, and of nothing."""
    config = folder / "scan.toml"
    config.write_text(f'[monitor]\nstate_dir = "{folder}/state"\n')
    line = [sys.executable, "-m", "monitor", "scan", "--config", str(config), "--format", "jsonl", "--threads"]
    return {
        "one": partial(together, [*line, "1", "logs"], folder=folder),
        "two": partial(together, [*line, "2", "logs"], folder=folder),
        "apart": partial(together, *([*line, "1", f"logs/{half}"] for half in "01"), folder=folder),
        "start": partial(together, [*line, "1", str(config)], folder=folder),
    }


def runs(folder: Path) -> dict[str, Callable[[], None]]:
    """The same of `monitor run --once` on a new database, which is what it does with a backlog."""

    def anew(*names: str) -> None:
        for name in names:
            for path in (folder / f"state-{name}").glob(f"{DATABASE_FILE}*"):
                path.unlink()
        line = [sys.executable, "-m", "monitor", "run", "--once", "--config"]
        together(*([*line, str(folder / f"{name}.toml")] for name in names), folder=folder)

    ways = {"one": (1, "logs/*"), "two": (2, "logs/*"), "a": (1, "logs/0"), "b": (1, "logs/1"), "start": (1, "none")}
    for name, (workers, logs) in ways.items():
        (folder / f"{name}.toml").write_text(CONFIG.format(name=name, workers=workers, logs=folder / logs))
    (folder / "none").mkdir(exist_ok=True)
    return {**{name: partial(anew, name) for name in ("one", "two", "start")}, "apart": partial(anew, "a", "b")}


def compare(work: dict[str, Callable[[], None]], rounds: int) -> dict[str, tuple[float, float]]:
    """Name → least wall and least CPU seconds."""
    best = dict.fromkeys(work, (math.inf, math.inf))
    for _ in range(rounds):
        for name, call in work.items():
            wall, cpu = measure(call)
            best[name] = min(best[name][0], wall), min(best[name][1], cpu)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--size", default="2G", help="bytes of logs in all (default 2G)")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logs", type=Path, help="real logs, repeated to that size, in place of generated ones")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        fill(folder / "logs", loggen.size(options.size), options.files, options.logs)
        print("| what | one, wall s | two | apart | start | two × one | apart × one | CPU of two |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for title, make in (("`monitor scan`", scans), ("`monitor run --once`", runs)):
            work = make(folder)
            for call in work.values():
                call()  # the page cache, and the caches of the program
            best = compare(work, options.rounds)
            one, two, apart, start = (best[name][0] for name in ("one", "two", "apart", "start"))
            spent = [best[name][1] - best["start"][1] for name in ("one", "two")]
            print(
                f"| {title} | {one:.2f} | {two:.2f} | {apart:.2f} | {start:.2f} | {(one - start) / (two - start):.2f} | "
                f"{(one - start) / (apart - start):.2f} | {spent[1] / spent[0]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
