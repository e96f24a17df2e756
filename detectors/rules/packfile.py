"""A pack file: what a rule's table says, how it becomes a rule, and every mistake in it named at once.

A rule either gives a whole `pattern`, or `keywords` (an issuer without a distinctive format) and the shape of the
`value` that stands near one of them. Both become one pattern in the syntax that RE2 and Hyperscan share.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from detectors.rules import packs
from detectors.rules.pattern import shape
from detectors.rules.rule import (
    HINT_AHEAD,
    HINT_BACK,
    NAMED,
    Confidence,
    Decoder,
    Requires,
    Rule,
    RuleError,
    suggest,
)
from detectors.rules.syntax import parse_problem, re2_problem, value_problem
from detectors.rules.template import TemplateError, expand
from detectors.rules.triggers import ASSIGNED
from monitor.common.problems import short
from monitor.common.regex import compile_re2
from monitor.common.severity import Severity
from monitor.common.text import clip, one_line, token_like, toml_error, veiled

__all__ = ["RuleTable", "load_file", "load_pack", "of_names", "to_rule", "wording"]

# Between the keyword and the value of a keyword rule. "near": anything, as in vendors' own snippets; "assignment": the
# spellings of `name = value` in code, config, JSON (also inside JSON), URLs, XML and headers.
_ASSIGN = (
    r"[\w .\-\]\[]{0,40}"
    r"(?:[\"'`\\]|&quot;|&#34;|%22|\\u0022){0,4}(?::\s?&?[Ss]tr(?:ing)?\??)?\s{0,8}"
    r"(?:[:+?|]{0,3}=|->|:|>|,|\(|%3[AaDd]|\\u003[ad])"
    r"(?:[\s\"'`=\\({\[>|]|[|>][+-]|\\n|&quot;|&#34;|%22|%20|\\u0022|(?i:bearer|basic|token|apikey)(?: |%20)){0,16}"
)
_RIGHT = r"(?:[^A-Za-z0-9_]|$)"
# A value that stops at `&`, where a URL's next parameter or an entity begins, goes on behind one where neither does.
_STOPS = re.compile(r"\[\^[^\]]*&")
_MORE = (
    r"(?:&(?:[\w!@#%^*+.?~-]{0,24}[A-Z0-9!@#%^*+.?~_-][\w!@#%^*+.?~-]{0,24}"
    r"|[a-z]{5,24}|[b-z][a-z]{2}|a[a-ln-z][a-z])){0,3}"
)
_BEHIND = r"(?:[^A-Za-z0-9_=]|$)"


class _Companion(BaseModel):
    """A `requires` table as written; see Requires."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str | None = None
    pattern: str | None = None
    within: int = Field(default=512, gt=0, le=8192)
    lines: int | None = Field(default=None, ge=0, le=100)
    optional: bool = False

    @model_validator(mode="after")
    def _one(self) -> _Companion:
        if (self.rule is None) == (self.pattern is None):
            raise ValueError("give one of rule and pattern")
        return self


# What `allow` may name: passwords of manuals and of installations, and paths in the place of one.
_ALLOWED = {
    "@anybodys": r"^(?i:pass|password|passwd|passw0rd|pwd|secret|postgres|postgresql|mysql|root|admin|user|username"
    r"|mongo|redis|default|minioadmin|rabbitmq|sa|changeit|tiger|scott|foobared|p|pw|db_?password|dbpass|s?3cr3t"
    r"|mypassword|mypass|yourpassword|your-?password|[\[<({*].{0,40}[\])}>*])$",
    "@path": r"(?i)%2f[a-z]+%2f|\.(?:txt|pem|key|pwd|env)$|^[~.]?/?(?:run|etc|var|home|opt|mnt)(?:/|%2f)",
}


class RuleTable(BaseModel):
    """A [[rule]] table as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    name: str = Field(min_length=3)
    pattern: str | None = Field(default=None, min_length=3)
    keywords: list[str] = []
    value: str | None = None
    near: Literal["near", "assignment"] = "near"
    gap: int = Field(default=40, ge=0, le=120)
    trigger: str | None = None
    severity: Severity
    confidence: Confidence | None = None
    priority: int | None = Field(default=None, ge=0, le=1000)
    entropy: float | None = Field(default=None, ge=0, le=8)
    digits: int = Field(default=0, ge=0)
    checksum: str | None = None
    allow: list[str] = []
    stopwords: list[str] = []
    placeholders: bool = True
    hashes: bool | None = None
    words: bool | None = None
    score: bool | None = None
    requires: list[_Companion] = []
    decode: bool | list[Decoder] = True
    labels: dict[str, str] = {}
    runbook: str = "generic-secret"
    examples: list[str] = Field(min_length=1)
    negative_examples: list[str] = []
    references: list[str] = []

    @field_validator("id", "name")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if token_like(value):
            raise ValueError("looks like a secret, and is shown in alerts, logs and metrics: choose another")
        if not value.isprintable():  # the file may be somebody else's, and names go to terminals
            raise ValueError("must be one line without control or direction characters")
        return value

    @model_validator(mode="after")
    def _shape(self) -> RuleTable:
        if (self.pattern is None) == (self.value is None):
            raise ValueError("give either pattern, or keywords and value")
        if self.value is not None and not self.keywords:
            raise ValueError("value needs keywords")
        if self.pattern is not None and not self.negative_examples:
            raise ValueError("negative_examples: give texts that the pattern must not find")
        return self


def _spellings(keyword: str) -> str:
    """The spellings hints look for where a keyword has several parts, so the pattern need not allow more.

    A space is for keywords that people or commands write with one (`Unseal Key`, `vault login`).
    """
    return re.sub(r"\\?[ _-]", lambda m: "[ _-]?" if m[0].endswith(" ") else "[_-]?", re.escape(keyword))


def _keyword_pattern(entry: RuleTable) -> str:
    words = "|".join(map(_spellings, entry.keywords))
    between = f"(?:.|\\n){{0,{entry.gap}}}?" if entry.near == "near" else _ASSIGN
    if entry.near == "assignment" and _STOPS.match(entry.value or ""):
        return f"(?i:{words}){between}\\b(?P<secret>{entry.value}{_MORE}){_BEHIND}"
    return f"(?i:{words}){between}\\b(?P<secret>{entry.value}){_RIGHT}"


_FIELD = re.compile(r"\{\w+:(\d+)(?:-\d+)?\}")


def _counters(entry: RuleTable) -> tuple[str, ...]:
    """What a keyword rule must not find, where it does not say so itself: its first example with a value too short or
    masked, and its keyword with a stand-in."""
    example, name = entry.examples[0], entry.keywords[0].replace(" ", "_")
    made = (_FIELD.sub(text, example) for text in ("{alnum:2}", r"{x:\1}"))
    return (*(text for text in made if text != example), f"{name}_key=your_{name}_key_here")


def to_rule(entry: RuleTable, family: str, vendor: str, source: str) -> Rule:
    keyword_bound = entry.value is not None
    generic = family == "generic"

    def default(value: Any, otherwise: Any) -> Any:
        return otherwise if value is None else value

    pattern = _keyword_pattern(entry) if entry.pattern is None else entry.pattern
    return Rule(
        id=entry.id,
        name=entry.name,
        pattern=pattern,
        severity=entry.severity,
        confidence=default(entry.confidence, "medium" if keyword_bound or generic else "high"),
        priority=default(entry.priority, 10 if generic else 50 if keyword_bound else 100),
        family=family,
        vendor=vendor,
        source=source,
        trigger=entry.trigger,
        entropy=entry.entropy,
        digits=entry.digits,
        checksum=entry.checksum,
        allow=tuple(_ALLOWED.get(one, one) for one in entry.allow),
        stopwords=tuple(entry.stopwords),
        placeholders=entry.placeholders,
        words=default(entry.words, generic),
        score=default(entry.score, generic and entry.words is not False),
        hashes=default(entry.hashes, keyword_bound or generic),
        requires=tuple(Requires(**companion.model_dump()) for companion in entry.requires),
        decode=tuple(entry.decode) if isinstance(entry.decode, list) else None if entry.decode else (),
        labels=entry.labels,
        runbook=entry.runbook,
        # Others' rules are looked for everywhere, as their authors may think of more than their examples show.
        keywords=tuple(entry.keywords or (_words(entry, pattern) if family != "custom" else ())),
        anywhere=tuple(_anywhere(entry)) if entry.keywords else (),
        examples=tuple(entry.examples),
        negative_examples=tuple(entry.negative_examples) or _counters(entry),
        references=tuple(entry.references),
    )


@cache
def _triggers() -> list[Any]:
    return [compile_re2("|".join(texts)) for texts in ASSIGNED]


def _anywhere(entry: RuleTable) -> Iterable[str]:
    """The keywords that stand in an example without what ASSIGNED finds; all of them where none can be told."""
    loose = set()
    for example in entry.examples:
        try:
            texts = [expand(example, seed) for seed in range(1, 4)]
        except TemplateError:
            continue  # `rules test` will name it
        for text in texts:
            if not any(regex.search(text.encode()) for regex in _triggers()):
                here = {word for word in entry.keywords if re.search(_spellings(word), text, re.IGNORECASE)}
                loose |= here or set(entry.keywords)
    return [word for word in entry.keywords if word in loose]


def _words(entry: RuleTable, pattern: str) -> Iterable[str]:
    """Words of a pattern that serve as its keywords: names in any case that stand near an assignment in every example.

    As triggers, words of a language cost most: their letter pairs are everywhere.
    """
    try:
        found = shape(pattern, entry.trigger)
        words = found.literals
        if entry.trigger is not None or not found.caseless or min(map(len, words), default=0) < 5:
            return ()
        texts = [expand(example, seed) for example in entry.examples for seed in range(1, 4)]
    except (re.error, TemplateError):
        return ()  # `rules test` will name it

    def near(text: str) -> bool:
        ends = [m.end() for regex in _triggers() for m in regex.finditer(text.encode())]
        starts = [m.start() for word in words for m in re.finditer(re.escape(word), text, re.IGNORECASE)]
        return any(end - HINT_BACK <= start <= end + HINT_AHEAD - 16 for start in starts for end in ends)

    return words if all(map(near, texts)) else ()


def _pattern_problem(rule: Rule) -> str | None:
    """What the parser has against the pattern, with the column. The engines' own limits show when they compile."""
    if (problem := value_problem(rule.pattern)) is not None:
        return f"pattern: {problem}"
    if rule.trigger is not None and (problem := parse_problem(rule.trigger)) is not None:
        return f"trigger: {problem}"
    beside = [("allow", text) for text in rule.allow]
    beside += [("requires.pattern", companion.pattern) for companion in rule.requires if companion.pattern is not None]
    for key, text in beside:
        if (refusal := re2_problem(text)) is not None:
            return f"{key}: {refusal}"
    return None


def wording(problem: Mapping[str, Any]) -> str:
    """pydantic's message in our words."""
    if problem["type"] == "extra_forbidden":
        known = [*RuleTable.model_fields] if len(problem["loc"]) == 1 else [*_Companion.model_fields]
        return f"unknown key{suggest(str(problem['loc'][-1]), known)}; known keys: {', '.join(known)}"
    if problem["type"] == "missing":
        return "missing"
    if problem["type"] == "too_short":
        return "must not be empty"
    text: str = problem["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Tuple|Value) should ", "must ", text)


# What ends a name, and how one is set to a value: in code, configuration, JSON, URLs, XML and headers.
_SET = (
    r"(?:[\"'`\\\]]|&quot;|%22){0,4}\s{0,8}(?:[:+?|]{0,2}=>?|->|:|>|,|%3[AaDd])"
    r"(?:[\s\"'`=\\(\[]|&quot;|%22|%20|(?i:bearer|basic)[ ]){0,8}"
)


def of_names(names: Iterable[str]) -> Rule:
    """The rule of names that hold secrets, whatever their values look like but stand-ins, words and paths."""
    there = [re.escape(name) for name in names]
    entry = RuleTable(
        id=NAMED,
        name="Value of a name in rules.credentials",
        pattern=rf"(?i:\b(?:{'|'.join(there)})){_SET}(?P<secret>[^\s\"'`\\,;&<>(){{}}\[\]]{{6,512}})",
        severity="high",
        confidence="high",
        priority=60,  # where a vendor's format says whose it is, the vendor's rule has it
        words=True,
        examples=[f"{name}={{alnum:24}}" for name in names],
        negative_examples=[f"{name}=${{VARIABLE}}" for name in names],
    )
    return to_rule(entry, "custom", "", "rules.credentials")


def load_file(path: Path) -> list[Rule]:
    """Rules of one pack file. Raises RuleError with all its problems."""
    if path.is_relative_to(packs.FOLDER):
        return load_pack(path.relative_to(packs.FOLDER).with_suffix("").as_posix())
    return _read(lambda: path.read_text(encoding="utf-8"), str(path), "custom", path.stem)


def load_pack(name: str) -> list[Rule]:
    """Rules of a pack that we ship, such as "cloud/aws", which is family and vendor. Raises RuleError as well."""
    family, _, vendor = name.rpartition("/")
    return _read(lambda: packs.text(name), f"packs/{name}.toml", family, vendor)


def _read(text: Callable[[], str], label: str, family: str, vendor: str) -> list[Rule]:
    try:
        data = tomllib.loads(text())
    except OSError as error:
        raise RuleError([f"{label}: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        raise RuleError([f"{label}: not UTF-8 at byte {error.start}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise RuleError([f"{label}: {toml_error(error)}"]) from None
    known = ("rule",) if family == "custom" else ("rule", "issuer")  # what runbooks say of who issues the secrets
    problems = [
        f"{label}: unknown key {short(key)!r}; a pack holds [[rule]] tables" for key in data if key not in known
    ]
    rules: list[Rule] = []
    entries = data.get("rule", [])
    if not isinstance(entries, list):
        raise RuleError([f"{label}: rule: write [[rule]], not [rule]"])
    for number, raw in enumerate(entries, 1):
        name = f"rule number {number}"
        if isinstance(raw, dict) and isinstance(given := raw.get("id"), str):
            name = clip(one_line(veiled(given)), 100)
        try:
            entry = RuleTable.model_validate(raw)
            rule = to_rule(entry, family, vendor, label)
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                key = ".".join(str(part) for part in item["loc"])
                problems.append(f"{label}: {name}: {key + ': ' if key else ''}{wording(item)}")
            continue
        problem = _pattern_problem(rule)
        if problem:
            problems.append(f"{label}: {name}: {problem}")
        rules.append(rule)
    if problems:
        raise RuleError(problems)
    return rules
