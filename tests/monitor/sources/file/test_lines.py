from __future__ import annotations

import io

import pytest

from monitor.common.files import read_exactly
from monitor.sources.file import lines as module
from monitor.sources.file.lines import CountedStream, KnownLines

TEXT = b"1\n2\n3 <here>\n" + b"x\n" * 1000 + b"<there>\n"
HERE, THERE = TEXT.index(b"<here>"), TEXT.index(b"<there>")


def read(at: int, size: int) -> bytes:
    return TEXT[at : at + min(size, 100)]  # not always as much as there is


def test_lines_are_counted_from_the_last_one_that_was_asked_for() -> None:
    lines = KnownLines((0, 1), read)
    assert lines.at(THERE) == 1004
    assert lines.known == (THERE, 1004)
    assert lines.at(HERE) == 3, "also backwards"
    assert lines.at(THERE) == 1004


def test_counting_is_bounded_and_ends_where_nothing_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = KnownLines((0, 1), read)
    assert lines.at(-1) is None, "it lies in the predecessor"
    assert lines.at(len(TEXT) + 1) is None
    monkeypatch.setattr(module, "COUNTED", 1000)
    assert lines.at(900) == TEXT.count(b"\n", 0, 900) + 1
    assert lines.at(1990) is None
    assert lines.known[0] == 900


def test_what_is_read_of_a_stream_is_counted() -> None:
    stream = CountedStream(io.BytesIO(TEXT))
    assert read_exactly(stream, HERE) == TEXT[:HERE]
    assert stream.newlines == 2
    stream.close()
