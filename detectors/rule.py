"""Rules: what the engine looks for, and which of them a configuration asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal

from detectors.pattern import Shape, shape
from detectors.triggers import TRIGGERS
from monitor.common.severity import Severity

__all__ = [
    "Confidence",
    "Decoder",
    "Requires",
    "Rule",
    "RuleError",
    "builtin_families",
    "builtin_packs",
    "load_rules",
    "suggest",
]

HINT_BACK, HINT_AHEAD = 256, 128  # bytes around the end of an assignment that keywords are looked for in
PACKS = Path(__file__).parent / "packs"
Confidence = Literal["high", "medium", "low"]
Decoder = Literal["base64", "escape", "gzip", "hex", "html", "lines", "percent"]

# What may stand left of a token besides a non-word character: the tail of an escape, as logs are full of text inside
# JSON, URLs and terminals. `%3Dghp_…`: the D would hide the token from a plain \b.
LEFT = r"(?:\b|%[0-9A-Fa-f]{2}|\\[abefnrtv]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[0-7]{3}|\x1b\[[0-9;]{0,9}[mK])"


class RuleError(ValueError):
    """Everything wrong with the rules read: `problems` are lines that name file, rule id and key or column."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Requires:
    """A companion that must stand nearby: another rule's match, or a pattern. `optional` raises confidence only."""

    rule: str | None = None
    pattern: str | None = None
    within: int = 512  # bytes before or after
    lines: int | None = None
    optional: bool = False


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
            return shape(self.pattern, anywhere=True)._replace(trigger="|".join(shared), triggers=shared)
        if self.keywords:  # sent here by a hint, which may be any part of its keyword
            return shape(self.pattern, self.trigger, anywhere=True)._replace(trigger="", triggers=())
        return shape(self.pattern, self.trigger)

    @cached_property
    def confirm(self) -> str:
        """The pattern as RE2 runs it: word boundaries on the left also see escapes (see LEFT)."""
        text = re.sub(r"\\b(?=\(\?P<secret>)", lambda _: LEFT, self.pattern)
        return LEFT + text[2:] if text.startswith(r"\b") else text


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
            problems.append(f"rules.disable: no rule is called {rule_id!r}{suggest(rule_id, rules)}")
    for rule in rules.values():
        for companion in rule.requires:
            if companion.rule is not None and companion.rule not in rules:
                problems.append(f"{rule.source}: {rule.id}: requires: no rule is called {companion.rule!r}")
    if problems:
        raise RuleError(problems)
    return list(rules.values())


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing when nothing is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def _builtin(packs: Iterable[str], cache_dir: Path | None, problems: list[str]) -> list[Rule]:
    from detectors import snapshot  # it reads and writes Rules, so it imports this module

    packs = tuple(packs)
    path = snapshot.snapshot_path(PACKS, packs, cache_dir) if cache_dir is not None else None
    rules = snapshot.load(path) if path is not None else None
    if rules is None:
        rules = [rule for file in builtin_packs(packs) for rule in _load_into(file, problems)]
        if path is not None and not problems:
            snapshot.save(path, rules)
    return rules


def _load_into(file: Path, problems: list[str]) -> list[Rule]:
    from detectors.packfile import load_file  # slow to import, and a snapshot mostly spares it

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
