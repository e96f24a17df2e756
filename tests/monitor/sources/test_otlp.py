from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from monitor.sources.otlp import from_json, from_protobuf
from monitor.sources.pushed import FormError, Pushed


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
    check(list(from_protobuf(request().SerializeToString())))


def test_json_as_the_published_messages_write_it() -> None:
    check(list(from_json(MessageToJson(request()).encode())))


def test_a_line_in_another_encoding_costs_no_other_one() -> None:
    whole = request().SerializeToString()
    for body in (whole.replace(b"refused", b"refus\xe9d"[:7]), whole.replace(b"http.header", b"http.h\xe9ader"[:11])):
        records = list(from_protobuf(body))
        assert len(records) == len(WANTED)
        assert b"<3>" in records[2].text
        assert b"<4>" in records[2].text
        assert records[3].path == "/var/log/pay.log"
    written = MessageToJson(request()).encode().replace(b"refused", b"refus\xe9d")
    assert b"<3>" in list(from_json(written))[2].text


@pytest.mark.parametrize("seed", range(50))
def test_a_body_that_is_cut_or_garbled_is_an_error_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    for read, body in ((from_protobuf, request().SerializeToString()), (from_json, MessageToJson(request()).encode())):
        garbled = bytearray(body[: rng.randrange(1, len(body))])
        for _ in range(rng.randrange(3)):
            garbled[rng.randrange(len(garbled))] = rng.randrange(256)
        try:
            list(read(bytes(garbled)))
        except FormError:
            continue
        assert read is from_protobuf  # which may be whole by chance


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {"resourceLogs": {}},
        {"resourceLogs": [1]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": ["x"]}]}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "soon"}]}]}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "9" * 1000}]}]}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": [{}]}]}]}]},
    ],
)
def test_json_of_another_form(body: Any) -> None:
    with pytest.raises(FormError):
        list(from_json(orjson.dumps(body)))


def inside(field: int, message: bytes) -> bytes:
    """A message as a field of another one."""
    size, length = len(message), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + message


def test_no_depth_ends_it() -> None:
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 300
    body += b'{"stringValue":"<1>"}' + b"]}}" * 300 + b"}]}]}]}"
    [record] = from_json(body)
    assert b"<1>" in record.text
    with pytest.raises(FormError):
        list(from_json(b'{"a":' * 10_000 + b"1" + b"}" * 10_000))
    for levels in (10, 40, 100, 5000):
        value = AnyValue(string_value="<1>").SerializeToString()
        for _ in range(levels):
            value = inside(5, inside(1, value))  # an array of one
        deep = inside(1, inside(2, inside(2, inside(5, value))))
        try:
            [record] = from_protobuf(deep)
            assert b"<1>" in record.text
        except FormError:
            assert levels > 40
