from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.common.archive import ByteStream
from monitor.common.cuts import CONTEXT
from monitor.domain.model import Block
from monitor.scan import search
from monitor.scan.search import Hit, LineNumbers, ScanOptions, Searcher, file_blocks, stream_blocks
from tests.detectors import texts

KEY = b"k" * 32
Token = Callable[[int], str]


def in_file(engine: Engine, path: Path, start: int = 0, end: int | None = None, **options: bool) -> list[Hit]:
    fd = os.open(path, os.O_RDONLY)
    try:
        lines = LineNumbers(lambda at, size: os.pread(fd, size, at))
        searcher = Searcher(engine.worker(), ScanOptions(KEY, **options))
        return list(searcher.search(file_blocks("f", fd, searcher.buffer, start, end), lines))
    finally:
        os.close(fd)


def in_stream(engine: Engine, chunks: list[bytes], **options: bool) -> list[Hit]:
    return list(
        Searcher(engine.worker(), ScanOptions(KEY, **options)).search(stream_blocks("f", ByteStream(iter(chunks))))
    )


def in_text(engine: Engine, text: str, **options: bool) -> list[Hit]:
    return in_stream(engine, [text.encode()], **options)


def where(hits: list[Hit]) -> list[tuple[int, int | None, int | None]]:
    return [(hit.finding.offset, hit.finding.line, hit.finding.column) for hit in hits]


def planted(token: Token, size: int, seed: int, newlines: bool = True) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Noise with tokens in it, some right at block boundaries, and where they lie."""
    rng = random.Random(seed)
    out = bytearray()
    places = []
    line, start = 1, 0
    marks = sorted(
        {rng.randrange(size) for _ in range(40)} | {n * search.BLOCK - rng.randrange(60) for n in range(1, 4)}
    )
    for number, mark in enumerate(marks):
        while len(out) < mark:
            out += b"noise of a log, " * rng.randrange(1, 200)
            if newlines:
                out += b"\n"
                line, start = line + 1, len(out)
        out += b" "
        places.append((len(out), line, len(out) - start + 1))
        out += token(number).encode() + b" "
    return bytes(out), places


@pytest.mark.parametrize("newlines", [True, False], ids=["lines", "one line of megabytes"])
def test_every_secret_once_at_its_place_wherever_blocks_end(
    engine: Engine, token: Token, tmp_path: Path, newlines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK", 200_000)
    for seed in range(4):
        data, expected = planted(token, 3_000_000, seed, newlines)
        path = tmp_path / "f"
        path.write_bytes(data)
        assert where(in_file(engine, path)) == expected
        # In parts, as threads share a large file
        cuts = [0, 1_000_000, 1_234_567, len(data) - 10]
        parts = [in_file(engine, path, a, b) for a, b in zip(cuts, [*cuts[1:], None], strict=True)]
        assert where([hit for part in parts for hit in part]) == expected
        # As a stream in chunks of any size
        rng = random.Random(seed)
        chunks, at = [], 0
        while at < len(data):
            step = rng.choice((1000, 70_000, 500_000))
            chunks.append(data[at : at + step])
            at += step
        assert where(in_stream(engine, chunks)) == expected


def test_secrets_cut_at_every_byte_of_a_block(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK", 5000)
    path = tmp_path / "f"
    block = CONTEXT + 5000
    for shift in range(120):
        before = block - 110 + shift
        path.write_bytes(b"." * before + b" " + token(shift).encode() + b" " + b"." * 200)
        assert [hit.finding.offset for hit in in_file(engine, path)] == [before + 1]


def test_a_multi_line_key_over_a_block_boundary(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK", 100_000)
    pem = expand("{pem:RSA PRIVATE KEY}", 1)
    path = tmp_path / "f"
    for before in range(99_000, 100_200, 100):
        path.write_text("x" * 99 + "\n" + ("y" * 99 + "\n") * (before // 100) + pem + "\n" + "z" * 300)
        hits = in_file(engine, path)
        assert [(hit.finding.line, hit.finding.column) for hit in hits] == [(before // 100 + 2, 1)]
        assert hits[0].finding.fingerprint == in_text(engine, pem)[0].finding.fingerprint


def test_a_secret_that_needs_a_companion_is_told_once_that_has_come(tmp_path: Path) -> None:
    companions = Engine.build([rule for rule in texts.rules() if rule.id.startswith("akamai-")])
    first = expand("client_secret = {base64:43}=", 1)
    second = expand("host = akab-{lownum:16}-{lownum:16}.luna.akamaiapis.net", 1)
    whole = in_text(companions, f"{first}\n{second}\n")
    assert [(hit.finding.line, hit.rule.awaits > 0) for hit in whole] == [(1, True), (2, False)]
    assert in_text(companions, f"{first}\n") == []
    for chunks in ([f"{first}\n", f"{second}\n"], [f"{first}\n{second}\n", "and more\n"]):
        assert where(in_stream(companions, [chunk.encode() for chunk in chunks])) == where(whole)

    # Parts of a large file, which two threads may search in any order.
    path = tmp_path / "f"
    path.write_text(f"{first}\n{second}\n")
    fd, searcher = os.open(path, os.O_RDONLY), Searcher(companions.worker(), ScanOptions(KEY))
    try:
        for cut in range(1, path.stat().st_size, 7):
            lines, told = LineNumbers(lambda at, size: os.pread(fd, size, at)), dict[str, Block]()
            parts = [
                list(searcher.search(file_blocks("f", fd, searcher.buffer, *part), lines, reported=told))
                for part in ((cut, None), (0, cut))
            ]
            assert sorted(hit.finding.offset for part in parts for hit in part) == [hit.finding.offset for hit in whole]
    finally:
        os.close(fd)


def test_columns_count_characters(engine: Engine, token: Token) -> None:
    (hit, other) = in_text(engine, f"größe: {token(1)} ü {token(2)}\n")
    assert (hit.finding.column, other.finding.column) == (8, 8 + 40 + 3)


@pytest.mark.parametrize("order", ["le", "be"])
def test_text_in_utf_16_is_placed_and_shown_as_what_it_says(engine: Engine, token: Token, order: str) -> None:
    lines = ["vorher “ü”", f"größe: {token(1)} слово {token(2)}", f"x {token(3)} # gitleaks:allow", ""]
    hits = in_stream(engine, ["\r\n".join(lines).encode(f"utf-16-{order}")], context=True)
    assert [(hit.finding.line, hit.finding.column, hit.end[1]) for hit in hits] == [(2, 8, 48), (2, 55, 95), (3, 3, 43)]
    assert hits[0].finding.context == f"größe: {hits[0].finding.masked} слово …"
    assert [hit.suppressed for hit in hits] == [False, False, True]


def test_a_hit_holds_no_secret_unless_asked(engine: Engine, token: Token) -> None:
    secret = token(1)
    (hit,) = in_text(engine, f"a {secret}\n", context=True)
    assert secret not in repr(hit)
    assert hit.revealed is None
    (hit,) = in_text(engine, f"a {secret}\n", reveal=True)
    assert hit.revealed == secret
    assert secret not in repr(hit)


def context(engine: Engine, text: str, number: int = 0) -> str:
    found = in_text(engine, text, context=True)[number].finding.context
    assert found is not None
    return found


def test_every_secret_of_a_context_line_is_masked(engine: Engine, token: Token) -> None:
    text = f"one={token(1)} two={token(2)};three {token(3)}\nnext line {token(4)}\n"
    for number in range(4):
        shown = context(engine, text, number)
        assert not any(token(n)[8:] in shown for n in range(1, 5))
        assert "next" not in shown or number == 3
    assert context(engine, text) == f"one={in_text(engine, text)[0].finding.masked} two=…;three …"


def test_what_is_glued_to_a_secret_or_encoded_with_it_is_hidden(engine: Engine, token: Token) -> None:
    assert context(engine, f"v={token(1)}/rest+of=it tail\n").endswith("]… tail")
    encoded = expand("{b64(user and " + token(1) + " and more)}", 1)
    shown = context(engine, f"data: {encoded} tail\n")
    assert encoded[:4] not in shown
    assert encoded[-6:-2] not in shown
    assert shown.endswith(" tail")


HIDING: dict[str, Callable[[str], str]] = {
    "html": lambda token: f"secret=&quot;{'&lt;' * 9}{'&amp;' * 8} {token}&quot;",
    "escape": lambda token: f"secret\\u003d{chr(92) + 'u0022'}{(chr(92) + 'u0022') * 12} {token} x",
    "percent": lambda token: f"/cb?x=token%3D{'%22%20' * 12}{token}%22",
    "nested": lambda token: "/cb?x=token%3D" + quote(f"secret&quot;{'&lt;' * 9} {token}&quot;"),
}


@pytest.mark.parametrize("how", HIDING)
@pytest.mark.parametrize("tail", ["", " and a long plain tail of the line"])
def test_behind_escapes_a_secret_is_masked_where_it_stands(engine: Engine, token: Token, how: str, tail: str) -> None:
    encoded = HIDING[how](token(1))
    (hit,) = in_text(engine, f"é {encoded} {tail}\n", context=True)
    assert hit.finding.column == f"é {encoded}".index(token(1)) + 1
    shown = hit.finding.context
    assert shown is not None
    assert not any(token(1)[at : at + 10] in shown for at in range(4, len(token(1)) - 10))
    assert hit.finding.masked in shown


def test_the_context_of_a_key_is_its_first_line(engine: Engine) -> None:
    pem = expand("{pem:RSA PRIVATE KEY}", 1)
    shown = context(engine, f"key: {pem}\nafter\n")
    assert shown.startswith("key: -----BEGIN RSA PRIVATE KEY-----…[")
    assert "after" not in shown
    assert not any(line in shown for line in pem.splitlines()[1:-1])


HERE = [
    "gitleaks:allow", "betterleaks:allow", "trufflehog:ignore", "kingfisher:ignore", "pragma: allowlist secret",
    "pragma: whitelist secret", "secretlint-disable-line", "Gitleaks:Allow",
]  # fmt: skip


@pytest.mark.parametrize("mark", HERE)
def test_comments_of_the_peers_on_the_same_line(engine: Engine, token: Token, mark: str) -> None:
    text = f"a {token(1)}  # {mark}\nb {token(2)}\n"
    assert [hit.suppressed for hit in in_text(engine, text)] == [True, False]
    assert [hit.suppressed for hit in in_text(engine, text, suppressions=False)] == [False, False]


@pytest.mark.parametrize(
    ("line", "silenced"),
    [
        ("# pragma: allowlist nextline secret", True),
        ("x = 1  // secretlint-disable-next-line", True),
        ("# kingfisher:ignore", True),
        ("  // kingfisher:ignore", True),
        ("x = 1  # kingfisher:ignore", False),
        ("# gitleaks:allow", False),
        ("# pragma: allowlist secret", False),
    ],
)
def test_comments_on_the_line_before(engine: Engine, token: Token, line: str, silenced: bool) -> None:
    for before in ("", "first\n"):
        text = f"{before}{line}\nb {token(1)}\nc {token(2)}\n"
        assert [hit.suppressed for hit in in_text(engine, text)] == [silenced, False]


def test_a_comment_at_the_end_of_a_key(engine: Engine) -> None:
    pem = expand("{pem:RSA PRIVATE KEY}", 1)
    assert [hit.suppressed for hit in in_text(engine, f"k = '''{pem}'''  # gitleaks:allow\n")] == [True]


def test_secretlints_ranges(engine: Engine, token: Token) -> None:
    text = (
        f"{token(1)}\n/* secretlint-disable */\n{token(2)}\n// secretlint-enable\n{token(3)}\n"
        f"// secretlint-disable @secretlint/secretlint-rule-npm\n{token(4)}\n# secretlint-disable\n{token(5)}\n"
    )
    assert [hit.suppressed for hit in in_text(engine, text)] == [False, True, False, False, True]


def test_lines_are_counted_from_what_they_know(tmp_path: Path) -> None:
    data = b"".join(b"%d\n" % n for n in range(5000))
    reads: list[int] = []

    def read(at: int, size: int) -> bytes:
        reads.append(size)
        return data[at : at + size]

    rng = random.Random(1)
    offsets = [rng.randrange(len(data)) for _ in range(200)]
    for order in (sorted(offsets), offsets):
        lines = LineNumbers(read)
        reads.clear()
        for offset in [*order, len(data)]:
            start = data.rfind(b"\n", 0, offset) + 1
            assert lines.at(offset) == (data.count(b"\n", 0, offset) + 1, offset - start + 1)
        assert order is offsets or sum(reads) == len(data)


def test_a_line_of_three_megabytes_full_of_secrets_takes_linear_time(engine: Engine, token: Token) -> None:
    """Minutes, were anything looked for from the start of the line for every secret."""
    body = " ".join(f"{'x' * 400} {token(n)}" for n in range(200)).encode() + b" "
    long = body * (3_000_000 // len(body))
    hits = in_stream(engine, [long])
    assert len(hits) == 200 * (3_000_000 // len(body))
    assert {hit.finding.line for hit in hits} == {1}
    assert hits[-1].finding.column == hits[-1].finding.offset + 1


def test_a_stream_that_pauses_gives_whole_lines_at_once(engine: Engine, token: Token) -> None:
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        for n in range(3):
            yield f"line {token(n)}\n".encode()
            seen.append(n)

    hits = Searcher(engine.worker(), ScanOptions(KEY)).search(stream_blocks("f", ByteStream(chunks())))
    assert next(hits).finding.line == 1
    assert seen == []  # before the next chunk was asked for
    assert [hit.finding.line for hit in hits] == [2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("every", texts.shares(4))
def test_no_example_of_any_rule_is_shown_in_its_context(tmp_path: Path, every: int) -> None:
    everything = texts.engine()
    worker, searcher = everything.worker(), Searcher(everything.worker(), ScanOptions(KEY, context=True))
    shown = 0
    for rule in (chosen := everything.rules[::every]):
        for template in rule.examples:
            data = f'{{"msg":"{expand(template, 7)}"}}\n'.encode()
            secrets = [match.secret.decode("utf-8", "replace") for match in worker.scan(data)]
            for hit in searcher.search(stream_blocks("f", ByteStream(iter([data])))):
                finding = hit.finding
                text = finding.context or ""
                shown += finding.context is not None
                # The half of a value that no preview shows
                assert not [
                    finding.masked for value in secrets if len(value) >= 16 and value[len(value) // 2 :] in text
                ]
    assert shown > len(chosen)
