from __future__ import annotations

import contextlib
import random
from array import array
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToJson, Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from monitor.sources.otlp import answer, from_json, from_protobuf
from monitor.sources.pushed import NOTHING, BodyCounter, FormError, Pushed
from tests.fakes.bombs import inside


def pair(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def request() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(
        [pair("service.name", "pay"), pair("host.name", "web-1"), pair("process.command_line", "app --key <1>")]
    )
    scope = resource.scope_logs.add()
    scope.scope.attributes.append(pair("library", "<2>"))
    text = scope.log_records.add(time_unix_nano=1_700_000_000_123_000_000, severity_text="ERROR")
    text.body.string_value = "refused <3>"
    text.attributes.append(pair("http.header", "<4>"))
    kinds = scope.log_records.add(observed_time_unix_nano=1_700_000_001_000_000_000)
    deep = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="<5>"), AnyValue(int_value=7)]))
    kinds.body.kvlist_value.CopyFrom(KeyValueList(values=[KeyValue(key="list", value=deep)]))
    kinds.attributes.append(KeyValue(key="raw", value=AnyValue(bytes_value=b"<6>")))
    kinds.attributes.append(pair("log.file.path", "/var/log/pay.log"))
    scope.log_records.add()
    return request


WANTED = [
    (b'"process.command_line":"app --key <1>"', "pay"),
    (b'"library":"<2>"', "pay"),
    (b'refused <3>\n{"http.header":"<4>"}', "pay"),
    (b'{"list":["<5>",7]}\n{"raw":"<6>"', "/var/log/pay.log"),
    (b"", "pay"),
]


def read(records: Iterator[Pushed]) -> list[Pushed]:
    return [record for record in records if record is not NOTHING]


def check(records: list[Pushed]) -> None:
    assert len(records) == len(WANTED)
    for record, (text, path) in zip(records, WANTED, strict=True):
        assert text in record.text
        assert record.path == path
        assert record.about["service"] == "pay"
        assert record.about["host"] == "web-1"
    assert records[2].about["level"] == "ERROR"
    assert records[2].logged_at == pytest.approx(1_700_000_000.123, abs=1e-5)
    assert records[3].logged_at == 1_700_000_001
    assert records[4].logged_at is None


def test_protobuf() -> None:
    check(read(from_protobuf(request().SerializeToString())))


def test_json_as_the_published_messages_write_it() -> None:
    check(read(from_json(MessageToJson(request()).encode())))


def test_a_line_in_another_encoding_costs_no_other_one() -> None:
    whole = request().SerializeToString()
    for body in (whole.replace(b"refused", b"refus\xe9d"[:7]), whole.replace(b"http.header", b"http.h\xe9ader"[:11])):
        records = read(from_protobuf(body))
        assert len(records) == len(WANTED)
        assert b"<3>" in records[2].text
        assert b"<4>" in records[2].text
        assert records[3].path == "/var/log/pay.log"
    written = MessageToJson(request()).encode().replace(b"refused", b"refus\xe9d")
    assert b"<3>" in read(from_json(written))[2].text


@pytest.mark.parametrize("seed", range(50))
def test_a_body_that_is_cut_or_garbled_is_an_error_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    for read, body in ((from_protobuf, request().SerializeToString()), (from_json, MessageToJson(request()).encode())):
        garbled = bytearray(body[: rng.randrange(1, len(body))])
        for _ in range(rng.randrange(3)):
            garbled[rng.randrange(len(garbled))] = rng.randrange(256)
        with contextlib.suppress(FormError):  # it may be whole by chance, or but for one record
            list(read(bytes(garbled)))


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {"resourceLogs": {}},
        {"resourceLogs": [1]},
        {"resourceLogs": [{"scopeLogs": 1}]},
    ],
)
def test_json_of_another_form(body: Any) -> None:
    with pytest.raises(FormError):
        list(from_json(orjson.dumps(body)))


BAD = [
    "<1>",
    {"timeUnixNano": "soon", "body": {"stringValue": "<1>"}},
    {"timeUnixNano": "9" * 5000, "body": {"stringValue": "<1>"}},
    {"attributes": [{"value": "<1>"}]},
    {"body": {"arrayValue": "<1>"}},
]


@pytest.mark.parametrize("bad", BAD)
def test_a_record_of_another_form_costs_no_other_one(bad: Any) -> None:
    good = {"body": {"stringValue": "<2>"}}
    body = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [good, bad, good]}]}]})
    records = read(from_json(body))
    assert [record.bad for record in records] == ["", "record", ""]
    assert [b"<1>" in record.text for record in records] == [False, True, False]
    assert [b"<2>" in record.text for record in records] == [True, False, True]


def test_a_record_of_another_form_in_protobuf_costs_no_other_one() -> None:
    good = LogRecord(body=AnyValue(string_value="<2>")).SerializeToString()
    bad = inside(5, b"\x0a\x7f<1>")  # a text that is longer than what holds it
    records = read(from_protobuf(inside(1, inside(2, b"".join(inside(2, one) for one in (good, bad, good))))))
    assert [(record.text[-3:], record.bad) for record in records] == [(b"<2>", ""), (b"<1>", "record"), (b"<2>", "")]


def test_the_answer_says_how_many_were_not_records() -> None:
    for form in ("application/json", "application/x-protobuf"):
        assert answer(BodyCounter(records=3), form) in (b"", b"{}")
        said = answer(BodyCounter(records=3, bad=array("L", [1, 2])), form)
        response = ExportLogsServiceResponse()
        if form == "application/json":
            Parse(said, response)
        else:
            response.ParseFromString(said)
        assert response.partial_success.rejected_log_records == 2


ODD = (
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"<1>"},"body":{"stringValue":"<2>"},'
    b'"eventName":"<3>","severityText":"<4>","traceId":"<5>","unknown":{"deep":["<6>"]},'
    b'"attributes":[{"key":"a","value":{"stringValue":"<7>"}},{"key":"a","value":{"stringValue":"<8>"}}]}],'
    b'"scope":{"name":"<9>","attributes":[{"key":"b","value":{"stringValue":"<10>","intValue":"11"}}]},"schemaUrl":"<12>"}],'
    b'"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}},'
    b'{"key":"c","value":{"stringValue":"<13>"}},{"key":"c","value":{"stringValue":"<14>"}}]},"schemaUrl":"<15>"}],'
    b'"resourceLogs":[{"resource":{"attributes":[{"key":"d","value":{"bytesValue":"PDE2Pg=="}}]}}],"else":"<17>"}'
)


def test_whatever_json_says_is_read() -> None:
    records = read(from_json(ODD))
    text = b"\n".join(record.text for record in records)
    assert [mark for mark in range(1, 18) if mark != 11 and b"<%d>" % mark not in text] == []
    assert {record.path for record in records if b"<1>" in record.text} == {"pay"}
    assert not any(record.bad for record in records)


def test_whatever_protobuf_says_is_read() -> None:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add(schema_url="<1>")
    resource.resource.attributes.extend([pair("a", "<2>"), pair("a", "<3>")])
    scope = resource.scope_logs.add(schema_url="<4>")
    scope.scope.name, scope.scope.version = "<5>", "<6>"
    record = scope.log_records.add(event_name="<7>", severity_text="<8>")
    record.attributes.extend([pair("password", "<9>"), pair("password", "<10>")])
    record.body.kvlist_value.values.extend([pair("b", "<11>"), pair("b", "<12>")])
    text = b"\n".join(record.text for record in from_protobuf(request.SerializeToString()))
    assert [mark for mark in range(1, 13) if b"<%d>" % mark not in text] == []
    assert b'"password":"<9>"' in text


def test_what_is_too_large_to_be_made_into_objects_is_searched_as_it_was_sent() -> None:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend([pair("service.name", "pay"), pair("big", "x" * 100_000 + "<1>")])
    record = resource.scope_logs.add().log_records.add(time_unix_nano=1_700_000_000_000_000_000)
    record.body.string_value = "y" * 100_000 + "<2>"
    record.attributes.append(pair("password", "<3>"))
    shared, large = read(from_protobuf(request.SerializeToString()))
    assert b"<1>" in shared.text
    assert large.text.startswith(b'{"password":"<3>"}')
    assert b"<2>" in large.text
    assert (large.path, large.logged_at) == ("pay", 1_700_000_000)
    record.body.string_value *= 3
    shared, large = read(from_json(MessageToJson(request).encode()))
    assert b"<2>" in large.text
    assert large.path == "pay"


def test_no_depth_ends_it() -> None:
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 300
    body += b'{"stringValue":"<1>"}' + b"]}}" * 300 + b"}]}]}]}"
    [record] = read(from_json(body))
    assert b"<1>" in record.text
    deep = b'{"a":' * 10_000 + b'"<1>"' + b"}" * 10_000
    assert b"<1>" in read(from_json(deep))[0].text
    for levels in (10, 40, 100, 5000):
        value = AnyValue(string_value="<1>").SerializeToString()
        for _ in range(levels):
            value = inside(5, inside(1, value))  # an array of one
        deep = inside(1, inside(2, inside(2, inside(5, value))))
        [record] = read(from_protobuf(deep))
        assert b"<1>" in record.text
        assert not record.bad or levels > 40
