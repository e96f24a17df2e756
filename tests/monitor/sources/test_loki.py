from __future__ import annotations

import random
import time
from typing import Any

import orjson
import pytest

from monitor.sources.loki import PushRequest, from_json, from_protobuf
from monitor.sources.pushed import FormError, Pushed

NANOSECONDS = 1_700_000_000_123_000_000
JSON = {
    "streams": [
        {
            "stream": {"service_name": "pay", "host": "web-1", "secret": "<1>"},
            "values": [[str(NANOSECONDS), "first <2>"], [str(NANOSECONDS + 1), "second <3>", {"trace_id": "<4>"}]],
        },
        {"stream": {"filename": "/var/log/x.log", "job": "files"}, "values": [[str(NANOSECONDS), "<5>"]]},
    ]
}


def protobuf() -> bytes:
    request = PushRequest()
    stream = request.streams.add(labels=rb'{service_name="pay", host="web-1",secret="<1>", quoted="a\"b"}')
    stream.entries.add(line=b"first <2>", time={"seconds": 1_700_000_000, "nanos": 123_000_000})
    entry = stream.entries.add(line=b"second <3>", time={"seconds": 1_700_000_000, "nanos": 123_000_001})
    entry.labels.add(name=b"trace_id", value=b"<4>")
    other = request.streams.add(labels=b'{filename="/var/log/x.log", job="files"}')
    other.entries.add(line=b"<5>", time={"seconds": 1_700_000_000, "nanos": 123_000_000})
    return bytes(request.SerializeToString())


def check(records: list[Pushed]) -> None:
    texts = [record.text for record in records]
    assert b"<1>" in texts[0]
    assert texts[1:3] == [b"first <2>", b'second <3>\n{"trace_id":"<4>"}']
    assert texts[4] == b"<5>"
    assert [record.path for record in records] == ["pay"] * 3 + ["/var/log/x.log"] * 2
    assert records[1].about == {"service": "pay", "host": "web-1"}
    assert records[2].about["trace_id"] == "<4>"
    assert records[3].about["service"] == "files"
    assert records[1].logged_at == NANOSECONDS / 1e9
    assert records[1].stamp != records[2].stamp


def test_json() -> None:
    check(list(from_json(orjson.dumps(JSON))))


def test_protobuf() -> None:
    records = list(from_protobuf(protobuf()))
    check(records)
    assert rb'"quoted":"a\"b"' in records[0].text


def test_labels_that_cannot_be_read_are_text() -> None:
    request = PushRequest()
    request.streams.add(labels=b"no labels <1>").entries.add(line=b"x")
    assert b"<1>" in next(from_protobuf(request.SerializeToString())).text


def test_a_line_in_another_encoding_is_read_as_it_stands_in_the_log() -> None:
    request = PushRequest()
    stream = request.streams.add(labels=b'{app="caf\xe9"}')
    stream.entries.add(line=b"caf\xe9 <1>").labels.add(name=b"trace_id", value=b"\xff")
    stream.entries.add(line=b"<2>")
    texts = [record.text for record in from_protobuf(request.SerializeToString())]
    assert texts[1].startswith(b"caf\xe9 <1>\n")
    assert texts[2] == b"<2>"
    written = orjson.dumps({"streams": [{"stream": {}, "values": [["1", "caf? <1>"], ["2", "<2>"]]}]})
    texts = [record.text for record in from_json(written.replace(b"?", b"\xe9"))]
    assert texts == ["caf\ufffd <1>".encode(), b"<2>"]


@pytest.mark.parametrize("seed", range(50))
def test_a_body_that_is_cut_or_garbled_is_an_error_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    body = bytearray(protobuf()[: rng.randrange(1, 200)])
    body[rng.randrange(len(body))] = rng.randrange(256)
    try:
        list(from_protobuf(bytes(body)))
    except FormError:
        return
    assert body  # whole by chance


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"streams": [1]},
        {"streams": [{"stream": {}, "values": [["soon", "x"]]}]},
        {"streams": [{"stream": {}, "values": [["1"]]}]},
        {"streams": [{"stream": {}, "values": [["1", 2]]}]},
        {"streams": [{"stream": {}, "values": [["9" * 1000, "x"]]}]},
    ],
)
def test_json_of_another_form(body: Any) -> None:
    with pytest.raises(FormError):
        list(from_json(orjson.dumps(body)))
    with pytest.raises(FormError):
        list(from_json(b'{"streams": ['))


def test_labels_of_one_long_word_cost_what_others_of_that_length_do() -> None:
    request = PushRequest()
    for labels in (b"a" * 1_000_000, b"1a" * 500_000 + b' b="c"'):
        request.streams.add(labels=labels)
    before = time.process_time()
    texts = [record.text for record in from_protobuf(request.SerializeToString())]
    assert time.process_time() - before < 5  # read from each letter of it on: hours
    assert texts == [orjson.dumps({"labels": "a" * 1_000_000}), b'{"b":"c"}']
