from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from monitor.sources.loki import PushRequest, from_json, from_protobuf
from monitor.sources.pushed import NOTHING, FormError, Pushed

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


def read(records: Iterator[Pushed]) -> list[Pushed]:
    return [record for record in records if record is not NOTHING]


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
    check(read(from_json(orjson.dumps(JSON))))


def test_protobuf() -> None:
    records = read(from_protobuf(protobuf()))
    check(records)
    assert rb'"quoted":"a\"b"' in records[0].text


def test_labels_that_cannot_be_read_are_text() -> None:
    request = PushRequest()
    request.streams.add(labels=b"no labels <1>").entries.add(line=b"x")
    assert read(from_protobuf(request.SerializeToString()))[0].text == b"no labels <1>"


def test_a_line_in_another_encoding_is_read_as_it_stands_in_the_log() -> None:
    request = PushRequest()
    stream = request.streams.add(labels=b'{app="caf\xe9"}')
    stream.entries.add(line=b"caf\xe9 <1>").labels.add(name=b"trace_id", value=b"\xff")
    stream.entries.add(line=b"<2>")
    texts = [record.text for record in read(from_protobuf(request.SerializeToString()))]
    assert texts[1].startswith(b"caf\xe9 <1>\n")
    assert texts[2] == b"<2>"
    written = orjson.dumps({"streams": [{"stream": {}, "values": [["1", "caf? <1>"], ["2", "<2>"]]}]})
    texts = [record.text for record in read(from_json(written.replace(b"?", b"\xe9"))) if record.text]
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
        {"streams": [{"values": 1}]},
    ],
)
def test_json_of_another_form(body: Any) -> None:
    with pytest.raises(FormError):
        list(from_json(orjson.dumps(body)))
    with pytest.raises(FormError):
        list(from_json(b'{"streams": ['))


@pytest.mark.parametrize("bad", [["soon", "<1>"], ["1"], ["1", 2, "<1>"], ["9" * 5000, "<1>"], "<1>", None, {"a": 1}])
def test_an_entry_of_another_form_costs_no_other_one(bad: Any) -> None:
    body = orjson.dumps({"streams": [{"stream": {"app": "pay"}, "values": [["1", "<2>"], bad, ["3", "<4>"]]}]})
    records = read(from_json(body))
    assert [(record.text, record.bad) for record in records[1:]] == [
        (b"<2>", ""),
        (orjson.dumps(bad), "record"),
        (b"<4>", ""),
    ]


def test_names_that_come_again_are_all_read() -> None:
    body = b'{"streams":[{"values":[["1","<1>",{"a":"<2>","a":"<3>"}]],"stream":{"b":"<4>","b":"<5>"}}]}'
    labels, entry = read(from_json(body))
    assert all(mark in labels.text for mark in (b"<4>", b"<5>"))
    assert all(mark in entry.text for mark in (b"<1>", b"<2>", b"<3>"))
    request = PushRequest()
    stream = request.streams.add(labels=b'{a="<1>", a="<2>"}')
    entry = stream.entries.add(line=b"x")
    entry.labels.add(name=b"a", value=b"<3>")
    entry.labels.add(name=b"a", value=b"<4>")
    text = b"".join(record.text for record in from_protobuf(request.SerializeToString()))
    assert all(b"<%d>" % mark in text for mark in (1, 2, 3, 4))


def test_what_is_too_large_to_be_made_into_objects_is_searched_as_it_was_sent() -> None:
    request = PushRequest()
    entry = request.streams.add(labels=b"{a=" + b"x" * 100_000 + b"<1>}").entries.add(line=b"<2>" + b"y" * 100_000)
    entry.labels.add(name=b"a", value=b"<3>")
    labels, line = read(from_protobuf(request.SerializeToString()))
    assert b"<1>" in labels.text
    assert b"<2>" in line.text
    assert b'{"a":"<3>"}' in line.text
    values = [["1", "y" * 300_000 + "<1>"], ["2", "<2>"]]
    records = read(from_json(orjson.dumps({"streams": [{"stream": {"job": "z" * 300_000 + "<3>"}, "values": values}]})))
    assert [b"<%d>" % mark in record.text for mark, record in zip((3, 1, 2), records, strict=True)] == [True] * 3


def test_labels_of_one_long_word_cost_what_others_of_that_length_do() -> None:
    request = PushRequest()
    for labels in (b"a" * 60_000, b"1a" * 30_000 + b' b="c"'):
        request.streams.add(labels=labels)
    before = time.process_time()
    texts = [record.text for record in read(from_protobuf(request.SerializeToString()))]
    assert time.process_time() - before < 5  # read from each letter of it on: minutes
    assert texts == [b"a" * 60_000, b'{"b":"c"}']
