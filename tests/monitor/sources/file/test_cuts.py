"""What is written and read piece by piece gives what `scan` finds in the whole, wherever the pieces end, and so does
what `scan` itself cuts."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.rules.template import expand
from monitor.common.archive import ByteStream
from monitor.common.cuts import CONTEXT
from monitor.domain.model import Block
from monitor.scan.search import LineNumbers, ScanOptions, Searcher, file_blocks, stream_blocks
from monitor.scanning.scanner import Scanner
from monitor.sources.file import reader as module
from monitor.sources.file.identity import Hasher
from monitor.sources.file.reader import FileReader
from monitor.sources.file.tracked_file import TrackedFile
from tests.detectors import texts

KEY = b"k" * 32
HASHER = Hasher.derived(KEY)
BLOCK = 4096  # small, so that there are many cuts
WHOLE = 1 << 20  # more than any of them


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    scanner = Scanner(texts.engine("vcs/github", "keys/pem", "database", "hosting/akamai"), KEY)
    yield scanner
    scanner.close()


def line(kind: int, seed: int) -> str:
    token = expand("ghp_{alnum:30}{crc32}", seed)
    key = expand("{pem:RSA PRIVATE KEY}", seed)
    client, host = expand("{base64:43}=", seed), expand("akab-{lownum:16}-{lownum:16}", seed)
    return (
        f"request {seed} done",
        f"token={token} refused",
        json.dumps({"level": "error", "msg": f"https://u:{token}@x.example/", "n": seed}),
        f"blob {base64.b64encode(f'token={token}'.encode()).decode()}",
        f"postgresql://app:{token[4:20]}@db.example.org/app",
        key,
        json.dumps({"key": key}),
        "\n".join(f"2026-11-02T10:00:00Z INFO {text}" for text in key.split("\n")),
        f"client_secret = {client}\nhost = {host}.luna.akamaiapis.net",  # the first is nothing without the second
        f"größe é={token} über",
        "x " * (seed % (BLOCK + CONTEXT)),
        "\0\udcff",
    )[kind]


LINES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 1 << 20)), min_size=1, max_size=25)
CUTS = st.lists(st.integers(0, 40_000), max_size=12)


Place = tuple[str, str, int, int | None, int | None]  # rule, fingerprint, offset, line, column


async def followed(path: Path, whole: bytes, cuts: list[int], scanner: Scanner) -> set[Place]:
    """Findings of a file that grows from cut to cut and is read after each, its open line up to the last word."""
    path.touch()
    status = path.stat()
    tracked = TrackedFile(str(path), (status.st_dev, status.st_ino))
    findings = []
    try:
        with path.open("ab", buffering=0) as log:
            at = 0
            for cut in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
                log.write(whole[at:cut])
                at = cut
                more = True
                while more:
                    file_reader = FileReader("s", tracked, HASHER, -1, whole=cut == len(whole))
                    findings += await scanner.scan(file_reader.blocks())
                    file_reader.apply()
                    assert file_reader.verdict == "read"
                    more = file_reader.more
    finally:
        tracked.close()
    assert len({found.id for found in findings}) == len({(f.rule, f.fingerprint, f.offset) for f in findings})
    return {(f.rule, f.fingerprint, f.offset, f.line, f.column) for f in findings}


def scanned(path: Path, scanner: Scanner, block: int, cuts: list[int]) -> list[Place]:
    """Hits of a file at rest, read `block` bytes at a time, in parts that begin at `cuts`."""
    searcher = Searcher(scanner.engine.worker(), ScanOptions(KEY, suppressions=False))
    with path.open("rb") as file:
        fd = file.fileno()
        lines, told = LineNumbers(lambda at, size: os.pread(fd, size, at)), dict[str, Block]()
        found = []
        for start, end in pairwise([0, *cuts, None]):
            assert start is not None
            blocks = file_blocks("p", fd, bytearray(CONTEXT + block), start, end)
            found += [hit.finding for hit in searcher.search(blocks, lines, reported=told)]
        return [(one.rule, one.fingerprint, one.offset, one.line, one.column) for one in found]


def streamed(pieces: list[bytes], scanner: Scanner) -> list[Place]:
    """Hits of what comes once, in these pieces."""
    searcher = Searcher(scanner.engine.worker(), ScanOptions(KEY, suppressions=False))
    found = [hit.finding for hit in searcher.search(stream_blocks("p", ByteStream(iter(pieces))))]
    return [(one.rule, one.fingerprint, one.offset, one.line, one.column) for one in found]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, cuts=CUTS, ended=st.booleans())
async def test_run_finds_what_scan_finds(
    scanner: Scanner, lines: list[tuple[int, int]], cuts: list[int], ended: bool
) -> None:
    whole = "\n".join(line(*one) for one in lines).encode("utf-8", "surrogateescape") + b"\n" * ended
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", BLOCK)
        patch.setattr(module, "_BUFFERS", [])
        path = Path(folder, "app.log")
        found = await followed(path, whole, cuts, scanner)
        assert sorted(found, key=str) == sorted(scanned(path, scanner, WHOLE, []), key=str)

        within = sorted({cut for cut in cuts if 0 < cut < len(whole)})
        assert sorted(scanned(path, scanner, BLOCK, within), key=str) == sorted(found, key=str)
        pieces = [whole[start:end] for start, end in pairwise([0, *within, len(whole)])]
        assert sorted(streamed(pieces, scanner), key=str) == sorted(found, key=str)
