from __future__ import annotations

import json
import random
import tracemalloc

import pytest

from monitor.sources.journal import entries as journald
from monitor.sources.journal.entries import Decoder, JournalEntry

VALUES = (
    ("plain", b"plain"),
    ('q"uo\\te\n\ttab \x1b ü', 'q"uo\\te\n\ttab \x1b ü'.encode()),
    ([0, 255, 10, 91, 93], b"\0\xff\n[]"),
    (["one", [116, 119, 111, 255], None, "three"], b"one\ntwo\xff\n\nthree"),
    (["a", "b"], b"a\nb"),
    (None, b""),
    ("", b""),
    ([], b""),
)


def decoded(data: bytes, cut: int) -> tuple[list[JournalEntry], int]:
    decoder = Decoder()
    return [entry for at in range(0, len(data), cut) for entry in decoder.feed(data[at : at + cut])], decoder.garbled


@pytest.mark.parametrize("short", [1 << 20, 1])
@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_value_wherever_the_pipe_cuts(short: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "_SHORT", short)
    rng = random.Random(seed)
    records = [rng.choices(VALUES, k=rng.randrange(1, 6)) for _ in range(20)]
    lines = [{f"FIELD_{n}": value for n, (value, _) in enumerate(record)} for record in records]
    data = b"".join(json.dumps(line, ensure_ascii=rng.random() < 0.5).encode() + b"\n" for line in lines)
    entries, garbled = decoded(data, rng.choice((1, 2, 7, 64, 1 << 16)))
    assert garbled == 0
    for entry, record in zip(entries, records, strict=True):
        for n, (_, wanted) in enumerate(record):
            # The empty one in the midst of several says nothing.
            assert entry.fields[f"FIELD_{n}"].replace(b"\n\n", b"\n") == wanted.replace(b"\n\n", b"\n")


@pytest.mark.parametrize("short", [1 << 20, 1])
def test_what_is_no_record_is_counted_and_passed_over(short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "_SHORT", short)
    bad = [b"{", b"oh no", b'{"A": "b', b'{"A": [[[1]]]}', b'{"A": [1, 999]}', b"[1]", b'"x"', b'{"A": "b"]}']
    good = b'{"MESSAGE":"fine"}'
    entries, garbled = decoded(b"\n".join(each + b"\n" + good for each in bad) + b"\n", 5)
    assert [entry.fields for entry in entries if "MESSAGE" in entry.fields] == [{"MESSAGE": b"fine"}] * len(bad)
    assert garbled > 0


def test_a_long_message_costs_its_size_and_not_that_of_its_numbers() -> None:
    decoder = Decoder()
    piece = b"255,0,10," * 7000
    size = 0
    tracemalloc.start()
    try:
        entries = list(decoder.feed(b'{"MESSAGE":['))
        while size < 4 << 20:
            entries += decoder.feed(piece)
            size += 3 * 7000
        entries += decoder.feed(b'1],"__CURSOR":"c"}\n')
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entries[0].fields["MESSAGE"]) == size + 1
    assert entries[0].fields["__CURSOR"] == b"c"
    assert peak < 3 * size  # the numbers alone are more than that, as text and as objects


def test_of_a_long_line_that_is_no_record_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "_SHORT", 1)
    decoder = Decoder()
    tracemalloc.start()
    try:
        assert not list(decoder.feed(b'{"MESSAGE":[1,999,'))
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(64):
            assert not list(decoder.feed(b"1," * 1024))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1 << 14
    assert [entry.fields for entry in decoder.feed(b'1]}\n{"A":"b"}\n')] == [{"A": b"b"}]


def test_beyond_the_longest_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "_SHORT", 1)
    monkeypatch.setattr(journald, "LONGEST", 10)
    (entry,), garbled = decoded(b'{"A":"' + b"x" * 25 + b'","B":"y"}\n', 4)
    assert (entry.fields, entry.cut, garbled) == ({"A": b"x" * 10, "B": b"y"}, 15, 0)
