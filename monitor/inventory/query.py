"""An entry of the inventory as a process of its own reads it (`child`): prints and anchors come back, no value."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from detectors.match.exact import Anchor, ValueShape
from monitor.common.program import begun
from monitor.common.tasks import within
from monitor.domain.model import Print, SecretVersion
from monitor.inventory.managers.base import ManagerConfig

__all__ = ["ask"]

_SPARE = 30.0  # seconds beyond the entry's own, to start a process and to log out
_GRACE = 3.0  # seconds to give back what it holds at a provider; with those of the outbox the daemon ends in time
_LINE = 4 << 20  # bytes of what is said of one secret


async def ask(
    entry: ManagerConfig, folder: Path, key: bytes, redact: Callable[[str], str]
) -> tuple[list[SecretVersion], dict[str, Anchor], str]:
    """What the entry holds, its anchors by fingerprint, and why that is not all; empty: it was read to its end.
    `folder`: of the configuration, from where relative references count; `key`: for fingerprints; `redact`: masks
    secrets in texts that come from outside."""
    name, patience = entry.name, entry.timeout + _SPARE
    versions: list[SecretVersion] = []
    anchors: dict[str, Anchor] = {}
    error = f"inventory {name}: the process that reads it ended early"
    async with begun(
        # -P: nothing is imported from where we are, which may be a tree that is being scanned.
        *(sys.executable, "-P", "-m", "monitor.inventory.reader_process"),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,  # it closes when we are killed
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # a traceback quotes what was being worked on
        limit=_LINE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(patience):
                process.stdin.write(orjson.dumps({"entry": entry.model_dump(mode="json"), "key": key.hex()}) + b"\n")
                with contextlib.suppress(ConnectionError):  # it ended: what it said comes next
                    await process.stdin.drain()
                async for line in process.stdout:
                    row = orjson.loads(line)
                    if "error" in row:
                        error = row["error"]
                        break
                    versions.append(_kept(row["kept"], redact))
                    anchors |= {one.fingerprint: one for one in map(_anchor, row["anchors"])}
        except TimeoutError:
            error = f"inventory {name}: reading it took longer than {patience:.0f} s"
        except ValueError:
            error = f"inventory {name}: the process that reads it said too much at once"
        finally:
            process.stdin.close()
            await within(_GRACE, _end(process, process.stdout))
    return versions, anchors, redact(error)


async def _end(process: asyncio.subprocess.Process, said: asyncio.StreamReader) -> None:
    """Ask it to end, which lets it log out and end what it has started. Returns when it has."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    while await said.read(1 << 16):
        pass  # it could not end while it waits to be read
    await process.wait()


def _kept(row: dict[str, Any], redact: Callable[[str], str]) -> SecretVersion:
    prints = tuple(Print(**one) for one in row["prints"])
    kept = SecretVersion(**{**row, "prints": prints, "consumers": tuple(row["consumers"]), "tags": tuple(row["tags"])})
    return replace(
        kept,
        name=redact(kept.name),
        owner=redact(kept.owner),
        environment=redact(kept.environment),
        consumers=tuple(map(redact, kept.consumers)),
        tags=tuple(map(redact, kept.tags)),
        version=redact(kept.version),
    )


def _anchor(row: Sequence[Any]) -> Anchor:
    print_, piece, at, size, shapes = row
    return Anchor(print_, bytes.fromhex(piece), at, size, tuple(ValueShape(*one) for one in shapes))
