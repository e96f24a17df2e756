"""Rules and packs: what a rule says, how it is read from TOML, and every mistake in it named at once.

A rule either gives a whole `pattern`, or `keywords` (an issuer without a distinctive format) and the shape of the
`value` that stands near one of them. Both become one pattern in the syntax that RE2 and Hyperscan share.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from detectors.pattern import Shape, shape
from detectors.syntax import compile_re2, parse_problem, re2_problem
from detectors.template import TemplateError, expand
from detectors.triggers import ASSIGNED, TRIGGERS

__all__ = [
    "Confidence",
    "Decoder",
    "Requires",
    "Rule",
    "RuleError",
    "Severity",
    "builtin_packs",
    "load_file",
    "load_rules",
]

HINT_BACK, HINT_AHEAD = 256, 128  # bytes around the end of an assignment that keywords are looked for in
PACKS = Path(__file__).parent / "packs"
Severity = Literal["critical", "high", "medium", "low", "info"]
Confidence = Literal["high", "medium", "low"]
Decoder = Literal["base64", "escape", "gzip", "hex", "html", "lines", "percent"]

# What may stand left of a token besides a non-word character: the tail of an escape, as logs are full of text inside
# JSON, URLs and terminals. `%3Dghp_…`: the D would hide the token from a plain \b.
LEFT = r"(?:\b|%[0-9A-Fa-f]{2}|\\[abefnrtv]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[0-7]{3}|\x1b\[[0-9;]{0,9}[mK])"
# Between the keyword and the value of a keyword rule. "near": anything, as in vendors' own snippets; "assignment": the
# spellings of `name = value` in code, config, JSON (also inside JSON), URLs, XML and headers.
_ASSIGN = (
    r"[\w .\-\]\[]{0,40}"
    r"(?:[\"'`\\]|&quot;|&#34;|%22|\\u0022){0,4}\s{0,8}"
    r"(?:=>|:=|->|=|:|>|,|\(|%3[AaDd]|\\u003[ad])"
    r"(?:[\s\"'`=\\({\[>]|&quot;|&#34;|%22|%20|\\u0022|(?i:bearer|basic|token|apikey)(?: |%20)){0,16}"
)
_RIGHT = r"(?:[^A-Za-z0-9_]|$)"


class RuleError(ValueError):
    """Everything wrong with the rules read: `problems` are lines that name file, rule id and key or column."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class Requires(BaseModel):
    """A companion that must stand nearby: another rule's match, or a pattern. `optional` raises confidence only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str | None = None
    pattern: str | None = None
    within: int = Field(default=512, gt=0, le=8192)  # bytes before or after
    lines: int | None = Field(default=None, ge=0, le=100)
    optional: bool = False

    @model_validator(mode="after")
    def _one(self) -> Requires:
        if (self.rule is None) == (self.pattern is None):
            raise ValueError("give one of rule and pattern")
        return self


class _Entry(BaseModel):
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
    requires: list[Requires] = []
    decode: bool | list[Decoder] = True
    labels: dict[str, str] = {}
    runbook: str = "generic-secret"
    examples: list[str] = Field(min_length=1)
    negative_examples: list[str] = Field(min_length=1)
    references: list[str] = []

    @model_validator(mode="after")
    def _shape(self) -> _Entry:
        if (self.pattern is None) == (self.value is None):
            raise ValueError("give either pattern, or keywords and value")
        if self.value is not None and not self.keywords:
            raise ValueError("value needs keywords")
        return self


@dataclass(frozen=True)
class Rule:
    """One detection rule, ready to compile. `pattern` has `secret` as its first group."""

    id: str
    name: str
    pattern: str
    severity: Severity
    confidence: Confidence = "high"
    priority: int = 100  # where rules overlap on a span the highest wins
    family: str = "custom"
    vendor: str = ""
    source: str = ""  # file it came from
    trigger: str | None = None  # name in detectors.triggers.TRIGGERS, or an expression
    entropy: float | None = None  # least Shannon entropy of the secret, bits a character
    digits: int = 0  # least number of digits in the secret
    checksum: str | None = None  # name in detectors.checksums.CHECKS
    allow: tuple[str, ...] = ()  # RE2: a secret that matches one is no finding
    stopwords: tuple[str, ...] = ()  # nor one that contains one, in any case
    placeholders: bool = True  # reject `changeme`, `xxxx`, `${VAR}` and their kin
    hashes: bool = False  # True: reject what looks like a digest, commit or UUID
    words: bool = False  # True: reject names, paths and calls: what code says where a value could stand
    requires: tuple[Requires, ...] = ()
    decode: tuple[str, ...] | None = None  # decoders its findings may come through, at any depth; None: all
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str = "generic-secret"
    keywords: tuple[str, ...] = ()
    anywhere: tuple[str, ...] = ()  # of `keywords` those also looked for far from what ASSIGNED finds
    examples: tuple[str, ...] = ()
    negative_examples: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @cached_property
    def shape(self) -> Shape:
        """Trigger, widths and literals of the pattern. Raises re.error."""
        shared = TRIGGERS.get(self.trigger or "")
        if shared is not None:
            return replace(shape(self.pattern, anywhere=True), trigger="|".join(shared), triggers=shared)
        # A keyword rule is sent here by a hint, which may be any part of its keyword.
        return shape(self.pattern, self.trigger, anywhere=bool(self.keywords))

    @cached_property
    def confirm(self) -> str:
        """The pattern as RE2 runs it: word boundaries on the left also see escapes (see LEFT)."""
        text = re.sub(r"\\b(?=\(\?P<secret>)", lambda _: LEFT, self.pattern)
        return LEFT + text[2:] if text.startswith(r"\b") else text


def _spellings(keyword: str) -> str:
    """The spellings hints look for where a keyword has several parts, so the pattern need not allow more.

    A space is for keywords that people or commands write with one (`Unseal Key`, `vault login`).
    """
    return re.sub(r"\\?[ _-]", lambda m: "[ _-]?" if m[0].endswith(" ") else "[_-]?", re.escape(keyword))


def _keyword_pattern(entry: _Entry) -> str:
    words = "|".join(map(_spellings, entry.keywords))
    between = f"(?:.|\\n){{0,{entry.gap}}}?" if entry.near == "near" else _ASSIGN
    return f"(?i:{words}){between}\\b(?P<secret>{entry.value}){_RIGHT}"


def _to_rule(entry: _Entry, family: str, vendor: str, source: str) -> Rule:
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
        allow=tuple(entry.allow),
        stopwords=tuple(entry.stopwords),
        placeholders=entry.placeholders,
        words=default(entry.words, generic),
        hashes=default(entry.hashes, keyword_bound or generic),
        requires=tuple(entry.requires),
        decode=tuple(entry.decode) if isinstance(entry.decode, list) else None if entry.decode else (),
        labels=entry.labels,
        runbook=entry.runbook,
        # Others' rules are looked for everywhere, as their authors may think of more than their examples show.
        keywords=tuple(entry.keywords or (_words(entry, pattern) if family != "custom" else ())),
        anywhere=tuple(_anywhere(entry)) if entry.keywords else (),
        examples=tuple(entry.examples),
        negative_examples=tuple(entry.negative_examples),
        references=tuple(entry.references),
    )


@cache
def _triggers() -> list[Any]:
    return [compile_re2("|".join(texts)) for texts in ASSIGNED]


def _anywhere(entry: _Entry) -> Iterable[str]:
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


def _words(entry: _Entry, pattern: str) -> Iterable[str]:
    """Words of a pattern that serve as its keywords: names in any case that stand near an assignment in every example.

    As triggers, words of a language cost most: their letter pairs are everywhere.
    """
    try:
        found = shape(pattern, entry.trigger)
        texts = [expand(example, seed) for example in entry.examples for seed in range(1, 4)]
    except (re.error, TemplateError):
        return ()  # `rules test` will name it
    words = found.literals
    if entry.trigger is not None or not found.caseless or min(map(len, words), default=0) < 5:
        return ()

    def near(text: str) -> bool:
        ends = [m.end() for regex in _triggers() for m in regex.finditer(text.encode())]
        starts = [m.start() for word in words for m in re.finditer(re.escape(word), text, re.IGNORECASE)]
        return any(end - HINT_BACK <= start <= end + HINT_AHEAD - 16 for start in starts for end in ends)

    return words if all(map(near, texts)) else ()


def _pattern_problem(rule: Rule) -> str | None:
    """What the parser has against the pattern, with the column. The engines' own limits show when they compile."""
    for key, text in (("pattern", rule.pattern), ("trigger", rule.trigger)):
        if text is None:
            continue
        problem = parse_problem(text)
        if problem is not None:
            return f"{key}: {problem}"
    beside = [("allow", text) for text in rule.allow]
    beside += [("requires.pattern", companion.pattern) for companion in rule.requires if companion.pattern is not None]
    for key, text in beside:
        if (refusal := re2_problem(text)) is not None:
            return f"{key}: {refusal}"
    return None


def _suggest(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def _wording(problem: Mapping[str, Any]) -> str:
    """pydantic's message in our words."""
    if problem["type"] == "extra_forbidden":
        known = [*_Entry.model_fields] if len(problem["loc"]) == 1 else [*Requires.model_fields]
        return f"unknown key{_suggest(str(problem['loc'][-1]), known)}; known keys: {', '.join(known)}"
    if problem["type"] == "missing":
        return "missing"
    if problem["type"] == "too_short":
        return "must not be empty"
    text: str = problem["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Tuple|Value) should ", "must ", text)


def load_file(path: Path) -> list[Rule]:
    """Rules of one pack file. Raises RuleError with all its problems.

    The folder is the family and the file's stem the vendor, as in `packs/cloud/aws.toml`.
    """
    builtin = path.is_relative_to(PACKS)
    label = f"packs/{path.relative_to(PACKS)}" if builtin else str(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RuleError([f"{label}: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        raise RuleError([f"{label}: not UTF-8 at byte {error.start}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise RuleError([f"{label}: {error}"]) from None
    problems = [
        f"{label}: unknown key {key!r}; a pack holds [[rule]] tables" for key in data if key not in ("rule", "pack")
    ]
    family, vendor = path.parent.name if builtin else "custom", path.stem
    rules: list[Rule] = []
    entries = data.get("rule", [])
    if not isinstance(entries, list):
        raise RuleError([f"{label}: rule: write [[rule]], not [rule]"])
    for number, raw in enumerate(entries, 1):
        name = raw.get("id", f"rule number {number}") if isinstance(raw, dict) else f"rule number {number}"
        try:
            entry = _Entry.model_validate(raw)
            rule = _to_rule(entry, family, vendor, label)
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                key = ".".join(str(part) for part in item["loc"])
                problems.append(f"{label}: {name}: {key + ': ' if key else ''}{_wording(item)}")
            continue
        problem = _pattern_problem(rule)
        if problem:
            problems.append(f"{label}: {name}: {problem}")
        rules.append(rule)
    if problems:
        raise RuleError(problems)
    return rules


def builtin_families() -> list[str]:
    """Families of the rules we ship, one folder each."""
    return sorted(folder.name for folder in PACKS.iterdir() if folder.is_dir())


# Endpoint URLs and internal addresses are sensitive too, but far too common to be on unasked.
OFF_BY_DEFAULT = ("exposure",)


def builtin_packs(names: Iterable[str] = ("default",)) -> list[Path]:
    """Files of the packs named: "default", a family ("cloud") or one file ("cloud/aws"). Raises RuleError."""
    files: set[Path] = set()
    problems = []
    for name in names:
        if name == "default":
            files |= {file for file in PACKS.glob("*/*.toml") if file.parent.name not in OFF_BY_DEFAULT}
        elif found := [*PACKS.glob(f"{name}/*.toml"), *PACKS.glob(f"{name}.toml")]:
            files.update(found)
        else:
            known = ", ".join(builtin_families())
            problems.append(f"rules.packs: no pack is called {name!r}; there are default, {known}")
    if problems:
        raise RuleError(problems)
    return sorted(files)


def load_rules(
    packs: Iterable[str] = ("default",),
    paths: Iterable[str | Path] = (),
    disable: Iterable[str] = (),
    cache_dir: Path | None = None,
) -> list[Rule]:
    """All rules of the built-in `packs` and of the files that the globs `paths` name, less those in `disable`.

    A rule of a file replaces a built-in rule with the same id. `cache_dir` may hold a snapshot of the built-in ones.
    Raises RuleError with every problem of every file.
    """
    problems: list[str] = []
    rules: dict[str, Rule] = {}
    try:
        for rule in _builtin(packs, cache_dir, problems):
            if rule.id in rules:
                problems.append(f"{rule.source}: {rule.id}: there is a rule with this id in {rules[rule.id].source}")
            rules[rule.id] = rule
    except RuleError as error:
        problems += error.problems
    own: dict[str, Rule] = {}
    for path in _expand(paths, problems):
        for rule in _load_into(path, problems):
            if rule.id in own:
                problems.append(f"{rule.source}: {rule.id}: there is a rule with this id in {own[rule.id].source}")
            own[rule.id] = rule
    rules |= own
    for rule_id in disable:
        if rules.pop(rule_id, None) is None:
            problems.append(f"rules.disable: no rule is called {rule_id!r}{_suggest(rule_id, rules)}")
    for rule in rules.values():
        for companion in rule.requires:
            if companion.rule is not None and companion.rule not in rules:
                problems.append(f"{rule.source}: {rule.id}: requires: no rule is called {companion.rule!r}")
    if problems:
        raise RuleError(problems)
    return list(rules.values())


def _builtin(packs: Iterable[str], cache_dir: Path | None, problems: list[str]) -> list[Rule]:
    from detectors import snapshot  # it reads and writes Rules, so it imports this module

    files = builtin_packs(packs)
    path = snapshot.snapshot_path(files, cache_dir) if cache_dir is not None else None
    rules = snapshot.load(path) if path is not None else None
    if rules is None:
        rules = [rule for file in files for rule in _load_into(file, problems)]
        if path is not None and not problems:
            snapshot.save(path, rules)
    return rules


def _load_into(file: Path, problems: list[str]) -> list[Rule]:
    try:
        return load_file(file)
    except RuleError as error:
        problems.extend(error.problems)
        return []


def _expand(patterns: Iterable[str | Path], problems: list[str]) -> Iterable[Path]:
    for pattern in patterns:
        path = Path(pattern)
        root = Path(path.anchor)
        found = sorted(root.glob(str(path.relative_to(root))))
        if not found and not any(c in str(path) for c in "*?["):
            problems.append(f"{path}: no such file")
        yield from found
