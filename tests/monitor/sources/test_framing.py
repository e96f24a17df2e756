from __future__ import annotations

import random

import pytest

from monitor.sources.framing import Frames, Piece


def messages(pieces: list[Piece]) -> list[bytes]:
    """What the pieces make whole; a last one without its end, too."""
    out, open_ = [], b""
    for piece in pieces:
        open_ += piece.data
        if not piece.more:
            out.append(open_)
            open_ = b""
    return [*out, open_] if open_ else out


def counted(text: bytes) -> bytes:
    return b"%d %b" % (len(text), text)


@pytest.mark.parametrize("seed", range(30))
def test_counted_and_ended_messages_in_any_mixture_and_cut_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    wanted, stream = [], b""
    for number in range(rng.randrange(1, 80)):
        text = b"<13>1 - host app - - - message %d %b" % (number, b"x" * rng.choice((0, 3, 500)))
        if rng.random() < 0.5:
            text = text + b"\nsecond line\n" if rng.random() < 0.5 else text
            stream += counted(text)
        else:
            text = rng.choice((text, b"no syslog at all", b"12 monkeys", b"2026-11-02 and more", b"7"))
            stream += (b"\n" if stream[-1:] != b"\n" else b"") + text + b"\n"
        wanted.append(text)
    frames = Frames(rng.choice((100, 1 << 16)))
    pieces: list[Piece] = []
    at = 0
    while at < len(stream):
        size = rng.choice((1, 2, 30, 2000))
        pieces += frames.feed(stream[at : at + size])
        at += size
        if rng.random() < 0.1:
            pieces += frames.flush()
    pieces += frames.flush(over=True)
    assert messages(pieces) == wanted
    for piece in pieces:
        assert stream[piece.start : piece.start + len(piece.data)] == piece.data


def test_the_end_of_a_line_may_come_first_in_a_piece() -> None:
    frames = Frames(4)
    pieces = frames.feed(counted(b"<1>a"))
    pieces += frames.feed(b"a long line") + frames.feed(b"\nword\n" + counted(b"<1>b"))
    assert messages(pieces + frames.flush(over=True)) == [b"<1>a", b"a long line", b"word", b"<1>b"]


@pytest.mark.parametrize(
    "head",
    [b"", b"999999999 <13>1 - - - - - - ", b"99999999999999999999 <13>", b"0 <13>", b"5 <", b"-1 <13>", b"\xff\xfe\0"],
)
def test_whatever_a_sender_claims_all_it_sends_comes_out_and_little_is_kept(head: bytes) -> None:
    frames = Frames(1000)
    sent = head + b"y" * 100_000
    pieces, kept = [], 0
    for at in range(0, len(sent), 700):
        pieces += frames.feed(sent[at : at + 700])
        kept = max(kept, len(frames._rest))
    pieces += frames.flush(over=True)
    assert kept < 1000
    text = b"".join(piece.data for piece in pieces)
    assert text == (sent[sent.index(b"<") :] if head.startswith((b"999999999 ", b"5 ")) else sent)


def test_a_message_that_stands_still_is_given_out_and_goes_on() -> None:
    frames = Frames(1000)
    assert frames.feed(b"<13>half") == []
    assert frames.waiting
    assert frames.flush() == [Piece(b"<13>half", 0, True)]
    assert not frames.waiting
    assert frames.flush() == []
    assert frames.feed(b" and half\n<13>next\n") == [Piece(b" and half", 8, False), Piece(b"<13>next", 18, False)]


SECRET = "ghp_" + "Ab3d5" * 7  # a word that no piece may cut


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("unit", ["characters", "units of UTF-16", "bytes"])
def test_messages_counted_in_whatever_way_are_each_whole(unit: str, seed: int) -> None:
    """However the stream is cut, and wherever it pauses within a word."""
    rng = random.Random(f"{unit} {seed}")
    wanted, stream = [], b""
    for number in range(rng.randrange(2, 30)):
        words = rng.choices(("größe", "naïve", "日本語", "🔑🔑", "plain", "12 <b>", "x 7 ", "5"), k=rng.randrange(6))
        tail = rng.choice((f"{SECRET}{number}", f"{SECRET}{number}", f"{SECRET} 終わり", f"{number} é"))
        text = f"<13>1 - host app - - - {' '.join(words)} token={SECRET}é {tail}"
        data = text.encode()
        sizes = {"characters": len(text), "units of UTF-16": len(text.encode("utf-16-le")) // 2, "bytes": len(data)}
        stream += b"%d %b" % (sizes[unit], data)
        wanted.append(data)
    frames = Frames(rng.choice((1024, 1 << 16)))
    pieces: list[Piece] = []
    at = 0
    while at < len(stream):
        size = rng.choice((1, 2, 30, 2000))
        pieces += frames.feed(stream[at : at + size])
        at += size
        if rng.random() < 0.1 and not frames.whole:
            flushed = frames.flush(words=True)
            assert all(piece.data[-1:].isspace() for piece in flushed)
            pieces += flushed
    pieces += frames.flush(over=True)
    assert messages(pieces) == wanted
    for piece in pieces:
        assert stream[piece.start : piece.start + len(piece.data)] == piece.data


def test_what_follows_tells_whether_characters_were_counted() -> None:
    message = "<13>größe".encode()
    frames = Frames(1000)
    assert frames.feed(b"9 " + message[:9]) == []
    assert frames.whole
    assert frames.feed(message[9:]) == [Piece(message, 2, False)], "nine characters"
    frames = Frames(1000)
    assert frames.feed(b"11 " + message) == []
    assert frames.whole
    assert frames.feed(b"6 <13>ab6 <13>cd6 <13>ef")[:1] == [Piece(message, 3, False)], "eleven bytes"
    frames = Frames(1000)
    assert frames.feed(b"9 " + message[:9]) == []
    assert frames.flush(words=True) == [Piece(message[:9], 2, True)], "nobody waits for long"
    assert messages(frames.feed(message[9:] + b"6 <13>ab6 <13>cd"))[:1] == [message[9:]]


def test_a_count_that_is_wrong_hides_no_other_message() -> None:
    for count in (5, 30):
        frames = Frames(1000)
        pieces = frames.feed(
            b"%d <13>a lie<14>" % count + b"".join(counted(b"<13>message %d ok" % n) for n in range(5))
        )
        found = messages([*pieces, *frames.flush(over=True)])
        assert found[-3:] == [b"<13>message %d ok" % n for n in (2, 3, 4)]
        assert b"<13>message 1" in b"".join(found)


def test_a_count_that_stands_still_is_no_text_yet() -> None:
    frames = Frames(1000)
    assert frames.feed(b"1") == []
    assert not frames.waiting
    assert frames.flush() == []
    assert frames.feed(b"0 <13>12345") == []
    assert frames.waiting
    assert frames.flush() == [Piece(b"<13>12345", 3, True)]
    assert frames.feed(b"66 <13>ab") == [Piece(b"6", 12, False), Piece(b"<13>ab", 15, False)]


def test_lines_of_nothing_are_no_messages() -> None:
    frames = Frames(1024)
    assert frames.feed(b"\n \r\n" * 100_000) == []
    assert messages(frames.feed(b" <13>one\n\n\n5 <13>2\n")) == [b" <13>one", b"<13>2"]
    assert frames.flush(over=True) == []
