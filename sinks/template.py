"""Bodies and addresses with placeholders, filled from a notification. Nothing in them can be executed.

A body is JSON whose texts hold placeholders: it is read first and filled then, so that no value, however hostile, can
leave the text that it stands in. In an address each value is percent-encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import orjson

from monitor.common.text import clip, printable, veiled
from sinks.text import unmarked

__all__ = ["Template", "UrlTemplate", "fields_of", "pointed"]

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIELD = re.compile(r"(?P<path>[^!:]+)(?:!(?P<plain>plain))?(?::(?P<width>[1-9][0-9]{0,4}))?")


class _Field(NamedTuple):
    """A placeholder. `plain`: what begins markup or a mention is kept from it; `width`: cut to so many characters."""

    path: tuple[str, ...]
    plain: bool
    width: int

    def value(self, fields: Mapping[str, Any]) -> Any:
        """None: there is nothing."""
        at: Any = fields
        for number, part in enumerate(self.path):
            if isinstance(at, list):
                at = at[int(part)] if int(part) < len(at) else None
            elif isinstance(at, Mapping):
                if part not in at:  # the name of a label may have dots
                    return at.get(".".join(self.path[number:]))
                at = at[part]
        return at

    def text(self, fields: Mapping[str, Any]) -> str:
        text = _as_text(self.value(fields))
        text = unmarked(text) if self.plain else text
        return clip(text, self.width) if self.width else text


class _Line(tuple[str | _Field, ...]):
    """A text with placeholders."""

    __slots__ = ()

    def filled(self, fields: Mapping[str, Any]) -> Any:
        """A placeholder that stands alone keeps the type of what it is filled with."""
        if len(self) == 1 and isinstance(only := self[0], _Field) and not (only.plain or only.width):
            return only.value(fields)
        return "".join(part if isinstance(part, str) else part.text(fields) for part in self)


@dataclass(frozen=True)
class Template:
    """One or more documents of JSON. `source`: as they are written; `uses`: the fields that they name first."""

    source: str
    documents: tuple[Any, ...]
    uses: frozenset[str]

    @classmethod
    def parse(cls, text: object) -> Self:
        """Raises ValueError, which names the place."""
        if not isinstance(text, str):
            raise ValueError("must be a text that holds JSON")
        documents = tuple(_compiled(one, "") for one in _documents(text))
        made = cls(text, documents, frozenset(used for one in documents for used in _uses(one)))
        try:
            made.render(_KNOWN)
        except TypeError:  # of orjson; JSON has no bounds of its own
            failure = ValueError("holds a number that is too large, or half a character")
        else:
            return made
        raise failure

    def render(self, *fields: Mapping[str, Any]) -> bytes:
        """JSON in UTF-8, the documents once for each of `fields`; of more than one, each is a line."""
        filled = [orjson.dumps(_filled(one, values)) for values in fields for one in self.documents]
        return filled[0] if len(filled) == 1 else b"".join(b"%s\n" % one for one in filled)


@dataclass(frozen=True)
class UrlTemplate:
    """A URL with placeholders behind its host."""

    parts: _Line

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ValueError."""
        scheme, _, rest = url.partition("://")
        if scheme not in ("http", "https") or not re.match(r"[^/?#{}\s]", rest):
            raise ValueError('must be a URL such as "https://tickets.example.org/api/{receipt}"')
        if re.match(r"[^/?#]*\{", rest):
            raise ValueError("a placeholder may stand in the path or the query only")
        return cls(_line(url, "url"))

    @property
    def uses(self) -> frozenset[str]:
        return frozenset(_uses(self.parts))

    def filled(self, fields: Mapping[str, Any]) -> str | None:
        """None: a value is missing, or would name another path."""
        made = []
        for part in self.parts:
            if isinstance(part, _Field):
                text = quote(part.text(fields), safe="")
                if not text.strip("."):
                    return None
                made.append(text)
            else:
                made.append(part)
        return "".join(made)


def fields_of(whole: Mapping[str, Any], key: str, receipt: str) -> dict[str, Any]:
    """What placeholders name: the fields of a payload; `incident`, the first; `key`, the same for all news of a group;
    `receipt`."""
    incidents = whole["incidents"]
    return {**whole, "incident": incidents[0] if incidents else None, "key": key, "receipt": receipt}


def pointed(document: Any, pointer: str) -> Any:
    """What lies in an answer at a JSON pointer (RFC 6901); None for anything that is not there."""
    at = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list):
            at = at[int(name)] if re.fullmatch(r"[0-9]{1,4}", name) and int(name) < len(at) else None
        else:
            at = at.get(name) if isinstance(at, dict) else None
    return at


def _documents(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    at = len(text) - len(text.lstrip())
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            failure = ValueError(f"no JSON: line {error.lineno}, column {error.colno}: {error.msg}")
        except RecursionError:
            failure = ValueError("nested too deeply")
        else:
            yield document
            at += len(text[at:]) - len(text[at:].lstrip())
            continue
        raise failure  # outside of the handler: the original error holds the whole text
    if not text.strip():
        raise ValueError("must not be empty")


def _compiled(node: Any, at: str) -> Any:
    if isinstance(node, dict):
        for name in node:
            if any(isinstance(part, _Field) for part in _line(name, f"{at}/…")):
                raise ValueError(f"at {at or '/'}: a placeholder may stand in a value, not in a name")
        return {name: _compiled(value, f"{at}/{printable(veiled(name))}") for name, value in node.items()}
    if isinstance(node, list):
        return [_compiled(value, f"{at}/{number}") for number, value in enumerate(node)]
    return _line(node, at or "/") if isinstance(node, str) else node


def _line(text: str, at: str) -> _Line:
    parts: list[str | _Field] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
        elif match[1] is None:
            raise ValueError(f"at {at}: a brace alone; write {{{{ or }}}} for one that is meant")
        else:
            parts.append(_field(match[1], at))
    parts.append(text[end:])
    return _Line(part for part in parts if part != "") or _Line(("",))


def _field(text: str, at: str) -> _Field:
    shown = printable(veiled(text))[:60]
    match = _FIELD.fullmatch(text)
    if match is None:
        raise ValueError(f'at {at}: "{{{shown}}}" is no placeholder; write {{field}}, {{field!plain}} or {{field:80}}')
    path = tuple(match["path"].split("."))
    known: Any = _KNOWN
    for number, part in enumerate(path):
        if isinstance(known, list) and part.isdecimal() and len(part) < 5:
            known = known[0]
        elif known == {}:  # any label
            break
        elif isinstance(known, dict) and part in known:
            known = known[part]
        else:
            names = list(known) if isinstance(known, dict) else ["0"] if isinstance(known, list) else []
            before = "".join(f"{one}." for one in path[:number])
            close = [f"{{{before}{name}}}" for name in get_close_matches(part, names, n=2)]
            meant = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names) or 'none'}"
            raise ValueError(f'at {at}: unknown field "{shown}"; {meant}')
    return _Field(path, bool(match["plain"]), int(match["width"] or 0))


def _filled(node: Any, fields: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(value, fields) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, fields) for value in node]
    return node.filled(fields) if isinstance(node, _Line) else node


def _uses(node: Any) -> Iterator[str]:
    if isinstance(node, _Line):
        yield from (part.path[0] for part in node if isinstance(part, _Field))
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _uses(value)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


_LOCATION = dict.fromkeys("source path offset line time logged_at host service context url".split())
_RUN = dict.fromkeys("book order done total step title deadline overdue owner claim".split())
_INCIDENT: dict[str, Any] = dict.fromkeys(
    "id fingerprint rule name severity state resolution actor note masked confidence first_seen first_logged last_seen "
    "occurrences owner acknowledge first_step runbook url validity asked_at verdict".split()
)
_INCIDENT |= {"locations": [_LOCATION], "run": _RUN, "labels": {}, "verified": {}}
# The names of fields, as those of a payload are; tables that any name may be in are empty.
_KNOWN: dict[str, Any] = dict.fromkeys(
    "version id reason host drill severity title text more url runbook key receipt".split()
)
_KNOWN |= {"incidents": [_INCIDENT], "incident": _INCIDENT}
