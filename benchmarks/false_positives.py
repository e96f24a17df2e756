"""What the rules report on text that holds no secret of ours: findings a 100 MB, by confidence, masked.

python -m benchmarks.false_positives [PATH…]

Without a path: what a fresh machine has: its own logs, Python's standard library, installed packages, the
documentation in /usr/share/doc, and Node's modules where there are any. Each line of the list is
`confidence severity rule place:line masked`; look at each of them before calling it false.
"""

from __future__ import annotations

import gzip
import sys
import sysconfig
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from detectors.match.engine import Engine, Match, Worker
from detectors.rules.load import load_rules

__all__ = ["files", "main", "search"]

BLOCK = 8 << 20
# What scanned would only find the examples of this project, or of other scanners, as they are meant to be found.
_SKIP = {".git", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__"}


def places() -> list[Path]:
    """Folders that a fresh machine has, those that exist."""
    known = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    known += [Path(name) for name in ("/var/log", "/usr/share/doc", "/usr/lib/node_modules", "/usr/share/nodejs")]
    known += sorted(Path("/usr/lib").glob("python3*"))
    out: list[Path] = []
    for path in map(Path.resolve, known):
        if path.is_dir() and not any(path.is_relative_to(other) for other in out):
            out.append(path)
    return out


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every regular file below `paths`, once, in order."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for folder, folders, names in path.walk() if hasattr(path, "walk") else _walk(path):
            folders[:] = sorted(name for name in folders if name not in _SKIP)
            for name in sorted(names):
                file = folder / name
                if file.is_file() and not file.is_symlink():
                    yield file


def _walk(path: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    import os  # Path.walk is new in 3.12

    for folder, folders, names in os.walk(path):
        yield Path(folder), folders, names


def read(path: Path) -> bytes:
    """Content, unpacked if it is gzip as most of /usr/share/doc is; empty for what cannot be read."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error):
        return b""


def search(worker: Worker, data: bytes) -> Iterator[tuple[int, Match]]:
    """(line, match) in `data`, a block at a time."""
    at, line = 0, 1
    while at < len(data):
        end = min(len(data), at + BLOCK)
        end = (data.rfind(b"\n", at, end) + 1 or end) if end < len(data) else end
        block = data[at:end]
        for match in worker.scan(block):
            yield line + block.count(b"\n", 0, match.start), match
        line += block.count(b"\n")
        at = end


def main(arguments: list[str]) -> int:
    """Print findings and rates. Returns the number of findings of high confidence."""
    worker = Engine.build(load_rules()).worker()
    paths = [Path(text) for text in arguments] or places()
    size = count = 0
    found: Counter[str] = Counter()
    rules: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    for path in files(paths):
        data = read(path)
        size, count = size + len(data), count + 1
        for line, match in search(worker, data):
            found[match.confidence] += 1
            rules[match.confidence, match.rule.id] += 1
            print(
                f"{match.confidence} {match.severity} {match.rule.id} {path}:{line} {match.masked} {'+'.join(match.decode)}"
            )
    hundreds = max(size, 1) / 1e8
    print(f"\n{count} files, {size / 1e6:.0f} MB in {time.monotonic() - began:.1f} s")
    for (confidence, rule), number in rules.most_common(40):
        print(f"  {number:6} {confidence:6} {rule}")
    for confidence in ("high", "medium", "low"):
        print(f"{confidence:6} {found[confidence]:6} findings, {found[confidence] / hundreds:.2f} a 100 MB")
    return found["high"]


if __name__ == "__main__":
    main(sys.argv[1:])
