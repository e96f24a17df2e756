from __future__ import annotations

import json
import random

import pytest

from monitor.domain.model import Block
from monitor.sources.unwrap import settled, unwrapped, word


def docker(text: str, stream: str = "stdout") -> bytes:
    return (
        json.dumps({"log": text, "stream": stream, "time": "2026-01-02T03:04:05Z"}, separators=(",", ":")).encode()
        + b"\n"
    )


def cri(text: bytes, stream: str = "stdout", tag: str = "F") -> bytes:
    return b"2026-01-02T03:04:05.678901234+01:00 " + f"{stream} {tag} ".encode() + text + b"\n"


def block(data: bytes) -> Block:
    return Block("s", "/p", "g", 1000, data, 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_every_place_of_the_text_is_where_it_stands_in_the_file(seed: int) -> None:
    rng = random.Random(seed)
    lines, wanted = [], []
    for number in range(30):
        text = "".join(rng.choice(("a", "é", '"', "\\", "\t", "\x1b", "€")) for _ in range(rng.randrange(12)))
        text += f"<{number}>"
        lines.append(docker(text + "\n") if seed % 2 else cri(text.encode()))
        wanted.append(text)
    data = b"".join(lines)
    out = unwrapped(block(data))
    text = bytes(out.data)
    assert text.decode() == "".join(each + "\n" for each in wanted)
    assert out.offset_at is not None
    for number in range(30):
        mark = b"<%d>" % number
        assert out.offset_at(text.index(mark)) == 1000 + data.index(mark)


def test_pieces_are_joined_for_each_stream() -> None:
    for data in (
        docker("one <1") + docker("err\n", "stderr") + docker("2> end\n"),
        cri(b"one <1", tag="P") + cri(b"err", "stderr") + cri(b"2> end"),
    ):
        out = unwrapped(block(data))
        assert bytes(out.data) == b"err\none <12> end\n"
        assert out.fresh == 0
        assert out.limit == len(out.data)
        assert settled(data, 0, len(data)) == len(data)
        first = data.index(b"\n") + 1
        second = data.index(b"\n", first) + 1
        assert settled(data, 0, second) == 0  # what goes on is not over
        assert settled(data, 0, len(data) - 1) == 0


def test_what_is_neither_stands_for_itself() -> None:
    data = b'plain <1>\n{"level":"info"}\n2026-01-02T03:04:05Z nothing\n\0\xff\n' + cri(b"two")
    out = unwrapped(block(data))
    assert bytes(out.data) == b'plain <1>\n{"level":"info"}\n2026-01-02T03:04:05Z nothing\n\0\xff\ntwo\n'
    assert settled(data, 0, len(data)) == len(data)


def test_a_line_that_is_not_over() -> None:
    assert bytes(unwrapped(block(docker("abc\n")[:11])).data) == b"abc"
    assert bytes(unwrapped(block(cri(b"abc def")[:-1])).data) == b"abc def"


def test_the_last_word_of_a_line_in_pieces_begins_behind_its_last_blank() -> None:
    piece = cri(b"one <1> two", tag="P")
    for data in (piece, piece + cri(b"three", tag="F")[:20]):  # the head of the next one is still being written
        assert word(data, 0, len(data)) == data.index(b"two")
    mixed = piece + cri(b"err or", "stderr", tag="P")
    assert word(mixed, 0, len(mixed)) == 0
