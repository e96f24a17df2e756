"""Probes as data: whom to ask about a secret of a rule, how, and what the answers mean."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, Field, PlainValidator, model_validator

from detectors.rules.gone import heir
from monitor.common.http import Reply
from monitor.common.problems import refuse
from monitor.common.table import Table

__all__ = [
    "AUTHS",
    "AnswerCondition",
    "Answers",
    "Auth",
    "Decision",
    "ExampleAnswers",
    "Exchange",
    "Probe",
    "ProbeResponse",
    "at",
    "fact",
    "fill",
    "load_probes",
    "probe_of",
    "providers",
]

_FOLDER = Path(__file__).parent / "probes"
_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MESSAGE = re.compile(r"\s*(?:[{\[]|<\?xml|<[A-Za-z]+Response\b)")  # JSON or XML, whatever its header calls it
_PAGE = re.compile(r"(?i)\s*(?:<!doctype|<html)")

# `server` stands for what the configuration names, `assertion` for what google-jwt signs.
_ALWAYS = frozenset({"value", "server", "assertion", "credential"})


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """What came back, as answers and facts look at it. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    text: str
    parts: Mapping[str, str]  # what the request was made of, but for the value

    @classmethod
    def of(cls, reply: Reply, parts: Mapping[str, str] = MappingProxyType({})) -> ProbeResponse:
        headers = {name.lower(): text for name, text in reply.headers.items()}
        return cls(reply.status, headers, reply.body.decode("utf-8", "replace"), parts)

    @property
    def json(self) -> Any:
        try:
            return orjson.loads(self.text)
        except orjson.JSONDecodeError:
            return None

    @property
    def page(self) -> bool:
        """Whether it is a page for people: of a proxy, a portal or a filter on the way, not of an issuer."""
        html = "text/html" in self.headers.get("content-type", "")
        return bool(_PAGE.match(self.text)) or (html and not _MESSAGE.match(self.text))


@dataclass(frozen=True, slots=True)
class BodyCondition:
    """What a body must say: `PATH` (there, and not false), `PATH=A|B`, `PATH~EXPRESSION`, `~EXPRESSION` (all of it)."""

    path: str
    values: tuple[str, ...] = ()
    text: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, written: str) -> BodyCondition:
        found = re.fullmatch(r"([^=~]*)(?:([=~])(.*))?", written, re.DOTALL)
        assert found is not None
        path, sign, rest = found[1], found[2], found[3] or ""
        if sign == "~":
            return cls(path, text=re.compile(rest))
        return cls(path, tuple(rest.split("|")) if sign else ())

    def fits(self, reading: ProbeResponse) -> bool:
        found = at(reading.json, self.path) if self.path else [reading.text]
        if self.text is not None:
            return any(self.text.search(_text(item)) for item in found)
        return any(_text(item) in self.values for item in found) if self.values else any(found)


@dataclass(frozen=True, slots=True)
class AnswerCondition:
    """A condition on an answer: a status, and after it what its body must say: `200`, `403 PATH=A|B & PATH`."""

    status: int
    parts: tuple[BodyCondition, ...] = ()

    @classmethod
    def parse(cls, written: str) -> AnswerCondition:
        status, _, rest = written.partition(" ")
        if not re.fullmatch(r"[1-5][0-9]{2}", status):
            raise ValueError(f"{written!r}: an answer begins with a status, such as 200")
        return cls(int(status), tuple(map(BodyCondition.parse, rest.split(" & "))) if rest else ())

    def fits(self, reading: ProbeResponse) -> bool:
        return reading.status == self.status and all(part.fits(reading) for part in self.parts)


AUTHS = ("bearer", "basic", "header", "query", "path", "body", "aws-sigv4", "google-jwt", "postgres")


def _known(auth: str) -> str:
    refuse((auth.partition(" ")[0] not in AUTHS, f"must begin with one of {', '.join(AUTHS)}"))
    return auth


Auth = Annotated[str, AfterValidator(_known)]  # how a request logs in
Answers = tuple[Annotated[AnswerCondition, PlainValidator(AnswerCondition.parse)], ...]


class Exchange(Table):
    """A request as data, with holes for a secret and what goes with it."""

    url: str
    method: str = "GET"
    auth: Auth
    headers: Mapping[str, str] = {}
    json_: str | None = Field(default=None, alias="json")
    form: str | None = None
    parts: Mapping[str, str] = {}  # what else is needed, and how a person is asked for it

    @cached_property
    def names(self) -> frozenset[str]:
        """Of the parts that stand in its templates."""
        texts = [self.url, self.auth, self.json_ or "", self.form or "", *self.headers.values()]
        return frozenset(name for text in texts for name in _NAME.findall(text)) - _ALWAYS

    @cached_property
    def names_of_host(self) -> frozenset[str]:
        """Of the parts that stand in the host of its address, and nowhere else."""
        host = urlsplit(self.url).netloc
        rest = [self.url.replace(host, "", 1), self.auth, self.json_ or "", self.form or "", *self.headers.values()]
        return frozenset(_NAME.findall(host)) - {name for text in rest for name in _NAME.findall(text)}


class ExampleAnswers(Table):
    """What an issuer answers, `STATUS BODY`, as it documents that: the examples by which a probe is tried."""

    invalid: tuple[str, ...] = ()
    restricted: tuple[str, ...] = ()  # it is good, and may not do this
    place: tuple[str, ...] = ()  # it is good elsewhere: on another server, in another region, from other addresses
    throttled: tuple[str, ...] = ()
    suspended: tuple[str, ...] = ()  # it is good again once somebody pays, or enables it


class Probe(Exchange):
    """One `[[probe]]` table: a request that only reads. docs/verification.md says what each key means."""

    provider: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    name: str
    rules: tuple[str, ...] = Field(min_length=1)
    docs: str = Field(pattern=r"^https://")
    sites: tuple[str, ...] = ()  # further places of the same service: asked in turn until one takes the secret
    # Servers of one's own issue secrets of the same looks. `rarely`: as long as nothing speaks of one, there is none.
    elsewhere: bool | Literal["rarely"] = False
    own: str | None = None  # what host and path of such a server look like
    unasked: str | None = None  # why it is not asked at all
    method: Literal["GET", "POST"] = "GET"
    shape: str | None = None  # named groups take the value apart
    valid: Answers
    refused: Answers
    refused_secret: Answers = ()  # as `refused`, and it is the secret, not what was given with it
    doubtful: Answers = ()  # refused, if it was taken from here before; else it may be good from elsewhere
    errors: str | None = Field(default=None, pattern=r"^https://")  # the issuer's page about its refusals
    # What its refusals rest on: that page, the issuer's own code or description of its interface, or answers of it that
    # several people quote, each by himself.
    evidence: Literal["page", "sdk", "quoted"] | None = None
    shared: Mapping[str, str] = {}  # by rule, an expression for values as secrets of another kind have them, too
    facts: Mapping[str, str] = {}
    answers: ExampleAnswers = ExampleAnswers()

    @model_validator(mode="after")
    def _documented(self) -> Probe:
        """A status alone says nothing of the secret: whatever stands on the way answers 401 and 403 as well."""
        refusals = (*self.refused, *self.refused_secret, *self.doubtful)
        refuse(
            (
                any(not answer.parts for answer in refusals),
                "refused: a status alone is no refusal; name what the body says of an invalid secret",
            ),
            (
                refusals and (self.errors is None or self.evidence is None),
                "refused: name the issuer's page with errors, and what it rests on with evidence",
            ),
            (not self.shared.keys() <= set(self.rules), "shared: names a rule that is not among rules"),
            (
                any(not answer.parts and answer.status != 200 for answer in self.valid),
                "valid: of a status other than 200, name what the body says",
            ),
        )
        return self

    def may_be_another(self, rule: str, value: str) -> bool:
        """Whether a secret of another kind, which its issuer does not know here, looks like this one."""
        return rule in self.shared and re.match(self.shared[rule], value) is not None

    def decide(self, reading: ProbeResponse) -> Decision:
        """`refused`: the secret or what was given with it; `refused_secret`: the secret itself."""
        if reading.page:
            return "unknown"
        # An interface answers with data: what stands in its place says 200 with anything.
        data = isinstance(reading.json, dict | list)
        if any(answer.fits(reading) and (answer.parts or data) for answer in self.valid):
            return "valid"
        refusals: tuple[tuple[Decision, Answers], ...] = (
            ("refused_secret", self.refused_secret),
            ("refused", self.refused),
            ("doubtful", self.doubtful),
        )
        fitting = (said for said, answers in refusals if any(answer.fits(reading) for answer in answers))
        return next(fitting, "unknown")


Decision = Literal["valid", "refused", "refused_secret", "doubtful", "unknown"]


def fact(reading: ProbeResponse, place: str) -> str:
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
    return next((probe for probe in load_probes() if heir(rule) in probe.rules), None)


def providers() -> tuple[str, ...]:
    return tuple(sorted({probe.provider for probe in load_probes()}))


def at(value: Any, path: str) -> list[Any]:
    """Every value at a path; `*` stands for each item of a list."""
    values = [value]
    for step in path.split("."):
        after: list[Any] = []
        for item in values:
            if step == "*" and isinstance(item, list):
                after += item
            elif isinstance(item, dict) and step in item:
                after.append(item[step])
            elif isinstance(item, list) and step.isdigit() and int(step) < len(item):
                after.append(item[int(step)])
        values = after
    return values


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    return "" if item is None or isinstance(item, dict | list) else str(item)
