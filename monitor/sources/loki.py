"""Logs pushed the way Loki takes them (Alloy, Promtail, Vector, Fluent Bit, Docker's driver): JSON, or protobuf."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from monitor.common.outside import taken
from monitor.sources.pieces import LIGHT, Json, fields, light, parsed, split
from monitor.sources.pushed import NOTHING, FormError, Pushed, bounded, named, text_of

__all__ = ["Entry", "PushRequest", "from_json", "from_protobuf"]

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


def _messages() -> tuple[Any, Any]:
    """`logproto.Entry` and `PushRequest` as far as they are used: streams of labels and entries, each a time,
    a line, more labels.

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
    names = ("Entry", "PushRequest")
    found = [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"monitor.loki.{name}")) for name in names]
    return found[0], found[1]


Entry, PushRequest = _messages()


def from_protobuf(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    for number, _, *place in fields(body, 0, len(body)):
        if number == 1:
            yield NOTHING
            yield from _of_stream(body, *place)


def _of_stream(body: bytes, start: int, end: int) -> Iterator[Pushed]:
    labels: dict[str, Any] = {}
    for number, _, *place in fields(body, start, end):
        if number == 1:
            labels, text = _labels(body[slice(*place)])
            yield _described(labels, text)
    for number, _, *place in fields(body, start, end):
        if number == 2:
            yield _of_entry(body, labels, *place)


def _of_entry(body: bytes, labels: Mapping[str, Any], start: int, end: int) -> Pushed:
    more: list[dict[str, Any]] = []
    try:
        part, rest = split(body, start, end)
        entry = Entry.FromString(part)
    except (FormError, DecodeError):
        return Pushed(body[start:end], _path(labels), _facts(labels), bad="record")
    nanoseconds = entry.time.seconds * 10**9 + entry.time.nanos
    said = named(((_text(label.name), _text(label.value)) for label in entry.labels), more)
    return _record(labels, nanoseconds, said, entry.line, said, more, rest)


def from_json(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    request, streams = Json(body), False
    for name in request.members():
        if name == "streams":
            streams = True
            for _ in request.items():
                yield from _json_stream(request)
    request.end()
    if not streams:
        raise FormError("not a push request in JSON")


def _json_stream(request: Json) -> Iterator[Pushed]:
    start, more = request.at, list[dict[str, Any]]()
    labels: dict[str, Any] = {}
    yield NOTHING
    for name in request.members():
        if name == "stream":
            text = request.body[slice(*request.span())]
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                labels = dict(parsed(text, more) or {}) if light(text, 0, len(text)) else {}
            yield _described(labels, text_of(more) if labels else text if len(text) > 4 else b"")
    end, request.at = request.at, start
    for name in request.members():
        if name == "values":
            for _ in request.items():
                yield _json_entry(request.body, labels, *request.span())
    request.at = end


def _json_entry(body: bytes, labels: Mapping[str, Any], start: int, end: int) -> Pushed:
    text = body[start:end]
    if not light(text, 0, len(text)):
        return Pushed(text, _path(labels), _facts(labels))
    more: list[dict[str, Any]] = []
    try:
        time, line, *beside = parsed(text, more)
        if not isinstance(line, str):
            raise TypeError
        said = dict(beside[0]) if beside else {}
        return _record(labels, int(time), said, line, said, more)
    except (FormError, TypeError, ValueError, OverflowError, RecursionError):
        return Pushed(text, _path(labels), _facts(labels), bad="record")


def _described(labels: Mapping[str, Any], *parts: bytes) -> Pushed:
    return Pushed(text_of(labels, *parts), _path(labels), _facts(labels), stamp=b"stream")


def _record(labels: Mapping[str, Any], nanoseconds: int, more: Mapping[str, Any], *parts: Any) -> Pushed:
    facts = bounded((*_facts({**more, **labels}).items(), ("trace_id", more.get("trace_id") or more.get("traceID"))))
    return Pushed(text_of(*parts), _path(labels), facts, nanoseconds / 1e9, b"%d" % nanoseconds)


def _facts(labels: Mapping[str, Any]) -> dict[str, str]:
    return bounded((ours, labels.get(theirs)) for theirs, ours in _FACTS)


def _path(labels: Mapping[str, Any]) -> str:
    name = labels.get("filename")
    return taken(name) if isinstance(name, str) else _facts(labels).get("service", "loki")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _labels(text: bytes) -> tuple[dict[str, Any], bytes]:
    """What they say, and the text of those that cannot be read, or that come again."""
    if len(text) > LIGHT:
        return {}, text
    more: list[dict[str, Any]] = []
    found = named(((name, _unquoted(quoted)) for name, quoted in _LABEL.findall(_text(text))), more)
    return found, text_of(more) if found else text.strip(b"{} ")


def _unquoted(quoted: str) -> str:
    try:
        return str(orjson.loads(quoted))
    except orjson.JSONDecodeError:
        return quoted[1:-1]
