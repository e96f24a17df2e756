from __future__ import annotations

import random
import tracemalloc

import pytest

from monitor.sources.journal import entries as journald
from monitor.sources.journal.entries import Decoder, JournalEntry

VALUES = (  # those of one field, and what comes of them
    ([b"plain = text"], b"plain = text"),
    ([b"\0\xff\n\n[]"], b"\0\xff\n\n[]"),
    ([b"one", b"two\xff\n", b"three"], b"one\ntwo\xff\n\nthree"),
    ([b"a", b"b"], b"a\nb"),
    ([b""], b""),
)


def text(name: str, value: bytes) -> bytes:
    return b"%b=%b\n" % (name.encode(), value)


def counted(name: str, value: bytes) -> bytes:
    return b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value)


def decoded(data: bytes, cut: int) -> tuple[list[JournalEntry], int]:
    decoder = Decoder()
    return [entry for at in range(0, len(data), cut) for entry in decoder.feed(data[at : at + cut])], decoder.garbled


@pytest.mark.parametrize("short", [64 << 10, 0])
@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_value_wherever_the_pipe_cuts(short: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "_SHORT", short)
    rng = random.Random(seed)
    records = [rng.choices(VALUES, k=rng.randrange(1, 6)) for _ in range(20)]
    data = b""
    for record in records:
        for n, (values, _) in enumerate(record):
            for value in values:
                counts = b"\n" in value or b"\0" in value or rng.random() < 0.3
                data += (counted if counts else text)(f"FIELD_{n}", value)
        data += b"\n"
    entries, garbled = decoded(data, rng.choice((1, 2, 7, 64, 1 << 16)))
    assert garbled == 0
    for entry, record in zip(entries, records, strict=True):
        assert entry.fields == {f"FIELD_{n}": wanted for n, (_, wanted) in enumerate(record)}


@pytest.mark.parametrize("cut", [1, 5, 1 << 16])
def test_what_is_no_record_is_counted_and_passed_over(cut: int) -> None:
    long = b"no field, and long: " + b"-" * 200
    bad = [long, b"a=b\n" + long, b"\xff" * 80, b"MESSAGE=half of it\n" + long + b"\nPID=1"]
    good = b"MESSAGE=fine\n\n"
    entries, garbled = decoded(b"".join(each + b"\n\n" + good for each in bad), cut)
    assert [entry.fields for entry in entries] == [{"MESSAGE": b"fine"}] * len(bad)
    assert garbled == sum(len(each) + 2 for each in bad)


def test_a_record_that_is_cut_off_is_none() -> None:
    data = text("__CURSOR", b"c") + counted("MESSAGE", b"one\ntwo") + b"\n"
    for end in range(len(data)):
        assert decoded(data[:end], 7) == ([], 0)
    assert [entry.fields for entry in decoded(data, 7)[0]] == [{"__CURSOR": b"c", "MESSAGE": b"one\ntwo"}]


@pytest.mark.parametrize("counts", [True, False])
def test_a_long_message_costs_its_size(counts: bool) -> None:
    size, piece = 8 << 20, b"\n" * (1 << 16) if counts else b"x" * (1 << 16)
    decoder = Decoder()
    begin = b"MESSAGE\n" + size.to_bytes(8, "little") if counts else b"MESSAGE="
    tracemalloc.start()
    try:
        entries = list(decoder.feed(begin))
        for _ in range(size // len(piece)):
            entries += decoder.feed(piece)
        entries += decoder.feed(b"\n__CURSOR=c\n\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entries[0].fields["MESSAGE"]) == size
    assert entries[0].fields["__CURSOR"] == b"c"
    assert peak < 3 * size


def test_of_a_long_line_that_is_no_field_nothing_is_kept() -> None:
    decoder = Decoder()
    tracemalloc.start()
    try:
        assert not list(decoder.feed(b"-" * 100))
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(64):
            assert not list(decoder.feed(b"-," * 1024))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1 << 14
    assert [entry.fields for entry in decoder.feed(b"\n\nA=b\n\n")] == [{"A": b"b"}]


def test_beyond_the_longest_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "LONGEST", 10)
    for begin in (b"A=", b"A\n" + (25).to_bytes(8, "little")):
        (entry,), garbled = decoded(begin + b"x" * 25 + b"\nB=y\n\n", 4)
        assert (entry.fields, entry.cut, garbled) == ({"A": b"x" * 10, "B": b"y"}, 15, 0)
