"""Logs of OpenTelemetry (OTLP), in protobuf and in JSON."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from monitor.common.outside import taken
from monitor.sources.pieces import Json, fields, light, parsed, split
from monitor.sources.pushed import NOTHING, BodyCounter, FormError, Pushed, bounded, named, text_of

__all__ = ["answer", "from_json", "from_protobuf"]

# Attribute of a resource → what we call it
_FACTS = {
    "service.name": "service",
    "host.name": "host",
    "k8s.namespace.name": "namespace",
    "k8s.pod.name": "pod",
    "k8s.container.name": "container",
    "container.name": "container",
    "container.image.name": "image",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
}
_PATHS = ("log.file.path", "log.file.name")
_TRACE = re.compile(r"[0-9A-Fa-f]{32}")
_ODD = (FormError, AttributeError, TypeError, ValueError, KeyError, OverflowError, RecursionError)


def answer(counter: BodyCounter, form: str) -> bytes:
    """An ExportLogsServiceResponse; empty when no record was refused."""
    response = ExportLogsServiceResponse()
    if counter.bad:
        response.partial_success.rejected_log_records = len(counter.bad)
        response.partial_success.error_message = "not records of OTLP: searched as the text they were sent as"
    if form == "application/json":
        return json_format.MessageToJson(response, indent=None).encode()
    return response.SerializeToString()


def from_protobuf(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    for number, _, *place in fields(body, 0, len(body)):
        if number == 1:
            yield NOTHING
            yield from _of_resource(body, *place)


def _of_resource(body: bytes, start: int, end: int) -> Iterator[Pushed]:
    shared: Mapping[str, Any] = {}
    for number, _, *place in fields(body, start, end):
        if number == 1:
            shared, more, rest = _described("Resource", body, *place)
            yield _around(b"resource", shared, shared, more, rest)
        elif number != 2 and place[0] < place[1]:
            yield _around(b"resource", {}, {}, body[slice(*place)])
    for number, _, *place in fields(body, start, end):
        if number == 2:
            yield NOTHING
            yield from _of_scope(body, shared, *place)


def _of_scope(body: bytes, shared: Mapping[str, Any], start: int, end: int) -> Iterator[Pushed]:
    for number, _, *place in fields(body, start, end):
        if number == 2:
            yield _of_record(body, shared, *place)
        elif number == 1:
            attributes, more, rest = _described("InstrumentationScope", body, *place)
            yield _around(b"scope", shared, attributes, more, rest)
        elif place[0] < place[1]:
            yield _around(b"scope", shared, {}, body[slice(*place)])


def _described(kind: str, body: bytes, start: int, end: int) -> tuple[dict[str, Any], bytes, bytes]:
    """Attributes of a resource or scope; what else they say; what could not be made into objects."""
    try:
        part, rest = split(body, start, end)
        message = _message(kind, part)
        more: list[dict[str, Any]] = []
        attributes = _pairs(message.attributes, more)
        names = [_text(getattr(message, name, "")) for name in ("name", "version")]
        return attributes, text_of(more, *filter(None, names)), rest
    except (FormError, DecodeError):
        return {}, b"", body[start:end]


def _of_record(body: bytes, shared: Mapping[str, Any], start: int, end: int) -> Pushed:
    try:
        part, rest = split(body, start, end)
        record = _message("LogRecord", part)
        more: list[dict[str, Any]] = []
        said, attributes = _value(record.body, more), _pairs(record.attributes, more)
        return _record(
            shared,
            said,
            attributes,
            more,
            _text(record.event_name),
            rest,
            times=(record.time_unix_nano, record.observed_time_unix_nano),
            level=_text(record.severity_text),
            trace=record.trace_id.hex(),
        )
    except (FormError, DecodeError):
        return _bad(body[start:end], shared)


def _message(kind: str, body: bytes) -> Any:
    """Raises DecodeError."""
    published, loose = _kinds()[kind]
    try:
        return published.FromString(body)
    except DecodeError:
        return loose.FromString(body)


@cache
def _kinds() -> dict[str, tuple[Any, Any]]:
    """Each message, and the same with bytes where there is text: what is no UTF-8 in one line of a log is, by the
    published one, an error of the whole."""
    kinds = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, logs_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for field in (field for message in file.message_type for field in message.field):
            if field.type == kinds.TYPE_STRING:
                field.type = kinds.TYPE_BYTES
        pool.Add(file)
    published: tuple[Any, ...] = (resource_pb2.Resource, common_pb2.InstrumentationScope, logs_pb2.LogRecord)
    loose = (message_factory.GetMessageClass(pool.FindMessageTypeByName(one.DESCRIPTOR.full_name)) for one in published)
    return {one.DESCRIPTOR.name: (one, other) for one, other in zip(published, loose, strict=True)}


def from_json(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    request = Json(body)
    if not request.begins(b"{"):
        raise FormError("not an ExportLogsServiceRequest in JSON")
    for name in request.members():
        if name == "resourceLogs":
            for _ in request.items():
                yield NOTHING
                yield from _json_resource(request)
        elif text := _other(request):
            yield Pushed(text, "otlp", stamp=b"request")
    request.end()


def _json_resource(request: Json) -> Iterator[Pushed]:
    """Its names may come in any order, and records are to know whose they are."""
    start = request.at
    shared: Mapping[str, Any] = {}
    for name in request.members():
        if name == "resource":
            shared, text = _json_described(request)
            yield _around(b"resource", shared, shared, text)
        elif name != "scopeLogs":
            yield _around(b"resource", {}, {}, _other(request))
    end, request.at = request.at, start
    for name in request.members():
        if name == "scopeLogs":
            for _ in request.items():
                yield NOTHING
                yield from _json_scope(request, shared)
    request.at = end


def _json_scope(request: Json, shared: Mapping[str, Any]) -> Iterator[Pushed]:
    for name in request.members():
        if name == "logRecords":
            for _ in request.items():
                yield _json_record(request.body, shared, *request.span())
        elif name == "scope":
            attributes, text = _json_described(request)
            yield _around(b"scope", shared, attributes, text)
        else:
            yield _around(b"scope", shared, {}, _other(request))


def _other(request: Json) -> bytes:
    """A value that has no meaning to us: the text it was sent as, if it is one."""
    text = request.body[slice(*request.span())]
    return text if text[:1] in b'"[{' else b""


def _json_described(request: Json) -> tuple[dict[str, Any], bytes]:
    """Attributes of a resource or scope, and what else they say."""
    start, end = request.span()
    if light(request.body, start, end):
        with contextlib.suppress(*_ODD):
            more: list[dict[str, Any]] = []
            said = dict(parsed(request.body[start:end], more))
            return _attributes(said.pop("attributes", None), more), text_of(said, more)
    return {}, request.body[start:end]


def _json_record(body: bytes, shared: Mapping[str, Any], start: int, end: int) -> Pushed:
    if not light(body, start, end):
        return Pushed(body[start:end], _path({}, shared), _facts(shared))
    try:
        more: list[dict[str, Any]] = []
        said = dict(parsed(body[start:end], more))
        times = [int(said.pop(name, None) or 0) for name in ("timeUnixNano", "observedTimeUnixNano")]
        texts = [str(said.pop(name, None) or "") for name in ("severityText", "traceId", "spanId")]
        trace = texts[1] if _TRACE.fullmatch(texts[1]) else ""
        return _record(
            shared,
            _json_value(said.pop("body", None), more),
            _attributes(said.pop("attributes", None), more),
            more,
            said if _says(said) else None,
            texts[1] if texts[1] and not trace else None,
            times=(times[0], times[1]),
            level=texts[0],
            trace=trace,
        )
    except _ODD:
        return _bad(body[start:end], shared)


def _says(said: Mapping[str, Any]) -> bool:
    """Whether any of it is more than a number."""
    return any(value and not isinstance(value, int | float) for value in said.values())


def _bad(text: bytes, shared: Mapping[str, Any]) -> Pushed:
    return Pushed(text, _path({}, shared), _facts(shared), bad="record")


def _around(stamp: bytes, shared: Mapping[str, Any], attributes: Mapping[str, Any], *parts: bytes) -> Pushed:
    """Arguments and environments of processes stand here, the same in every request."""
    return Pushed(text_of(attributes, *parts), _path({}, shared), _facts(shared), stamp=stamp)


def _record(
    shared: Mapping[str, Any],
    body: Any,
    attributes: Mapping[str, Any],
    *parts: Any,
    times: tuple[int, int],
    level: str,
    trace: str,
) -> Pushed:
    nanoseconds = times[0] or times[1]
    return Pushed(
        text_of(body, attributes, *parts, level),
        _path(attributes, shared),
        {**_facts(shared), **bounded((("level", level), ("trace_id", trace)))},
        logged_at=nanoseconds / 1e9 if nanoseconds else None,
        stamp=b"%d" % nanoseconds if nanoseconds else b"",
    )


def _facts(shared: Mapping[str, Any]) -> dict[str, str]:
    return bounded((ours, shared.get(theirs)) for theirs, ours in _FACTS.items())


def _path(attributes: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    for name in _PATHS:
        for place in (attributes, shared):
            if isinstance(place.get(name), str):
                return taken(place[name])
    return _facts(shared).get("service", "otlp")


def _pairs(pairs: Iterable[Any], more: list[dict[str, Any]]) -> dict[str, Any]:
    return named(((_text(pair.key), _value(pair.value, more)) for pair in pairs), more)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _value(value: Any, more: list[dict[str, Any]]) -> Any:
    """The parser takes no more than a hundred levels."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_value(item, more) for item in inner.values]
    if kind == "kvlist_value":
        return _pairs(inner.values, more)
    return _text(inner) if isinstance(inner, bytes) else inner


def _attributes(pairs: Any, more: list[dict[str, Any]]) -> dict[str, Any]:
    return named(((str(pair["key"]), _json_value(pair.get("value"), more)) for pair in _list(pairs)), more)


def _list(found: Any) -> list[Any]:
    if found is not None and not isinstance(found, list):
        raise TypeError
    return found or []


def _json_value(value: Any, more: list[dict[str, Any]]) -> Any:
    if not isinstance(value, dict):
        return value  # not by the book, but text
    kinds = {kind: _json_inner(kind, inner, more) for kind, inner in value.items()}
    return next(iter(kinds.values())) if len(kinds) == 1 else kinds or None


def _json_inner(kind: str, inner: Any, more: list[dict[str, Any]]) -> Any:
    if kind == "arrayValue":
        return [_json_value(item, more) for item in _list(inner.get("values"))]
    if kind == "kvlistValue":
        return _attributes(inner.get("values"), more)
    if kind == "bytesValue" and isinstance(inner, str):
        try:
            return base64.b64decode(inner, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            return inner
    return int(inner) if kind == "intValue" else inner  # a string, as JSON's numbers are not exact
