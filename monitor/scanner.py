"""Blocks to findings: the only place where a secret is turned into a fingerprint and a preview.

Scans run in threads (Hyperscan and RE2 release the GIL), each with a worker of its own. The event loop only waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from detectors.engine import Engine, Match, Worker
from detectors.fingerprint import fingerprint
from monitor.model import Block, Finding
from monitor.sources.base import ScanError

__all__ = ["Scanner", "ScannerStats", "finding_id"]


@dataclass(slots=True)
class ScannerStats:
    """Counters since start. `seconds`: thread time spent with blocks, reading them included."""

    blocks: int = 0
    bytes: int = 0
    matches: int = 0
    failures: int = 0
    seconds: float = 0.0
    busy: int = 0  # threads at work now
    progress: float = 0.0  # monotonic time of the last block done


def finding_id(generation: str, offset: int, rule: str, print_: str) -> str:
    """The same occurrence has the same id however often it is read: 32 hex digits."""
    text = f"{generation}\0{offset}\0{rule}\0{print_}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Scanner:
    """Scans with `workers` threads. `swap` takes effect between blocks: each block is scanned wholly by one engine."""

    def __init__(self, engine: Engine, key: bytes, workers: int = 1) -> None:
        self._engine = engine
        self._key = key
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="scan")
        self._local = threading.local()
        self._lock = threading.Lock()
        self.stats = ScannerStats(progress=time.monotonic())

    @property
    def engine(self) -> Engine:
        return self._engine

    def swap(self, engine: Engine) -> None:
        """Use these rules from the next block on."""
        self._engine = engine

    def close(self) -> None:
        """Let running scans end; take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def scan(self, blocks: Iterable[Block]) -> list[Finding]:
        """Findings of `blocks`, which are pulled in a thread. Raises ScanError, and whatever the iterator raises.

        Even when cancelled it returns only after the iterator is closed.
        """
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._pull, blocks)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def identify(self, text: bytes) -> list[Finding]:
        """Findings in a text that comes from no place."""
        return await self.scan([Block(source="", path="", generation="", offset=0, data=text, time=time.time())])

    def _pull(self, blocks: Iterable[Block]) -> list[Finding]:
        found: list[Finding] = []
        stats = self.stats
        blocks_done = bytes_done = 0
        start = time.perf_counter()
        with self._lock:
            if not stats.busy:
                stats.progress = time.monotonic()
            stats.busy += 1
        try:
            for block in blocks:
                limit = len(block.data) if block.limit is None else block.limit
                # The worker is looked up for each block, so that new rules hold from the next one on.
                try:
                    matches = self._worker().scan(block.data, block.fresh, limit)
                    if matches:
                        found += [self._finding(block, match) for match in matches]
                except Exception as error:  # noqa: BLE001 - a message may quote the text: only the type leaves here
                    stats.failures += 1
                    message = f"{block.path}: the engine failed at offset {block.offset}: {type(error).__name__}"
                    raise ScanError(message, block.offset + limit) from None
                blocks_done += 1
                bytes_done += limit - block.fresh
                stats.progress = time.monotonic()
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()
            with self._lock:
                stats.busy -= 1
                stats.blocks += blocks_done
                stats.bytes += bytes_done
                stats.matches += len(found)
                stats.seconds += time.perf_counter() - start
        return found

    def _worker(self) -> Worker:
        local, engine = self._local, self._engine
        if getattr(local, "engine", None) is not engine:
            local.worker, local.engine = engine.worker(), engine
        worker: Worker = local.worker
        return worker

    def _finding(self, block: Block, match: Match) -> Finding:
        offset = block.offset + match.start
        print_ = fingerprint(self._key, match.secret)
        before = bytes(block.data[max(0, match.start - 65536) : match.start])
        line = block.line_at(offset) if block.line_at is not None else None
        if line is None and block.line is not None:
            line = block.line + bytes(block.data[: match.start]).count(b"\n")
        newline = before.rfind(b"\n")
        return Finding(
            id=finding_id(block.generation, offset, match.rule.id, print_),
            rule=match.rule.id,
            name=match.rule.name,
            severity=match.severity,
            confidence=match.confidence,
            fingerprint=print_,
            masked=match.masked,
            source=block.source,
            path=block.path,
            generation=block.generation,
            offset=offset,
            time=block.time,
            line=line,
            column=len(before) - newline if newline >= 0 or len(before) == offset else None,
            decode=match.decode,
            labels={**block.attributes, **match.labels},
            runbook=match.rule.runbook,
        )
