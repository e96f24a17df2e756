"""Probes as data: whom to ask about a secret of a rule, how, and what the answers mean."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "AUTHS",
    "Answer",
    "Exchange",
    "Probe",
    "Reading",
    "at",
    "fact",
    "fill",
    "load_probes",
    "probe_of",
    "providers",
]

_FOLDER = Path(__file__).parent / "probes"
_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")

# `server` stands for what the configuration names, `assertion` for what google-jwt signs.
_ALWAYS = frozenset({"value", "server", "assertion", "credential"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What came back, as answers and facts look at it. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    text: str
    parts: Mapping[str, str]  # what the request was made of, but for the value

    @property
    def json(self) -> Any:
        try:
            return orjson.loads(self.text)
        except orjson.JSONDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """A condition on an answer: `200`, `200 PATH` (there, and not false), `200 PATH=A|B`, `403 ~EXPRESSION`."""

    status: int
    path: str = ""
    values: tuple[str, ...] = ()
    text: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, written: str) -> Answer:
        status, _, rest = written.partition(" ")
        if not re.fullmatch(r"[1-5][0-9]{2}", status):
            raise ValueError(f"{written!r}: an answer begins with a status, such as 200")
        if rest.startswith("~"):
            return cls(int(status), text=re.compile(rest[1:]))
        path, _, values = rest.partition("=")
        return cls(int(status), path, tuple(values.split("|")) if values else ())

    def fits(self, reading: Reading) -> bool:
        if reading.status != self.status:
            return False
        if self.text is not None:
            return self.text.search(reading.text) is not None
        if not self.path:
            # A page in the issuer's place: a filter on the way forbids, not the issuer.
            return self.status != 403 or "text/html" not in reading.headers.get("content-type", "")
        found = at(reading.json, self.path)
        return any(_text(item) in self.values for item in found) if self.values else any(found)


class Exchange(BaseModel):
    """A request as data, with holes for a secret and what goes with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    method: str = "GET"
    auth: str
    headers: Mapping[str, str] = {}
    json_: str | None = Field(default=None, alias="json")
    form: str | None = None
    parts: Mapping[str, str] = {}  # what else is needed, and how a person is asked for it

    @field_validator("auth")
    @classmethod
    def _known(cls, auth: str) -> str:
        if auth.partition(" ")[0] not in AUTHS:
            raise ValueError(f"must begin with one of {', '.join(AUTHS)}")
        return auth

    @cached_property
    def names(self) -> frozenset[str]:
        """Of the parts that stand in its templates."""
        texts = [self.url, self.auth, self.json_ or "", self.form or "", *self.headers.values()]
        return frozenset(name for text in texts for name in _NAME.findall(text)) - _ALWAYS


class Probe(Exchange):
    """One `[[probe]]` table: a request that only reads. docs/verification.md says what each key means."""

    provider: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    name: str
    rules: tuple[str, ...] = Field(min_length=1)
    docs: str = Field(pattern=r"^https://")
    sites: tuple[str, ...] = ()  # further places of the same service: asked in turn until one takes the secret
    elsewhere: bool = False  # servers of one's own issue secrets of the same looks: the public one cannot refuse them
    method: Literal["GET", "POST"] = "GET"
    shape: str | None = None  # named groups take the value apart
    valid: tuple[str, ...]
    refused: tuple[str, ...]
    doubtful: tuple[str, ...] = ()  # refused, if it was taken from here before; else it may be good from elsewhere
    facts: Mapping[str, str] = {}

    @cached_property
    def means_valid(self) -> tuple[Answer, ...]:
        return tuple(map(Answer.parse, self.valid))

    @cached_property
    def means_refused(self) -> tuple[Answer, ...]:
        return tuple(map(Answer.parse, self.refused))

    @cached_property
    def means_doubtful(self) -> tuple[Answer, ...]:
        return tuple(map(Answer.parse, self.doubtful))

    def decide(self, reading: Reading) -> Literal["valid", "refused", "doubtful", "unknown"]:
        if any(answer.fits(reading) for answer in self.means_valid):
            return "valid"
        if any(answer.fits(reading) for answer in self.means_refused):
            return "refused"
        return "doubtful" if any(answer.fits(reading) for answer in self.means_doubtful) else "unknown"


AUTHS = ("bearer", "basic", "header", "query", "path", "body", "aws-sigv4", "google-jwt", "postgres")


def fact(reading: Reading, place: str) -> str:
    """What stands at a place of an answer: `a.b.0.c` or `a.*.c` of its JSON, `header:NAME`, `re:EXPRESSION` with one
    group, `part:NAME` of the request. Empty: nothing does."""
    kind, colon, rest = place.partition(":")
    if colon and kind == "header":
        return reading.headers.get(rest.lower(), "")
    if colon and kind == "part":
        return reading.parts.get(rest, "")
    if colon and kind == "re":
        found = re.search(rest, reading.text)
        return found[1] if found else ""
    items = [item for found in at(reading.json, place) for item in (found if isinstance(found, list) else [found])]
    return ", ".join(text for text in map(_text, items[:20]) if text)


def fill(template: str, parts: Mapping[str, str]) -> str:
    """`template` with each `{name}` as `parts` has it. Raises KeyError with the name."""
    return _NAME.sub(lambda found: parts[found[1]], template)


@cache
def load_probes() -> tuple[Probe, ...]:
    """All that are shipped. Blocking: reads nine small files, once."""
    found: list[Probe] = []
    for path in sorted(_FOLDER.glob("*.toml")):
        found += map(Probe.model_validate, tomllib.loads(path.read_text(encoding="utf-8"))["probe"])
    return tuple(found)


@cache
def probe_of(rule: str) -> Probe | None:
    """The one that is for secrets of this rule."""
    return next((probe for probe in load_probes() if rule in probe.rules), None)


def providers() -> tuple[str, ...]:
    return tuple(sorted({probe.provider for probe in load_probes()}))


def at(value: Any, path: str) -> list[Any]:
    """Every value at a path; `*` stands for each item of a list."""
    found = [value]
    for step in path.split("."):
        after: list[Any] = []
        for item in found:
            if step == "*" and isinstance(item, list):
                after += item
            elif isinstance(item, dict) and step in item:
                after.append(item[step])
            elif isinstance(item, list) and step.isdigit() and int(step) < len(item):
                after.append(item[int(step)])
        found = after
    return found


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    return "" if item is None or isinstance(item, dict | list) else str(item)
