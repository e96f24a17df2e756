"""Reads one entry of the inventory in a process of its own, so that no value is ever in the daemon's memory.

`python -m monitor.inventory.reader_process`, as `ask` starts it in the folder of the configuration: it is told the
entry and the key for fingerprints in a line of JSON on its standard input, and says a line of JSON for each secret on
standard output, which is a pipe: what is stored of it, and its anchors. The last line says why that is not all. SIGTERM
ends it, and so does the end of its standard input, which is that of who started it: it logs out, and ends what it has
started.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys

import orjson

from detectors.match.exact import LONGEST, SHORTEST, anchor
from monitor.common.hardening import harden
from monitor.inventory.keep import Enrolled
from monitor.inventory.managers import load_manager
from monitor.inventory.reader import read
from monitor.inventory.validate import bits

__all__ = ["LEFT", "main", "width"]

LEFT = 64.0  # bits of a value that stay unknown to who knows its anchor, where it has so many


def width(value: bytes) -> int:
    """Bytes of the anchor of a value: as many as leave LEFT bits unknown, and no fewer than can be looked for."""
    each = bits(value) / len(value)
    return max(SHORTEST, min(LONGEST, int((bits(value) - LEFT) / each)))


def _end_when_told() -> None:
    """From now on cancel this task, once, on SIGTERM, and when who started us is no more."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        loop.remove_reader(0)
        loop.add_signal_handler(signal.SIGTERM, lambda: None)  # said twice: not to what is being ended
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    if _piped(0):
        loop.add_reader(0, end)


def _piped(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def main(task: bytes) -> None:
    _end_when_told()
    given = orjson.loads(task)
    entry = load_manager(given["entry"]["type"]).Config.model_validate(given["entry"])
    key = bytes.fromhex(given["key"])

    def take(enrolled: Enrolled) -> None:
        kept, values = enrolled
        anchors = [anchor(value, print_, width(value), key) for print_, value in values]
        rows = [
            (one.fingerprint, one.piece.hex(), one.at, one.size, [tuple(shape) for shape in one.shapes])
            for one in anchors
        ]
        sys.stdout.buffer.write(orjson.dumps({"kept": kept, "anchors": rows}) + b"\n")

    sys.stdout.buffer.write(orjson.dumps({"error": await read(entry, key, str, take)}) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    harden()
    if not _piped(1):
        sys.exit("pieces of secrets are printed here: for the monitor itself only; use `monitor inventory sync`")
    try:
        asyncio.run(main(sys.stdin.buffer.readline()))
    except asyncio.CancelledError:
        sys.exit(1)
