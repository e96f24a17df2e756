from __future__ import annotations

import base64
import functools
import gzip
import random
import re
import tracemalloc
from collections.abc import Callable
from html import escape
from urllib.parse import quote

import hyperscan
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.compile.codecs import Codec, codecs
from detectors.match import decode
from detectors.match.cost import DECODED_LEAST, DECODED_MOST, DecodeBudget
from detectors.match.decode import MAX_DECODED, Region, encoded_values
from detectors.rules.rule import Rule

RULE = Rule(id="r", name="Rule", pattern=r"(?P<secret>acme_[a-z0-9]{12})", severity="critical")
ALL = codecs([RULE])
BODY = st.binary(max_size=60)


@functools.cache
def triggers(name: str) -> tuple[list[Codec], hyperscan.Database]:
    kinds, texts = zip(*((codec, trigger) for codec, trigger in ALL if codec.name == name), strict=True)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=list(texts), ids=list(range(len(kinds))), flags=[0] * len(kinds))
    return list(kinds), database


def hits(data: bytes, name: str) -> list[tuple[Codec, int]]:
    """As Hyperscan would report them: every end of every trigger."""
    kinds, database = triggers(name)
    found: list[tuple[Codec, int]] = []
    database.scan(data, match_event_handler=lambda number, _from, end, *_: found.append((kinds[number], end)))
    return found


def codec(name: str) -> Codec:
    return next(one for one, _ in ALL if one.name == name)


def regions(data: bytes, name: str) -> list[Region]:
    found = hits(data, name)
    return list(decode.regions(found[0][0], data, found)) if found else []


@given(BODY, BODY, st.booleans(), st.booleans())
def test_base64_is_decoded_whatever_stands_before_the_literal(
    before: bytes, after: bytes, urlsafe: bool, padded: bool
) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    encoded = encode(before + b"acme_k3j9x2m4q8w1" + after)
    data = b'{"body": "' + (encoded if padded else encoded.rstrip(b"=")) + b'"}'
    (found, *_) = [r for r in regions(data, "base64") if b"acme_k3j9" in r.text]
    at = found.text.index(b"acme_")
    start, end = found.places()(at, at + 17)
    assert (start, end) == (10 + len(before) * 4 // 3, 10 + -(-(len(before) + 17) * 4 // 3))
    assert found.end <= len(data)


@pytest.mark.parametrize("name", ["base64", "hex", "percent"])
@pytest.mark.parametrize("apart", range(-40, 40, 7))
def test_a_value_at_the_cut_of_a_long_region_is_seen_whole(name: str, apart: int) -> None:
    encode: dict[str, Callable[[bytes], bytes]] = {
        "base64": base64.b64encode,
        "hex": lambda text: text.hex().encode(),
        "percent": lambda text: b"token%3D" + text.replace(b" ", b"%20"),
    }
    scale = {"base64": 4 / 3, "hex": 2, "percent": 1}[name]
    filler = b"x" * (int(decode.REACH_AHEAD / scale) + apart)
    between = b"token%3D" if name == "percent" else b""
    data = b" " + encode[name](b"acme_k3j9x2m4q8w1" + filler + between + b"acme_a1b2c3d4e5f6 " + filler)
    assert any(b"acme_a1b2c3d4e5f6" in region.text for region in regions(data, name))


@given(BODY, BODY, st.booleans())
def test_hex_is_decoded_at_even_and_odd_offsets(before: bytes, after: bytes, upper: bool) -> None:
    encoded = (before + b"acme_k3j9x2m4q8w1" + after).hex()
    for lead in (" ", "x ", "0x"):
        data = (lead + (encoded.upper() if upper else encoded)).encode()
        (found, *_) = [r for r in regions(data, "hex") if b"acme_k3j9" in r.text]
        at = found.text.index(b"acme_")
        start, end = found.places()(at, at + 17)
        assert bytes.fromhex(data[start:end].decode()) == b"acme_k3j9x2m4q8w1"


ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "percent": lambda text: b"token%3D" + quote(text, safe="").encode() + b"%3D",
    "escape": lambda text: b"secret\\u003d" + b"".join(b"\\u%04x" % c if c in b'"=_<>&' else b"%c" % c for c in text),
    "html": lambda text: b"secret&quot;" + escape(text.decode("ascii")).replace("_", "&#95;").encode(),
}


@pytest.mark.parametrize("order", ["le", "be"])
@given(before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_text_in_utf_16_is_seen_in_either_order_and_at_any_offset(order: str, before: bytes, after: bytes) -> None:
    encoded = "field = 'acme_k3j9x2m4q8w1'\r\n".encode(f"utf-16-{order}")
    data = before + encoded + after
    (found, *_) = [region for region in regions(data, "utf16") if b"acme_k3j9x2m4q8w1" in region.text]
    at = found.text.index(b"acme_")
    start, end = found.places()(at, at + 17)
    assert data[start:end].replace(b"\0", b"") == b"acme_k3j9x2m4q8w1"
    assert end - start == 34


@pytest.mark.parametrize("order", ["le", "be"])
@given(
    before=st.text(st.sampled_from("аяё ”😀é日\r\n\ud800"), max_size=40).map(lambda text: f"# {text}\n"),
    after=st.text(st.sampled_from("аяё ”😀é日\r\n\ud800"), max_size=40).map(lambda text: "\r\n" + text),
    lead=st.integers(0, 3),
)
def test_text_in_utf_16_is_read_with_the_characters_around_it(order: str, before: str, after: str, lead: int) -> None:
    text = f"{before}field = 'acme_k3j9x2m4q8w1'{after}"
    data = b"#" * lead + text.encode(f"utf-16-{order}", "surrogatepass")
    plain = text.strip("\n").encode("utf-8", "surrogatepass")
    (found, *_) = [region for region in regions(data, "utf16") if plain in region.text]
    for part in ("acme_k3j9x2m4q8w1", "4q8w1'" + after.rstrip(), before.lstrip() + "field"):
        at = found.text.index(part.encode("utf-8", "surrogatepass"))
        start, end = found.places()(at, at + len(part.encode("utf-8", "surrogatepass")))
        wide = part.encode(f"utf-16-{order}", "surrogatepass")
        # Where no other characters border on it, either order will do.
        assert data[start:end] == wide or data[start:end].replace(b"\0", b"") == wide.replace(b"\0", b"")


def test_zeros_and_numbers_of_two_bytes_are_no_text() -> None:
    assert regions(bytes(5000) + b"=\0 \0" + bytes(5000), "utf16") == []
    numbers = b"".join(number.to_bytes(2, "little") for number in range(300, 5000))
    assert regions(numbers + b"e\0n\0" + numbers, "utf16") == []


def test_many_short_runs_are_counted_as_what_they_cost() -> None:
    budget = DecodeBudget(0)
    data = (b"t\0o\0k\0e\0n\0=\0a\0b\0" + bytes(300)) * 20_000
    found = list(decode.regions(codec("utf16"), data, [(codec("utf16"), 8)], budget))
    assert 0 < len(found) < 4_500
    assert budget.skipped


@pytest.mark.parametrize("name", ENCODE)
@given(before=st.text('ab <>"=&/', max_size=20), after=st.text('ab <>"=&/', max_size=20))
def test_escapes_before_the_value_do_not_move_it(name: str, before: str, after: str) -> None:
    encoded = ENCODE[name](before.encode()) + ENCODE[name](b"acme_k3j9x2m4q8w1")
    data = b"x " + encoded + ENCODE[name](after.encode()) + b"&z"
    for region in regions(data, name):
        at = region.text.find(b"acme_k3j9x2m4q8w1")
        if at >= 0:
            start, end = region.places()(at, at + 17)
            assert data[start : start + 4] == b"acme"
            assert data[end - 8 : end] == b"x2m4q8w1"
            return
    raise AssertionError(data)


def test_an_entity_without_its_semicolon_takes_no_text_along() -> None:
    data = b"secret=&quot;&quot" + b"acme_k3j9x2m4q8w1&quot;"
    (found,) = regions(data, "html")
    at = found.text.index(b"acme_")
    assert found.places()(at, at + 17) == (data.index(b"acme_"), data.index(b"acme_") + 17)


@pytest.mark.parametrize("brk", [b"\n", b"\r\n", b"\\n"])
def test_a_value_across_line_breaks_of_base64_is_placed(brk: bytes) -> None:
    for lead in (*range(40, 51), *range(58, 90)):  # between them a break cuts what it is known by
        encoded = base64.encodebytes(b"x" * lead + b"acme_k3j9x2m4q8w1" + b"y" * 80).strip().replace(b"\n", brk)
        (region, *_) = [r for r in regions(b"k " + encoded, "base64") if b"acme_k3j9x2m4q8w1" in r.text]
        at = region.text.index(b"acme_")
        start, end = region.places()(at, at + 17)
        plain = (b"k " + encoded)[start:end].replace(brk, b"")
        assert plain == base64.b64encode(b"x" * lead + b"acme_k3j9x2m4q8w1" + b"y" * 80)[lead * 4 // 3 :][: len(plain)]
        assert len(plain) == -(-(lead + 17) * 4 // 3) - lead * 4 // 3


def test_line_breaks_inside_base64_are_skipped() -> None:
    encoded = base64.encodebytes(b"x" * 40 + b"acme_k3j9x2m4q8w1" + b"y" * 80).strip()
    for broken in (encoded, encoded.replace(b"\n", b"\r\n"), encoded.replace(b"\n", b"\\n")):
        assert any(b"acme_k3j9x2m4q8w1" in r.text for r in regions(broken, "base64"))


def test_gzip_in_base64_is_unpacked_even_when_cut_short() -> None:
    text = b"x acme_k3j9x2m4q8w1 y"
    packed = base64.b64encode(gzip.compress(text, mtime=0))
    assert [r.text for r in regions(b"body=" + packed + b" ok", "gzip")] == [text]
    long = b"acme_k3j9x2m4q8w1 " + random.Random(1).randbytes(3000)
    cut = base64.b64encode(gzip.compress(long, mtime=0))[:-801]
    (found,) = regions(cut, "gzip")
    assert found.text.startswith(b"acme_k3j9x2m4q8w1")


def test_a_gzip_bomb_stops_at_its_bound() -> None:
    bomb = base64.b64encode(gzip.compress(bytes(64 << 20), mtime=0))
    tracemalloc.start()
    (found,) = regions(bomb, "gzip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.text) <= MAX_DECODED
    assert peak < 16 * MAX_DECODED


def test_a_thousand_bombs_stop_at_theirs() -> None:
    bomb = base64.b64encode(gzip.compress(bytes(1 << 20), mtime=0)) + b"\n"
    other = base64.b64encode(gzip.compress(b"x" + bytes(1 << 20), mtime=0)) + b"\n"
    data = (bomb + other) * 100
    budget = DecodeBudget(len(data))
    found = list(decode.regions(codec("gzip"), data, hits(data, "gzip"), budget))
    assert len({id(r.text) for r in found}) == 2
    assert {data[low : low + 40] for low, _ in budget.told()} == {other[:40]}  # of the other one a byte is missing
    assert not budget.told()
    assert sum(map(len, {r.text for r in found})) <= DECODED_LEAST + DECODED_MOST * len(data)


@pytest.mark.parametrize("name", ["base64", "gzip", "hex", "percent", "escape", "html", "lines", "utf16"])
@given(data=st.binary(max_size=300), ends=st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=60)
def test_decoders_take_invalid_input(name: str, data: bytes, ends: list[int]) -> None:
    kind = codec(name)
    digits = b"0123456789abcdefABCDEF"
    found = [
        (kind, end)
        for end in ends
        if kind.length <= end <= len(data) and (name != "hex" or not data[end - kind.length : end].strip(digits))
    ]
    for region in decode.regions(kind, data, found) if found else ():
        assert 0 <= region.start <= region.end <= len(data)


@given(st.text(min_size=1, max_size=5).filter(lambda value: not value.startswith("//") and value != "/"))
def test_percent_encoding_is_undone(value: str) -> None:
    data = b"GET /x?u=https%3A%2F%2Fu%3A" + quote(value, safe="").encode() + b"%40host%2F HTTP/1.1"
    assert any(("https://u:" + value + "@host/").encode() in r.text for r in regions(data, "percent"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a%3D1+2%20", {b"a=1+2 "}),
        ("a+%3D+1%2B2", {b"a = 1+2"}),
        ("a%3D1+2", {b"a=1+2", b"a=1 2"}),
    ],
)
def test_a_plus_sign_is_a_blank_in_forms(written: str, meant: set[bytes]) -> None:
    assert {region.text for region in regions(f"/x {written}".encode(), "percent")} == meant


@pytest.mark.parametrize("before", ["/x?q=", "/x?n=1&text=", "POST body=", "/x?a=b&Message="])
def test_the_text_that_a_parameter_holds_begins_with_its_value(before: str) -> None:
    (found, *_) = regions(f"{before}token%3Dacme_k3j9%0Ax&n=1".encode(), "percent")
    assert found.text == b"token=acme_k3j9\nx"
    at = found.text.index(b"acme_k3j9")
    assert found.places()(at, at + 9) == (len(before) + 8, len(before) + 17)


def test_the_name_of_any_other_parameter_is_part_of_what_it_says() -> None:
    for before in ("/x?password=", "/x?subtext=", "/x?q=a=", "u%3D1;pw="):
        (found, *_) = regions(f"{before}a%3D%27acme_k3j9%27".encode(), "percent")
        assert found.text.endswith(b"=a='acme_k3j9'"), before


@pytest.mark.parametrize(
    "written",
    [
        r"secret\u003d\u0022acme\u005fk3j9\u0022",
        r"secret\\u003d\\\"acme_k3j9\\\"",
        r"secret\x3d\x22acme\x5fk3j9\x22",
    ],
)
def test_escapes_are_undone_with_any_number_of_backslashes(written: str) -> None:
    (found, *_) = regions(f'{{"msg":"{written}"}}'.encode(), "escape")
    assert b'secret="acme_k3j9"' in found.text


def test_an_encoded_value_is_seen_behind_its_first_characters() -> None:
    data = b"secret=abcdef%2Fghi&x=1 token=abcdef plain%20text"
    assert encoded_values(data, [36, 13, len(data)]) == [13]
    assert encoded_values(b"token=" + b"a" * 300 + b"%2F", [6, 40, 50, 306]) == [50, 306]


@given(st.text("ab%2F& ", max_size=40).map(str.encode), st.lists(st.integers(0, 40), max_size=9))
def test_encoded_values_are_found_together_as_alone(data: bytes, ends: list[int]) -> None:
    plain = re.compile(rb"[^\s&\"<>]{0,256}?%[0-9A-Fa-f]{2}")
    assert encoded_values(data, ends) == [end for end in sorted(ends) if plain.match(data, end)]


def test_surrogates_and_entities_decode_to_something() -> None:
    (found,) = regions(rb"secret\u003da\ud800b\u00e9", "escape")
    assert found.text == b"secret=a?b\xc3\xa9"
    (found,) = regions(b"secret=&quot;acme_k3j9&quot;&#61;&nosuch; \xff", "html")
    assert b'secret="acme_k3j9"=&nosuch; \xff' in found.text


PEM = [
    "-----BEGIN PRIVATE KEY-----",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw",
    "ggSjAgEAAoIBAQDEx",
    "-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize(
    "frame",
    ["<14>1 2026-03-04T05:06:07Z web-1 app 7 - - {}\n", '{{"log":"{}\\n","stream":"stdout"}}\n', "2026 stdout F {}\n"],
)
def test_a_key_spread_over_log_records_is_put_together(frame: str) -> None:
    data = "".join(frame.format(line) for line in PEM).encode()
    (found,) = regions(data, "lines")
    assert found.text == "\n".join(PEM).encode()
    assert data[found.start :].startswith(b"-----BEGIN")
    assert data[: found.end].endswith(b"-----END PRIVATE KEY-----")


@pytest.mark.parametrize("last", ["=6jcx", "ggSj=="])
def test_a_key_in_records_of_cri_is_the_key_and_nothing_of_its_times(last: str) -> None:
    lines = ["x", *PEM[:-1], last, PEM[-1], "y"]
    data = "".join(f"2026-03-04T05:06:07.{n:09}Z stdout F {line}\n" for n, line in enumerate(lines)).encode()
    (found,) = regions(data, "lines")
    assert found.text == "\n".join(lines[1:-1]).encode()
    assert found.places()(0, len(found.text)) == (data.index(b"-----BEGIN"), data.index(b"KEY-----\n2026", 300) + 8)


def test_a_name_at_the_end_of_a_record_is_read_with_the_next_ones() -> None:
    lines = ["before", "token: |", "  acme_k3j9x2m4q8w1", *(f"line {n}" for n in range(40)), "token: |", "  x"]
    data = "".join(f"2026-03-04T05:06:07.{n:09}Z stdout F {line}\n" for n, line in enumerate(lines)).encode()
    asked = [place + 10 for place in range(len(data)) if data.startswith(b"token: |\n2", place)]
    first, second = decode.regions(codec("lines"), data, [(codec("lines"), end) for end in asked])
    assert first.text.startswith(b"before\ntoken: |\n  acme_k3j9x2m4q8w1\nline 0\n")
    assert second.text.endswith(b"token: |\n  x\n")
    at = first.text.index(b"acme_")
    start, end = first.places()(at, at + 17)
    assert data[start:end] == b"acme_k3j9x2m4q8w1"
    # What one region shows with enough behind it is not decoded again; what stands in no record is not decoded.
    near = [*asked[:1], asked[0] + 60]
    assert len(list(decode.regions(codec("lines"), data, [(codec("lines"), end) for end in near]))) == 1
    plain = b"token: |\nacme_k3j9x2m4q8w1\n"
    assert list(decode.regions(codec("lines"), plain, [(codec("lines"), 10)])) == []
    budget = DecodeBudget(0)
    budget.left = 0
    assert list(decode.regions(codec("lines"), data, [(codec("lines"), asked[0])], budget)) == []
    assert budget.skipped


def test_a_key_as_it_stands_in_a_file_needs_no_decoding() -> None:
    assert regions("\n".join(PEM).encode(), "lines") == []
    assert regions(b"-----BEGIN PRIVATE KEY-----\nabc", "lines") == []
    # A hit that no BEGIN stands before does not come from Hyperscan.
    kind = codec("lines")
    assert list(decode.regions(kind, f"x\n<14>1 {PEM[1]}\n{PEM[3]}".encode(), [(kind, 0)])) == []
