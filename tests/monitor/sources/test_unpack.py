from __future__ import annotations

import gzip
import random
import time
import zlib

import cramjam
import pytest
import zstandard

from monitor.sources.unpack import OversizeError, PackedError, unpack

TEXT = b"a line of a log\n" * 200_000
MOST = 8 << 20


def snappy(text: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(text))


def bare(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush()


PACKED = {
    "": TEXT,
    "identity": TEXT,
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]),
    "deflate": zlib.compress(TEXT),
    "zstd": zstandard.compress(TEXT[:1000]) + zstandard.compress(TEXT[1000:]),
    "snappy": snappy(TEXT),
}


@pytest.mark.parametrize("encoding", PACKED)
def test_each_way_of_packing(encoding: str) -> None:
    assert unpack(bytearray(PACKED[encoding]), encoding, MOST) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("said", ["", "identity"])
def test_what_says_nothing_of_how_it_is_packed(encoding: str, said: str) -> None:
    assert unpack(PACKED[encoding], said, MOST) == TEXT
    with pytest.raises(PackedError, match=encoding):
        unpack(PACKED[encoding][:-9], said, MOST)


def test_deflate_as_some_send_it() -> None:
    assert unpack(bare(TEXT), "deflate", MOST) == TEXT


@pytest.mark.parametrize("encoding", PACKED)
def test_no_more_than_the_limit_whatever_it_would_become(encoding: str) -> None:
    with pytest.raises(OversizeError, match="more than 1000 bytes"):
        unpack(PACKED[encoding], encoding, 1000)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, zstandard.compress, snappy])
def test_a_bomb_costs_what_the_limit_allows(pack: object) -> None:
    encoding = {gzip.compress: "gzip", zlib.compress: "deflate", zstandard.compress: "zstd", snappy: "snappy"}[pack]  # type: ignore[index]
    bomb = pack(bytes(64 << 20))  # type: ignore[operator]
    with pytest.raises(OversizeError, match="more than"):
        unpack(bomb, encoding, 1 << 20)


@pytest.mark.parametrize("encoding", [name for name in PACKED if name not in ("", "identity")])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_cut_or_garbled_is_an_error_and_nothing_else(encoding: str, seed: int) -> None:
    rng = random.Random(seed)
    body = bytearray(PACKED[encoding][: rng.randrange(1, len(PACKED[encoding]))])
    if seed % 2:
        body = bytearray(rng.randbytes(100))
    try:
        unpack(bytes(body), encoding, MOST)
    except OversizeError:
        return
    except PackedError as error:
        assert encoding in str(error)  # noqa: PT017


def test_an_encoding_that_nobody_knows_is_named() -> None:
    with pytest.raises(PackedError, match="Content-Encoding must be"):
        unpack(b"x", "br", MOST)


def test_a_body_of_nothing_but_tiny_members_costs_what_its_length_does() -> None:
    before = time.process_time()
    assert unpack(gzip.compress(b"") * 100_000, "gzip", MOST) == b""
    assert time.process_time() - before < 5  # with the rest of the body copied for each: half a minute
