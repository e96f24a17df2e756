from __future__ import annotations

import gzip
import io
import os
import random
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectors.match.engine import Engine
from monitor.scan import run
from monitor.scan import shared as shared_module
from monitor.scan.run import ScanOutcome, next_data, scan, scan_stream, stretches
from monitor.scan.search import ScanOptions
from monitor.scan.shared import shared
from monitor.scan.walk import FileEntry, walk
from tests.detectors import texts

KEY = b"k" * 32
Token = Callable[[int], str]


def outcomes(engine: Engine, top: Path, threads: int = 2, **options: object) -> ScanOutcome:
    total = ScanOutcome()
    entries = walk([str(top)], lambda *p: total.problems.append(p))
    for outcome in scan(entries, engine, ScanOptions(KEY, **options), threads):  # type: ignore[arg-type]
        total.hits += outcome.hits
        total.problems += outcome.problems
        total.skipped += outcome.skipped
        total.files += outcome.files
        total.size += outcome.size
    return total


def test_thousands_of_files_in_the_order_of_the_tree(engine: Engine, token: Token, tmp_path: Path) -> None:
    expected = []
    for n in range(3000):
        path = tmp_path / f"{n % 30:02d}" / f"{n:04d}.txt"
        path.parent.mkdir(exist_ok=True)
        with_secret = n % 7 == 0
        path.write_text(f"file {n}\n{token(n) if with_secret else 'nothing'}\n")
        if with_secret:
            expected.append(str(path))
    total = outcomes(engine, tmp_path)
    assert [hit.finding.path for hit in total.hits] == sorted(expected)
    assert total.files == 3000
    assert total.size == sum(p.stat().st_size for p in tmp_path.rglob("*.txt"))


def test_a_large_file_is_shared_out_and_lines_are_right(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PART", 1 << 20)
    rng = random.Random(3)
    lines = [f"some line of a log with nothing in it {n}" for n in range(120_000)]
    secrets = sorted(rng.sample(range(len(lines)), 60))
    for n, line in enumerate(secrets):
        lines[line] = f"token={token(n)}"
    (tmp_path / "large.log").write_text("\n".join(lines))
    total = outcomes(engine, tmp_path, threads=4)
    assert [hit.finding.line for hit in total.hits] == [n + 1 for n in secrets]
    assert {hit.finding.column for hit in total.hits} == {7}
    assert total.files == 1
    assert total.size == (tmp_path / "large.log").stat().st_size


def test_a_dense_file_is_shared_out_and_the_same_is_found_in_the_same_order(
    token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PIECE", 1 << 13)
    monkeypatch.setattr(run, "DENSE", 300)
    (tmp_path / "1.txt").write_text(token(1))
    (tmp_path / "2.env").write_bytes(texts.dense("env", texts.values(800)))
    (tmp_path / "3.csv").write_bytes(texts.dense("csv", texts.values(800)))
    (tmp_path / "4.txt").write_text(token(4))
    calls = []
    monkeypatch.setattr(shared_module, "shared", lambda *args, **more: calls.append(args) or shared(*args, **more))
    alone, together = (outcomes(texts.engine(), tmp_path, threads) for threads in (1, 2))
    assert len(calls) == 2
    assert len(together.hits) > 1600
    assert [hit.finding for hit in together.hits] == [hit.finding for hit in alone.hits]
    assert (together.files, together.size, together.problems) == (4, alone.size, [])


def test_binary_files_are_searched_or_left_out(engine: Engine, token: Token, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0\xff\xfe" + token(1).encode() + b"\0\n")
    (tmp_path / "b.txt").write_text(token(2))
    (tmp_path / "c.txt").write_text(f"token = {token(3)}\n", encoding="utf-16")
    for order in ("le", "be"):
        (tmp_path / f"{order}.txt").write_text(f"слово = {token(4)}\n", encoding=f"utf-16-{order}")
    names = ["a.bin", "b.txt", "be.txt", "c.txt", "le.txt"]
    assert [Path(h.finding.path).name for h in outcomes(engine, tmp_path).hits] == names
    total = outcomes(engine, tmp_path, skip_binary=True)
    assert [Path(h.finding.path).name for h in total.hits] == names[1:]
    assert [Path(p).name for p in total.skipped] == ["a.bin"]


def test_archives_are_opened_by_what_they_are(engine: Engine, token: Token, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.dat", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/b.txt", f"1\n2\n{token(1)}\n")
        file.writestr("c.bin", b"\0" + token(2).encode())
    (tmp_path / "l.gz").write_bytes(gzip.compress(f"1\n {token(3)}".encode()))
    total = outcomes(engine, tmp_path)
    found = [(os.path.relpath(hit.finding.path, tmp_path), hit.finding.line, hit.finding.column) for hit in total.hits]
    assert found == [("a.dat!x/b.txt", 3, 1), ("a.dat!c.bin", 1, 2), ("l.gz", 2, 2)]
    assert outcomes(engine, tmp_path, archives=False).hits == []
    total = outcomes(engine, tmp_path, skip_binary=True)
    assert [os.path.relpath(p, tmp_path) for p in total.skipped] == ["a.dat!c.bin"]


def test_what_only_looks_like_an_archive_is_searched_as_it_is(engine: Engine, token: Token, tmp_path: Path) -> None:
    (tmp_path / "fake.gz").write_bytes(b"\x1f\x8b\x08" + b"\xff" * 20 + f"\n {token(1)}\n".encode())
    (tmp_path / "fake.zip").write_bytes(b"PK\x03\x04 " + token(2).encode())
    total = outcomes(engine, tmp_path)
    assert len(total.hits) == 2
    assert len(total.problems) == 2


def test_a_truncated_archive_gives_what_it_still_holds(engine: Engine, token: Token, tmp_path: Path) -> None:
    body = (token(1) + "\n").encode() + os.urandom(200_000)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(body)[:100_000])
    total = outcomes(engine, tmp_path)
    assert len(total.hits) == 1
    assert total.problems == [(str(tmp_path / "cut.gz"), "ends in the middle")]


def test_a_bomb_beside_a_secret_stops_only_itself(engine: Engine, token: Token, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(gzip.compress(bytes(64 << 20))))
    (tmp_path / "b").write_text(token(1))
    total = outcomes(engine, tmp_path, max_unpacked=8 << 20)
    assert [Path(hit.finding.path).name for hit in total.hits] == ["b"]
    assert "stopped after 8 MiB" in total.problems[0][1]


def test_unreadable_and_vanished_files_are_counted(engine: Engine, token: Token, tmp_path: Path) -> None:
    (tmp_path / "b").write_text(token(1))
    gone = FileEntry(str(tmp_path / "gone"), 10)
    large = FileEntry(str(tmp_path / "gone too"), 1 << 40)
    there = FileEntry(str(tmp_path / "b"), 41)
    results = list(scan([gone, large, there], engine, ScanOptions(KEY), 1))
    assert [p for r in results for p in r.problems] == [
        (gone.path, "No such file or directory"),
        (large.path, "No such file or directory"),
    ]
    assert sum(len(r.hits) for r in results) == 1


def test_a_file_that_changed_since_it_was_listed_is_read_to_its_end(
    engine: Engine, token: Token, tmp_path: Path
) -> None:
    listed = []
    for name, text in (("a", "some line\n"), ("b", f"{token(1)}\n" * 9), ("c", "some line\n")):
        (tmp_path / name).write_text(text)
        listed.append(FileEntry(str(tmp_path / name), len(text)))
    with (tmp_path / "a").open("a") as file:
        file.write(f"x = {token(2)}\n")
    (tmp_path / "b").write_text(f"{token(3)}\n")
    (tmp_path / "c").write_text("")
    (outcome,) = scan(listed, engine, ScanOptions(KEY), 1)
    found = [(Path(hit.finding.path).name, hit.finding.line, hit.finding.column) for hit in outcome.hits]
    assert found == [("a", 2, 5), ("b", 1, 1)]
    assert (outcome.files, outcome.problems) == (3, [])


def test_a_small_file_is_read_by_one_call(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text(f"some line\n{token(n)}\n")
    calls: list[int] = []
    read = os.preadv

    def counted(fd: int, buffers: list[memoryview], at: int) -> int:
        calls.append(at)
        return read(fd, buffers, at)

    monkeypatch.setattr(os, "preadv", counted)
    assert len(outcomes(engine, tmp_path, threads=1).hits) == 3
    assert calls == [0, 0, 0]


def test_a_stream_with_an_archive_in_it(engine: Engine, token: Token) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("b.txt", token(1))
    for data, path in ((token(1).encode(), "-"), (out.getvalue(), "-!b.txt"), (gzip.compress(token(1).encode()), "-")):
        results = list(scan_stream("-", Pipe(data), engine, ScanOptions(KEY)))
        assert [hit.finding.path for r in results for hit in r.hits] == [path]


def test_leaving_early_leaves_no_thread_behind(engine: Engine, tmp_path: Path) -> None:
    import threading

    for n in range(500):
        (tmp_path / f"{n}").write_text("x")
    before = threading.active_count()
    results = scan(walk([str(tmp_path)], print), engine, ScanOptions(KEY), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_cache_of_rules_that_speak_of_secrets_is_scanned_as_all_else_and_shows_none(
    engine: Engine, warm: Path
) -> None:
    seen = outcomes(engine, warm)
    assert (seen.hits, seen.files > 1) == ([], True)


def test_of_a_file_with_holes_only_the_rest_is_read_and_lines_are_right(
    engine: Engine, token: Token, tmp_path: Path
) -> None:
    gib = 1 << 30
    pieces = {
        0: b"one\ntwo\n",
        100 * gib: f"\nfour\ntoken={token(1)}\n".encode(),
        200 * gib - 100: f"\ntoken={token(2)}\n".encode(),
    }
    with (tmp_path / "sparse.log").open("wb") as file:
        for at, data in pieces.items():
            os.pwrite(file.fileno(), data, at)
        file.truncate(200 * gib)
    (tmp_path / "space.log").touch()
    os.truncate(tmp_path / "space.log", 200 * gib)
    total = outcomes(engine, tmp_path)
    assert [(hit.finding.line, hit.finding.column) for hit in total.hits] == [(5, 7), (7, 7)]
    assert [hit.finding.offset for hit in total.hits] == [100 * gib + 12, 200 * gib - 93]
    assert total.files == 2
    assert total.size < 1 << 20
    assert not total.problems


def test_files_that_a_process_died_over_are_named_and_the_others_are_searched(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FILES", 10)
    for n in range(100):
        (tmp_path / f"{n:02}").write_text(token(n))
    searched = run._file

    def dies(entry: FileEntry, *rest: Any, **more: Any) -> None:
        if entry.path.endswith("47"):
            os.kill(os.getpid(), signal.SIGKILL)
        searched(entry, *rest, **more)

    monkeypatch.setattr(run, "_file", dies)
    total = outcomes(engine, tmp_path)
    what = "was not searched to its end: the process that did it ended by signal 9"
    assert total.problems == [(str(tmp_path / str(n)), what) for n in range(40, 50)]
    assert len(total.hits) == total.files == 90


GIB = 1 << 30


def sparse(path: Path, *pieces: tuple[int, bytes], size: int) -> int:
    """A descriptor of a file with holes between the pieces."""
    with path.open("wb") as file:
        for at, data in pieces:
            os.pwrite(file.fileno(), data, at)
        file.truncate(size)
    return os.open(path, os.O_RDONLY)


def test_only_what_holds_data_is_read(tmp_path: Path) -> None:
    pieces = [(0, b"first"), (100 * GIB, b"x" * 5000), (100 * GIB + (64 << 10), b"near"), (200 * GIB - 4, b"last")]
    fd = sparse(tmp_path / "sparse", *pieces, size=200 * GIB)
    found = list(stretches(fd, 200 * GIB))
    assert len(found) == 3
    for at, data in pieces:
        assert any(begin <= at and at + len(data) <= end for begin, end in found)
    assert sum(end - begin for begin, end in found) < 1 << 20
    after = next_data(fd, 1 << 20)
    assert after is not None
    assert 100 * GIB - (1 << 20) < after <= 100 * GIB
    os.close(fd)


def test_what_is_all_space_or_has_none(tmp_path: Path) -> None:
    fd = sparse(tmp_path / "space", size=200 * GIB)
    assert list(stretches(fd, 200 * GIB)) == []
    assert next_data(fd, 0) is None
    os.close(fd)
    fd = sparse(tmp_path / "none", (0, b"x" * 100_000), size=100_000)
    assert list(stretches(fd, 100_000)) == [(0, 100_000)]
    os.close(fd)
