"""The built-in rules as one file: parsing a thousand pack files takes a second, reading this a thirtieth.

Only a shortcut: keyed by what the packs are and by this code, and made anew whenever anything about it is off. One of
all packs comes with the package. Files of the user are always read themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from detectors import cache
from detectors.rules import packs
from detectors.rules.pattern import PatternShape
from detectors.rules.rule import Requires, Rule
from detectors.rules.triggers import TRIGGERS

__all__ = ["digest", "dumped", "load", "name", "save"]

_FIELDS = tuple(f.name for f in fields(Rule))
_SOURCE = _FIELDS.index("source")
_TUPLES = tuple(f.name for f in fields(Rule) if str(f.type).startswith("tuple"))
_KEEP = 4  # snapshots in the cache


def digest() -> bytes:
    """Of all packs, as they are now, and of what reads them."""
    return cache.code() + cache.digest(packs.texts().items())


def name(digest: bytes, chosen: Iterable[str]) -> str:
    """What the snapshot of the packs chosen is called."""
    return f"{hashlib.sha256(repr(sorted(chosen)).encode() + digest).hexdigest()[:32]}.rules"


def load(body: bytes | None, sources: Collection[str] | None = None) -> list[Rule] | None:
    """The rules in it, all or those of these files, or None when it is no whole snapshot."""
    try:
        entries = orjson.loads(body) if body is not None else []
        if sources is not None:
            entries = [entry for entry in entries if entry[0][_SOURCE] in sources]
        return [_rule(*entry) for entry in entries] or None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None  # whole, but not what this code wrote


def _rule(values: list[Any], shape: list[Any]) -> Rule:
    # Past the constructor, as `Rule(…)` sets each field of a frozen object by a call: half of the time of a start.
    rule = object.__new__(Rule)
    data = rule.__dict__
    data.update(zip(_FIELDS, values, strict=True))
    for field in _TUPLES:
        if data[field] is not None:
            data[field] = tuple(data[field])
    if data["requires"]:
        data["requires"] = tuple(Requires(**companion) for companion in data["requires"])
    trigger, triggers, back, ahead, literals, *others = shape
    shared = TRIGGERS.get(data["trigger"])
    if shared is not None:
        trigger, triggers = "|".join(shared), shared
    # Where cached_property keeps it.
    data["shape"] = PatternShape(trigger, tuple(triggers), back, ahead, tuple(literals), *others)
    return rule


def save(path: Path, rules: Sequence[Rule]) -> None:
    """Write a snapshot; one that cannot be written is no error."""
    cache.write(path, dumped(rules), _KEEP)


def dumped(rules: Sequence[Rule]) -> bytes:
    return orjson.dumps([(_values(rule), [*_shape(rule)]) for rule in rules])


def _values(rule: Rule) -> list[Any]:
    return [
        [asdict(companion) for companion in rule.requires] if field == "requires" else getattr(rule, field)
        for field in _FIELDS
    ]


def _shape(rule: Rule) -> PatternShape:
    if rule.trigger in TRIGGERS:  # tens of thousands of characters, the same for each
        return rule.shape._replace(trigger="", triggers=())
    return rule.shape
