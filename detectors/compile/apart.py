"""Compiles many expressions in a process of its own, which takes two thirds of the time.

Hyperscan's compiler asks for memory some million times, in pieces that live for microseconds. The allocator of the C
library keeps seven of a size at hand for each thread, and with so few of them three tenths of the time go into it. How
many it keeps can be said only before a process starts. A daemon should not keep that many, so this one does, and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import hyperscan
import orjson

__all__ = ["apart"]

# Of the GNU C library (2.30 and newer); what it does not know, another ignores.
_TUNABLES = "glibc.malloc.tcache_count=65535:glibc.malloc.tcache_max=1032:glibc.malloc.mxfast=0:glibc.malloc.hugetlb=1"


def apart(texts: Sequence[bytes], ids: Sequence[int], flags: Sequence[int]) -> bytes | None:
    """A serialized database of these, or None where that is not to be had so: why, an attempt in this process tells."""
    known = os.environ.get("GLIBC_TUNABLES")
    environment = {**os.environ, "GLIBC_TUNABLES": f"{known}:{_TUNABLES}" if known else _TUNABLES}
    asked = orjson.dumps([[text.decode("latin-1") for text in texts], list(ids), list(flags)])
    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__],
            input=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def main() -> None:
    """Expressions, ids and flags from standard input, the database to standard output. Raises hyperscan.error."""
    texts, ids, flags = orjson.loads(sys.stdin.buffer.read())
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[text.encode("latin-1") for text in texts], ids=ids, flags=flags)
    sys.stdout.buffer.write(hyperscan.dumpb(database))


if __name__ == "__main__":
    main()
