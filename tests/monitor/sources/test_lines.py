from __future__ import annotations

import orjson
import pytest

from monitor.sources.lines import facts, from_lines

VECTOR = {
    "file": "/var/log/app.log",
    "host": "web-1",
    "message": "refused <1>",
    "timestamp": "2026-11-02T10:00:00Z",
    "kubernetes": {"pod_name": "pay-1", "container_name": "pay", "pod_namespace": "shop"},
}


def test_objects_one_a_line_keep_their_text_and_say_whose_they_are() -> None:
    body = orjson.dumps(VECTOR) + b'\r\n{"log": "<2>", "date": 1700000000.1}\n\nplain <3>\n{"cut": "<4>'
    records = list(from_lines(body))
    assert [record.text for record in records] == [line for line in body.split(b"\n") if line]
    assert records[0].path == "/var/log/app.log"
    assert records[0].about == {
        "service": "pay",
        "host": "web-1",
        "namespace": "shop",
        "pod": "pay-1",
        "container": "pay",
    }
    assert records[0].stamp
    assert records[1].stamp
    assert not records[3].stamp
    assert {record.path for record in records[1:]} == {"lines"}


def test_what_one_text_says_of_itself() -> None:
    assert facts(orjson.dumps(VECTOR))["pod"] == "pay-1"
    assert facts(b"text") == facts(b"{cut") == {}


def test_a_list_is_its_items() -> None:
    records = list(from_lines(b" \n" + orjson.dumps([VECTOR, "text <2>", ["<3>"], 4])))
    assert [record.text for record in records] == [orjson.dumps(VECTOR), b"text <2>", b'["<3>"]', b"4"]


def test_what_elastics_shippers_say_of_themselves() -> None:
    item = {
        "@timestamp": "2026-11-02T10:00:00Z",
        "log": {"level": "error", "file": {"path": "/var/log/pay.log"}},
        "host": {"name": "web-1"},
        "service": {"name": "pay"},
        "kubernetes": {"namespace": "shop", "pod": {"name": "pay-1"}, "container": {"name": "app"}},
    }
    [record] = from_lines(orjson.dumps(item))
    assert record.path == "/var/log/pay.log"
    assert record.about == {
        "service": "pay",
        "host": "web-1",
        "level": "error",
        "namespace": "shop",
        "pod": "pay-1",
        "container": "app",
    }


@pytest.mark.parametrize(
    "body",
    [b"[2026-11-02] began <1>\n[2026-11-02] ended", b'["a" b]\nx', b'[{"a":1}] tail\n[{"b":2}]', b'[{"a":1},\n{"b"'],
)
def test_lines_that_begin_as_a_list_does_are_lines(body: bytes) -> None:
    assert [record.text for record in from_lines(body)] == body.split(b"\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1, 2",
        b"[" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"\xff\xfe\0",
        b"\n\n",
        b"[" + b"[" * 300 + b'"<1>"' + b"]" * 300 + b"]",
    ],
)
def test_whatever_it_is_it_is_text(body: bytes) -> None:
    assert b"\n".join(record.text for record in from_lines(body)).strip(b"[]\n") == body.strip(b"[]\n")
