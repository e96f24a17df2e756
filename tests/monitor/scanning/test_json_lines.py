from __future__ import annotations

import json
import re

import pytest

from monitor.scanning.json_lines import pieces


def masked(data: bytes, start: int, end: int) -> bytes:
    out, at = b"", 0
    for low, high, text in pieces(data, [(start, end, b"[r:1]")]):
        out += data[at:low] + text
        at = high
    return out + data[at:]


def spanning(data: bytes, first: bytes, last: bytes) -> bytes:
    return masked(data, data.index(first), data.index(last) + len(last))


def test_text_loses_the_span_and_nothing_else() -> None:
    assert spanning(b"a b\nc d\n", b"b", b"c") == b"a [r:1] d\n"


@pytest.mark.parametrize(
    ("line", "first", "last", "expected"),
    [
        (b'{"msg":"k=abc end","n":1}', b"abc", b"abc", {"msg": "k=[r:1] end", "n": 1}),
        (b'{"a":"abc","b" : "def","c":7}', b"abc", b"7", {"a": "[r:1]", "b": "[r:1]", "c": "[r:1]"}),
        (b'{"pin":123456}', b"123", b"456", {"pin": "[r:1]"}),
        (b'{"a":"x\\"abc\\"y"}', b"abc", b"abc", {"a": 'x"[r:1]"y'}),
        (b'["abc","def"]', b"bc", b"de", ["a[r:1]", "[r:1]f"]),
        (b'{"abc":1}', b"abc", b"abc", {"[r:1]": 1}),
        (b'{"u:abc@h" : {"n":1}}', b"abc", b"abc", {"u:[r:1]@h": {"n": 1}}),
        (b'{"x":1,"abc":2,"b":"def"}', b"bc", b"de", {"x": 1, "a[r:1]": "[r:1]", "b": "[r:1]f"}),
        (b'{"a":"x\\u00e9bc"}', b"00e9", b"b", {"a": "x[r:1]c"}),
        (b'{"a":"bc\\n"}', b"b", b"\\", {"a": "[r:1]"}),
    ],
)
def test_a_line_of_json_stays_json(line: bytes, first: bytes, last: bytes, expected: object) -> None:
    assert json.loads(spanning(line, first, last)) == expected


def test_records_of_one_secret_stay_records() -> None:
    data = b'{"log":"BEGIN\\n","t":"1"}\n{"log":"middle\\n","t":"2"}\n{"log":"END\\n","t":"3"}\n'
    lines = [json.loads(line) for line in spanning(data, b"BEGIN", b"END").splitlines()]
    assert [line["log"] for line in lines] == ["[r:1]", "[r:1]", "[r:1]\n"]
    assert lines[2]["t"] == "3"


def test_a_long_line_is_read_once() -> None:
    data = json.dumps({f"name{n}": [n, "x" * 20] for n in range(20_000)}).encode()
    spans = [(at.start(), at.end(), b"[r:1]") for at in re.finditer(rb"x{20}", data)]
    assert [text for _, _, text in pieces(data, spans)] == [b"[r:1]"] * len(spans)


def test_a_number_with_two_spans_is_replaced_once() -> None:
    assert [*pieces(b"[123456]", [(1, 3, b"[r:1]"), (4, 6, b"[r:2]")])] == [(1, 7, b'"[r:1]"')]
