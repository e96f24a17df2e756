"""`[[actions]]`: what may be done about a secret, with which credential, and who has to agree."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from detectors.rules.gone import heir, names
from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.http import loopback
from monitor.common.problems import refuse
from monitor.common.table import Table
from monitor.domain.model import CANARY
from monitor.routing.match import Matcher
from monitor.verify.probe import AnswerCondition, Answers, Auth, Exchange

__all__ = ["ActionConfig", "ActionStep", "Ready", "load_ready"]

_FOLDER = Path(__file__).parent / "ready"
_HTTP = ("method", "url", "headers", "json", "form", "auth", "expect")
_COMMAND = ("command", "value")
_SHORTEST, _LONGEST = 0.1, 600.0  # seconds; all requests of an action end well within store/actions' hour


class ActionStep(Exchange):
    """One request. `expect`: answers that mean it was taken; `keep`: part → where it stands in the answer."""

    expect: Answers = Field(min_length=1)
    keep: Mapping[str, str] = {}


class Ready(Table):
    """A ready-made action: one `[[action]]` table. With `rules` it is about secrets of these, with `labels` about where
    one was seen, and is never told the secret: label of an incident → what it has to look like, whose named groups are
    what requests are made of."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    name: str
    rules: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    docs: str = Field(pattern=r"^https://")
    credential: str = ""  # what it needs beside the secret, in words; empty: nothing
    shape: str | None = None  # named groups take the secret apart
    steps: tuple[ActionStep, ...] = Field(min_length=1)
    many: int = Field(default=1, ge=1)  # secrets that one request takes: their JSON bodies are put together

    @model_validator(mode="after")
    def _whole(self) -> Ready:
        first = self.steps[0]
        told = [f"{step.url}{step.json_}{step.form}{step.auth}{step.headers}" for step in self.steps]
        own = all(step.auth.startswith("header ") and "{credential}" in step.auth for step in self.steps)
        refuse(
            (
                self.many > 1 and (len(self.steps) > 1 or first.json_ is None or first.names),
                "many: only one request with a JSON body of nothing but values takes several secrets",
            ),
            (bool(self.rules) == bool(self.labels), "needs `rules`, or `labels`, and not both"),
            (
                self.labels and (not own or any("{value}" in text for text in told)),
                "labels: what is about a place is not told the secret, and logs in with a credential",
            ),
        )
        return self

    def place(self, labels: Mapping[str, str]) -> dict[str, str] | None:
        """What requests are made of, of an incident's labels; None: it is about another kind of place."""
        found = [re.fullmatch(pattern, labels.get(label, "")) for label, pattern in self.labels.items()]
        if not found or None in found:
            return None
        return {name: text for one in found if one for name, text in one.groupdict().items() if text}


@cache
def load_ready() -> Mapping[str, Ready]:
    """By id, all that are shipped. Blocking: reads a small file, once."""
    found: dict[str, Ready] = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["action"]:
            ready = Ready.model_validate(table)
            found[ready.id] = ready
    return found


class ActionConfig(Table):
    """One `[[actions]]` table. `type`: `http`, `command`, or the id of a ready-made one."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    type: str
    rules: tuple[str, ...] = ()  # ids, or patterns such as "acme-*"; none: those of a ready-made one, else all
    approvals: int = Field(default=1, ge=0, le=2)
    automatic: tuple[Matcher, ...] = ()  # planned by itself for incidents that all of these take; none: never
    timeout: Duration = 30.0
    credential: Credential | None = None
    server: str | None = None
    private: bool = False
    parts: Mapping[str, str] = {}
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: str | None = None
    headers: Mapping[str, str] = {}
    json_: str | None = Field(default=None, alias="json")
    form: str | None = None
    auth: Auth = "body"
    expect: tuple[str, ...] = ("200", "201", "202", "204")
    command: tuple[str, ...] = ()
    value: Literal["stdin", "fd", "none"] = "stdin"

    @field_validator("type")
    @classmethod
    def _known(cls, kind: str) -> str:
        ready = load_ready()
        refuse((kind not in ("http", "command", *ready), f"must be http, command, or one of {', '.join(ready)}"))
        return kind

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, seconds: float) -> float:
        refuse(
            (
                not _SHORTEST <= seconds <= _LONGEST,
                "must be from 100ms to 10m: other actions wait meanwhile, and so does its runbook's step",
            )
        )
        return seconds

    @field_validator("server", "url")
    @classmethod
    def _encrypted(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        refuse(
            (
                parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc,
                'must be an address such as "https://api.example.org", without a user',
            ),
            (
                parts.scheme == "http" and not loopback(parts.hostname or ""),
                "would send the secret over the network unencrypted: use https",
            ),
            ("{" in parts.netloc, "must name its host: no part of it may come out of a secret"),
        )
        return url.rstrip("/")

    @field_validator("expect")
    @classmethod
    def _answers(cls, expect: tuple[str, ...]) -> tuple[str, ...]:
        for answer in expect:
            AnswerCondition.parse(answer)
        return expect

    @model_validator(mode="after")
    def _whole(self) -> ActionConfig:
        fields = type(self).model_fields
        given = {fields[name].alias or name for name in self.model_fields_set}
        strange, unfit = sorted(given & set(_HTTP)), sorted(given & set(_COMMAND))
        http, program = self.type == "http", self.type == "command"
        path = self.command[0] if self.command else ""
        needs = self.ready.credential if self.ready else ""
        named = {matcher.label for matcher in self.automatic}
        refuse(
            (not http and strange, f"{', '.join(strange)}: only an action of type http has these"),
            (not program and unfit, f"{', '.join(unfit)}: only an action of type command has these"),
            (http and self.url is None, "an action of type http needs a url"),
            (
                program and not path.startswith("/"),
                "an action of type command needs a command: a list whose first item is an absolute path",
            ),
            (
                program and "{" in path,
                "the first item of command may have no hole: a log line would say which program is run",
            ),
            (needs and self.credential is None, f"it needs a credential: {needs}"),
            (
                self.automatic and self.about_place,
                "automatic: people plan what is about a place, as whoever writes a log may name one",
            ),
            (
                self.automatic and not named >= {"rule", "severity"},
                "automatic must say for which rule and which severity: a matcher on each",
            ),
        )
        return self

    @property
    def ready(self) -> Ready | None:
        return load_ready().get(self.type)

    @property
    def many(self) -> int:
        """How many secrets one request takes."""
        return self.ready.many if self.ready else 1

    @property
    def steps(self) -> tuple[ActionStep, ...]:
        """Its requests, in order; none for a command."""
        if self.ready is not None:
            return self.ready.steps
        if self.url is None:
            return ()
        return (
            ActionStep(
                url=self.url,
                method=self.method,
                headers=self.headers,
                json=self.json_,
                form=self.form,
                auth=self.auth,
                expect=self.expect,
            ),
        )

    @property
    def does(self) -> str:
        """In a word."""
        if self.ready is not None:
            return self.ready.name
        return f"{self.method} {self.url}" if self.url else f"runs {self.command[0]}"

    @property
    def about_place(self) -> bool:
        """About where the secret was seen, whatever it is: it is not told the secret."""
        return self.ready is not None and bool(self.ready.labels)

    def place(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """What its requests are made of beside `parts`, of an incident's labels."""
        return (self.ready.place(labels) or {}) if self.ready is not None else {}

    def fits(self, rule: str, labels: Mapping[str, str]) -> bool:
        """Whether it is for an incident of this rule with these labels. For a canary only what names it: it looks like
        a secret, and opens nothing."""
        if self.about_place and not self.place(labels):
            return False
        if rule == CANARY:
            return CANARY in self.rules
        if self.rules:
            return any(fnmatch.fnmatchcase(name, pattern) for name in names(rule) for pattern in self.rules)
        return self.ready is None or self.about_place or heir(rule) in self.ready.rules

    def wants(self, labels: Mapping[str, str]) -> bool:
        """Whether it is planned by itself for an incident with these labels."""
        if not self.automatic or labels.get("confidence") == "low" or not self.fits(labels.get("rule", ""), labels):
            return False
        return all(matcher.matches(labels) for matcher in self.automatic)
