"""Lines as Vector, Fluent Bit or curl push them: objects of JSON one a line, or in a list, or plain text."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from monitor.common.outside import taken
from monitor.sources.pieces import Json, light, object_of
from monitor.sources.pushed import FormError, Pushed, bounded

__all__ = ["LINE", "described", "facts", "from_lines", "line_of"]

# Field → what we call it; "a.b" may lie in the object `a`, as with Elastic's shippers
_FACTS = (
    *((name, "service") for name in ("service", "app", "application", "appname", "service.name")),
    *((name, "service") for name in ("kubernetes.container_name", "kubernetes.container.name")),
    *((name, "host") for name in ("host", "hostname", "host.name", "host.hostname", "kubernetes.host")),
    *((name, "level") for name in ("level", "severity", "log.level")),
    *((name, "trace_id") for name in ("trace_id", "traceId", "trace.id")),
    *((f"kubernetes.{name}", "namespace") for name in ("namespace_name", "pod_namespace", "namespace")),
    *((f"kubernetes.{name}", "pod") for name in ("pod_name", "pod.name")),
    *((f"kubernetes.{name}", "container") for name in ("container_name", "container.name")),
    *((name, "image") for name in ("kubernetes.container_image", "container.image.name")),
)
_PATHS = ("file", "path", "filename", "log.file.path")
_TIMES = ("timestamp", "@timestamp", "time", "ts", "date", "_time", "datetime")

_LIST = re.compile(rb'\s*+\[\s*+["{\[]')
LINE = re.compile(rb"[^\n]++")


def from_lines(body: bytes) -> Iterator[Pushed]:
    """Whatever it is, all of it: what is no JSON is text."""
    done, listed = 0, Json(body)
    if _is_list(body):
        with contextlib.suppress(FormError):
            for _ in listed.items():
                start, done = listed.span()
                yield _item(body, start, done)
            done = listed.at
    for line in LINE.finditer(body, done):
        yield line_of(line[0])


def _is_list(body: bytes) -> bool:
    """Of JSON, and nothing else: lines of a log begin with brackets, too."""
    if not _LIST.match(body):
        return False
    listed = Json(body)
    try:
        listed.span()
    except FormError:
        return False
    return not listed.more()


def _item(body: bytes, start: int, end: int) -> Pushed:
    text = body[start:end]
    if text[:1] == b'"' and light(text, 0, len(text)):
        with contextlib.suppress(orjson.JSONDecodeError):
            return line_of(orjson.loads(text).encode())
    return line_of(text)


def line_of(line: bytes) -> Pushed:
    """An object of JSON with what it says of itself, or text."""
    item = object_of(line) if line.lstrip()[:1] == b"{" else None
    return Pushed(line, "lines") if item is None else described(item, line)


def described(item: Mapping[str, Any], text: bytes, path: str = "lines") -> Pushed:
    """A record that says this of itself. `path`: where it comes from, if it does not say."""
    about = bounded(_said(item))
    place = next((found for name in _PATHS if isinstance(found := _at(item, name), str) and found), "")
    stamp = next((value for name in _TIMES if (value := item.get(name))), None)
    return Pushed(text, taken(place) or about.get("service", path), about, stamp=b"its own" if stamp else b"")


def facts(text: bytes) -> dict[str, str]:
    """What an object of JSON says of itself; nothing of any other text."""
    return dict(line_of(text).about)


def _said(item: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for theirs, ours in _FACTS:
        if (value := _at(item, theirs)) is not None:
            yield ours, value


def _at(item: Mapping[str, Any], name: str) -> Any:
    """What stands under the name, or under its parts, each in the one before."""
    if (value := item.get(name)) is not None or "." not in name:
        return value
    outer, _, inner = name.partition(".")
    there = item.get(outer)
    return _at(there, inner) if isinstance(there, dict) else None
