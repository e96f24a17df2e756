"""Documents as shippers send them to Elasticsearch's `_bulk`, and the answers that they look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from monitor.sources.lines import LINE, described, line_of
from monitor.sources.pieces import light, object_of
from monitor.sources.pushed import BodyCounter, FormError, Pushed

__all__ = ["ABOUT", "HEADERS", "HEALTH", "LICENSE", "Bulk", "refusal"]

HEADERS = {"X-Elastic-Product": "Elasticsearch"}  # without it clients refuse to talk

_ACTIONS = ("index", "create", "update", "delete")
_VERSION = "8.19.0"  # what is spoken here is the same in all of 7 and 8
# What clients ask before they send.
ABOUT = orjson.dumps(
    {
        **dict.fromkeys(("name", "cluster_name", "cluster_uuid"), "exposure-monitor"),
        "version": {
            "number": _VERSION,
            "build_flavor": "default",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    }
)
LICENSE = orjson.dumps({"license": {"status": "active", "uid": "exposure-monitor", "type": "basic", "mode": "basic"}})
HEALTH = orjson.dumps({"cluster_name": "exposure-monitor", "status": "green", "timed_out": False})
_REFUSED = {413: "content_too_large_exception", 401: "security_exception", 403: "security_exception"}


class Bulk:
    """One request: what is in it, and the answer to it."""

    def __init__(self) -> None:
        self._actions = bytearray()

    def read(self, body: bytes) -> Iterator[Pushed]:
        """One record for each action with its document. Raises FormError at its end, when there was a line that is no
        action: what follows it is read as lines then, as it cannot be told what they are."""
        lines = LINE.finditer(body)
        for line in lines:
            action = _action(line[0])
            if action is None:
                yield from (line_of(rest[0]) for rest in LINE.finditer(body, line.start()))
                raise FormError("a line that is no action")
            self._actions.append(action)
            if _ACTIONS[action] == "delete":
                yield Pushed(line[0], "bulk")
            elif document := next(lines, None):
                yield _document(line[0], document[0])
            else:
                yield Pushed(line[0], "bulk", bad="document")

    def answer(self, counter: BodyCounter, milliseconds: int) -> bytes:
        bad = set(counter.bad)
        items = (_ITEMS[action, place in bad] for place, action in enumerate(self._actions))
        head = b'{"took":%d,"errors":%b,"items":[' % (milliseconds, b"true" if bad else b"false")
        return head + b",".join(items) + b"]}"


def _item(action: str, bad: bool) -> bytes:
    if action == "delete":
        said: dict[str, Any] = {"status": 404, "result": "not_found"}
    elif bad:
        error = {"type": "document_parsing_exception", "reason": "not an object of JSON: searched as text"}
        said = {"status": 400, "error": error}
    else:
        said = {"status": 200, "result": "updated"} if action == "update" else {"status": 201, "result": "created"}
    return orjson.dumps({action: said})


_ITEMS = {(place, bad): _item(action, bad) for place, action in enumerate(_ACTIONS) for bad in (False, True)}


def _action(line: bytes) -> int | None:
    if not light(line, 0, len(line)):
        return None
    try:
        [name] = orjson.loads(line)
        return _ACTIONS.index(name)
    except (ValueError, TypeError):
        return None


def _document(action: bytes, line: bytes) -> Pushed:
    text = action + b"\n" + line
    item = object_of(line)
    if item is None:
        heavy = line.lstrip()[:1] == b"{" and not light(line, 0, len(line))
        return Pushed(text, "bulk", bad="" if heavy else "document")
    changed = item.get("doc")
    return described(changed if isinstance(changed, dict) else item, text, "bulk")


def refusal(status: int, text: str) -> bytes:
    kind = _REFUSED.get(status, "es_rejected_execution_exception" if status in (429, 503) else "parse_exception")
    return orjson.dumps({"error": {"type": kind, "reason": text.strip()}, "status": status})
