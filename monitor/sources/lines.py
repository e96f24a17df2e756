"""Lines as Vector, Fluent Bit or curl push them: objects of JSON one a line, or in a list, or plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from monitor.common.outside import taken
from monitor.sources.pushed import Pushed, bounded, packed_json

__all__ = ["facts", "from_lines"]

# Field → what we call it; "a.b" lies in the object `a`
_FACTS = (
    *((name, "service") for name in ("service", "app", "application", "appname", "service.name")),
    *((f"kubernetes.{name}", "service") for name in ("container_name",)),
    *((name, "host") for name in ("host", "hostname", "host.name", "kubernetes.host")),
    *((name, "level") for name in ("level", "severity", "log.level")),
    *((name, "trace_id") for name in ("trace_id", "traceId", "trace.id")),
    *((f"kubernetes.{name}", "namespace") for name in ("namespace_name", "pod_namespace")),
    ("kubernetes.pod_name", "pod"),
    ("kubernetes.container_name", "container"),
    ("kubernetes.container_image", "image"),
)
_LOOKED = tuple((theirs, *theirs.partition(".")[::2], ours) for theirs, ours in _FACTS)
_PATHS = ("file", "path", "filename", "log.file.path")
_TIMES = ("timestamp", "@timestamp", "time", "ts", "date", "_time", "datetime")


def from_lines(body: bytes) -> Iterator[Pushed]:
    """Whatever it is, all of it: what is no JSON is text."""
    if body.lstrip()[:1] == b"[":
        try:
            items = orjson.loads(body)
        except orjson.JSONDecodeError:
            items = None
        if isinstance(items, list):
            yield from map(_item, items)
            return
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end]
        start = end + 1
        yield _line(line)


def _item(item: Any) -> Pushed:
    if isinstance(item, str):
        return _line(item.encode("utf-8", "surrogatepass"))
    text = packed_json(item)
    return _object(item, text) if isinstance(item, dict) else Pushed(text, "lines")


def _line(line: bytes) -> Pushed:
    if line.lstrip()[:1] == b"{":
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError:
            item = None
        if isinstance(item, dict):
            return _object(item, line)
    return Pushed(line, "lines")


def _object(item: dict[str, Any], text: bytes) -> Pushed:
    about = bounded(_said(item))
    path = next((path for name in _PATHS if isinstance(path := item.get(name), str)), "")
    stamp = next((value for name in _TIMES if (value := item.get(name))), None)
    return Pushed(text, taken(path) or about.get("service", "lines"), about, stamp=b"its own" if stamp else b"")


def facts(text: bytes) -> dict[str, str]:
    """What an object of JSON says of itself; nothing of any other text."""
    return dict(_line(text).about)


def _said(item: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for theirs, outer, inner, ours in _LOOKED:
        value = item.get(theirs)
        if value is None and inner and isinstance(there := item.get(outer), dict):
            value = there.get(inner)
        if value is not None:
            yield ours, value
