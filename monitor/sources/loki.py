"""Logs pushed the way Loki takes them (Alloy, Promtail, Vector, Fluent Bit, Docker's driver): JSON, or protobuf."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from monitor.common.outside import taken
from monitor.sources.pushed import FormError, Pushed, bounded, json_of, packed_json

__all__ = ["PushRequest", "from_json", "from_protobuf"]

# Label → what we call it, the most telling first
_FACTS = (
    ("service_name", "service"),
    ("service", "service"),
    ("app", "service"),
    ("job", "service"),
    ("host", "host"),
    ("hostname", "host"),
    ("instance", "host"),
    ("node_name", "host"),
    ("namespace", "namespace"),
    ("pod", "pod"),
    ("container", "container"),
    ("level", "level"),
    ("detected_level", "level"),
)
# From where a name begins, and never back into it: a text of one letter, a mebibyte of it, would be read from each.
_LABEL = re.compile(r'(?<![\w.:/-])([A-Za-z_][\w.:/-]*+)\s*+=\s*("(?:[^"\\]|\\.)*+")')


def _message() -> Any:
    """`logproto.PushRequest` as far as it is used: streams of labels and entries, each a time, a line, more labels.

    Its texts are bytes to us: clients send a line as it stands in the log, whatever it is encoded in.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    text, message, repeated = kinds.TYPE_BYTES, kinds.TYPE_MESSAGE, kinds.LABEL_REPEATED
    fields = {
        "Time": [("seconds", 1, kinds.TYPE_INT64, ""), ("nanos", 2, kinds.TYPE_INT32, "")],
        "Label": [("name", 1, text, ""), ("value", 2, text, "")],
        "Entry": [("time", 1, message, "Time"), ("line", 2, text, ""), ("labels", 3, message, "*Label")],
        "Stream": [("labels", 1, text, ""), ("entries", 2, message, "*Entry")],
        "PushRequest": [("streams", 1, message, "*Stream")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="loki.proto", package="monitor.loki", syntax="proto2")
    for name, members in fields.items():
        described = file.message_type.add(name=name)
        for member, number, kind, of in members:
            field = described.field.add(name=member, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
            if of.startswith("*"):
                field.label = repeated
            if of:
                field.type_name = f".monitor.loki.{of.removeprefix('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("monitor.loki.PushRequest"))


PushRequest = _message()


def from_protobuf(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    request = PushRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise FormError("not a PushRequest") from None
    for stream in request.streams:
        labels = _labels(_text(stream.labels))
        yield from _stream(labels)
        for entry in stream.entries:
            nanoseconds = entry.time.seconds * 10**9 + entry.time.nanos
            more = {_text(label.name): _text(label.value) for label in entry.labels}
            yield _record(labels, nanoseconds, entry.line, more)


def from_json(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    try:
        for stream in json_of(body)["streams"]:
            labels = dict(stream.get("stream") or {})
            yield from _stream(labels)
            for time, line, *more in stream.get("values") or []:
                if not isinstance(line, str):
                    raise TypeError
                yield _record(labels, int(time), line.encode("utf-8", "surrogatepass"), more[0] if more else {})
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError, KeyError, OverflowError, RecursionError):
        raise FormError("not a push request in JSON") from None


def _stream(labels: Mapping[str, Any]) -> Iterator[Pushed]:
    if labels:
        yield Pushed(packed_json(labels), _path(labels), _facts(labels), stamp=b"stream")


def _record(labels: Mapping[str, Any], nanoseconds: int, line: bytes, more: Mapping[str, Any]) -> Pushed:
    text = line + b"\n" + packed_json(more) if more else line
    facts = bounded((*_facts({**more, **labels}).items(), ("trace_id", more.get("trace_id") or more.get("traceID"))))
    return Pushed(text, _path(labels), facts, nanoseconds / 1e9, b"%d" % nanoseconds)


def _facts(labels: Mapping[str, Any]) -> dict[str, str]:
    return bounded((ours, labels.get(theirs)) for theirs, ours in _FACTS)


def _path(labels: Mapping[str, Any]) -> str:
    name = labels.get("filename")
    return taken(name) if isinstance(name, str) else _facts(labels).get("service", "loki")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _labels(text: str) -> dict[str, str]:
    found = {}
    for name, quoted in _LABEL.findall(text):
        try:
            found[name] = str(orjson.loads(quoted))
        except orjson.JSONDecodeError:
            found[name] = quoted[1:-1]
    return found or ({"labels": text} if text.strip("{} ") else {})
