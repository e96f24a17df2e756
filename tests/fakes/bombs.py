"""Bodies that are small on the wire and would be gigabytes as objects, for each form in which logs are pushed."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator

import cramjam

__all__ = ["bombs", "inside"]

SIZE = (16 << 20) - 1024  # just below what is taken by default

PROTOBUF, JSON = {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/msgpack"}
LOKI = "/loki/api/v1/push"


def inside(field: int, message: bytes) -> bytes:
    """A message as a field of another one."""
    size, length = len(message), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + message


def filled(start: bytes, again: bytes, end: bytes = b"", size: int = SIZE) -> bytes:
    return start + again * ((size - len(start) - len(end)) // len(again)) + end


def _records(record: bytes) -> bytes:
    return inside(1, inside(2, record))


def bombs(names: Collection[str] = ()) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Name, path, headers, body; of these names, or all."""
    for name, path, headers, body in _plain():
        if names and name not in names:
            continue
        if path == LOKI and headers is PROTOBUF:
            yield name, path, headers, bytes(cramjam.snappy.compress_raw(body))
        else:
            yield name, path, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body, 1)


def _plain() -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    nothing = b"\n\0"  # field 1, empty
    otlp = "/v1/logs"
    yield "otlp resources", otlp, PROTOBUF, filled(b"", nothing)
    yield "otlp records", otlp, PROTOBUF, _records(filled(b"", inside(2, b"")))
    yield "otlp attributes", otlp, PROTOBUF, _records(inside(2, filled(b"", inside(6, nothing))))
    yield "otlp array", otlp, PROTOBUF, _records(inside(2, inside(5, inside(5, filled(b"", nothing)))))
    halves = [inside(2, inside(5, inside(5, filled(b"", nothing, size=200_000)))) for _ in range(80)]
    yield "otlp arrays", otlp, PROTOBUF, _records(b"".join(halves))
    yield "otlp resource", otlp, PROTOBUF, inside(1, inside(1, filled(b"", inside(1, nothing))))
    begin, end = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[', b"]}]}]}"
    yield "otlp json records", otlp, JSON, filled(begin, b"{},", b"{}" + end)
    yield "otlp json array", otlp, JSON, filled(begin + b'{"body":{"arrayValue":{"values":[', b"{},", b"{}]}}}" + end)
    yield "otlp json keys", otlp, JSON, filled(begin + b"{", b'"a":[],', b'"b":1}' + end)
    yield "otlp json depth", otlp, JSON, filled(begin + b'{"body":', b"[", b"")
    wide = '"\U0001f600'.encode() + filled(b"", b"a") + b'"'
    yield "otlp json text", otlp, JSON, begin + b'{"body":{"stringValue":' + wide[: SIZE - 200] + b'"}}' + end
    yield "loki streams", LOKI, JSON, filled(b'{"streams":[', b"{},", b"{}]}")
    yield "loki values", LOKI, JSON, filled(b'{"streams":[{"values":[', b'["1",""],', b'["1",""]]}]}')
    yield "loki labels", LOKI, JSON, filled(b'{"streams":[{"stream":{', b'"a":[],', b'"a":1}}]}')
    yield "loki protobuf labels", LOKI, PROTOBUF, inside(1, inside(1, filled(b"{", b'a="",', b"}")))
    yield "loki protobuf streams", LOKI, PROTOBUF, filled(b"", inside(1, b""))
    yield "loki protobuf entries", LOKI, PROTOBUF, inside(1, filled(b"", inside(2, b"")))
    yield "lines", "/", JSON, filled(b"", b"{}\n")
    yield "one line", "/", JSON, filled(b"{", b'"a":{},', b'"a":1}')
    yield "list", "/", JSON, filled(b"[", b"{},", b"{}]")
    yield "list of lists", "/", JSON, filled(b"[[", b"[],", b"[]]]")
    yield "depth", "/", JSON, filled(b"", b"[")
    yield "msgpack nothings", "/", MSGPACK, filled(b"", b"\xc0")
    yield "msgpack array", "/", MSGPACK, filled(b"\x92\x01\x81\xa1a\xdd\x00\xff\x00\x00", b"\x90")
    yield "msgpack arrays", "/", MSGPACK, filled(b"", b"\x92\x01\x81\xa1a\xdc\xff\xff" + b"\x90" * 0xFFFF)
    yield "msgpack map", "/", MSGPACK, filled(b"\x92\x01\xdf\x00\x70\x00\x00", b"\xa0\x90")
    yield "msgpack size", "/", MSGPACK, b"\x92\x01\xdf\xff\xff\xff\xff" * 100
    hec = "/services/collector/event"
    yield "hec", hec, {}, filled(b"", b"{}")
    yield "hec event", hec, {}, filled(b'{"event":[', b"[],", b"[]]}")
    yield "bulk", "/_bulk", {}, filled(b"", b'{"index":{}}\n{}\n')
    yield "bulk document", "/_bulk", {}, filled(b'{"index":{}}\n{"a":[', b"[],", b"[]]}\n")
    yield "more than may be unpacked", "/", {}, bytes(128 << 20)
