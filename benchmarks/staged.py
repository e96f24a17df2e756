"""A commit of 100 files as its hook sees it: a line each; modules of Python, a line changed; all of them new.

    python -m benchmarks.staged [--files 100] [--rounds 8]

CPU seconds of the hook and of the git that it starts, the least of the rounds, without a configuration.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, stdout=subprocess.DEVNULL)


def commit_of(folder: Path, files: int, text: Callable[[int], bytes], changed: bytes | None) -> int:
    """Stages so many files, or where `changed` is given a line more in each of them. Bytes of them all."""
    git(folder, "init", "-q")
    size = 0
    for number in range(files):
        size += len(text(number))
        (folder / f"f{number}.py").write_bytes(text(number))
    if changed is not None:
        git(folder, "add", ".")
        git(folder, "commit", "-q", "--no-verify", "-m", "before")
        for path in folder.glob("*.py"):
            path.write_bytes(path.read_bytes() + changed)
    git(folder, "add", ".")
    return size


def seconds(folder: Path, rounds: int) -> float:
    environment = {key: value for key, value in os.environ.items() if key != "MONITOR_CONFIG"}
    command = [str(Path(sys.executable).with_name("monitor")), "hooks", "run", "pre-commit"]
    took = []
    for _ in range(rounds + 1):  # the first one may make what a cache keeps
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode
        if code != 0:
            raise SystemExit(f"the hook ended with {code}: it found something, or could not be run")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.staged", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[: options.files]
    modules = [path.read_bytes() for path in library]
    kinds: dict[str, tuple[Callable[[int], bytes], bytes | None]] = {
        "a line each": (lambda number: b"a = %d\n" % number, None),
        "modules, a line changed in each": (lambda number: modules[number], b"# changed\n"),
        "modules, all new": (lambda number: modules[number], None),
    }
    for name, (text, changed) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            size = commit_of(Path(folder), options.files, text, changed)
            print(f"{name:32} {size / 1e6:6.2f} MB  {seconds(Path(folder), options.rounds):.3f} s")


if __name__ == "__main__":
    main()
