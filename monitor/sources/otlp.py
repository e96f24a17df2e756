"""Logs of OpenTelemetry (OTLP), in protobuf and in JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from monitor.common.outside import taken
from monitor.sources.pushed import FormError, Pushed, bounded, json_of, packed_json

__all__ = ["from_json", "from_protobuf"]

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


def from_protobuf(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    for resource in _request(body).resource_logs:
        shared = _pairs(resource.resource.attributes)
        yield from _resource(shared)
        for scope in resource.scope_logs:
            yield from _scope(_pairs(scope.scope.attributes), shared)
            for record in scope.log_records:
                yield _record(
                    shared,
                    _value(record.body),
                    _pairs(record.attributes),
                    times=(record.time_unix_nano, record.observed_time_unix_nano),
                    level=_text(record.severity_text),
                    trace=record.trace_id.hex(),
                )


def _request(body: bytes) -> Any:
    """Raises FormError."""
    for make in (ExportLogsServiceRequest, _loose()):
        request = make()
        try:
            request.ParseFromString(body)
        except DecodeError:
            continue
        return request
    raise FormError("not an ExportLogsServiceRequest")


@cache
def _loose() -> Any:
    """The same message with bytes where there is text: what is no UTF-8 in one line of a log is, by the published one,
    an error of the whole request."""
    kinds = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, logs_pb2, logs_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for field in (field for message in file.message_type for field in message.field):
            if field.type == kinds.TYPE_STRING:
                field.type = kinds.TYPE_BYTES
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(ExportLogsServiceRequest.DESCRIPTOR.full_name))


def from_json(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    try:
        request = json_of(body)
        for resource in _list(request, "resourceLogs"):
            shared = _attributes(resource.get("resource"))
            yield from _resource(shared)
            for scope in _list(resource, "scopeLogs"):
                yield from _scope(_attributes(scope.get("scope")), shared)
                for record in _list(scope, "logRecords"):
                    times = [int(record.get(name) or 0) for name in ("timeUnixNano", "observedTimeUnixNano")]
                    yield _record(
                        shared,
                        _json_value(record.get("body")),
                        _attributes(record),
                        times=(times[0], times[1]),
                        level=str(record.get("severityText") or ""),
                        trace=str(record.get("traceId") or ""),
                    )
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError, KeyError, OverflowError, RecursionError):
        raise FormError("not an ExportLogsServiceRequest in JSON") from None


def _resource(shared: Mapping[str, Any]) -> Iterator[Pushed]:
    """Arguments and environments of processes stand here, the same in every request."""
    if shared:
        yield Pushed(packed_json(shared), _path({}, shared), _facts(shared), stamp=b"resource")


def _scope(attributes: Mapping[str, Any], shared: Mapping[str, Any]) -> Iterator[Pushed]:
    if attributes:
        yield Pushed(packed_json(attributes), _path({}, shared), _facts(shared), stamp=b"scope")


def _record(
    shared: Mapping[str, Any],
    body: Any,
    attributes: Mapping[str, Any],
    *,
    times: tuple[int, int],
    level: str,
    trace: str,
) -> Pushed:
    text = (
        body.encode("utf-8", "surrogatepass") if isinstance(body, str) else b"" if body is None else packed_json(body)
    )
    if attributes:
        text += b"\n" + packed_json(attributes)
    nanoseconds = times[0] or times[1]
    return Pushed(
        text,
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


def _pairs(pairs: Iterable[Any]) -> dict[str, Any]:
    return {_text(pair.key): _value(pair.value) for pair in pairs}


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _value(value: Any) -> Any:
    """The parser takes no more than a hundred levels."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_value(item) for item in inner.values]
    if kind == "kvlist_value":
        return _pairs(inner.values)
    return _text(inner) if isinstance(inner, bytes) else inner


def _attributes(holder: Any) -> dict[str, Any]:
    return {str(pair["key"]): _json_value(pair.get("value")) for pair in _list(holder or {}, "attributes")}


def _list(holder: Any, name: str) -> list[Any]:
    found = holder.get(name)
    if found is not None and not isinstance(found, list):
        raise TypeError
    return found or []


def _json_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value  # not by the book, but text
    for kind, inner in value.items():
        if kind == "arrayValue":
            return [_json_value(item) for item in _list(inner, "values")]
        if kind == "kvlistValue":
            return {str(pair["key"]): _json_value(pair.get("value")) for pair in _list(inner, "values")}
        if kind == "bytesValue" and isinstance(inner, str):
            try:
                return base64.b64decode(inner, validate=True).decode("utf-8", "replace")
            except binascii.Error:
                return inner
        return int(inner) if kind == "intValue" else inner  # a string, as JSON's numbers are not exact
    return None
