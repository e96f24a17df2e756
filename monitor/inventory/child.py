"""Reads one entry of the inventory in a process of its own, so that no value is ever in the daemon's memory.

`python -m monitor.inventory.child CONFIG ENTRY`, as `enrol` starts it: a line of JSON for each secret on standard
output, which is a pipe: what is kept of it, and its anchors. The last line says why that is not all.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import orjson

from detectors.match.exact import LONGEST, SHORTEST, anchor
from monitor import config as configuration
from monitor import state
from monitor.inventory.keep import Enrolled
from monitor.inventory.read import read
from monitor.inventory.worth import bits
from monitor.process import harden

__all__ = ["LEFT", "main", "width"]

LEFT = 64.0  # bits of a value that stay unknown to who knows its anchor, where it has so many


def width(value: bytes) -> int:
    """Bytes of the anchor of a value: as many as leave LEFT bits unknown, and no fewer than can be looked for."""
    each = bits(value) / len(value)
    spare = int((bits(value) - LEFT) / each)
    return max(SHORTEST, min(LONGEST, spare))


async def main(path: Path, name: str) -> None:
    config = configuration.load(path)
    os.chdir(path.parent)  # from where relative references to credentials count
    entry = next(one for one in config.inventory if one.name == name)
    key = state.key(config)

    def take(enrolled: Enrolled) -> None:
        kept, values = enrolled
        anchors = [anchor(value, print_, width(value), key) for print_, value in values]
        rows = [
            (one.fingerprint, one.piece.hex(), one.at, one.size, [tuple(shape) for shape in one.shapes])
            for one in anchors
        ]
        sys.stdout.buffer.write(orjson.dumps({"kept": kept, "anchors": rows}) + b"\n")

    error = await read(entry, key, str, take)
    sys.stdout.buffer.write(orjson.dumps({"error": error}) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    harden()
    if not stat.S_ISFIFO(os.fstat(1).st_mode) and not stat.S_ISSOCK(os.fstat(1).st_mode):
        sys.exit("pieces of secrets are printed here: for the monitor itself only; use `monitor inventory sync`")
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
